"""Glassbox: build a language model from raw text to chat on one machine, and see every number in it."""

__version__ = "0.1.0"
