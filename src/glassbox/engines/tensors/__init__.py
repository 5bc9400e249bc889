"""The engine for real work: PyTorch."""

import os

from glassbox.engines.tensors.checkpoint import load_model, load_weights, save_model, save_weights
from glassbox.engines.tensors.transformer import Transformer

# Large tensors in pages of 2 MB instead of 4 KB (Linux): the kernel clears each page that it hands out, and for logits
# of 67 MB handing out 16,384 pages takes longer than computing them. PyTorch reads this at its first allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__all__ = ["Transformer", "load_model", "load_weights", "save_model", "save_weights"]
