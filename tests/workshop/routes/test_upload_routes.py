"""Bringing files over HTTP: as tus says, also for clients that lie, break off, come twice, or are somebody else."""

from __future__ import annotations

import base64
import hashlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from databases import NewDatabase
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from own_loop import run_async
from people import People

from glassbox.workshop.state import Workshop
from glassbox.workshop.uploads.limits import UploadLimits

TUS = {"Tus-Resumable": "1.0.0"}
TYPE = {"Content-Type": "application/offset+octet-stream"}
TALES = b'{"text": "once upon a time"}\n{"text": "and then"}\n'


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def begin(client: TestClient, length: int, name: str = "tales.jsonl", **metadata: str) -> httpx.Response:
    pairs = {"filename": name, **metadata}
    header = ",".join(f"{key} {encoded(value)}" for key, value in pairs.items())
    return client.post("/api/uploads", headers={**TUS, "Upload-Length": str(length), "Upload-Metadata": header})


def append(client: TestClient, place: str, offset: int, data: Any, **headers: str) -> httpx.Response:
    return client.patch(place, content=data, headers={**TUS, **TYPE, "Upload-Offset": str(offset), **headers})


def offset_of(client: TestClient, place: str) -> int:
    answer = client.head(place, headers=TUS)
    assert answer.status_code == 200, answer.headers
    return int(answer.headers["Upload-Offset"])


def brought(client: TestClient, content: bytes = TALES, name: str = "tales.jsonl") -> str:
    place = begin(client, len(content), name).headers["Location"]
    assert append(client, place, 0, content).status_code == 204
    return place


def looked_into(client: TestClient, place: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (found := client.get(place).json())["state"] == "checking":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture
def ann(people: People) -> TestClient:
    return people.client("member")


@pytest.fixture
def small(app: FastAPI) -> UploadLimits:
    """Limits that a test can reach."""
    workshop: Workshop = app.state.workshop
    workshop.uploads.limits = UploadLimits(largest=1000, per_person=1500, free_disk=0, silence=0.3)
    return workshop.uploads.limits


def test_the_server_says_what_of_tus_it_understands(ann: TestClient) -> None:
    answer = ann.options("/api/uploads")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers["Tus-Extension"] == "creation,expiration,checksum,termination"
    assert int(answer.headers["Tus-Max-Size"]) > 10**9
    assert "sha1" in answer.headers["Tus-Checksum-Algorithm"].split(",")


def test_a_file_comes_in_pieces_and_is_looked_into(ann: TestClient) -> None:
    created = begin(ann, len(TALES), filetype="application/jsonl", sha256=hashlib.sha256(TALES).hexdigest())
    assert created.status_code == 201
    assert created.headers["Upload-Expires"].endswith("GMT")
    place = created.headers["Location"]
    for start in range(0, len(TALES), 10):
        assert offset_of(ann, place) == start
        answer = append(ann, place, start, TALES[start : start + 10])
        assert answer.status_code == 204
        assert answer.headers["Upload-Offset"] == str(min(start + 10, len(TALES)))
        assert answer.headers["Tus-Resumable"] == "1.0.0"
    found = looked_into(ann, place)
    assert found["state"] == "ready"
    assert found["label"] == found["file"] == "tales.jsonl"
    assert found["content_type"] == "application/jsonl"
    assert found["offset"] == found["length"] == len(TALES)
    assert found["expires"] is None
    assert found["reference"] == f"upload:{found['id']}"
    inspection = found["inspection"]
    assert inspection["text_field"] == "text"
    assert inspection["statistics"]["documents"] == 2
    assert [one["text"] for one in inspection["preview"]] == ["once upon a time", "and then"]
    assert ann.get("/api/uploads").json()["uploads"] == [{**found, "inspection": None}]


def test_a_refused_file_says_why_and_can_be_read_in_another_way(ann: TestClient) -> None:
    place = brought(ann, "Größe\nWürde\n".encode("cp1252"), "a.txt")
    found = looked_into(ann, place)
    assert found["state"] == "refused"
    assert "a.txt is not UTF-8 text: byte 2 (0xf6)" in found["problem"]
    assert found["remedy"]
    refused = ann.get(f"{place}/preview")
    assert refused.status_code == 422
    assert refused.json()["detail"] == found["problem"]
    preview = ann.get(f"{place}/preview", params={"encoding": "cp1252", "cut": "lines", "limit": 1}).json()
    assert [one["text"] for one in preview["preview"]] == ["Größe"]
    assert preview["statistics"] is None


def test_a_label_is_never_a_path(ann: TestClient, own_workspace: Path) -> None:
    for name in ("../../../etc/passwd", "/etc/shadow", "C:\\boot.ini", ".offset", "a\nb\x00c", "昔々" * 200, ""):
        found = ann.get(brought(ann, b"text", name)).json()
        assert found["state"] in ("checking", "ready"), found
        assert "/" not in found["file"]
        stored = own_workspace / "uploads" / found["id"] / found["file"]
        assert stored.read_bytes() == b"text"
        assert found["label"].isprintable()
        assert 0 < len(found["label"]) <= 255


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 422),
        ({"Upload-Length": "x"}, 422),
        ({"Upload-Length": "-1"}, 422),
        ({"Upload-Length": "1.5"}, 422),
        ({"Upload-Length": str(2**63)}, 422),
        ({"Upload-Length": str(2**61)}, 413),
        ({"Upload-Defer-Length": "1"}, 422),
        ({"Upload-Length": "1", "Upload-Metadata": "filename not-base-64"}, 422),
        ({"Upload-Length": "1", "Upload-Metadata": "filename YQ==,filename Yg=="}, 422),
        ({"Upload-Length": "1", "Upload-Metadata": f"sha256 {encoded('abc')}"}, 422),
        ({"Upload-Length": "1", "Upload-Metadata": "x " + "A" * 5000}, 422),
        ({"Upload-Length": "1", "Tus-Resumable": "0.2.2"}, 412),
    ],
)
def test_a_beginning_that_makes_no_sense_is_refused_and_leaves_nothing(
    ann: TestClient, own_workspace: Path, headers: dict[str, str], status: int
) -> None:
    answer = ann.post("/api/uploads", headers={**TUS, **headers})
    assert answer.status_code == status
    assert answer.json()["remedy"]
    assert list((own_workspace / "uploads").glob("*")) == []
    if status == 412:
        assert answer.headers["Tus-Version"] == "1.0.0"


