"""Tokenizers at work: encode, decode, look at every token of a text, and compare several on the same text.

Training one is a run of the stage train-tokenizer. How well one fits a corpus, and what its tokens cost, is in
`tokenizer_measures.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Path, Query
from pydantic import BaseModel, Field, JsonValue

from glassbox.errors import BadInput
from glassbox.tokenizers import Tokenizer
from glassbox.tokenizers.comparison import Compared, common_boundaries, compare
from glassbox.tokenizers.inspection import Inspection, PieceView, TokenView, inspect
from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.bodies import Body
from glassbox.workshop.paging import Cursor, Limit, page
from glassbox.workshop.problems import TooLarge
from glassbox.workshop.registry.opened import opened
from glassbox.workshop.router import Router
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workspace import Artifact

router = Router(tags=["Tokenizers"])

LONGEST = 1_000_000
"""Characters that are encoded, or ids that are decoded, in one request."""
SHORT = 2_000
"""Characters that are encoded in no time worth speaking of."""
LONGEST_LOOKED_AT = 20_000
"""Characters of which every token is described."""
LONGEST_MERGED = 500
"""Characters of which every merge is described: they grow with the square of a word."""


def _loaded(
    tokenizer_id: Annotated[
        str, Path(max_length=100, description="The id of a tokenizer, or of a model, for its own.")
    ],
    seen: Seen,
    workshop: CurrentWorkshop,
) -> Tokenizer:
    return workshop.tokenizers.of(seen.by_id(tokenizer_id))


Loaded = Annotated[Tokenizer, Depends(_loaded)]
"""The tokenizer that a path names, for the parameters of endpoints."""

LookedAt = Annotated[str, Field(max_length=LONGEST_LOOKED_AT, examples=["Hello, world"])]


class TokenizerSummary(BaseModel):
    """A tokenizer that you may use."""

    id: str = Field(examples=["3f9a1c2b7d4e5a60"])
    reference: str = Field(examples=["shakespeare:2"])
    created: float = Field(description="Seconds since 1970.")
    facts: dict[str, JsonValue] = Field(description="What was recorded when it was trained.")


class TokenizerPage(BaseModel):
    """Some tokenizers, newest first. New ones come from runs of the stage train-tokenizer."""

    tokenizers: list[TokenizerSummary]
    next: str | None = Field(description="The cursor of the next page; null at the end.")


class SpecialToken(BaseModel):
    """An id without text of its own."""

    spelling: str = Field(examples=["<|endoftext|>"])
    id: int = Field(examples=[4095])


class TokenizerDetails(BaseModel):
    """What there is to know of one before it is used."""

    id: str
    reference: str
    kind: Literal["bytepair", "characters", "digits", "huggingface"]
    vocabulary_size: int = Field(description="Special tokens included.", examples=[4096])
    special_tokens: list[SpecialToken]
    end_of_text: int | None = Field(description="The id that parts documents from one another.")
    beginning: list[int] = Field(description="Ids that stand before every text.")


class VocabularyEntry(BaseModel):
    """What one id stands for."""

    id: int
    bytes: str | None = Field(description="In hexadecimal; null for a gap in the ids.", examples=["20746865"])
    text: str | None = Field(description="Part of a character is U+FFFD.", examples=[" the"])
    special: bool


class Vocabulary(BaseModel):
    """Some of the ids, in order."""

    entries: list[VocabularyEntry]
    total: int


class Encode(Body):
    """Texts to encode."""

    texts: list[Annotated[str, Field(max_length=LONGEST)]] = Field(
        min_length=1, max_length=1000, examples=[["Hello, world", "<|endoftext|>"]]
    )
    allow_special: bool = Field(
        False, description="Let the spelling of a special token become it. Otherwise it is text like any other."
    )


class Encoded(BaseModel):
    """The ids of each text."""

    ids: list[list[int]]
    tokens: int = Field(description="Of all texts together.")


class Decode(Body):
    """Ids to decode."""

    ids: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(max_length=LONGEST, examples=[[72, 101, 108]])


class Decoded(BaseModel):
    """What the ids stand for."""

    text: str = Field(description="Bytes that aren't UTF-8 are U+FFFD.")
    bytes: str = Field(description="Exactly, in hexadecimal.")
    whole: bool = Field(description="Whether the bytes are UTF-8: a token may end within a character.")


class Inspect(Body):
    """A text to look at token by token."""

    text: LookedAt
    allow_special: bool = Field(False, description="Let the spelling of a special token become it.")
    merges: bool = Field(False, description=f"Also every merge; of a text of up to {LONGEST_MERGED} characters.")


class TokenDetails(BaseModel):
    """One token of a text."""

    id: int
    text: str = Field(description="Part of a character is U+FFFD.")
    bytes: str = Field(description="In hexadecimal.")
    start: int | None = Field(description="Its first byte in the text's UTF-8; null where no place is known.")
    end: int | None = Field(description="The byte behind its last.")
    special: bool


class MergeDetails(BaseModel):
    """One merge: the part at `place` is joined with the one after it."""

    place: int
    candidates: list[int] = Field(description="The places of all pairs that could have been joined.")


class PieceDetails(BaseModel):
    """What the splitting gives, such as a word with the blank before it; merges never cross its ends.

    Begin with `parts` and apply the merges one after another: what is left are `tokens`. All in hexadecimal.
    """

    bytes: str
    parts: list[str] = Field(description="Before the first merge.", examples=[["20", "74", "68"]])
    merges: list[MergeDetails]
    tokens: list[str] = Field(examples=[["207468"]])


class Inspected(BaseModel):
    """Every token of a text. pieces: only if merges were asked for, and where the tokenizer merges."""

    tokens: list[TokenDetails]
    pieces: list[PieceDetails]
    characters: int
    bytes: int


class Compare(Body):
    """Several tokenizers on the same text."""

    tokenizers: list[Annotated[str, Field(max_length=100)]] = Field(
        min_length=1, max_length=8, description="Their ids."
    )
    text: LookedAt


class ComparedTokenizer(BaseModel):
    """One tokenizer on the text. tokens: null where it can't encode it; then `problem` says why."""

    id: str
    reference: str
    vocabulary_size: int
    tokens: list[TokenDetails] | None
    problem: str | None
    shared: dict[str, int] = Field(description="Ordinary tokens of its vocabulary that each other one has too, by id.")
    bytes_per_token: float | None
    tokens_per_word: float | None


