"""Well-known small corpora by their address, checked against the hash of what everybody else means by that name."""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Any, NamedTuple

from glassbox.data.documents import Document
from glassbox.errors import BadInput


class WebCorpus(NamedTuple):
    """A text with an address. one_a_line: every line is a document, instead of the whole."""

    url: str
    sha256: str
    size: int
    one_a_line: bool


WEB_CORPORA = {
    "tinyshakespeare": WebCorpus(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        1_115_394,
        one_a_line=False,
    ),
    "makemore-names": WebCorpus(
        "https://raw.githubusercontent.com/karpathy/makemore/988aa59/names.txt",
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        228_145,
        one_a_line=True,
    ),
}

SECONDS = 60.0
"""A download may take this long in all, and no wait for the next bytes more than a fourth of it."""

Opener = Callable[..., Any]


class _StayOnHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith("https://"):
            raise BadInput(f"{req.full_url} leads on to {newurl}, which isn't https.", "Fetch the file by hand.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def web_documents(name: str, open_url: Opener | None = None) -> Iterator[Document]:
    """The documents of a corpus in WEB_CORPORA. Raises BadInput without a network, and if other bytes come."""
    corpus = WEB_CORPORA[name]
    data = fetch(corpus.url, corpus.size, open_url=open_url)
    found = hashlib.sha256(data).hexdigest()
    if found != corpus.sha256:
        raise BadInput(
            f"{corpus.url} gave {len(data):,} bytes with SHA-256 {found[:12]}...; {name} has {corpus.size:,} bytes "
            f"with {corpus.sha256[:12]}...",
            "Fetch the text by hand from a place that you trust, and collect it with --source files.",
        )
    text = data.decode()
    if corpus.one_a_line:
        for line in text.split("\n"):
            if line:
                yield Document(line, corpus.url)
    else:
        yield Document(text, corpus.url)


def fetch(url: str, largest: int, *, seconds: float = SECONDS, open_url: Opener | None = None) -> bytes:
    """The bytes at an https address, at most `largest` of them, within `seconds`. Raises BadInput otherwise.

    open_url: called with the address and timeout=, as `urllib.request.urlopen` is.
    """
    if not url.startswith("https://"):
        raise BadInput(f"{url} isn't an https address.", "Give one that is.")
    deadline = time.monotonic() + seconds
    data = bytearray()
    try:
        open_url = open_url or urllib.request.build_opener(_StayOnHttps).open
        with open_url(url, timeout=seconds / 4) as response:
            while piece := response.read1(2**16):
                data += piece
                if len(data) > largest:
                    raise BadInput(
                        f"{url} sends more than the {largest:,} bytes expected.",
                        "Fetch the file by hand and look at it.",
                    )
                if time.monotonic() > deadline:
                    raise TimeoutError(f"it took more than {seconds:g} seconds")
    except (OSError, HTTPException) as error:  # urllib's URLError and a timeout are OSErrors
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise BadInput(
            f"{url} could not be fetched: {reason}.",
            "Check the network, or collect a source that needs none: python-docs, python-source, names, files.",
        ) from error
    return bytes(data)
