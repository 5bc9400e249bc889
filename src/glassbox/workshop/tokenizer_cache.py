"""Tokenizers that were asked for lately, so that encoding a sentence doesn't wait for a file to be read.

An artifact never changes, so what was loaded under its id stays true.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from glassbox.errors import BadInput
from glassbox.tokenizers import Tokenizer, load
from glassbox.workspace import Artifact

HELD = 8  # each remembers at most some 50 MB of pieces


class TokenizerCache:
    """The last few, by the id of their artifact; whoever asks must have been let see that artifact."""

    def __init__(self, held: int = HELD) -> None:
        self._held = held
        self._loaded: OrderedDict[str, Tokenizer] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, artifact: Artifact) -> Tokenizer:
        """The tokenizer that an artifact is, or that a model keeps. Raises BadInput if it is damaged or has none."""
        with self._lock:
            if artifact.id in self._loaded:
                self._loaded.move_to_end(artifact.id)
                return self._loaded[artifact.id]
        if artifact.kind not in ("tokenizer", "model"):
            raise BadInput(
                f"A tokenizer is needed, and {artifact.reference} is of the kind {artifact.kind}.",
                "Give the id of a tokenizer, or of a model, which keeps a copy of its own.",
            )
        loaded = load(artifact.folder if artifact.kind == "tokenizer" else artifact.folder / "tokenizer")
        with self._lock:
            self._loaded[artifact.id] = loaded
            self._loaded.move_to_end(artifact.id)
            while len(self._loaded) > self._held:
                self._loaded.popitem(last=False)
        return loaded
