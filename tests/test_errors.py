"""The error that a person reads has two sentences, and keeps them."""

from __future__ import annotations

import pickle

from glassbox.errors import BadInput


def test_both_sentences_can_be_read_together_and_apart() -> None:
    error = BadInput("The file is empty.", "Give one with text.")
    assert str(error) == "The file is empty. Give one with text."
    assert (error.problem, error.remedy) == ("The file is empty.", "Give one with text.")


def test_it_survives_the_way_from_one_process_to_another() -> None:
    error = pickle.loads(pickle.dumps(BadInput("The file is empty.", "Give one with text.")))  # noqa: S301  (our own)
    assert (error.problem, error.remedy) == ("The file is empty.", "Give one with text.")
