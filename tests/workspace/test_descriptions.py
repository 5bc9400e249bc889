from __future__ import annotations

from pathlib import Path

import pytest

from glassbox.errors import BadInput
from glassbox.workspace.descriptions import Descriptions


def test_what_is_saved_is_listed_found_replaced_and_deleted(tmp_path: Path):
    own = Descriptions(tmp_path / "workspace")
    assert own.list() == {}
    own.save("wide", "{}")
    own.save("deep", "[]")
    assert list(own.list()) == ["deep", "wide"]
    assert own.file("wide").read_text() == "{}"
    with pytest.raises(BadInput, match="already"):
        own.save("wide", "[1]")
    assert own.file("wide").read_text() == "{}"
    own.save("wide", "[1]", replace=True)
    assert own.file("wide").read_text() == "[1]"
    own.delete("wide")
    assert list(own.list()) == ["deep"]


@pytest.mark.parametrize("name", ["../wide", "Wide", "", "a/b"])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str):
    own = Descriptions(tmp_path)
    for use in (own.file, own.delete, lambda name: own.save(name, "{}")):
        with pytest.raises(BadInput):
            use(name)
    assert list(tmp_path.iterdir()) == []


def test_what_isnt_there_cannot_be_deleted(tmp_path: Path):
    with pytest.raises(BadInput, match="called wide"):
        Descriptions(tmp_path).delete("wide")


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path):
    (tmp_path / "specs").write_text("")
    with pytest.raises(BadInput, match="folder"):
        Descriptions(tmp_path).save("wide", "{}")
