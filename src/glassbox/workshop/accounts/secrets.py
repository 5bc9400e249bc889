"""Secrets that we give out: long random texts, of which only a hash is kept.

They are random, so that a plain fast hash is enough: there is nothing to guess. (Passwords are chosen by people, and
are hashed with argon2.)
"""

from __future__ import annotations

import hashlib
import secrets

KEY_BEGINNING = "glassbox-"


def new_secret() -> str:
    """256 random bits, to be given out once."""
    return secrets.token_urlsafe(32)


def new_id() -> str:
    """A name for a row; no secret."""
    return secrets.token_hex(8)


def hashed(secret: str) -> str:
    """What is kept of it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
