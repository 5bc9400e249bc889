"""Refusals that only uploads know."""

from __future__ import annotations

from http import HTTPStatus

from glassbox.workshop.problems import Problem


class Locked(Problem):
    """Somebody else is at it."""

    status = HTTPStatus.LOCKED


class NoRoom(Problem):
    """The disk takes no more."""

    status = HTTPStatus.INSUFFICIENT_STORAGE


class TooSlow(Problem):
    """Nothing came for too long."""

    status = HTTPStatus.REQUEST_TIMEOUT
