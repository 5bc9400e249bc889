"""The number format: refused where it can't work, chosen by what is measured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from glassbox.errors import BadInput
from glassbox.training.precision import FORMATS, check_precision, fastest_precision

CPU = torch.device("cpu")


def test_a_format_is_known_by_its_name() -> None:
    assert check_precision("bf16", CPU) == torch.bfloat16
    assert check_precision("fp16", torch.device("cuda")) == torch.float16


def test_fp16_on_a_cpu_is_refused_with_what_to_do() -> None:
    with pytest.raises(BadInput, match=r"many times slower.*bf16"):
        check_precision("fp16", CPU)


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput, match=r"'fp8'.*fp32, bf16, fp16"):
        check_precision("fp8", CPU)


@pytest.mark.parametrize("faster", ["fp32", "bf16"])
def test_the_faster_format_is_chosen_though_single_rounds_are_slow(faster: str) -> None:
    slow_rounds: Iterator[float] = iter([9.0, 0.0, 5.0, 0.0])  # the first is the warm-up, the third a busy moment
    extra: dict[str, Iterator[float]] = {name: iter([0.0] * 4) for name in FORMATS}
    extra[faster] = slow_rounds
    assert fastest_precision(lambda name: (1.0 if name == faster else 2.0) + next(extra[name])) == faster


def test_equals_stay_in_fp32() -> None:
    assert fastest_precision(lambda name: 1.0) == "fp32"
