"""From elsewhere only what is theirs can be read, and only new places can be written to."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.stages import registry
from glassbox.workshop.accounts.actor import Actor
from glassbox.workshop.accounts.users import Users
from glassbox.workshop.database import Database
from glassbox.workshop.uploads.places import ClientPlaces
from glassbox.workshop.uploads.uploads import Uploads
from glassbox.workshop.visible import Visible
from glassbox.workspace import Workspace

pytestmark = pytest.mark.one_database


@pytest.fixture
def uploads(database: Database, own_workspace: Path) -> Uploads:
    return Uploads(own_workspace / "uploads", database)


@pytest.fixture
def ann(database: Database, own_workspace: Path, uploads: Uploads) -> ClientPlaces:
    return places_of("ann", database, own_workspace, uploads)


def places_of(name: str, database: Database, workspace: Path, uploads: Uploads) -> ClientPlaces:
    user = Users(database).add(name, "member", None)
    return ClientPlaces(Visible(Workspace(workspace), database, Actor(user.id, name, "member")), uploads)


def brought(uploads: Uploads, database: Database, name: str, content: bytes = b"once", length: int = 4) -> str:
    owner = next(user.id for user in Users(database).list() if user.name == name)
    upload = uploads.begin(owner, label="Tales.txt", length=length)
    with uploads.receive(upload.id, 0) as receiving:
        receiving.write(content)
        receiving.keep()
    return upload.id


def test_collect_reads_an_upload_of_theirs_and_shows_it_by_its_id(
    ann: ClientPlaces, uploads: Uploads, database: Database, own_workspace: Path
) -> None:
    upload = brought(uploads, database, "ann")
    stage = registry.load_stage("collect")
    values = {"source": "files", "path": f"upload:{upload}"}
    settings = stage.settings.model_validate(values, context=ann)
    kept = settings.model_dump(mode="json")
    assert kept["path"] == str(own_workspace / "uploads" / upload / "tales.txt")
    assert Path(kept["path"]).read_bytes() == b"once"
    assert settings.default_name == "tales"
    again = stage.settings.model_validate(kept)
    assert again.model_dump(mode="json", context=ann)["path"] == f"upload:{upload}"


def test_somebody_elses_upload_is_not_there(
    ann: ClientPlaces, uploads: Uploads, database: Database, own_workspace: Path
) -> None:
    bob = places_of("bob", database, own_workspace, uploads)
    upload = brought(uploads, database, "ann")
    assert ann.to_read(upload).is_file()
    with pytest.raises(BadInput, match="There is no upload called"):
        bob.to_read(upload)


def test_one_on_its_way_cannot_be_read_yet(ann: ClientPlaces, uploads: Uploads, database: Database) -> None:
    upload = brought(uploads, database, "ann", b"on", 4)
    with pytest.raises(BadInput, match=r"Of the upload 'Tales\.txt' 2 bytes of 4 came"):
        ann.to_read(upload)


@pytest.mark.parametrize("upload", ["", "..", "../../etc/passwd", "f" * 32, "F" * 32, "f" * 32 + "\n", "é" * 32])
def test_what_is_no_upload_is_told(ann: ClientPlaces, upload: str) -> None:
    with pytest.raises(BadInput, match="There is no upload called"):
        ann.to_read(upload)


def test_each_download_gets_a_place_of_its_own(ann: ClientPlaces, own_workspace: Path) -> None:
    one, other = ann.to_write("model.gguf"), ann.to_write("model.gguf")
    assert one != other
    assert one.name == other.name == "model.gguf"
    assert one.parent.parent == own_workspace / "downloads"
    assert ann.reference(one, "written") == "download:model.gguf"
    assert ann.reference(Path("/home/ann/secret/model.gguf"), "written") == "model.gguf"
    assert ann.reference(Path("/home/ann/secret/diary.txt"), "read") == "diary.txt"


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", "a\0b", "A", "x" * 81, ".hidden"]
)
def test_a_download_is_never_a_path(ann: ClientPlaces, name: str) -> None:
    with pytest.raises(BadInput):
        ann.to_write(name)


@given(name=st.text(max_size=90))
def test_whatever_a_download_is_called_it_lies_where_downloads_lie(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "workspace-of-downloads"
    seen = Visible(Workspace(folder), None, Actor("a", "ann", "member"))  # pyright: ignore[reportArgumentType]  (writing asks no database)
    places = ClientPlaces(seen, None)  # pyright: ignore[reportArgumentType]  (nor any upload)
    try:
        place = places.to_write(name)
    except BadInput:
        return
    assert place.resolve().parent.parent == (folder / "downloads").resolve()
