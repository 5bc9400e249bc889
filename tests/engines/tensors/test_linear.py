"""The matrix product of linear layers: the same numbers by either library."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from glassbox.engines.tensors import linear as module
from glassbox.engines.tensors.linear import linear

needs_onednn = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")),
    reason="this build of PyTorch has no oneDNN",
)


def with_gradients(product: Tensor, *inputs: Tensor) -> list[Tensor]:
    """The product and the gradients of a sum of its elements, each weighted by its place."""
    weights = torch.linspace(-1, 1, product.numel(), dtype=product.dtype).view_as(product)
    return [product.detach(), *torch.autograd.grad((product * weights).sum(), inputs)]


@needs_onednn
@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.integers(1, 70),
    st.integers(1, 70),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_product_and_gradients_are_as_exact_as_pytorchs(
    shape: list[int], inputs: int, outputs: int, biased: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, weight, bias = (
        torch.randn(size, generator=generator, dtype=torch.float64, requires_grad=True)
        for size in ((*shape, inputs), (outputs, inputs), (outputs,))
    )
    given_ = (x, weight, bias) if biased else (x, weight)
    exact = with_gradients(F.linear(*given_), *given_)
    single = [tensor.detach().float().requires_grad_() for tensor in given_]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MKL_IS_SLOW", True)
        patch.setattr(module, "FEWEST_ROWS", 1)
        ours = with_gradients(linear(*single), *single)
        with torch.no_grad():
            assert torch.equal(linear(*single), ours[0])
    for mine, right in zip(ours, exact, strict=True):
        torch.testing.assert_close(mine.double(), right, rtol=1e-4, atol=1e-4)


@needs_onednn
def test_only_the_gradients_asked_for_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MKL_IS_SLOW", True)
    x, weight = torch.randn(64, 8), torch.randn(5, 8)
    linear(x, weight.requires_grad_()).sum().backward()
    assert x.grad is None
    torch.testing.assert_close(weight.grad, x.sum(0).expand(5, 8))
    linear(x.requires_grad_(), weight.detach()).sum().backward()
    torch.testing.assert_close(x.grad, weight.detach().sum(0).expand(64, 8))


@pytest.mark.parametrize("slow", [True, False])
def test_other_formats_and_few_rows_are_pytorchs_own(monkeypatch: pytest.MonkeyPatch, slow: bool) -> None:
    monkeypatch.setattr(module, "MKL_IS_SLOW", slow)
    monkeypatch.setattr(module, "_Product", None)  # must not be touched
    weight = torch.randn(5, 8)
    for x in (torch.randn(64, 8).double(), torch.randn(64, 8).bfloat16(), torch.randn(3, 8)):
        assert torch.equal(linear(x, weight.to(x.dtype)), F.linear(x, weight.to(x.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(torch.randn(64, 8), weight).dtype == torch.bfloat16
