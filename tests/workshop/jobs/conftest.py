"""Servers whose runs a test holds in its hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pretend_servers import GB, Servers

from glassbox.workshop.database import Database
from glassbox.workshop.jobs.slots import Slots
from glassbox.workspace import Workspace


@pytest.fixture
def make_servers(own_workspace, database: Database) -> Callable[..., Servers]:
    return lambda slots: Servers(Workspace(own_workspace), database, slots)


@pytest.fixture
def servers(make_servers: Callable[..., Servers]) -> Servers:
    """On a machine of 2 threads and 4 GB."""
    return make_servers(Slots(2, 4 * GB))
