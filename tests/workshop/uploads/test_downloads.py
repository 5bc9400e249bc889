"""What runs wrote to be fetched: found by their settings alone, streamed, and gone after a week."""

from __future__ import annotations

import io
import os
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.stages import registry
from glassbox.workshop.uploads.downloads import KEPT, sweep, written, zipped

SETTINGS = registry.load_stage("export-model").settings
names = st.text("abc", min_size=1, max_size=3)


@given(files=st.dictionaries(st.tuples(names, names), st.binary(max_size=50), max_size=5))
def test_a_folder_goes_out_as_a_zip_of_all_its_files(
    files: dict[tuple[str, str], bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("made") / "model"
    folder.mkdir()
    for (parent, name), content in files.items():
        (folder / f"{parent}-").mkdir(exist_ok=True)
        (folder / f"{parent}-" / name).write_bytes(content)
    (folder / "link").symlink_to("/etc/passwd")
    with zipfile.ZipFile(io.BytesIO(b"".join(zipped(folder)))) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {f"model/{parent}-/{name}": content for (parent, name), content in files.items()}


def test_a_large_file_is_held_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with (tmp_path / "model" / "weights").open("wb") as file:
        file.truncate(20_000_000)
    assert max(map(len, zipped(tmp_path / "model"))) < 2_500_000


def test_only_what_lies_among_the_downloads_is_given(tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    place = folder / "token" / "model.gguf"
    assert written(SETTINGS.model_validate({"to": place}), folder) is None
    place.parent.mkdir(parents=True)
    place.write_text("model")
    (tmp_path / "secret").write_text("secret")
    assert written(SETTINGS.model_validate({"to": place}), folder) == place
    for elsewhere in (tmp_path / "secret", folder / "token", folder / "token" / "model.gguf" / "x"):
        assert written(SETTINGS.model_validate({"to": elsewhere}), folder) is None
    assert written(registry.load_stage("collect").settings.model_validate({"path": place}), folder) is None


def test_downloads_go_after_a_week(tmp_path: Path) -> None:
    sweep(tmp_path / "none")
    old, new = tmp_path / "old", tmp_path / "new"
    for place in (old, new):
        place.mkdir()
        (place / "model").write_text("x")
    then = time.time() - KEPT - 60
    os.utime(old, (then, then))
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [new]
