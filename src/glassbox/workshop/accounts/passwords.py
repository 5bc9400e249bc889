"""Passwords: what one may be, and their hashes (argon2id, RFC 9106; the parameters are argon2-cffi's own).

A hash takes 64 MiB and a tenth of a second, on purpose. So that many logins at once can't take all memory, few are
computed at a time; the others wait.
"""

from __future__ import annotations

import functools
import threading
from pathlib import Path

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from glassbox.errors import BadInput

SHORTEST, LONGEST = 10, 200

_AT_ONCE = threading.Semaphore(2)
_HASHER = PasswordHash((Argon2Hasher(),))

_WORST = Path(__file__).with_name("worst_passwords.txt")


def check_password(password: str, name: str) -> None:
    """Raises BadInput for a password that is too short, too long, among the first that are guessed, or the name."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadInput(
            f"A password has {SHORTEST} to {LONGEST} characters, and one of {len(password)} came.",
            "Take a few words that nobody would put together.",
        )
    small = password.casefold()
    if small in _worst() or len(set(small)) < 4 or (len(name) > 2 and small.replace(name.casefold(), "").isdigit()):
        raise BadInput("This password is among the first that anyone would guess.", "Take a few words of your own.")
    if small in (name.casefold(), name.casefold() * 2):
        raise BadInput("The password is the name.", "Take a few words of your own.")


def hash_password(password: str) -> str:
    """What is kept of a password. Takes a tenth of a second."""
    with _AT_ONCE:
        return _HASHER.hash(password)


def is_password(password: str, password_hash: str | None) -> bool:
    """Is it that person's password? Takes as long where there is none, so that nobody learns who has an account."""
    with _AT_ONCE:
        fits = _HASHER.verify(password, password_hash or _nobodys())
    return fits and password_hash is not None


@functools.cache
def _nobodys() -> str:
    return _HASHER.hash("what is compared with where there is no password")


@functools.cache
def _worst() -> frozenset[str]:
    return frozenset(_WORST.read_text().split())
