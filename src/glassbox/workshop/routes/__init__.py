"""The HTTP API, one file per resource. Thin: what they do is done below."""
