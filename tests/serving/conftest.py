"""Small models of every kind are drawn as for the engine's own tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "engines" / "tensors"))
