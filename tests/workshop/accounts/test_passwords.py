"""What a password may be, and what is kept of it."""

from __future__ import annotations

import threading
import time

import pytest
from argon2 import extract_parameters
from pwdlib import PasswordHash

from glassbox.errors import BadInput
from glassbox.workshop.accounts import passwords
from glassbox.workshop.accounts.passwords import check_password, hash_password, is_password

GOOD = "blue horses dance slowly"


@pytest.mark.parametrize(
    "password", [GOOD, "x7#kQ!z0pL", "пароль из слов", "😀" * 6 + "abcd", "a b c d e f", "a" * 196 + "bcde"]
)
def test_long_texts_of_any_kind_are_passwords(password: str):
    check_password(password, "ada")


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "123456789",
        "a" * 201,
        "1234567890",
        "Password123",
        "QWERTYUIOP",
        "aaaaaaaaaaaaaaa",
        "ababababababab",
        "adalovelace",
        "adalovelaceadalovelace",
        "adalovelace1234",
        "2024adalovelace",
    ],
)
def test_what_anyone_would_guess_first_is_refused(password: str):
    with pytest.raises(BadInput):
        check_password(password, "adalovelace")


def test_what_is_refused_is_never_told_again():
    with pytest.raises(BadInput) as refused:
        check_password("secret99", "ada")
    assert "secret99" not in str(refused.value)


def test_only_the_password_itself_is_taken():
    kept = hash_password(GOOD)
    assert is_password(GOOD, kept)
    for other in ("", GOOD[:-1], GOOD + " ", GOOD.upper(), GOOD + "\x00"):
        assert not is_password(other, kept)
    assert not is_password(GOOD, None)


def test_two_hashes_of_a_password_differ():
    assert hash_password(GOOD) != hash_password(GOOD)


def test_hashes_are_argon2id_and_take_64_mib(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(passwords, "_HASHER", PasswordHash((passwords.Argon2Hasher(),)))
    parameters = extract_parameters(hash_password(GOOD))
    assert parameters.type.name == "ID"
    assert parameters.memory_cost >= 64 * 1024
    assert parameters.time_cost >= 3


def test_a_name_without_a_password_takes_the_same_work(monkeypatch: pytest.MonkeyPatch):
    verified: list[str] = []

    class Counting:
        def verify(self, password: str, password_hash: str) -> bool:
            verified.append(password_hash)
            return False

        hash = staticmethod(hash_password)

    nobodys = passwords._nobodys()
    monkeypatch.setattr(passwords, "_HASHER", Counting())
    assert not is_password(GOOD, None)
    assert verified == [nobodys]


def test_few_hashes_are_computed_at_a_time(monkeypatch: pytest.MonkeyPatch):
    at_once, most, lock = 0, 0, threading.Lock()

    class Slow:
        def hash(self, password: str) -> str:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            time.sleep(0.01)
            with lock:
                at_once -= 1
            return password

    monkeypatch.setattr(passwords, "_HASHER", Slow())
    threads = [threading.Thread(target=hash_password, args=(GOOD,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 2
