"""What was read before needs no second reading: keys and values of earlier requests, found by how they began.

A chat is asked with all that was said before, and many chats begin with the same instructions. The keys and values of
a token depend on it and on those before it alone, so the longest common beginning can be copied (vLLM's automatic
prefix caching and SGLang's radix attention do this by blocks; here whole requests are compared, which is enough for
some dozens of them).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

MOST_BYTES = 128 * 2**20
MOST_ENTRIES = 64
SHORTEST = 16  # tokens: below, reading them together with others costs less than copying

Ids = npt.NDArray[np.int64]


class Prefixes:
    """Keys and values of the requests that were read or ended last, within bounds of bytes and number."""

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, tuple[Ids, Tensor]] = OrderedDict()  # the one used last stands last
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, ids: Sequence[int], held: Tensor) -> None:
        """Remember what a request holds, (layers, 2, key_value_heads, tokens, head_width), for the ids that it read.

        What it is given is kept as it is, so nobody may write to it any more.
        """
        if len(ids) < SHORTEST or held.nbytes > MOST_BYTES:
            return
        array = np.array(ids, np.int64)
        for key, other in self._alike(array):
            shared = common(other, array)
            if shared == len(array):  # all of it is known
                self._entries.move_to_end(key)
                return
            if shared == len(other):  # a beginning of this one says nothing that this one doesn't
                self._drop(key)
        self._entries[array.tobytes()] = (array, held)
        self._bytes += held.nbytes
        while self._bytes > MOST_BYTES or len(self._entries) > MOST_ENTRIES:
            self._drop(next(iter(self._entries)))

    def find(self, ids: Sequence[int]) -> Tensor | None:
        """Keys and values of the longest beginning of `ids` that is known, at least `SHORTEST` tokens."""
        array, best, count = np.array(ids, np.int64), None, SHORTEST - 1
        for key, other in self._alike(array):
            if (shared := common(array, other)) > count:
                best, count = key, shared
        if best is None:
            return None
        self._entries.move_to_end(best)
        return self._entries[best][1][:, :, :, :count]

    def _alike(self, ids: Ids) -> list[tuple[bytes, Ids]]:
        """The entries that begin with the same `SHORTEST` ids: all others have too little in common."""
        start = ids[:SHORTEST].tobytes()
        return [(key, other) for key, (other, _) in self._entries.items() if key.startswith(start)]

    def _drop(self, key: bytes) -> None:
        _, held = self._entries.pop(key)
        self._bytes -= held.nbytes


def common(first: Ids, second: Ids) -> int:
    """How many ids both begin with."""
    length = min(len(first), len(second))
    differ = first[:length] != second[:length]
    return int(differ.argmax()) if differ.any() else length
