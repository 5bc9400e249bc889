"""Text to ids and back: byte-level BPE written to be read, characters, and any Hugging Face tokenizer.json."""

from glassbox.tokenizers.interface import Tokenizer
from glassbox.tokenizers.loading import load

__all__ = ["Tokenizer", "load"]