class Comparison(BaseModel):
    """In the order that was asked for."""

    tokenizers: list[ComparedTokenizer]
    common_boundaries: list[int] = Field(description="Bytes of the text at which every one of them begins a token.")
    bytes: int


@router.get("/api/tokenizers", summary="List tokenizers")
@allows("member")
def list_tokenizers(seen: Seen, cursor: Cursor = None, limit: Limit = 50) -> TokenizerPage:
    """Those that you may use, newest first. A model's own has the model's id."""
    entries = [entry for entry in seen.artifacts("tokenizer") if entry.id is not None]
    given, following = page(entries, lambda entry: (entry.created.timestamp(), entry.id or ""), cursor, limit)
    return TokenizerPage(
        tokenizers=[
            TokenizerSummary(
                id=one.id, reference=one.reference, created=one.manifest.created.timestamp(), facts=one.facts
            )
            for one in opened(given)
        ],
        next=following,
    )


@router.get("/api/tokenizers/{tokenizer_id}", summary="One tokenizer")
@allows("member")
def get_tokenizer(tokenizer_id: str, seen: Seen, loaded: Loaded) -> TokenizerDetails:
    """Its kind, its size and its special tokens."""
    return TokenizerDetails(
        id=tokenizer_id,
        reference=seen.by_id(tokenizer_id).reference,
        kind=_kind(loaded),
        vocabulary_size=loaded.vocabulary_size,
        special_tokens=[SpecialToken(spelling=spelling, id=id) for spelling, id in loaded.special_tokens.items()],
        end_of_text=loaded.end_of_text,
        beginning=list(loaded.beginning),
    )


@router.get("/api/tokenizers/{tokenizer_id}/vocabulary", summary="What its ids stand for")
@allows("member")
def list_vocabulary(
    loaded: Loaded,
    first: Annotated[int, Query(ge=0, le=10**9, description="The first id.")] = 0,
    limit: Annotated[int, Query(ge=1, le=2000, description="At most so many.")] = 256,
) -> Vocabulary:
    """Some of the vocabulary, by id."""
    special = set(loaded.special_tokens.values())
    ids = range(first, min(first + limit, loaded.vocabulary_size))
    return Vocabulary(entries=[_entry(loaded, id, special=id in special) for id in ids], total=loaded.vocabulary_size)


@router.post("/api/tokenizers/{tokenizer_id}/encode", summary="Text to ids")
@allows("member", noted=False)
def encode_texts(wanted: Encode, loaded: Loaded, workshop: CurrentWorkshop) -> Encoded:
    """Of up to a million characters together."""
    if (length := sum(map(len, wanted.texts))) > LONGEST:
        raise TooLarge(
            f"The texts have {length:,} characters together, and at most {LONGEST:,} are encoded at once.",
            "Send them in several requests, or tokenize a corpus by a run of the stage tokenize.",
        )
    with workshop.turns.take(needed=length > SHORT):
        if wanted.allow_special:
            ids = [loaded.encode(text, allow_special=True) for text in wanted.texts]
        else:
            ids = loaded.encode_batch(wanted.texts)
    return Encoded(ids=ids, tokens=sum(map(len, ids)))


