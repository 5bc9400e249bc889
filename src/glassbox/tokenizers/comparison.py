"""Several tokenizers on the same text, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from glassbox.errors import BadInput
from glassbox.tokenizers.inspection import Inspection, inspect
from glassbox.tokenizers.interface import Tokenizer


@dataclass(frozen=True)
class Compared:
    """One tokenizer on the text. shared: tokens of its vocabulary that each other one has too, by name.

    inspection: None where it can't encode the text; then `problem` says why.
    """

    vocabulary_size: int
    inspection: Inspection | None
    problem: str | None
    shared: Mapping[str, int]

    @property
    def tokens(self) -> int | None:
        return None if self.inspection is None else len(self.inspection.tokens)


def compare(tokenizers: Mapping[str, Tokenizer], text: str, *, merges: bool = True) -> dict[str, Compared]:
    """By name, in the order given. merges: as in `inspect`.

    Raises BadInput for an empty text, and where no tokenizer can encode it.
    """
    if not text:
        raise BadInput("The text is empty.", "Give some text to compare the tokenizers on.")
    vocabularies = {name: _vocabulary(tokenizer) for name, tokenizer in tokenizers.items()}
    compared: dict[str, Compared] = {}
    for name, tokenizer in tokenizers.items():
        inspection, problem = None, None
        try:
            inspection = inspect(tokenizer, text, merges=merges)
        except BadInput as error:
            problem = error.problem
        shared = {other: len(vocabularies[name] & known) for other, known in vocabularies.items() if other != name}
        compared[name] = Compared(tokenizer.vocabulary_size, inspection, problem, shared)
    if all(one.inspection is None for one in compared.values()):
        raise BadInput(
            f"None of the tokenizers can encode the text: {next(iter(compared.values())).problem}",
            "Give another text, or a byte-pair tokenizer, which knows every text.",
        )
    return compared


def common_boundaries(inspections: list[Inspection]) -> set[int]:
    """The places in the text's bytes where every tokenizer begins a token."""
    begins = [{token.start for token in each.tokens if token.start is not None} for each in inspections]
    return set.intersection(*begins) if begins else set()


def _vocabulary(tokenizer: Tokenizer) -> set[bytes]:
    """What its ordinary tokens spell."""
    special = set(tokenizer.special_tokens.values())
    spelled: set[bytes] = set()
    for id in range(tokenizer.vocabulary_size):
        if id not in special:
            try:
                spelled.add(tokenizer.token_bytes(id))
            except BadInput:  # a gap in the ids
                continue
    return spelled
