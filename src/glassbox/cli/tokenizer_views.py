"""What `glassbox tokenizer` shows: figures for a person, numbers for a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glassbox.cli.numbers import number
from glassbox.pictures import Bars, Figure, Listing, Tokens, visible
from glassbox.tokenizers import Tokenizer
from glassbox.tokenizers.comparison import Compared, common_boundaries
from glassbox.tokenizers.cost import Cost
from glassbox.tokenizers.inspection import Inspection, Merge, PieceView
from glassbox.tokenizers.statistics import Counts, Statistics, histogram
from glassbox.workspace.prices import TokenPrice

SOURCES_SHOWN = 20
UNUSED_SHOWN = 40
LONGEST_TOKENS = 12


# ---- inspect ----


def inspection(seen: Inspection, *, merges: bool) -> list[Figure]:
    """The tokens with their ids, a line for each, and the merges of each piece."""
    pieces = [token.bytes for token in seen.tokens]
    strip = Tokens(
        f"tokens: {len(seen.tokens):,}, characters: {len(seen.text):,}, bytes: {len(seen.text.encode()):,}",
        pieces,
        [str(token.id) for token in seen.tokens],
        special=[token.special for token in seen.tokens],
    )
    rows = [
        [
            visible(token.bytes),
            str(token.id),
            token.bytes.hex(" "),
            "–" if token.start is None else f"{token.start}–{token.end}",
        ]
        for token in seen.tokens
    ]
    figures: list[Figure] = [strip, Listing("", ("token", "id", "bytes", "place in bytes"), rows, {"id"})]
    if merges:
        merged = [piece for piece in seen.pieces if piece.merges]
        figures += [_merges(piece) for piece in dict.fromkeys(merged)]
        if not merged:
            figures.append(Listing("", ("no merges to show: this tokenizer makes none of this text",), []))
    return figures


def _merges(piece: PieceView) -> Listing:
    """Each step on a line: what there is, what is joined, and out of how many pairs."""
    rows = [
        [str(step), _parted(merge.parts), visible(merge.after[merge.place]), str(len(merge.candidates))]
        for step, merge in enumerate(piece.merges, start=1)
    ]
    rows.append(["", _parted(piece.tokens), "", ""])
    return Listing(visible(piece.bytes), ("step", "before it", "joined", "of pairs"), rows, {"step", "of pairs"})


def _parted(parts: tuple[bytes, ...]) -> str:
    return " ".join(map(visible, parts))


def inspection_numbers(seen: Inspection) -> dict[str, Any]:
    """Everything as JSON; bytes in hexadecimal."""
    return {
        "tokens": [
            {
                "id": token.id,
                "text": token.text,
                "bytes": token.bytes.hex(),
                "start": token.start,
                "end": token.end,
                "special": token.special,
            }
            for token in seen.tokens
        ],
        "pieces": [
            {
                "bytes": piece.bytes.hex(),
                "tokens": [token.hex() for token in piece.tokens],
                "merges": [_merge_numbers(merge) for merge in piece.merges],
            }
            for piece in seen.pieces
        ],
    }


def _merge_numbers(merge: Merge) -> dict[str, Any]:
    return {"parts": [part.hex() for part in merge.parts], "candidates": merge.candidates, "place": merge.place}


# ---- statistics ----


def statistics(found: Statistics, tokenizer: Tokenizer) -> list[Figure]:
    """The counts by source, the lengths of documents and tokens, and the ids that nothing needed."""
    columns = ("", "documents", "bytes", "tokens", "bytes per token", "tokens per word", "coverage", "split characters")
    groups = sorted(found.by_source.items(), key=lambda item: -item[1].bytes)
    rows = [_count_row("all", found.total), *(_count_row(name, held) for name, held in groups[:SOURCES_SHOWN])]
    if len(groups) > SOURCES_SHOWN:
        rest = Counts()
        for _, held in groups[SOURCES_SHOWN:]:
            rest.add(held)
        rows.append(_count_row(f"{len(groups) - SOURCES_SHOWN:,} more", rest))
    documents, tokens = histogram(found.document_lengths), sorted(found.token_lengths.items())
    unused = found.unused
    ordinary = found.vocabulary_size - len(found.special)
    spelled = "  ".join(visible(_spelled(tokenizer, id)) for id in unused[:UNUSED_SHOWN])
    more = f"  … and {len(unused) - UNUSED_SHOWN:,} more" if len(unused) > UNUSED_SHOWN else ""
    return [
        Listing("what the text becomes", columns, rows, set(columns[1:])),
        Bars(
            "tokens of a document",
            [f"{low:,}–{high:,}" if high > low else f"{low:,}" for low, high, _ in documents],
            [float(count) for _, _, count in documents],
            "data",
            [f"{count:,}" for _, _, count in documents],
        ),
        Bars(
            "bytes of a token",
            [str(length) for length, _ in tokens[:LONGEST_TOKENS]]
            + ([f"over {tokens[LONGEST_TOKENS - 1][0]}"] if len(tokens) > LONGEST_TOKENS else []),
            (counts := _with_rest([count for _, count in tokens])),
            "data",
            [f"{count:,.0f}" for count in counts],
        ),
        Listing(
            f"{len(unused):,} of {ordinary:,} ordinary ids are never used ({len(unused) / max(1, ordinary):.1%})",
            ("such as",),
            [[spelled + more]] if unused else [],
        ),
    ]


def _with_rest(counts: list[int]) -> list[float]:
    """The first few, and the sum of all others."""
    rest = [float(sum(counts[LONGEST_TOKENS:]))] if len(counts) > LONGEST_TOKENS else []
    return [*map(float, counts[:LONGEST_TOKENS]), *rest]


def _spelled(tokenizer: Tokenizer, id: int) -> bytes:
    from glassbox.errors import BadInput

    try:
        return tokenizer.token_bytes(id)
    except BadInput:  # a gap in the ids
        return b""


def _count_row(name: str, counts: Counts) -> list[str]:
    ratios = (counts.bytes_per_token, counts.tokens_per_word)
    return [
        name,
        f"{counts.documents:,}",
        f"{counts.bytes:,}",
        f"{counts.tokens:,}",
        *("–" if ratio is None else f"{ratio:.3f}" for ratio in ratios),
        "–" if counts.coverage is None else f"{counts.coverage:.3%}",
        f"{counts.split_characters:,}",
    ]


def statistics_numbers(found: Statistics) -> dict[str, Any]:
    """All counts as JSON."""
    return {
        "vocabulary_size": found.vocabulary_size,
        "all": _count_numbers(found.total),
        "by_source": {name: _count_numbers(counts) for name, counts in found.by_source.items()},
        "unused": found.unused,
        "token_lengths": {str(length): count for length, count in sorted(found.token_lengths.items())},
        "document_lengths": {str(length): count for length, count in sorted(found.document_lengths.items())},
    }


def _count_numbers(counts: Counts) -> dict[str, Any]:
    return {
        **vars(counts),
        "bytes_per_token": counts.bytes_per_token,
        "tokens_per_word": counts.tokens_per_word,
        "coverage": counts.coverage,
    }


# ---- compare ----


def comparison(found: Mapping[str, Compared], text: str) -> list[Figure]:
    """A line and a strip of tokens for each, on the same text."""
    data, words = len(text.encode()), len(text.split())
    columns = ("tokenizer", "vocabulary", "tokens", "bytes per token", "tokens per word")
    rows: list[list[str]] = []
    figures: list[Figure] = []
    for name, one in found.items():
        tokens = one.tokens
        ratios = ["–", "–"] if not tokens else [f"{data / tokens:.3f}", f"{tokens / words:.3f}" if words else "–"]
        rows.append([name, f"{one.vocabulary_size:,}", "–" if tokens is None else f"{tokens:,}", *ratios])
        if one.inspection is None:
            figures.append(Listing(name, (one.problem or "",), []))
        else:
            seen = one.inspection.tokens
            figures.append(Tokens(f"{name}: {len(seen):,} tokens", [token.bytes for token in seen]))
    inspections = [one.inspection for one in found.values() if one.inspection is not None]
    together = common_boundaries(inspections)
    listing = Listing(f"all begin a token at {len(together):,} places", columns, rows, set(columns[1:]))
    return [listing, *figures, *([_shared(found)] if len(found) > 1 else [])]


def _shared(found: Mapping[str, Compared]) -> Listing:
    names = list(found)
    rows = [[name, *("" if other == name else f"{found[name].shared[other]:,}" for other in names)] for name in names]
    return Listing("ordinary tokens that two vocabularies share", ["", *names], rows, set(names))


def comparison_numbers(found: Mapping[str, Compared]) -> dict[str, Any]:
    """The same as JSON."""
    return {
        name: {
            "vocabulary_size": one.vocabulary_size,
            "problem": one.problem,
            "shared": one.shared,
            **({} if one.inspection is None else inspection_numbers(one.inspection)),
        }
        for name, one in found.items()
    }


# ---- cost ----


def costs(
    tokens: int, output_tokens: int, repeats: int, prices: Mapping[str, TokenPrice], found: Mapping[str, Cost]
) -> Listing:
    """A line for each price, with its date, because prices change."""
    rows = [
        [name, *(f"{amount.normalize():f}" for amount in (cost.input, cost.output, cost.total)), cost.currency,
         price.date.isoformat(), price.source]
        for (name, cost), price in zip(found.items(), prices.values(), strict=True)
    ]  # fmt: skip
    title = f"{number(tokens)} tokens read and {number(output_tokens)} written, {number(repeats)} times"
    columns = ("price of", "read", "written", "together", "", "as of", "by")
    return Listing(title, columns, rows, {"read", "written", "together"})


def cost_numbers(
    tokens: int, output_tokens: int, repeats: int, prices: Mapping[str, TokenPrice], found: Mapping[str, Cost]
) -> dict[str, Any]:
    """The same as JSON; money as text, so that no digit is lost."""
    return {
        "input_tokens": tokens,
        "output_tokens": output_tokens,
        "repeats": repeats,
        "costs": {
            name: {
                "input": str(cost.input),
                "output": str(cost.output),
                "total": str(cost.total),
                "currency": cost.currency,
                "date": price.date.isoformat(),
                "source": price.source,
            }
            for (name, cost), price in zip(found.items(), prices.values(), strict=True)
        },
    }
