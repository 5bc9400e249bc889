"""People: their passwords, sessions and keys. Whatever opens a door is stored as a hash only."""
