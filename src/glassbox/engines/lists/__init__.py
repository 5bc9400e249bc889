"""The engine for reading every step: nested lists, loops, and each backward pass by hand."""

from glassbox.engines.lists.cache import Cache
from glassbox.engines.lists.transformer import Transformer

__all__ = ["Cache", "Transformer"]
