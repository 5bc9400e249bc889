"""Measure a model on held-out text, beside baselines that need no model.

Every token of the split is predicted once. Bits per byte charge the whole cost to the bytes of the text, so that the
model can be laid beside a unigram model and beside gzip and xz on the very same bytes: lower is better.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic import Field

from glassbox.errors import BadInput
from glassbox.stages.interface import Context, Slot, Stage, StageSettings

if TYPE_CHECKING:
    from glassbox.data.shards import Shards, ShardSplit
    from glassbox.tokenizers import Tokenizer


class Settings(StageSettings):
    split: str = Field(
        default="validation", min_length=1, max_length=64, description="Split to predict: text that training never saw."
    )
    batch_size: int = Field(default=32, ge=1, le=65_536, description="Windows predicted at once; memory, not results.")
    baselines: bool = Field(default=True, description="Also measure a unigram model, gzip and xz on the same bytes.")


def run(settings: Settings, context: Context) -> dict[str, object]:
    from glassbox.data.shards import Shards
    from glassbox.engines.tensors import load_model
    from glassbox.evaluation.held_out import held_out
    from glassbox.tokenizers import load

    model_folder = context.input("model").folder
    shards = Shards(context.input("shards").folder)
    split = shards.split(settings.split)
    tokenizer = load(model_folder / "tokenizer")
    model = load_model(model_folder)
    # A model may have more rows than its tokenizer has ids: Pythia's and Qwen's are rounded up.
    if shards.vocabulary_size != tokenizer.vocabulary_size or shards.end_of_text != tokenizer.end_of_text:
        raise BadInput(
            f"The shards were made with the tokenizer {shards.tokenizer} of {shards.vocabulary_size:,} ids, and the "
            f"model reads {tokenizer.vocabulary_size:,} ids of another one.",
            "Tokenize the corpus with the tokenizer that the model was trained on.",
        )
    measured = held_out(
        model,
        split,
        batch_size=settings.batch_size,
        progress=lambda done, total: context.progress(done, total, unit="tokens", note=f"predicting {settings.split}"),
    )
    report: dict[str, object] = {"split": settings.split, **asdict(measured)}
    if settings.baselines:
        report["baselines"] = _baselines(shards, split, tokenizer, context.log)
    with context.output("report") as draft:
        (draft.folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        draft.describe(bits_per_byte=measured.bits_per_byte, perplexity=measured.perplexity, split=settings.split)
    return report


def _baselines(shards: Shards, split: ShardSplit, tokenizer: Tokenizer, log: Callable[[str], None]) -> dict[str, float]:
    """Bits per byte of each baseline on the split's text."""
    from glassbox.evaluation.baselines import gzip_bits, text_of, unigram_bits, xz_bits, xz_bits_after

    log("compressing the same bytes with gzip and xz")
    bits: dict[str, float] = {"gzip": gzip_bits(text_of(split, tokenizer)), "xz": xz_bits(text_of(split, tokenizer))}
    if "train" in shards.splits and split.name != "train":
        train = shards.split("train")
        bits["unigram"] = unigram_bits(train, split, shards.vocabulary_size)
        bits["xz_after_training_text"] = xz_bits_after(text_of(train, tokenizer), text_of(split, tokenizer))
    return {name: cost / split.byte_count for name, cost in sorted(bits.items(), key=lambda pair: -pair[1])}


STAGE = Stage(
    settings=Settings,
    run=run,
    takes={
        "model": Slot("model", "the model to measure"),
        "shards": Slot("shards", "the text to predict, tokenized with the model's tokenizer"),
    },
    makes={"report": Slot("report", "loss, perplexity, bits per byte with its margin, and the baselines")},
)
