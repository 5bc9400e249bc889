"""Corpora by address: the right bytes, or a clear no. No test here leaves this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from glassbox.data.fetching import Outside
from glassbox.data.sources.web import WEB_CORPORA, web_documents
from glassbox.errors import BadInput


class Pages(BaseHTTPRequestHandler):
    """Answers from a dictionary of paths."""

    pages: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.pages[self.path])

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    """A network in which every host is this machine, and the corpora are at a server here."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    for name, corpus in list(WEB_CORPORA.items()):
        url = f"http://example.org:{server.server_port}/{name}"
        monkeypatch.setitem(WEB_CORPORA, name, corpus._replace(url=url))
    yield Outside(frozenset({server.server_port}), lambda address: True, lambda host, port: ["127.0.0.1"])
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "file", "documents"),
    [("tinyshakespeare", "tinyshakespeare.txt", 1), ("makemore-names", "names.txt", 32_033)],
)
def test_the_well_known_bytes_become_documents(
    outside: Outside, test_data: Path, name: str, file: str, documents: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (test_data / file).read_bytes()
    monkeypatch.setitem(Pages.pages, f"/{name}", data)
    found = list(web_documents(name, outside))
    assert len(found) == documents
    assert "\n".join(document.text for document in found) == data.decode()
    assert {document.source for document in found} == {WEB_CORPORA[name].url}


def test_other_bytes_than_the_known_ones_are_refused(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Pages.pages, "/tinyshakespeare", b"To be or not to be")
    with pytest.raises(BadInput, match=r"gave 18 bytes with SHA-256 .*; tinyshakespeare has 1,115,394 bytes with 86c4"):
        list(web_documents("tinyshakespeare", outside))


def test_more_bytes_than_the_known_ones_are_not_taken(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Pages.pages, "/tinyshakespeare", b"x" * 2_000_000)
    with pytest.raises(BadInput, match="sends more than 1,115,394 bytes"):
        list(web_documents("tinyshakespeare", outside))


def test_every_corpus_comes_over_https() -> None:
    assert all(corpus.url.startswith("https://") for corpus in WEB_CORPORA.values())


def test_without_a_network_sources_that_need_none_are_named() -> None:
    def offline(host: str, port: int) -> list[str]:
        raise OSError(-3, "Temporary failure in name resolution")

    with pytest.raises(BadInput, match=r"could not be fetched: .*name resolution\. .*needs no network: python-docs"):
        list(web_documents("tinyshakespeare", Outside(resolve=offline)))
