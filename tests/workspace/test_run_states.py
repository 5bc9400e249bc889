"""The state of a run moves forward only, whatever is tried in whatever order, with the database lost in between."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from glassbox.errors import BadInput
from glassbox.workspace import Run, Workspace
from glassbox.workspace.attempt import Attempt
from glassbox.workspace.states import NEXT, RESUMABLE
from glassbox.workspace.transitions import change_attempt

STATES = list(NEXT)


class RunStates(RuleBasedStateMachine):
    """The model: a state and the number of attempts."""

    @initialize()
    def create(self):
        self.workspace = Workspace(tempfile.mkdtemp())
        self.run = self.workspace.runs.create("pretrain", name="plays", settings={}, inputs={})
        self.state, self.attempts = "queued", 0
        self.attempt: Attempt | None = None

    @rule()
    def begin(self):
        allowed = self.state == "queued" or self.state in RESUMABLE
        try:
            attempt = self.workspace.runs.begin(self.run)
        except BadInput:
            assert not allowed
        else:
            assert allowed
            self.attempt = attempt
            self.attempts += 1
            assert attempt.number == self.attempts
            self.state = "running"

    @precondition(lambda self: self.attempt is not None)
    @rule(to=st.sampled_from(STATES))
    def move(self, to):
        """Any step that the holder may think of."""
        assert self.attempt is not None
        allowed = to in NEXT[self.state]
        try:
            if to in ("running", "paused"):
                self.attempt.go_on() if to == "running" else self.attempt.pause()
            else:
                self.attempt.end(to)
        except ValueError:
            assert not allowed
        else:
            assert allowed
            self.state = to
            if to not in ("running", "paused"):
                self.attempt = None

    @rule()
    def cancel_from_outside(self):
        """Somebody who doesn't hold it."""
        allowed = self.state in ("queued", "interrupted")
        try:
            assert self.workspace.runs.cancel(self.run.id).state == "cancelled"
        except BadInput:
            assert not allowed
        else:
            assert allowed
            self.state = "cancelled"

    @rule(number=st.integers(1, 5))
    def begin_an_attempt_of_a_certain_number(self, number):
        if number == self.attempts + 1:
            return
        try:
            self.workspace.runs.begin(self.run, number)
        except BadInput:
            return
        raise AssertionError("another attempt has begun than was meant")

    @precondition(lambda self: self.state in ("running", "paused"))
    @rule()
    def lose_the_process(self):
        path = self.run.folder / "state.json"
        status = json.loads(path.read_text())
        status["process"]["started"] = 1.0
        path.write_text(json.dumps(status))
        self.state, self.attempt = "interrupted", None

    @rule()
    def lose_the_database(self):
        for path in self.workspace.folder.glob("workspace.db*"):
            path.unlink()
        self.workspace = Workspace(self.workspace.folder)
        if self.attempt is not None:
            self.attempt._database = self.workspace.runs._database

    @rule(to=st.sampled_from(STATES), number=st.integers(0, 5))
    def come_too_late(self, to, number):
        """A holder of an earlier attempt that was thought dead."""
        if number == self.attempts:
            return
        try:
            change_attempt(self.run.folder, self.workspace.runs._database, number, state=to)
        except BadInput:
            return
        raise AssertionError("an old attempt changed the state")

    @invariant()
    def the_run_and_the_listing_agree_with_the_model(self):
        run = Run.read(self.run.folder)
        assert (run.state, run.status.attempt) == (self.state, self.attempts)
        [entry] = self.workspace.runs.list()
        assert (entry.state, entry.attempt) == (self.state, self.attempts)

    @invariant()
    def events_are_one_sequence_of_allowed_steps(self):
        events = list(self.run.events)
        assert [event.sequence for event in events] == list(range(len(events)))
        states = ["queued", *(event.fields["state"] for event in events if event.kind == "state")]
        for before, after in itertools.pairwise(states):
            lost = before in ("running", "paused") and after == "running"  # the process died, and another began
            assert after in NEXT[before] or lost

    def teardown(self):
        shutil.rmtree(self.workspace.folder)


RunStates.TestCase.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
TestRunStates = RunStates.TestCase


def test_every_state_but_the_final_ones_leads_somewhere():
    assert {state for state, following in NEXT.items() if not following} == {"finished", "cancelled"}
    assert {following for ways in NEXT.values() for following in ways} == set(NEXT) - {"queued"}
