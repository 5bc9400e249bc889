"""How well a tokenizer fits a text or a corpus, what its tokens cost, and its picture of a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from fastapi import Response
from pydantic import BaseModel, Field, model_validator

from glassbox.errors import BadInput
from glassbox.pictures import Tokens
from glassbox.tokenizers.cost import token_cost
from glassbox.tokenizers.inspection import inspect
from glassbox.tokenizers.statistics import GROUPS, Counts, Statistics, histogram, measure
from glassbox.workshop.access.guards import allows
from glassbox.workshop.access.seeing import Seen
from glassbox.workshop.bodies import Body
from glassbox.workshop.pictures import PICTURE_ANSWERS, Form, ThemeName, picture
from glassbox.workshop.router import Router
from glassbox.workshop.routes.tokenizers import LONGEST, Loaded
from glassbox.workshop.state import CurrentWorkshop
from glassbox.workshop.visible import Visible
from glassbox.workspace.prices import Prices

router = Router(tags=["Tokenizers"])

SOURCES_SHOWN = 100
UNUSED_SHOWN = 1000
PICTURED = 4000
"""Characters of a picture."""


class Measure(Body):
    """What to measure on: a text, or the beginning of a corpus."""

    text: str | None = Field(None, max_length=LONGEST, description="A text; or give a corpus.")
    corpus: str | None = Field(None, max_length=100, description="The id of a corpus.")
    split: Literal["documents", "train", "validation", "test"] | None = Field(
        None, description="Of the corpus; without it the first that it has."
    )
    by: Literal["source", "folder", "first-part"] = Field("folder", description="What documents are grouped by.")
    megabytes: float = Field(8, gt=0, le=32, description="At most so much of the corpus's text, from its beginning.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.corpus is None):
            raise ValueError("give a text or a corpus, and not both")
        return self


class CountsView(BaseModel):
    """What was counted over some documents."""

    documents: int
    characters: int
    bytes: int
    words: int = Field(description="What blanks part.")
    tokens: int
    unknown: int = Field(description="Characters that the vocabulary lacks.")
    split_characters: int = Field(description="Tokens that are part of a character.")
    bytes_per_token: float | None = Field(description="Compression: how much text an id carries.")
    tokens_per_word: float | None = Field(description="Fertility (Rust et al. 2021).")
    coverage: float | None = Field(description="Share of the characters that the vocabulary knows.")


class SourceCounts(CountsView):
    """The same of the documents of one group."""

    source: str


class Bin(BaseModel):
    """A range of lengths, ends included, and how many there are of them."""

    least: int
    most: int
    count: int


class MeasuredTokenizer(BaseModel):
    """How well the vocabulary fits what was measured."""

    whole: bool = Field(description="False: only the beginning of the corpus was measured.")
    vocabulary_size: int
    all: CountsView
    by_source: list[SourceCounts] = Field(description=f"The {SOURCES_SHOWN} with the most text, largest first.")
    sources: int = Field(description="How many groups there are.")
    unused: list[int] = Field(description=f"Ordinary ids that nothing needed; the first {UNUSED_SHOWN}.")
    unused_count: int
    token_lengths: list[Bin] = Field(description="Bytes of the tokens, as they were used.")
    document_lengths: list[Bin] = Field(description="Tokens of the documents.")


class Cost(Body):
    """What is read and written, and how often."""

    text: str | None = Field(None, max_length=LONGEST, description="What is read; or give `tokens`.")
    tokens: int | None = Field(None, ge=0, le=10**15, description="Tokens that are read.")
    output_tokens: int = Field(0, ge=0, le=10**15, description="Tokens that are written in answer.")
    repeats: int = Field(1, ge=1, le=10**12, description="How often.")
    prices: list[Annotated[str, Field(max_length=200)]] | None = Field(
        None, max_length=100, description="Entries of the price table; without it all."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.tokens is None):
            raise ValueError("give a text or a number of tokens, and not both")
        return self


class PricedCost(BaseModel):
    """At one price. Money is text, so that no digit is lost."""

    name: str
    input: str = Field(examples=["0.0125"])
    output: str
    total: str
    currency: str = Field(examples=["EUR"])
    date: str = Field(description="When somebody looked the price up.", examples=["2026-01-31"])
    source: str = Field(description="Where it stands.")


class Costs(BaseModel):
    """Tokens times prices: those that an owner entered, and no others."""

    input_tokens: int
    output_tokens: int
    repeats: int
    costs: list[PricedCost]


class Pictured(Body):
    """A text to draw."""

    text: str = Field(max_length=PICTURED, examples=["Hello, world"])
    allow_special: bool = Field(False, description="Let the spelling of a special token become it.")
    theme: ThemeName = "dark"
    form: Form = "svg"


@router.post("/api/tokenizers/{tokenizer_id}/statistics", summary="How well it fits a text or a corpus")
@allows("member", noted=False)
def measure_tokenizer(wanted: Measure, loaded: Loaded, seen: Seen, workshop: CurrentWorkshop) -> MeasuredTokenizer:
    """Compression, fertility, coverage, lengths, and what of the vocabulary is never used."""
    if wanted.text is not None and not wanted.text:
        raise BadInput("The text is empty.", "Give some text to measure on.")
    documents = _Documents(seen, wanted)
    with workshop.turns.take():
        found = measure(loaded, documents, group=GROUPS[wanted.by])
    return _measured(found, whole=documents.whole)


@router.post("/api/tokenizers/{tokenizer_id}/cost", summary="What tokens cost")
@allows("member", noted=False)
def price_tokens(wanted: Cost, loaded: Loaded, workshop: CurrentWorkshop) -> Costs:
    """By the price table, which is empty until an owner fills it."""
    prices = Prices.load(workshop.workspace.folder)
    chosen = {name: prices.of_tokens(name) for name in (prices.tokens if wanted.prices is None else wanted.prices)}
    if wanted.text is None:
        tokens = wanted.tokens or 0
    else:
        with workshop.turns.take():
            tokens = len(loaded.encode_batch([wanted.text])[0])
    costs: list[PricedCost] = []
    for name, price in chosen.items():
        cost = token_cost(price, input_tokens=tokens, output_tokens=wanted.output_tokens, repeats=wanted.repeats)
        costs.append(
            PricedCost(
                name=name,
                input=f"{cost.input:f}",
                output=f"{cost.output:f}",
                total=f"{cost.total:f}",
                currency=cost.currency,
                date=price.date.isoformat(),
                source=price.source,
            )
        )
    return Costs(input_tokens=tokens, output_tokens=wanted.output_tokens, repeats=wanted.repeats, costs=costs)


@router.post("/api/tokenizers/{tokenizer_id}/picture", summary="A picture of its tokens", **PICTURE_ANSWERS)
@allows("member", noted=False)
def draw_tokens(wanted: Pictured, loaded: Loaded, workshop: CurrentWorkshop) -> Response:
    """The tokens of a text in their colours, as SVG or PNG."""
    with workshop.turns.take():
        tokens = inspect(loaded, wanted.text, allow_special=wanted.allow_special, merges=False).tokens
        figure = Tokens(
            f"tokens: {len(tokens):,}, characters: {len(wanted.text):,}, bytes: {len(wanted.text.encode()):,}",
            [token.bytes for token in tokens],
            [str(token.id) for token in tokens],
            special=[token.special for token in tokens],
        )
        return picture([figure], "Tokens", wanted.theme, wanted.form)


class _Documents:
    """What is measured, as (text, source); `whole` once it has been read to the end of what is wanted."""

    def __init__(self, seen: Visible, wanted: Measure) -> None:
        self.whole = True
        self._texts = iter([(wanted.text or "", "text")])
        if wanted.corpus is not None:
            from glassbox.data.corpus import read_documents, split_names  # Arrow takes long to import

            corpus = seen.by_id(wanted.corpus)
            if corpus.kind != "corpus":
                raise BadInput(f"{corpus.reference} is of the kind {corpus.kind}.", "Give the id of a corpus.")
            split = wanted.split or next(iter(split_names(corpus.folder)), "documents")
            self._texts = iter(read_documents(corpus.folder, split))
        self._left = wanted.megabytes * 1e6 if wanted.corpus is not None else float("inf")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for text, source in self._texts:
            if self._left <= 0:
                self.whole = False
                return
            self._left -= len(text.encode(errors="replace"))
            yield text, source


def _measured(found: Statistics, *, whole: bool) -> MeasuredTokenizer:
    groups = sorted(found.by_source.items(), key=lambda item: -item[1].bytes)
    unused = found.unused
    return MeasuredTokenizer(
        whole=whole,
        vocabulary_size=found.vocabulary_size,
        all=CountsView(**_counts(found.total)),
        by_source=[SourceCounts(source=name, **_counts(counts)) for name, counts in groups[:SOURCES_SHOWN]],
        sources=len(groups),
        unused=unused[:UNUSED_SHOWN],
        unused_count=len(unused),
        token_lengths=[Bin(least=low, most=high, count=count) for low, high, count in histogram(found.token_lengths)],
        document_lengths=[
            Bin(least=low, most=high, count=count) for low, high, count in histogram(found.document_lengths)
        ],
    )


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        **vars(counts),
        "bytes_per_token": counts.bytes_per_token,
        "tokens_per_word": counts.tokens_per_word,
        "coverage": counts.coverage,
    }