def test_bytes_that_do_not_belong_are_refused_and_change_nothing(ann: TestClient) -> None:
    place = begin(ann, 10).headers["Location"]
    append(ann, place, 0, b"12345")
    assert append(ann, place, 4, b"x").status_code == 409
    assert append(ann, place, 6, b"x").status_code == 409
    assert append(ann, place, 5, b"x" * 6).status_code == 413
    assert append(ann, place, 5, iter([b"x" * 3, b"x" * 3])).status_code == 413  # its length isn't announced
    assert append(ann, place, 5, b"x", **{"Content-Type": "text/plain"}).status_code == 415
    assert append(ann, place, 5, b"x", **{"Tus-Resumable": "2.0.0"}).status_code == 412
    assert ann.patch(place, content=b"x", headers={**TUS, **TYPE}).status_code == 422
    assert offset_of(ann, place) == 5
    assert append(ann, place, 5, b"67890").status_code == 204
    assert append(ann, place, 10, b"").status_code == 409  # it is whole


def test_a_checksum_counts_whole_or_not_at_all(ann: TestClient) -> None:
    place = begin(ann, 20).headers["Location"]
    right = {name: f"{name} {encoded(hashlib.new(name, b'12345').digest())}" for name in ("sha1", "sha256", "md5")}
    wrong = append(ann, place, 0, b"1234X", **{"Upload-Checksum": right["sha1"]})
    assert wrong.status_code == 460
    assert wrong.headers["content-type"] == "application/problem+json"
    assert wrong.json()["title"] == "Checksum Mismatch"
    assert offset_of(ann, place) == 0
    for number, header in enumerate(right.values()):
        assert append(ann, place, 5 * number, b"12345", **{"Upload-Checksum": header}).status_code == 204
    for unknown in ("crc32 AAAA", "sha1", "sha1 not-base-64!", ""):
        assert append(ann, place, 15, b"12345", **{"Upload-Checksum": unknown}).status_code in (422, 460)
    assert offset_of(ann, place) == 15


