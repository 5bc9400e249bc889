"""Settings that hold a path of this machine, and the one place where somebody from elsewhere is kept away from paths.

At the command line a person may name every file that is theirs. Over HTTP nobody may name any: what shall be read was
uploaded before and is called `upload:<id>`, what shall be written is called `download:<name>`, and the server decides
where that lies. A settings field that holds a path therefore has one of the types below, and no other; a stage whose
settings hold a bare `pathlib.Path` can't be defined (`StageSettings` sees to it).

    class Settings(StageSettings):
        path: InputPath | None = Field(None, description="The text.")
        to: OutputPath = Field(description="A new file.")
        spec: ModelName = Field("microgpt", description="A preset's name, or a spec.json.")

    Settings.model_validate({"path": "tales.txt"})                          # as said; made absolute
    Settings.model_validate({"path": "upload:4f..."}, context=places)       # from elsewhere: `Places` say where
    Settings.model_validate({"path": "/etc/passwd"}, context=places)        # raises BadInput
    settings.model_dump(mode="json", context=places)                        # back again: {"path": "upload:4f..."}
"""

from __future__ import annotations

import types
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from glassbox.errors import BadInput
from glassbox.spec.presets import is_file
from glassbox.workspace.names import shown

Access = Literal["read", "written"]

UPLOAD = "upload:"
DOWNLOAD = "download:"
_PREFIX: dict[Access, str] = {"read": UPLOAD, "written": DOWNLOAD}
_ASKED: dict[Access, str] = {
    "read": f"Upload the file first, and give {UPLOAD}<id>.",
    "written": f"Give {DOWNLOAD}<name>; the result can be fetched under that name.",
}


class Names(ABC):
    """How paths of this machine are called from elsewhere. Settings can be shown with these, and not taken."""

    @abstractmethod
    def reference(self, path: Path, access: Access) -> str:
        """`upload:<id>` or `download:<name>` for what came from elsewhere, or shall go there.

        For any other path it gives the file's name alone: where it lies is nobody's business.
        """


class Places(Names):
    """Where files of somebody lie who isn't at this machine. BadInput is raised for what isn't theirs."""

    @abstractmethod
    def to_read(self, upload: str) -> Path:
        """The file that was uploaded under this id."""

    @abstractmethod
    def to_write(self, name: str) -> Path:
        """A new place for what shall be fetched under this name."""


@dataclass(frozen=True)
class LocalPath:
    """Marks a field's type as a path. is_path: which texts are one, where the field takes other words too."""

    access: Access
    is_path: Callable[[str], bool] | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_before_validator_function(
            self._placed,
            core_schema.no_info_after_validator_function(self._absolute, handler(source)),
            serialization=core_schema.plain_serializer_function_ser_schema(
                self._named, info_arg=True, when_used="unless-none"
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """As it is seen from elsewhere; `format` tells a form to offer an upload, or to ask for a name."""
        prefix = _PREFIX[self.access]
        if self.is_path is not None:
            return {"type": "string", "format": f"word-or-{prefix.rstrip(':')}"}
        return {"type": "string", "format": prefix.rstrip(":"), "pattern": f"^{prefix}.+$"}

    def _placed(self, value: Any, info: ValidationInfo) -> Any:
        """What came from elsewhere becomes a path here, or is refused; without `Places` nothing is done."""
        if isinstance(info.context, Names) and not isinstance(info.context, Places):
            raise TypeError("settings can be shown with Names; to take them from elsewhere needs Places")
        if not isinstance(info.context, Places) or value is None:
            return value
        prefix = _PREFIX[self.access]
        if not isinstance(value, str):
            raise self._refused(str(cast("object", value)), info)
        if value.startswith(prefix):
            rest = value.removeprefix(prefix)
            path = info.context.to_read(rest) if self.access == "read" else info.context.to_write(rest)
            return str(path)
        if self.is_path is not None and not self.is_path(value):
            return value
        raise self._refused(value, info)

    def _refused(self, value: str, info: ValidationInfo) -> BadInput:
        return BadInput(
            f"{info.field_name} would name a file of the server: {shown(value)}. Nobody may do that from elsewhere.",
            _ASKED[self.access],
        )

    def _absolute(self, value: Path | str) -> Path | str:
        """A run may be resumed from another folder."""
        if isinstance(value, str):
            return str(Path(value).expanduser().absolute()) if self.is_path and self.is_path(value) else value
        return value.absolute()

    def _named(self, value: Path | str, info: SerializationInfo) -> Path | str:
        if isinstance(value, str) and self.is_path and not self.is_path(value):
            return value
        if isinstance(info.context, Names):
            return info.context.reference(Path(value), self.access)
        return str(value) if info.mode == "json" else value


InputPath = Annotated[Path, LocalPath("read")]
"""A file or folder that is read."""

OutputPath = Annotated[Path, LocalPath("written")]
"""A file or folder that is made."""

ModelName = Annotated[str, LocalPath("read", is_path=is_file)]
"""The name of a preset, or the path of a spec.json."""


def refuse_bare_paths(settings: type[BaseModel]) -> None:
    """Raises TypeError if a field, also within nested models, is a path without a mark."""
    for name, field in settings.model_fields.items():
        marked = any(isinstance(one, LocalPath) for one in field.metadata)
        if not marked and _holds_bare_path(field.annotation):
            raise TypeError(f"{settings.__qualname__}.{name} holds a path: make it an InputPath or an OutputPath")


def _holds_bare_path(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return not any(isinstance(mark, LocalPath) for mark in marks) and _holds_bare_path(inner)
    if get_origin(annotation) in (Union, types.UnionType) or get_args(annotation):
        return any(_holds_bare_path(one) for one in get_args(annotation))
    if not isinstance(annotation, type):
        return False
    if issubclass(annotation, BaseModel):
        refuse_bare_paths(annotation)
        return False
    return issubclass(annotation, PurePath)
