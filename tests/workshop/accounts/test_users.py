"""People: who can come in, who is an owner, and that one always stays."""

from __future__ import annotations

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from people import People

from glassbox.errors import BadInput
from glassbox.workshop.accounts.actor import Role
from glassbox.workshop.accounts.sessions import Sessions
from glassbox.workshop.accounts.users import LOCAL_USER, Users
from glassbox.workshop.database import Database
from glassbox.workshop.database.tables import UserRow
from glassbox.workshop.problems import Conflict, NotFound

ROLES: tuple[Role, ...] = ("member", "educator", "owner")


def test_a_name_is_in_small_letters_and_belongs_to_one_person(database: Database):
    users = Users(database)
    ada = users.add("Ada", "member", None)
    assert ada.name == "ada"
    assert users.named("ADA") == ada
    with pytest.raises(BadInput, match="taken"):
        users.add("aDA", "owner", None)


@pytest.mark.parametrize("name", ["", " ", "a b", "../x", "a\x00b", "ä", "a" * 41, "-", LOCAL_USER, "Local"])
def test_what_cannot_be_a_name_is_refused(database: Database, name: str):
    with pytest.raises(BadInput):
        Users(database).add(name, "member", None)


def test_the_one_person_of_a_workshop_without_accounts_is_made_once_and_cannot_log_in(database: Database):
    users = Users(database)
    assert users.local() == users.local()
    assert not users.local().has_password
    assert not users.has_owner()
    for change in (lambda: users.set_role(LOCAL_USER, "member"), lambda: users.disable(LOCAL_USER)):
        with pytest.raises(Conflict):
            change()


def test_who_is_not_there_cannot_be_changed(database: Database):
    users = Users(database)
    for change in (
        lambda: users.set_role("nobody", "owner"),
        lambda: users.disable("nobody"),
        lambda: users.enable("nobody"),
        lambda: users.set_password("nobody", "hash"),
        lambda: users.describe("nobody", display_name="N."),
    ):
        with pytest.raises(NotFound):
            change()
    assert users.get("nobody") is None
    assert users.named("nobody") is None
    assert users.password_hash("nobody") is None


def test_a_person_says_what_others_see_of_them(database: Database):
    users = Users(database)
    ada = users.add("ada", "member", None)
    assert (ada.display_name, ada.persona) == ("ada", None)
    changed = users.describe(ada.id, display_name="Ada L.", persona="builder")
    assert (changed.display_name, changed.persona) == ("Ada L.", "builder")
    assert users.describe(ada.id) == changed


def test_a_new_password_ends_every_session_but_the_one_that_asked_and_every_key(people: People):
    workshop, user = people.workshop, people.user("member")
    kept, other = (workshop.sessions.open(user.id, "browser") for _ in range(2))
    key, invitation = people.key("member"), workshop.sessions.one_time_token(user.id, "password")
    stranger = people.key("other member")
    actor = workshop.sessions.actor(kept)
    assert actor is not None
    workshop.users.set_password(user.id, "hash", keep_session=actor.session)
    assert workshop.sessions.actor(kept) == actor
    assert workshop.sessions.actor(other) is None
    assert workshop.keys.actor(key) is None
    assert workshop.sessions.redeem(invitation, "password") is None
    assert workshop.keys.actor(stranger) is not None


def test_who_is_shut_out_is_out_with_the_next_request_and_comes_back_without_old_keys(people: People):
    workshop, user = people.workshop, people.user("member")
    client, key = people.client("member"), people.key("member")
    assert client.get("/api/me").status_code == 200
    workshop.users.disable(user.id)
    assert client.get("/api/me").status_code == 401
    assert workshop.users.password_hash(user.id) is None
    workshop.users.enable(user.id)
    assert client.get("/api/me").status_code == 401
    assert workshop.keys.actor(key) is None


def test_a_session_that_was_opened_while_someone_was_shut_out_opens_nothing(database: Database):
    users, sessions = Users(database), Sessions(database)
    ada = users.add("ada", "member", None)
    users.disable(ada.id)
    assert sessions.actor(sessions.open(ada.id, "browser")) is None


def test_whatever_owners_do_to_one_another_one_stays_who_can_log_in(database: Database):
    class Owners(RuleBasedStateMachine):
        people = Bundle("people")

        def __init__(self) -> None:
            super().__init__()
            with database.writing() as session:
                session.query(UserRow).delete()
            self.users = Users(database)
            self.count = 0
            self.users.add("first", "owner", "hash")

        @rule(target=people, role=st.sampled_from(ROLES), password=st.sampled_from(["hash", None]))
        def add(self, role: Role, password: str | None) -> str:
            self.count += 1
            return self.users.add(f"person-{self.count}", role, password).id

        @rule(target=people)
        def the_first(self) -> str:
            first = self.users.named("first")
            assert first is not None
            return first.id

        @rule(person=people, role=st.sampled_from(ROLES))
        def change_role(self, person: str, role: Role) -> None:
            before = self.users.get(person)
            try:
                assert self.users.set_role(person, role).role == role
            except Conflict:
                assert self.users.get(person) == before

        @rule(person=people)
        def disable(self, person: str) -> None:
            before = self.users.get(person)
            try:
                assert self.users.disable(person).disabled is not None
            except Conflict:
                assert self.users.get(person) == before

        @rule(person=people)
        def enable(self, person: str) -> None:
            self.users.enable(person)

        @invariant()
        def an_owner_can_log_in(self) -> None:
            assert self.users.has_owner()

    run_state_machine_as_test(
        Owners, settings=hypothesis_settings(max_examples=20, stateful_step_count=15, deadline=None)
    )