@hypothesis_settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=60), st.lists(st.tuples(st.integers(0, 70), st.integers(0, 30)), max_size=8))
def test_whatever_is_sent_only_the_file_itself_ever_comes_together(
    ann: TestClient, content: bytes, attempts: list[tuple[int, int]]
) -> None:
    place = begin(ann, len(content), "a.bin").headers["Location"]
    offset = 0
    for start, size in attempts:
        answer = append(ann, place, start, content[start : start + size])
        expected = 204 if start == offset < len(content) else 409
        assert answer.status_code == expected or (start > len(content) and answer.status_code in (409, 413))
        offset += len(content[start : start + size]) if answer.status_code == 204 else 0
        assert offset_of(ann, place) == offset
    if offset < len(content):
        assert append(ann, place, offset, content[offset:]).status_code == 204
    workshop: Workshop = ann.app.state.workshop  # pyright: ignore[reportAttributeAccessIssue]  (any ASGI app)
    assert workshop.uploads.path(place.rpartition("/")[2]).read_bytes() == content
    assert ann.delete(place, headers=TUS).status_code == 204


def test_an_upload_is_its_owners_and_for_others_it_is_not_there(people: People, ann: TestClient) -> None:
    place, other = begin(ann, 10).headers["Location"], people.client("other member")
    for answer in (
        other.head(place, headers=TUS),
        other.get(place),
        other.get(f"{place}/preview"),
        append(other, place, 0, b"x"),
        other.delete(place, headers=TUS),
    ):
        assert answer.status_code == 404
    assert other.get("/api/uploads").json()["uploads"] == []
    educator = people.client("educator")
    assert educator.get(place).status_code == 200
    assert append(educator, place, 0, b"x").status_code == educator.delete(place).status_code == 403
    assert people.client(None).get(place).status_code == 401
    assert offset_of(ann, place) == 0
    assert people.client("owner").delete(place).status_code == 204
    assert ann.get(place).status_code == 404


@pytest.mark.parametrize("name", ["x", "..%2f..%2fetc", "f" * 32, "F" * 32, "f" * 31 + "%00"])
def test_an_id_that_is_none_is_not_found_or_not_understood(ann: TestClient, name: str) -> None:
    for method in ("GET", "HEAD", "PATCH", "DELETE"):
        headers = {**TYPE, "Upload-Offset": "0"} if method == "PATCH" else {}
        assert ann.request(method, f"/api/uploads/{name}", headers=headers).status_code in (400, 404, 422)


def test_quotas_are_told(ann: TestClient, small: UploadLimits) -> None:
    assert begin(ann, 1001).status_code == 413
    place = begin(ann, 900).headers["Location"]
    refused = begin(ann, 601)
    assert refused.status_code == 413
    assert "Your uploads have 900 bytes of 1,500" in refused.json()["detail"]
    ann.delete(place, headers=TUS)
    assert begin(ann, 601).status_code == 201


