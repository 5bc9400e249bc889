"""Glassbox: build a language model from raw text to chat on one machine, and see every number in it."""

import os

__version__ = "0.1.0"

# PyTorch's threads wait for one another after each operation by spinning for milliseconds. As soon as another program
# wants a core too, they spin while the one they wait for isn't even running, and a step takes ten times as long. This
# lets them sleep after about a tenth of a millisecond, which costs nothing on a quiet machine. OpenMP reads it when it
# is loaded, so it is set before anything imports PyTorch.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
