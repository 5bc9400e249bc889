"""What the routes are asked about."""

from __future__ import annotations

import pytest
from people import People
from shelf import Shelf

from glassbox.workspace import Artifact


@pytest.fixture
def shelf(people: People) -> Shelf:
    """Publishes into the workspace of the workshop that is asked."""
    return Shelf(people)


@pytest.fixture
def tokenizer(shelf: Shelf) -> Artifact:
    """Of the member."""
    return shelf.tokenizer()
