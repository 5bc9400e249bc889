"""The engine to read backpropagation in: NumPy, forward and backward written by hand."""

from glassbox.engines.arrays.cache import Cache
from glassbox.engines.arrays.transformer import Transformer

__all__ = ["Cache", "Transformer"]
