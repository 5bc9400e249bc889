"""The command line: a thin face over stages and the workspace."""
