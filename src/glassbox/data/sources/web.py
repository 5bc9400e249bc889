"""Well-known small corpora by their address, checked against the hash of what everybody else means by that name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from glassbox.data.documents import Document
from glassbox.data.fetching import INTERNET, Outside, fetch_bytes
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


def web_documents(name: str, outside: Outside = INTERNET) -> Iterator[Document]:
    """The documents of a corpus in WEB_CORPORA. Raises BadInput without a network, and if other bytes come."""
    corpus = WEB_CORPORA[name]
    try:
        data = fetch_bytes(corpus.url, largest=corpus.size, outside=outside)
    except BadInput as error:
        remedy = "Collect a source that needs no network: python-docs, python-source, names, files."
        raise BadInput(error.problem, remedy) from error
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
