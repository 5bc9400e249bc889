"""`glassbox accounts`: people added and changed from the machine where the workshop runs."""

from __future__ import annotations

import io
import json

import pytest

from glassbox.cli.main import run

PASSWORD = "blue horses dance slowly"


class Terminal(io.StringIO):
    """Standard input of a program that isn't a terminal."""

    def isatty(self) -> bool:
        return False


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs `glassbox accounts` with these words and this on standard input; gives the exit code and what it wrote."""

    def call(*words: str, given: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", Terminal(given))
        code = run(["accounts", *words])
        written = capsys.readouterr()
        return code, written.out + written.err

    return call


def listed(accounts) -> list[dict[str, object]]:
    return json.loads(accounts("list", "--json")[1])["accounts"]


def test_an_account_is_added_listed_changed_shut_out_and_let_in_again(accounts):
    assert accounts("add", "Ada", "--role", "owner", given=f"{PASSWORD}\n")[0] == 0
    assert accounts("add", "bo", given=PASSWORD)[0] == 0
    assert [(one["name"], one["role"], one["has_password"]) for one in listed(accounts)] == [
        ("ada", "owner", True),
        ("bo", "member", True),
    ]
    assert accounts("role", "bo", "educator")[0] == 0
    assert accounts("disable", "BO")[0] == 0
    assert [(one["role"], one["disabled"]) for one in listed(accounts)] == [("owner", False), ("educator", True)]
    assert "shut out" in accounts("list")[1]
    assert accounts("enable", "bo")[0] == 0
    assert accounts("password", "bo", given="another few words\n")[0] == 0


@pytest.mark.parametrize(
    ("words", "given", "says"),
    [
        (["add", "ada"], "", "standard input"),
        (["add", "ada"], "\n", "10 to 200"),
        (["add", "ada"], "1234567890\n", "guess"),
        (["add", "a b"], f"{PASSWORD}\n", "a-z"),
        (["add", "ada", "--role", "king"], f"{PASSWORD}\n", "king"),
        (["add", "first"], f"{PASSWORD}\n", "taken"),
        (["role", "nobody", "owner"], "", "no account"),
        (["role", "first", "member"], "", "last owner"),
        (["disable", "first"], "", "last owner"),
        (["password", "nobody"], f"{PASSWORD}\n", "no account"),
        (["list", "--database", "oracle://x"], "", "not in oracle"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(accounts, words: list[str], given: str, says: str):
    accounts("add", "first", "--role", "owner", given=f"{PASSWORD}\n")
    before = listed(accounts)
    code, told = accounts(*words, given=given)
    assert code == 2
    assert says in told
    assert listed(accounts) == before


def test_an_empty_list_says_how_to_begin(accounts):
    assert "glassbox accounts add" in accounts("list")[1]


def test_a_password_is_no_argument(accounts):
    code, _ = accounts("add", "ada", PASSWORD)
    assert code == 2
    assert "ada" not in [one["name"] for one in listed(accounts)]