@router.post("/api/tokenizers/{tokenizer_id}/decode", summary="Ids to text")
@allows("member", noted=False)
def decode_ids(wanted: Decode, loaded: Loaded) -> Decoded:
    """The text, and the bytes exactly."""
    data = loaded.decode_bytes(wanted.ids)
    try:
        text, whole = data.decode(), True
    except UnicodeDecodeError:
        text, whole = data.decode(errors="replace"), False
    return Decoded(text=text, bytes=data.hex(), whole=whole)


@router.post("/api/tokenizers/{tokenizer_id}/inspect", summary="Every token of a text")
@allows("member", noted=False)
def inspect_text(wanted: Inspect, loaded: Loaded, workshop: CurrentWorkshop) -> Inspected:
    """Each with its id, its bytes and its place; and, if asked for, merge by merge how it came about."""
    if wanted.merges and len(wanted.text) > LONGEST_MERGED:
        raise TooLarge(
            f"The text has {len(wanted.text):,} characters, and merges are shown of up to {LONGEST_MERGED}.",
            "Send a part of it, or leave the merges out.",
        )
    with workshop.turns.take(needed=wanted.merges or len(wanted.text) > SHORT):
        seen = inspect(loaded, wanted.text, allow_special=wanted.allow_special, merges=wanted.merges)
    return Inspected(
        tokens=tokens_of(seen),
        pieces=[_piece(piece) for piece in seen.pieces],
        characters=len(wanted.text),
        bytes=len(wanted.text.encode()),
    )


@router.post("/api/tokenizers/compare", summary="Several tokenizers on the same text")
@allows("member", noted=False)
def compare_tokenizers(wanted: Compare, seen: Seen, workshop: CurrentWorkshop) -> Comparison:
    """Side by side, with what their vocabularies share."""
    if len(set(wanted.tokenizers)) < len(wanted.tokenizers):
        raise BadInput("A tokenizer is named twice.", "Name each once.")
    artifacts = {id: seen.by_id(id) for id in wanted.tokenizers}
    with workshop.turns.take():
        loaded = {id: workshop.tokenizers.of(artifact) for id, artifact in artifacts.items()}
        found = compare(loaded, wanted.text, merges=False)
    inspections = [one.inspection for one in found.values() if one.inspection is not None]
    return Comparison(
        tokenizers=[_compared(artifacts[id], one, wanted.text) for id, one in found.items()],
        common_boundaries=sorted(common_boundaries(inspections)),
        bytes=len(wanted.text.encode()),
    )


def tokens_of(seen: Inspection) -> list[TokenDetails]:
    """Every token of a text that was looked at."""
    return [_token(token) for token in seen.tokens]


def _token(token: TokenView) -> TokenDetails:
    return TokenDetails(
        id=token.id,
        text=token.text,
        bytes=token.bytes.hex(),
        start=token.start,
        end=token.end,
        special=token.special,
    )


def _piece(piece: PieceView) -> PieceDetails:
    first = piece.merges[0].parts if piece.merges else piece.tokens
    return PieceDetails(
        bytes=piece.bytes.hex(),
        parts=[part.hex() for part in first],
        merges=[MergeDetails(place=merge.place, candidates=list(merge.candidates)) for merge in piece.merges],
        tokens=[token.hex() for token in piece.tokens],
    )


def _compared(artifact: Artifact, one: Compared, text: str) -> ComparedTokenizer:
    tokens, words = one.tokens, len(text.split())
    return ComparedTokenizer(
        id=artifact.id,
        reference=artifact.reference,
        vocabulary_size=one.vocabulary_size,
        tokens=None if one.inspection is None else tokens_of(one.inspection),
        problem=one.problem,
        shared=dict(one.shared),
        bytes_per_token=len(text.encode()) / tokens if tokens else None,
        tokens_per_word=tokens / words if tokens and words else None,
    )


def _entry(loaded: Tokenizer, id: int, *, special: bool) -> VocabularyEntry:
    try:
        data = loaded.token_bytes(id)
    except BadInput:  # a gap in the ids
        return VocabularyEntry(id=id, bytes=None, text=None, special=special)
    return VocabularyEntry(id=id, bytes=data.hex(), text=data.decode(errors="replace"), special=special)


def _kind(loaded: Tokenizer) -> Literal["bytepair", "characters", "digits", "huggingface"]:
    match type(loaded).__name__:
        case "BytePairTokenizer":
            return "bytepair"
        case "CharacterTokenizer":
            return "characters"
        case "DigitTokenizer":
            return "digits"
        case _:
            return "huggingface"
