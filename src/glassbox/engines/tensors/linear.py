"""The matrix product of every linear layer, by the faster of the two libraries that PyTorch has for it here.

In float32 on a CPU, PyTorch multiplies matrices with Intel's MKL, which leaves half of an AMD processor's AVX-512 units
idle (on a Zen 5: 220 GFLOP/s of 500). oneDNN, the other library inside of PyTorch, doesn't. Everywhere else this is
`F.linear`: other number formats (bfloat16 goes to oneDNN anyway), other processors, accelerators.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def _mkl_is_slow() -> bool:
    """On processors with AVX-512 that aren't Intel's, as long as PyTorch has oneDNN in it."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    processor = torch.cpu.get_capabilities()
    return bool(processor.get("avx512_f")) and "intel" not in str(processor.get("cpu_name", "")).lower()


MKL_IS_SLOW = _mkl_is_slow()
FEWEST_ROWS = 32  # below, a product is bound by reading the weight, and MKL reads it as fast


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias: (..., inputs), (outputs, inputs), (outputs,) -> (..., outputs)."""
    if (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and MKL_IS_SLOW
        and x.numel() >= FEWEST_ROWS * x.shape[-1]
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()  # which chooses for itself
    ):
        # Without gradients it needn't be a function of autograd, which costs a fifth of a small product's time.
        product = _Product.apply(x, weight) if torch.is_grad_enabled() else _onednn(x, weight)
        return product if bias is None else product + bias
    return F.linear(x, weight, bias)


def product_into(out: Tensor, x: Tensor, weight: Tensor) -> None:
    """out = x @ weight.T, outside of autograd: (rows, inputs), (outputs, inputs) -> (rows, outputs)."""
    if MKL_IS_SLOW and x.dtype == torch.float32 and x.device.type == "cpu" and len(x) >= FEWEST_ROWS:
        out.copy_(_onednn(x, weight))
    else:
        torch.mm(x, weight.t(), out=out)


class _Product(torch.autograd.Function):
    """x @ weight.T with oneDNN, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # pyright: ignore[reportIncompatibleMethodOverride]  (the base takes anything)
        x, weight = ctx.saved_tensors
        by_x, by_weight = ctx.needs_input_grad
        rows = gradient.flatten(0, -2)  # (rows, outputs)
        return (
            _onednn(gradient, weight.t()) if by_x else None,
            _onednn(rows.t(), x.flatten(0, -2).t()) if by_weight else None,
        )


def _onednn(x: Tensor, weight: Tensor) -> Tensor:
    """What torch.compile calls for a linear layer; PyTorch has no other door to oneDNN's float32 product."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
