"""The first run: from the documentation that comes with Python to a model that writes like it."""

from __future__ import annotations

from glassbox.flows.chain import Step

SOURCE = "python-docs"
PROMPTS = ["Return the", "The following example", "class "]


def quickstart(minutes: float) -> list[Step]:
    """Every stage once, with `minutes` of pretraining; all else is what the stages take by default."""
    return [
        Step("collect", {"source": SOURCE}),
        Step("split"),
        Step("train-tokenizer"),
        Step("tokenize"),
        Step("pretrain", {"seconds": 60 * minutes}),
        Step("evaluate"),
        Step("sample", {"prompt": PROMPTS, "max_tokens": 80}),
    ]
