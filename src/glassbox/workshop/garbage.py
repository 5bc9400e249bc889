"""What is made while the server starts stays until it ends, so Python's garbage collector needn't look at it.

While modules are imported it would do so again and again, for a seventh of the start. Afterwards each full collection
would take a tenth of a second, in which nobody gets an answer.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator


@contextlib.contextmanager
def making_what_stays() -> Generator[None]:
    """Nothing is collected inside; of what is there at the end, nothing ever."""
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_at_work:
            gc.enable()
