"""The engine for real work: PyTorch."""

from glassbox.engines.tensors.checkpoint import load_model, load_weights, save_model, save_weights
from glassbox.engines.tensors.transformer import Transformer

__all__ = ["Transformer", "load_model", "load_weights", "save_model", "save_weights"]
