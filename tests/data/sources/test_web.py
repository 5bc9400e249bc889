"""Corpora by address: the right bytes over https, or a clear no. No test here leaves this machine."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from glassbox.data.sources import web
from glassbox.data.sources.web import WEB_CORPORA, fetch, web_documents
from glassbox.errors import BadInput

Opener = Callable[..., Any]


class Pages(BaseHTTPRequestHandler):
    """Answers from a dictionary of paths."""

    pages: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://localhost/elsewhere")
            self.end_headers()
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            with suppress(ConnectionError):  # whoever asked gives up, which is the point
                for _ in range(200):
                    self.wfile.write(b"x")
                    time.sleep(0.02)
        elif self.path in self.pages:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.pages[self.path])
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def open_here() -> Iterator[Opener]:
    """Opens any https address at a server on this machine instead, by the address's last part."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), web._StayOnHttps)

    def open_url(url: str, timeout: float) -> Any:
        return opener.open(f"http://127.0.0.1:{server.server_port}/{url.rpartition('/')[2]}", timeout=timeout)

    yield open_url
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "file", "documents"),
    [("tinyshakespeare", "tinyshakespeare.txt", 1), ("makemore-names", "names.txt", 32_033)],
)
def test_the_well_known_bytes_become_documents(
    open_here: Opener, test_data: Path, name: str, file: str, documents: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (test_data / file).read_bytes()
    monkeypatch.setitem(Pages.pages, "/" + WEB_CORPORA[name].url.rpartition("/")[2], data)
    found = list(web_documents(name, open_here))
    assert len(found) == documents
    assert "\n".join(document.text for document in found) == data.decode()
    assert {document.source for document in found} == {WEB_CORPORA[name].url}


def test_other_bytes_than_the_known_ones_are_refused(open_here: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Pages.pages, "/input.txt", b"To be or not to be")
    with pytest.raises(BadInput, match=r"gave 18 bytes with SHA-256 .*; tinyshakespeare has 1,115,394 bytes with 86c4"):
        list(web_documents("tinyshakespeare", open_here))


def test_more_bytes_than_expected_are_not_taken(open_here: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Pages.pages, "/big", b"x" * 100_000)
    assert len(fetch("https://example.org/big", 100_000, open_url=open_here)) == 100_000
    with pytest.raises(BadInput, match="sends more than the 99,999 bytes expected"):
        fetch("https://example.org/big", 99_999, open_url=open_here)


def test_a_download_that_trickles_is_given_up(open_here: Opener) -> None:
    with pytest.raises(BadInput, match=r"could not be fetched: it took more than 1 seconds"):
        fetch("https://example.org/slow", 1000, seconds=1, open_url=open_here)


def test_an_address_that_is_gone_or_leads_away_from_https_is_told(open_here: Opener) -> None:
    with pytest.raises(BadInput, match="could not be fetched: Not Found"):
        fetch("https://example.org/gone", 1000, open_url=open_here)
    with pytest.raises(BadInput, match="leads on to http://localhost/elsewhere, which isn't https"):
        fetch("https://example.org/away", 1000, open_url=open_here)
    with pytest.raises(BadInput, match="isn't an https address"):
        fetch("http://example.org/", 1000, open_url=open_here)


def test_without_a_network_sources_that_need_none_are_named() -> None:
    def offline(_: str, timeout: float) -> None:
        raise urllib.error.URLError(OSError(-3, "Temporary failure in name resolution"))

    with pytest.raises(BadInput, match=r"could not be fetched: .*name resolution\. Check the network, .*python-docs"):
        list(web_documents("tinyshakespeare", offline))
