"""Loss, perplexity and bits per byte of a model on text that it hasn't seen.

Bits per byte is the fair one: it charges everything that is predicted to the bytes of the text, so that models with
different tokenizers, and compressors, can be laid side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from glassbox.data.batches import validation_windows
from glassbox.data.shards import ShardSplit
from glassbox.engines.interface import Transformer
from glassbox.errors import BadInput

CONFIDENCE = 1.96  # standard errors to either side that hold 95 % of a normal distribution


@dataclass(frozen=True)
class HeldOut:
    """What a model's predictions of a whole split cost.

    loss: nats per token. perplexity: e to the loss. bits_per_byte: bits for all tokens over the bytes of the text.
    margin: half the width of a 95 % confidence interval of bits_per_byte, from the spread over windows.
    """

    loss: float
    perplexity: float
    bits_per_byte: float
    margin: float
    tokens: int
    bytes: int


@torch.inference_mode()
def held_out(
    model: Transformer,
    split: ShardSplit,
    *,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> HeldOut:
    """Predict every token of the split after the first once, from the 1 to `context` tokens before it.

    progress is called with the tokens done and the tokens in all.
    Raises BadInput for a split without bytes of text or without two tokens.
    """
    if split.byte_count < 1:
        raise BadInput(f"The split {split.name} has no bytes of text.", "Choose a split that has text.")
    total = len(split.tokens) - 1
    sums: list[torch.Tensor] = []  # nats of each window
    lengths: list[int] = []
    for inputs, targets in validation_windows(split, model.spec.context, batch_size):
        logits, _ = model.forward(torch.from_numpy(inputs))  # (batch, length, vocabulary)
        nats = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), torch.from_numpy(targets).flatten(), reduction="none"
        )
        sums.append(nats.view(targets.shape).double().sum(dim=1))  # (batch,)
        lengths += [targets.shape[1]] * targets.shape[0]
        if progress:
            progress(sum(lengths), total)
    nats = torch.cat(sums)
    loss = float(nats.sum()) / total
    bits_per_byte = float(nats.sum()) / math.log(2) / split.byte_count
    return HeldOut(
        loss=loss,
        perplexity=math.exp(loss) if loss < 700 else math.inf,
        bits_per_byte=bits_per_byte,
        margin=CONFIDENCE * _relative_error(nats, torch.tensor(lengths)) * bits_per_byte,
        tokens=total,
        bytes=split.byte_count,
    )


def _relative_error(nats: torch.Tensor, lengths: torch.Tensor) -> float:
    """Standard error of sum(nats) / sum(lengths) over that ratio, windows being the sample.

    The ratio estimator (Cochran 1977, §2.11): windows differ in length, tokens within a window aren't independent.
    """
    count = len(nats)
    if count < 2:
        return math.inf
    ratio = nats.sum() / lengths.sum()
    spread = (nats - ratio * lengths).square().sum() / (count - 1)
    return float((spread / count).sqrt() / nats.mean())
