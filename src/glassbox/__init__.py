"""Glassbox: build a language model from raw text to chat on one machine, and see every number in it."""

import os

__version__ = "0.1.0"

# PyTorch's threads wait for one another after each operation by spinning for milliseconds. As soon as another program
# wants a core too, they spin while the one they wait for isn't even running, and a step takes ten times as long. This
# lets them sleep after some microseconds. OpenMP reads it as it is loaded: set it before anything imports PyTorch.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
