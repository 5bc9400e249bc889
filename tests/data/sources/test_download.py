"""A file from the web is fetched once, whole, and called what it is."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest

from glassbox.data.fetching import Outside
from glassbox.data.sources.download import downloaded
from glassbox.errors import BadInput


class Pages(BaseHTTPRequestHandler):
    pages: ClassVar[dict[str, tuple[str, bytes]]] = {
        "/tales.txt": ("text/plain", b"once upon a time"),
        "/get?file=7": ("application/octet-stream", gzip.compress(b"once")),
        "/page": ("text/html; charset=utf-8", b"<!doctype html>"),
        "/book.pdf": ("application/pdf", b"%PDF-1.7"),
    }
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        kind, content = self.pages[self.path]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


class Site(NamedTuple):
    address: str
    outside: Outside

    def downloaded(self, path: str, folder: Path) -> Path:
        return downloaded(self.address + path, folder, lambda received, told: None, outside=self.outside)


@pytest.fixture
def site() -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    Pages.asked.clear()
    outside = Outside(frozenset({server.server_port}), lambda address: True, lambda host, port: ["127.0.0.1"])
    yield Site(f"http://example.org:{server.server_port}", outside)
    server.shutdown()
    server.server_close()


def test_a_file_is_fetched_once(site: Site, tmp_path: Path) -> None:
    path = site.downloaded("/tales.txt", tmp_path / "download")
    assert path == tmp_path / "download" / "tales.txt"
    assert path.read_bytes() == b"once upon a time"
    assert site.downloaded("/tales.txt", tmp_path / "download") == path
    assert Pages.asked == ["/tales.txt"]


def test_a_file_without_a_telling_name_is_called_what_it_is(site: Site, tmp_path: Path) -> None:
    assert site.downloaded("/get?file=7", tmp_path).name == "get.gz"


@pytest.mark.parametrize(("path", "reason"), [("/page", "is a web page"), ("/book.pdf", "is a PDF document")])
def test_what_is_no_text_leaves_nothing(site: Site, tmp_path: Path, path: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        site.downloaded(path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_fetch_that_was_cut_off_begins_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / ".part").write_bytes(b"half of an older")
    assert site.downloaded("/tales.txt", tmp_path).read_bytes() == b"once upon a time"

    def stop(received: int, told: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        downloaded(site.address + "/tales.txt", tmp_path / "other", stop, outside=site.outside)
    assert list((tmp_path / "other").iterdir()) == []
