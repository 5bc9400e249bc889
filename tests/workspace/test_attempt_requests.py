"""What is asked of the process that holds a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glassbox.errors import BadInput
from glassbox.workspace.attempt_requests import REQUESTS, make_request, request_made, withdraw_request


def test_of_several_requests_the_one_that_ends_most_counts(tmp_path: Path) -> None:
    assert request_made(tmp_path, 1) is None
    for request in reversed(REQUESTS):
        make_request(tmp_path, 1, request)
        make_request(tmp_path, 1, request)  # asking twice is asking once
        assert request_made(tmp_path, 1) == request
    for request, next_one in zip(REQUESTS, (*REQUESTS[1:], None), strict=True):
        withdraw_request(tmp_path, 1, request)
        withdraw_request(tmp_path, 1, request)
        assert request_made(tmp_path, 1) == next_one
    assert list(tmp_path.iterdir()) == []


def test_what_is_asked_of_one_attempt_means_nothing_to_the_next(tmp_path: Path) -> None:
    make_request(tmp_path, 1, "cancel")
    assert request_made(tmp_path, 2) is None
    assert request_made(tmp_path, 11) is None


def test_a_full_disk_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match="is full"):
        make_request(tmp_path, 1, "stop")
    assert request_made(tmp_path, 1) is None
