"""The engine for reading every number: a graph of single values with automatic slopes."""

from glassbox.engines.scalars.cache import Cache
from glassbox.engines.scalars.transformer import Transformer
from glassbox.engines.scalars.value import Value

__all__ = ["Cache", "Transformer", "Value"]
