"""The settings of a run as somebody from elsewhere may see them: of a path of this machine the name alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError

from glassbox.errors import BadInput
from glassbox.stages.interface import StageSettings
from glassbox.stages.local_paths import Access, Places
from glassbox.stages.registry import load_stage


class _NamesAlone(Places):
    def to_read(self, upload: str) -> Path:
        raise NotImplementedError("settings are shown here, never taken")

    def to_write(self, name: str) -> Path:
        raise NotImplementedError("settings are shown here, never taken")

    def reference(self, path: Path, access: Access) -> str:
        return path.name


def settings_shown(stage: str, settings: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Empty for a stage, or for settings, that this version doesn't know: nobody can say which of them are paths."""
    try:
        checked = _settings_of(stage).model_validate(dict(settings))
    except (ValidationError, BadInput):
        return {}
    return checked.model_dump(mode="json", context=_NamesAlone())


@functools.cache
def _settings_of(stage: str) -> type[StageSettings]:
    return load_stage(stage).settings
