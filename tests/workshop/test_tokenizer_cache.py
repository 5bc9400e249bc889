"""Tokenizers that were asked for lately."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from glassbox.errors import BadInput
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.workshop.tokenizer_cache import TokenizerCache
from glassbox.workspace import Artifact, Workspace
from glassbox.workspace.names import Kind


@pytest.fixture
def publish() -> Callable[..., Artifact]:
    workspace = Workspace()

    def make(kind: Kind = "tokenizer", inside: str = "") -> Artifact:
        with workspace.artifacts.draft(kind, "letters") as draft:
            (draft.folder / inside).mkdir(exist_ok=True)
            CharacterTokenizer.train(["abc"]).save(draft.folder / inside)
        return draft.artifact

    return make


def test_what_was_loaded_is_not_loaded_again_until_others_took_its_place(publish: Callable[..., Artifact]):
    cache = TokenizerCache(held=2)
    first, second, third = (publish() for _ in range(3))
    loaded = cache.of(first)
    cache.of(second)
    assert cache.of(first) is loaded  # and is now the last to go
    cache.of(third)
    assert cache.of(first) is loaded
    again = cache.of(second)
    assert again.encode("abc") == loaded.encode("abc")


def test_a_models_own_is_found_and_other_kinds_have_none(publish: Callable[..., Artifact]):
    assert TokenizerCache().of(publish("model", "tokenizer")).vocabulary_size == 4
    with pytest.raises(BadInput, match="of the kind corpus"):
        TokenizerCache().of(publish("corpus"))
