"""Downloading files of artifacts."""

from __future__ import annotations

import hashlib

import pytest
from fastapi.testclient import TestClient
from people import People
from shelf import Shelf

from glassbox.workspace.manifest import Manifest

CONTENT = bytes(range(256)) * 40


def test_a_file_comes_byte_for_byte_as_an_attachment_that_no_browser_shows(client: TestClient, shelf: Shelf):
    artifact = shelf.publish("model", files={"page.html": CONTENT, "deep/er/ü b.bin": b"deep"})
    answer = client.get(f"/api/artifacts/{artifact.id}/files/page.html")
    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="tales-1-page.html"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert client.get(f"/api/artifacts/{artifact.id}/files/deep/er/ü b.bin").content == b"deep"


@pytest.mark.parametrize(
    ("asked", "given", "said"),
    [
        ("bytes=0-9", CONTENT[:10], "bytes 0-9/10240"),
        ("bytes=10230-", CONTENT[-10:], "bytes 10230-10239/10240"),
        ("bytes=-5", CONTENT[-5:], "bytes 10235-10239/10240"),
        ("bytes=1000-8999", CONTENT[1000:9000], "bytes 1000-8999/10240"),
    ],
)
def test_a_part_is_of_the_files_own_bytes_also_where_answers_may_be_compressed(
    client: TestClient, shelf: Shelf, asked: str, given: bytes, said: str
):
    artifact = shelf.publish(files={"a.bin": CONTENT})
    headers = {"Range": asked, "Accept-Encoding": "gzip"}
    answer = client.get(f"/api/artifacts/{artifact.id}/files/a.bin", headers=headers)
    assert (answer.status_code, answer.content, answer.headers["content-range"]) == (206, given, said)


def test_a_part_beyond_the_end_is_refused(client: TestClient, shelf: Shelf):
    artifact = shelf.publish(files={"a.bin": b"123"})
    answer = client.get(f"/api/artifacts/{artifact.id}/files/a.bin", headers={"Range": "bytes=10-20"})
    assert answer.status_code == 416


def test_only_names_of_the_manifest_are_found(client: TestClient, shelf: Shelf):
    artifact = shelf.publish(files={"a.bin": b"123"})
    for path in [
        "manifest.json",
        "../1/a.bin",
        "..%2f..%2f..%2fworkspace.db",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "a.bin/",
        "A.BIN",
    ]:
        assert client.get(f"/api/artifacts/{artifact.id}/files/{path}").status_code == 404


def test_neither_a_link_nor_a_manifest_that_lies_leads_out_of_the_artifact(client: TestClient, shelf: Shelf):
    artifact = shelf.publish(files={"a.bin": b"123"})
    secret = shelf.workspace.folder / "secret"
    secret.write_text("secret")
    (artifact.folder / "a.bin").unlink()
    (artifact.folder / "a.bin").symlink_to(secret)
    assert client.get(f"/api/artifacts/{artifact.id}/files/a.bin").status_code == 404
    entry = artifact.manifest.files["a.bin"]
    lying: Manifest = artifact.manifest.model_copy(
        update={"files": {"../../../../secret": entry, "/etc/passwd": entry}}
    )
    (artifact.folder / "manifest.json").write_text(lying.model_dump_json())
    for path in ("..%2f..%2f..%2f..%2fsecret", "%2fetc%2fpasswd"):
        assert client.get(f"/api/artifacts/{artifact.id}/files/{path}").status_code == 404


def test_a_file_of_somebody_else_is_not_there(people: People, shelf: Shelf):
    artifact = shelf.publish(files={"a.bin": b"123"})
    assert people.client("another").get(f"/api/artifacts/{artifact.id}/files/a.bin").status_code == 404
    shelf.share(artifact)
    assert people.client("another").get(f"/api/artifacts/{artifact.id}/files/a.bin").content == b"123"
