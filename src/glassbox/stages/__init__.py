"""One file per thing that a person can do; `interface` says what such a file holds."""
