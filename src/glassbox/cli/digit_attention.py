"""What `glassbox digits attention` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.columns import Columns
from rich.padding import Padding
from rich.text import Text

from glassbox.cli.heatmap import ATTENTION, heatmap, shade
from glassbox.cli.output import standard_output
from glassbox.cli.tables import listing
from glassbox.evaluation.digits import answering_row, attention, entropy_by_operation

if TYPE_CHECKING:
    from glassbox.data.digits import Example
    from glassbox.evaluation.digits import DigitModel


def show(loaded: DigitModel, examples: list[Example], layer: int) -> None:
    """A heatmap for each example and head, then the entropies."""
    console = standard_output()
    for example in examples:
        tokens = example.text.split()
        answering = tokens[answering_row(loaded.model, len(tokens))]
        console.print(f"{example.text}   layer {layer}; the answer is read at {answering}", markup=False)
        heads = attention(loaded.model, example)[layer]  # (heads, length, length)
        maps = [heatmap(weights.tolist(), tokens, tokens, f"head {head}") for head, weights in enumerate(heads)]
        console.print(Columns([Padding(one, (0, 3, 1, 0)) for one in maps]))
    console.print("How attention is spread, on expressions that the model has never seen: 0 focused, 1 distributed")
    rows = [
        [operation, Text(f"{entropy:.3f}", style=shade(entropy, ATTENTION)), Text("█" * round(40 * entropy))]
        for operation, entropy in entropy_by_operation(loaded.model, loaded.test).items()
    ]
    console.print(listing(("operation", "entropy", ""), rows, numeric=("entropy",)))


def as_numbers(loaded: DigitModel, examples: list[Example]) -> dict[str, Any]:
    """The same as JSON: the attention of all layers and heads, and the entropies."""
    return {
        "attention": [
            {
                "text": example.text,
                "tokens": example.text.split(),
                "answering_row": answering_row(loaded.model, len(example.text.split())),
                "weights": attention(loaded.model, example).tolist(),  # (layers, heads, length, length)
            }
            for example in examples
        ],
        "entropy_by_operation": entropy_by_operation(loaded.model, loaded.test),
    }
