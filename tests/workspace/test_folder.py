"""A workspace that can't be where it was asked for says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from glassbox.errors import BadInput
from glassbox.workspace import Workspace


@pytest.mark.parametrize("place", ["/proc/nowhere", "x" * 300])
def test_a_place_where_no_folder_can_be_is_named(place: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No folder can be made at"):
        Workspace(tmp_path / place)
