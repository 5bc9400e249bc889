"""Paths in settings: free at the command line, never named by somebody from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from glassbox.errors import BadInput
from glassbox.stages import registry
from glassbox.stages.interface import StageSettings
from glassbox.stages.local_paths import Access, InputPath, LocalPath, ModelName, Names, OutputPath, Places

HERE = Path("/somewhere/of/the/server")


class OnePerson(Places):
    """Knows the upload 7 and any new name."""

    def to_read(self, upload: str) -> Path:
        if upload != "7":
            raise BadInput(f"There is no upload {upload!r}.", "Upload it first.")
        return HERE / "7" / "tales.txt"

    def to_write(self, name: str) -> Path:
        return HERE / "made" / name

    def reference(self, path: Path, access: Access) -> str:
        return "upload:7" if path.parent.name == "7" else f"download:{path.name}" if access == "written" else path.name


class Inner(BaseModel):
    more: InputPath | None = None


class Settings(StageSettings):
    path: InputPath | None = None
    to: OutputPath = Path("out")
    spec: ModelName = "microgpt"
    inner: Inner = Inner()


class NamesAlone(Names):
    def reference(self, path: Path, access: Access) -> str:
        return path.name


def test_what_only_shows_settings_takes_none():
    shown = Settings(path=HERE / "tales.txt").model_dump(mode="json", context=NamesAlone())
    assert (shown["path"], shown["to"]) == ("tales.txt", "out")
    with pytest.raises(TypeError, match="Places"):
        Settings.model_validate({"path": "/etc/passwd"}, context=NamesAlone())


def given_from_elsewhere(**values: Any) -> Settings:
    return Settings.model_validate(values, context=OnePerson())


def test_at_the_command_line_paths_are_free_and_become_absolute():
    settings = Settings.model_validate({"path": "tales.txt", "to": "b", "spec": "a/b.json", "inner": {"more": "c"}})
    assert settings.path == Path.cwd() / "tales.txt"
    assert settings.to == Path.cwd() / "b"
    assert settings.spec == str(Path.cwd() / "a/b.json")
    assert settings.inner.more == Path.cwd() / "c"
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings
    assert settings.model_dump()["path"] == settings.path


def test_the_name_of_a_preset_stays_a_name_wherever_it_comes_from():
    assert Settings.model_validate({"spec": "gpt2"}).spec == given_from_elsewhere(spec="gpt2").spec == "gpt2"


def test_an_upload_and_a_new_name_become_places_of_the_server_and_are_shown_as_they_came():
    values = {"path": "upload:7", "to": "download:m.gguf", "spec": "upload:7", "inner": {"more": "upload:7"}}
    settings = given_from_elsewhere(**values)
    assert settings.path == settings.inner.more == HERE / "7/tales.txt"
    assert settings.to == HERE / "made/m.gguf"
    assert settings.spec == str(HERE / "7/tales.txt")
    assert settings.model_dump(mode="json", context=OnePerson()) == values
    kept = settings.model_dump(mode="json")
    assert kept["path"] == str(HERE / "7/tales.txt")
    assert Settings.model_validate(kept).model_dump(mode="json", context=OnePerson()) == values


def test_where_a_file_of_the_command_line_lies_is_not_shown_elsewhere():
    assert Settings(path=Path("/home/ann/diary.txt")).model_dump(context=OnePerson())["path"] == "diary.txt"


PATHS = [
    "/etc/passwd",
    "../x",
    "tales.txt",
    "",
    "~/x",
    "file:///etc/passwd",
    "Upload:7",
    " upload:7",
    "download:x",
    "\0",
]


@pytest.mark.parametrize("path", [*PATHS, 7, ["upload:7"], {"root": "/"}, True])
@pytest.mark.parametrize("field", ["path", "inner"])
def test_nobody_from_elsewhere_names_a_file_of_the_server(field: str, path: object):
    value = {"more": path} if field == "inner" else path
    with pytest.raises(BadInput, match=r"Nobody may do that.*Upload the file first"):
        given_from_elsewhere(**{field: value})


@given(st.text().filter(lambda text: not text.startswith("download:")))
def test_nobody_from_elsewhere_says_where_to_write(text: str):
    with pytest.raises(BadInput, match=r"Give download:<name>"):
        given_from_elsewhere(to=text)


@pytest.mark.parametrize("spec", ["/etc/passwd", "a.json", "../../a", 5])
def test_a_model_is_described_by_a_name_or_an_upload_from_elsewhere(spec: object):
    with pytest.raises(BadInput, match="would name a file of the server"):
        given_from_elsewhere(spec=spec)


def test_somebody_elses_upload_is_refused_by_the_places():
    with pytest.raises(BadInput, match="There is no upload '8'"):
        given_from_elsewhere(path="upload:8")


def test_the_schema_says_what_is_asked_for_from_elsewhere():
    properties = Settings.model_json_schema()["properties"]
    assert properties["path"]["anyOf"][0] == {"type": "string", "format": "upload", "pattern": "^upload:.+$"}
    assert properties["to"]["format"] == "download"
    assert properties["spec"]["format"] == "word-or-upload"


@pytest.mark.parametrize(
    "bare", [Path, Path | None, list[Path], dict[str, Path], tuple[Path, ...] | None, Annotated[Path, 1]]
)
def test_settings_with_a_bare_path_cannot_be_defined(bare: Any):
    with pytest.raises(TypeError, match="holds a path: make it an InputPath or an OutputPath"):
        type("Careless", (StageSettings,), {"__annotations__": {"where": bare}, "__module__": __name__})


def test_settings_with_a_bare_path_in_a_nested_model_cannot_be_defined():
    class Nested(BaseModel):
        where: Path

    with pytest.raises(TypeError, match=r"Nested\.where holds a path"):
        type("Careless", (StageSettings,), {"__annotations__": {"a": list[Nested]}, "__module__": __name__})


def test_the_stages_name_their_paths():
    marked = {
        (stage.name, name): mark.access
        for stage in map(registry.load_stage, (one.name for one in registry.stages()))
        for name, field in stage.settings.model_fields.items()
        for mark in _marks(field)
    }
    assert marked == {
        ("collect", "path"): "read",
        ("import-model", "path"): "read",
        ("export-model", "to"): "written",
        ("pretrain", "preset"): "read",
        ("compare-engines", "spec"): "read",
        ("compare-training", "spec"): "read",
    }


def _marks(field: Any) -> list[LocalPath]:
    from typing import get_args

    inner = [mark for one in get_args(field.annotation) for mark in getattr(one, "__metadata__", ())]
    return [mark for mark in [*field.metadata, *inner] if isinstance(mark, LocalPath)]
