"""Weights in 8 or 4 bits, for reading only: each number a code, each group of numbers of one row a scale.

    weight ≈ table[code] * scale        scale = the largest magnitude in the group ("absmax")

int8: 255 even steps (LLM.int8(), Dettmers et al. 2022, §2.1).
int4: 15 even steps.
nf4:  16 steps that a normal distribution visits equally often (QLoRA, Dettmers et al. 2023, §3): weights are about
      normal, so that every code is worth as much as any other.

Memory holds the codes. A matrix becomes numbers again when it is asked for, and is forgotten after its product; only
`step.Step`, which decodes token by token and reads every matrix for each, holds them all as numbers while it writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from glassbox.engines.model_files import QUANTIZATION_FILE
from glassbox.engines.tensors.transformer import FUSED, Transformer
from glassbox.errors import BadInput
from glassbox.hub.strict_json import read_object
from glassbox.spec import ModelSpec, part_of, weight_shapes

Method = Literal["int8", "int4", "nf4"]
METHODS: tuple[Method, ...] = ("int8", "int4", "nf4")
CODES, SCALES = ".codes", ".scales"  # what follows a weight's name in the file
KEPT = ("router", "shared_gate", "token_types")  # a few numbers that decide much


def normal_float_table() -> list[float]:
    """The 16 values of NF4, ascending from -1 to 1, with an exact zero.

    Quantiles of the normal distribution at evenly spaced probabilities, seven below zero and eight above; the outermost
    probability is the mean of what seven and what eight values would take (Dettmers et al. 2023, appendix E).
    """
    outermost = (29 / 30 + 31 / 32) / 2
    quantile = NormalDist().inv_cdf

    def side(count: int) -> list[float]:
        return [quantile(outermost + (0.5 - outermost) * step / count) for step in range(count)]

    values = [-value for value in side(7)] + [0.0] + side(8)[::-1]
    return [value / values[-1] for value in values]


TABLES: Mapping[Method, tuple[float, ...]] = {
    "int4": tuple(step / 7 for step in range(-7, 8)),
    "nf4": tuple(normal_float_table()),
}
"""Of the 4-bit methods: what each code stands for, in ascending order."""


@dataclass(frozen=True)
class Quantization:
    """How a model's matrices are coded. group_size: neighbours in a row that share a scale; 0 is the whole row.

    Raises BadInput for a method that there is none of, and for an odd group of a method that packs two in a byte.
    """

    method: Method
    group_size: int

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise BadInput(f"No quantisation is called {self.method!r}.", f"Choose one of {', '.join(METHODS)}.")
        if type(self.group_size) is not int or self.group_size < 0 or self.group_size % 2:
            raise BadInput(f"A group of {self.group_size!r} weights was asked for.", "Give an even number, or 0.")

    @property
    def scale_type(self) -> torch.dtype:
        """float32, or float16 where scales would otherwise be a large part of the file."""
        return torch.float32 if self.method == "int8" else torch.float16

    def groups(self, width: int) -> tuple[int, int]:
        """For rows of `width` numbers: how many groups, and of how many each. The last one may reach beyond the row."""
        size = min(self.group_size or width, width)
        size += size % 2
        return -(-width // size), size

    def shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of a matrix's codes and of its scales."""
        groups, size = self.groups(shape[-1])
        return (*shape[:-1], groups * (size if self.method == "int8" else size // 2)), (*shape[:-1], groups)

    def code(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and scales of a matrix (..., inputs) of float32.

        Codes are (..., inputs) of int8, or half as many bytes of two 4-bit codes each, the first in the lower half;
        scales are (..., groups). Both have what the last group lacks filled up. Raises BadInput for a weight beyond
        the scales' number format.
        """
        groups, size = self.groups(weight.shape[-1])
        padded = F.pad(weight, (0, groups * size - weight.shape[-1]))
        grouped = padded.unflatten(-1, (groups, size))  # (..., groups, size)
        largest = grouped.abs().amax(-1)  # (..., groups)
        scales = largest.to(self.scale_type)
        if not scales.isfinite().all():
            raise BadInput(
                f"A weight is {float(largest.max()):g}, too large for the scales of {self.method}.", "Choose int8."
            )
        # The codes are those of the rounded scales. A group whose scale is rounded to zero has shares of no matter.
        shares = grouped / scales.float().clamp(min=torch.finfo(torch.float32).tiny)[..., None]  # -1 to 1
        if self.method == "int8":
            return (shares * 127).round().clamp(-127, 127).to(torch.int8).flatten(-2), scales
        table = torch.tensor(TABLES[self.method])
        codes = torch.bucketize(shares, (table[1:] + table[:-1]) / 2).to(torch.uint8)  # the nearest value's place
        first, second = codes.flatten(-2).unflatten(-1, (-1, 2)).unbind(-1)
        return first | second << 4, scales

    def decoder(self) -> Callable[[Tensor, Tensor, int], Tensor]:
        """The way back: codes, scales and the length of a row -> (..., inputs) of float32.

        What is multiplied is fresh, so that it is multiplied in place: a matrix takes longer to write than to compute.
        """
        if self.method == "int8":

            def eight(codes: Tensor, scales: Tensor, width: int) -> Tensor:
                grouped = codes.float().unflatten(-1, (scales.shape[-1], -1))  # (..., groups, size)
                return grouped.mul_((scales.float() / 127)[..., None]).flatten(-2)[..., :width]

            return eight
        table = torch.tensor([*TABLES[self.method], 0.0][:16])
        # What a byte stands for: its lower half, then its upper half. The two are looked up as one number of 8 bytes.
        pairs = torch.stack((table.repeat(16), table.repeat_interleave(16)), -1).view(torch.int64).flatten()  # (256,)

        def four(codes: Tensor, scales: Tensor, width: int) -> Tensor:
            values = pairs.to(codes.device).index_select(0, codes.flatten().int()).view(torch.float32)
            grouped = values.view(*scales.shape, -1)  # (..., groups, size)
            return grouped.mul_(scales.float()[..., None]).flatten(-2)[..., :width]

        return four


def is_quantized(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a weight is coded: matrices are, also those of the embedding and the output; vectors, positions and what
    routes tokens to experts aren't."""
    return len(shape) >= 2 and part_of(name) != "positions" and not name.endswith(KEPT)


class _Decoded(nn.Module):
    """Stands behind a parameter: whoever reads the parameter gets the numbers that its codes stand for."""

    codes: Tensor
    scales: Tensor

    def __init__(self, quantization: Quantization, codes: Tensor, scales: Tensor, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self._decoder = quantization.decoder()

    def forward(self, nothing: Tensor) -> Tensor:
        """(...) -> (outputs, inputs)"""
        return self._decoder(self.codes, self.scales, self.width)


class QuantizedTransformer(Transformer):
    """A transformer whose matrices lie in memory as codes. It reads and writes text; it doesn't learn.

    tensors: by name, `<weight>.codes` and `<weight>.scales` of what is coded, the others as numbers.

    Raises BadInput for tensors that are missing, unknown, or of another shape or type than the spec's and the
    quantisation's.
    """

    def __init__(self, spec: ModelSpec, quantization: Quantization, tensors: Mapping[str, Tensor]) -> None:
        check_tensors(spec, quantization, tensors)
        shapes = weight_shapes(spec)
        with torch.device("meta"):  # the parts, with no memory behind their parameters
            super().__init__(spec, weights={name: torch.empty(shape) for name, shape in shapes.items()})
        self.quantization = quantization
        places: dict[int, list[str]] = {}  # of one parameter: an encoder and its decoder share the table of tokens
        for name, parameter in self.named_parameters(remove_duplicate=False):
            places.setdefault(id(parameter), []).append(name)
        for names in list(places.values()):
            self._fill(names, tensors, shapes)
        self.eval()

    def weights(self) -> dict[str, Tensor]:
        """Canonical name -> its numbers; copies of what is coded."""
        plain = {name: value.detach() for name, value in self.named_parameters() if "parametrizations" not in name}
        for owner, module in self.named_modules():
            if parametrize.is_parametrized(module):
                assert isinstance(module.parametrizations, nn.ModuleDict)
                plain |= {f"{owner}.{last}": getattr(module, last) for last in module.parametrizations}
        return self._canonical(plain)

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        if not hasattr(self, "quantization"):  # within the constructor
            return
        raise BadInput("The weights of a quantised model can't be changed.", "Change the model that it was made from.")

    def _fill(self, names: list[str], tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Put codes, or numbers, behind one parameter, wherever it is held; those of a fused one one behind another.

        names: of its places, the canonical one first.
        """
        owner, _, last = names[0].rpartition(".")
        parts = [f"{owner}.{part}" for part in FUSED[last]] if last in FUSED else names[:1]
        shape = shapes[parts[0]]
        rows = max(0, len(shape) - 2)
        if not is_quantized(parts[0], shape):
            joined = nn.Parameter(torch.cat([tensors[part].float() for part in parts], rows), requires_grad=False)
            for name in names:
                setattr(self.get_submodule(name.rpartition(".")[0]), last, joined)
            return
        codes = torch.cat([tensors[part + CODES] for part in parts], rows)
        scales = torch.cat([tensors[part + SCALES] for part in parts], rows)
        for name in names:
            module = self.get_submodule(name.rpartition(".")[0])
            setattr(module, last, nn.Parameter(torch.empty(0), requires_grad=False))
            decoded = _Decoded(self.quantization, codes, scales, shape[-1])
            parametrize.register_parametrization(module, last, decoded, unsafe=True)  # unsafe: the shape changes


def coded_shapes(spec: ModelSpec, quantization: Quantization) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name -> safetensors' format and shape of every tensor of a quantised model."""
    announced: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, shape in weight_shapes(spec).items():
        if is_quantized(name, shape):
            codes, scales = quantization.shapes(shape)
            eight = quantization.method == "int8"
            announced[name + CODES] = ("I8" if eight else "U8", codes)
            announced[name + SCALES] = ("F32" if eight else "F16", scales)
        else:
            announced[name] = ("F32", shape)
    return announced


def check_tensors(spec: ModelSpec, quantization: Quantization, tensors: Mapping[str, Tensor]) -> None:
    """Raises BadInput unless the tensors are those of such a model."""
    types = {"I8": torch.int8, "U8": torch.uint8, "F32": torch.float32, "F16": torch.float16}
    expected = coded_shapes(spec, quantization)
    for name, (code, shape) in expected.items():
        held = tensors.get(name)
        if held is None or tuple(held.shape) != shape or held.dtype != types[code]:
            came = "is missing" if held is None else f"is {held.dtype} of shape {tuple(held.shape)}"
            raise BadInput(
                f"{name} of a quantised model should have the shape {shape}, and {came}.",
                "Choose a model whose folder is as it was published.",
            )
    if strangers := tensors.keys() - expected.keys():
        raise BadInput(f"A quantised model has no {min(strangers)}.", "Choose a model as it was published.")


def save_quantization(quantization: Quantization, folder: Path) -> None:
    """Raises OSError."""
    (folder / QUANTIZATION_FILE).write_text(json.dumps(asdict(quantization)) + "\n", encoding="utf-8")


def load_quantization(folder: Path) -> Quantization:
    """Raises BadInput for a damaged file."""
    values = read_object(folder / QUANTIZATION_FILE)
    return Quantization(values.get("method"), values.get("group_size"))  # pyright: ignore[reportArgumentType]  (checked)
