"""Learn byte-pair merges: again and again, join the most frequent pair of neighbouring tokens into a new token.

Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016), on bytes as in GPT-2.
Counting every pair anew after each merge takes minutes; this takes a fraction of a second, for three reasons:

1. A text has far fewer different pieces than pieces ("the" is one piece that counts ten thousand times), and merges
   never cross pieces. So we work on the different pieces, each with its count.
2. A merge changes only the pieces that hold the pair, and in them only the pairs beside it. So we keep for each pair
   its count and where it occurs, and correct both.
3. A piece is kept as a string with one character for each token, `chr(id)`. To merge is then `str.replace`, which goes
   from left to right without overlaps, exactly as BPE demands, and at the speed of C.

Ties go to the pair with the smaller first id, then the smaller second id, as in Hugging Face's trainer, whose merges
these are (tests/tokenizers/test_bytepair_training.py).
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from operator import add
from typing import NamedTuple

from glassbox.tokenizers.byte_alphabet import IDS_BY_BYTE
from glassbox.tokenizers.interface import check_text
from glassbox.tokenizers.splitting import SplittingPattern


class LearnedMerge(NamedTuple):
    """One step of training: `left` and `right` stood side by side `frequency` times and became `token`."""

    left: int
    right: int
    token: int
    frequency: int


def count_pieces(documents: Iterable[str], pattern: SplittingPattern) -> Counter[str]:
    """How often each different piece occurs in the documents, which are read as a stream."""
    counts: Counter[str] = Counter()
    for document in documents:
        check_text(document)
        counts.update(pattern.split(document))
    return counts


def learn_merges(piece_counts: Mapping[str, int]) -> Iterator[LearnedMerge]:
    """The merges from the most frequent pair on, until no two tokens stand side by side any more.

    Ids 0 to 255 are the bytes in the order of `byte_alphabet`; the first merge makes 256, the next 257, and so on.
    """
    counts = list(piece_counts.values())
    words = [piece.encode().translate(IDS_BY_BYTE).decode("latin-1") for piece in piece_counts]  # chr(id) per token

    pair_counts: defaultdict[str, int] = defaultdict(int)  # a pair is a string of two characters
    places: defaultdict[str, list[int]] = defaultdict(list)  # which words hold it, or held it once
    for place, (word, count) in enumerate(zip(words, counts, strict=True)):
        for pair in map(add, word, word[1:]):
            pair_counts[pair] += count
            places[pair].append(place)

    # The heap's first entry is the most frequent pair. Counts that have shrunk since are put right when they come up.
    heap = [(-count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(heap)
    new = 256
    while heap:
        count, best = -heap[0][0], heap[0][1]
        if count != pair_counts[best]:
            if pair_counts[best] > 0:
                heapq.heapreplace(heap, (-pair_counts[best], best))
            else:
                heapq.heappop(heap)
            continue
        heapq.heappop(heap)
        yield LearnedMerge(ord(best[0]), ord(best[1]), new, count)
        for pair, grown in _merge_everywhere(best, chr(new), words, counts, pair_counts, places).items():
            pair_counts[pair] = grown
            heapq.heappush(heap, (-grown, pair))
        new += 1


def _merge_everywhere(
    pair: str,
    token: str,
    words: list[str],
    counts: list[int],
    pair_counts: dict[str, int],
    places: dict[str, list[int]],
) -> dict[str, int]:
    """Replace `pair` by `token` in every word that holds it; give the counts of the pairs that come into being."""
    first, second = pair
    grown: defaultdict[str, int] = defaultdict(int)
    for place in set(places.pop(pair)):  # a word that holds the pair twice is listed twice
        word = words[place]
        if pair not in word:  # another merge took one of its two tokens away
            continue
        word = words[place] = word.replace(pair, token)
        count, last = counts[place], len(word) - 1
        at = word.find(token)
        while at >= 0:
            if at > 0:
                left = word[at - 1]
                pair_counts[(second if left == token else left) + first] -= count  # what stood to the left, and with it
                grown[left + token] += count
                places[left + token].append(place)
            if at < last and (right := word[at + 1]) != token:  # between two new tokens, the second one sees to it
                pair_counts[second + right] -= count
                grown[token + right] += count
                places[token + right].append(place)
            at = word.find(token, at + 1)
    pair_counts[pair] = 0
    return grown
