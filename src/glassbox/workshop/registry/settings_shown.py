"""The settings of a run as somebody from elsewhere may see them: no path of this machine, but a name for it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError

from glassbox.errors import BadInput
from glassbox.stages.interface import StageSettings
from glassbox.stages.local_paths import Access, Names
from glassbox.stages.registry import load_stage


class NamesAlone(Names):
    """Nothing of a path but its last part."""

    def reference(self, path: Path, access: Access) -> str:
        return path.name


def settings_shown(stage: str, settings: Mapping[str, JsonValue], names: Names) -> dict[str, JsonValue]:
    """Empty for a stage, or for settings, that this version doesn't know: nobody can say which of them are paths."""
    try:
        checked = _settings_of(stage).model_validate(dict(settings))
    except (ValidationError, BadInput):
        return {}
    return checked.model_dump(mode="json", context=names)


@functools.cache
def _settings_of(stage: str) -> type[StageSettings]:
    return load_stage(stage).settings
