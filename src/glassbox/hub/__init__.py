"""Models in and out: Hugging Face's folders, read and written tensor by tensor; GGUF and ONNX written.

`Import` checks a folder of theirs and writes one of ours, `Export` does the reverse; `families` has a file for each
architecture with its names beside ours. No tensor library is needed: weights pass through as bytes that NumPy cuts and
turns.
"""

from glassbox.hub.exporting import Export
from glassbox.hub.importing import Import
from glassbox.hub.model_files import ModelFiles

__all__ = ["Export", "Import", "ModelFiles"]