def test_a_full_disk_is_told_and_what_was_confirmed_stays(ann: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    place = begin(ann, 10).headers["Location"]
    append(ann, place, 0, b"12345")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("glassbox.workspace.atomic.write_all", full)
        refused = append(ann, place, 5, b"67890")
        assert refused.status_code == 507
        assert "What it confirmed before is kept" in refused.json()["detail"]
    assert offset_of(ann, place) == 5
    assert append(ann, place, 5, b"67890").status_code == 204


def test_pages_go_on_where_they_ended(ann: TestClient) -> None:
    places = [begin(ann, 5, f"{number}.txt").headers["Location"] for number in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        answer = ann.get("/api/uploads", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [f"/api/uploads/{upload['id']}" for upload in answer["uploads"]]
        if (cursor := answer["next"]) is None:
            break
    assert seen == places[::-1]


# A real server: what a connection that breaks, hangs or races leaves behind


class _Server:
    def __init__(self, workspace: Path, database_url: str | None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.workspace, self.database_url = workspace, database_url
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> httpx.Client:
        code = (
            "import sys, uvicorn; from pathlib import Path; from glassbox.workshop.app import create_app;"
            "from glassbox.workshop.settings import WorkshopSettings;"
            "settings = WorkshopSettings(workspace=Path(sys.argv[1]), database_url=sys.argv[3] or None);"
            "app = create_app(settings);"
            "workshop = app.state.workshop;"
            "print(workshop.sessions.open(workshop.users.local().id, 'test'), flush=True);"
            "uvicorn.run(app, port=int(sys.argv[2]), log_level='error')"
        )
        arguments = [sys.executable, "-c", code, str(self.workspace), str(self.port), self.database_url or ""]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        secret = self.process.stdout.readline().decode().strip()
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", cookies={"glassbox_session": secret}, timeout=30
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                client.get("/health")
                return client
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()


@pytest.fixture
def server(own_workspace: Path, new_database: NewDatabase) -> Iterator[_Server]:
    server = _Server(own_workspace, new_database(own_workspace))
    yield server
    server.kill()


@pytest.mark.slow
def test_a_server_that_is_killed_at_any_moment_loses_nothing_that_it_confirmed(server: _Server) -> None:
    content = os.urandom(3_000_000)
    client = server.start()
    place = client.post("/api/uploads", headers={**TUS, "Upload-Length": str(len(content))}).headers["Location"]
    confirmed = 0
    for moment in (0.01, 0.05, 0.12, 0.2):
        killer = threading.Timer(moment, server.kill)
        killer.start()
        try:
            while confirmed < len(content):
                piece = content[confirmed : confirmed + 40_000]
                headers = {**TUS, **TYPE, "Upload-Offset": str(confirmed)}
                confirmed = int(client.patch(place, content=piece, headers=headers).headers["Upload-Offset"])
        except httpx.TransportError:
            pass
        killer.join()
        server.kill()
        client = server.start()
        offset = int(client.head(place, headers=TUS).headers.get("Upload-Offset", -1))
        assert offset >= confirmed
        confirmed = offset
    answer = client.patch(place, content=content[confirmed:], headers={**TUS, **TYPE, "Upload-Offset": str(confirmed)})
    assert answer.status_code in (204, 409)  # 409 if the last kill came after the last byte
    [stored] = [path for path in server.workspace.glob("uploads/*/*") if not path.name.startswith(".")]
    assert stored.read_bytes() == content


@pytest.mark.slow
def test_of_two_who_send_at_once_one_is_told_to_wait_and_a_broken_connection_keeps_what_came(server: _Server) -> None:
    client = server.start()
    place = client.post("/api/uploads", headers={**TUS, "Upload-Length": "100"}).headers["Location"]
    head = f"PATCH {place} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 100\r\nUpload-Offset: 0\r\n"
    cookie = f"Cookie: glassbox_session={client.cookies['glassbox_session']}\r\n"
    beginning = f"{head}{cookie}Content-Type: {TYPE['Content-Type']}\r\n\r\n".encode() + b"x" * 30
    deadline = time.monotonic() + 60
    slow, second = socket.create_connection(("127.0.0.1", server.port)), None
    slow.sendall(beginning)
    while second is None or second.status_code != 423:  # until the first request holds the lock
        assert time.monotonic() < deadline
        second = client.patch(place, content=b"", headers={**TUS, **TYPE, "Upload-Offset": "0"})
        if select.select([slow], [], [], 0)[0]:  # it met our own question, and was told to wait itself
            slow.close()
            slow = socket.create_connection(("127.0.0.1", server.port))
            slow.sendall(beginning)
    slow.close()
    assert "Wait until they are done" in second.json()["remedy"]
    while client.head(place, headers=TUS).headers["Upload-Offset"] != "30":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    done = None
    while done is None or done.status_code == 423:  # what came is told a moment before the lock is let go
        assert time.monotonic() < deadline
        done = client.patch(place, content=b"x" * 70, headers={**TUS, **TYPE, "Upload-Offset": "30"})
    assert done.status_code == 204


def test_a_connection_that_falls_silent_is_given_up_and_keeps_what_came(
    app: FastAPI, ann: TestClient, small: UploadLimits
) -> None:
    import asyncio

    from glassbox.workshop.uploads.incoming import Incoming
    from glassbox.workshop.uploads.refusals import TooSlow

    workshop: Workshop = app.state.workshop
    place = begin(ann, 100).headers["Location"]
    upload = workshop.uploads.get(place.rpartition("/")[2])

    async def silent():
        yield b"12345"
        await asyncio.sleep(60)
        yield b"never"

    with pytest.raises(TooSlow, match=r"Nothing came for 0\.3 seconds"):
        run_async(Incoming(workshop.uploads, upload, 0, None).take(silent()))
    assert offset_of(ann, place) == 5
