"""Apply learned merges to one piece of text.

The rule: of all neighbouring tokens that make a pair, join the pair that was learned first, the leftmost if it stands
there more than once; until there is no pair left. A pair that was learned first is one whose new token has the smallest
id, because ids count up while learning.

Three functions say the same: `merge_short` in the fewest words, `merge_long` for pieces so long that looking through
all of them for each merge would take quadratic time, and `merge_steps`, which keeps what it saw at each step.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

Pair = tuple[int, int]

LONG = 64  # tokens; about here merge_long becomes the faster one
NOTHING = 1 << 62  # stands for what an unknown pair makes: later than any merge
GONE = -1  # stands where a token was joined to the one before it


@dataclass(frozen=True)
class MergeStep:
    """One merge of a piece, for showing how it becomes tokens."""

    tokens: tuple[int, ...]
    """The piece before this step."""
    candidates: tuple[tuple[int, int], ...]
    """(place, new token) of every pair that could be joined; the smallest new token wins."""
    place: int
    """Which of `tokens` is joined with the one that follows it."""
    token: int
    """What the two become."""


def merge(tokens: list[int], made_by: Mapping[Pair, int]) -> list[int]:
    """The tokens that a piece becomes. `made_by` says what a pair makes; the given list of bytes' ids may change."""
    return merge_long(tokens, made_by) if len(tokens) > LONG else merge_short(tokens, made_by)


def merge_short(tokens: list[int], made_by: Mapping[Pair, int]) -> list[int]:
    """Merge, looking through the whole piece for each merge: O(n²), and the fastest for a word."""
    made = [made_by.get(pair, NOTHING) for pair in pairwise(tokens)]  # by tokens[i], tokens[i + 1]
    while made and (token := min(made)) != NOTHING:
        place = made.index(token)
        tokens[place : place + 2] = (token,)
        del made[place]
        if place > 0:
            made[place - 1] = made_by.get((tokens[place - 1], token), NOTHING)
        if place < len(made):
            made[place] = made_by.get((token, tokens[place + 1]), NOTHING)
    return tokens


def merge_long(tokens: list[int], made_by: Mapping[Pair, int]) -> list[int]:
    """Merge in O(n log n): a linked list of tokens, and for each mergeable pair the places where it stands.

    All places of the pair that was learned first are joined before the next pair is looked at. That is the same as one
    at a time, because a pair with a new token in it was always learned after that token.
    """
    end = len(tokens)
    right = list(range(1, end + 1))  # the place of the next token
    left = list(range(-1, end))  # the place of the token before; -1 before the first
    places: dict[int, list[int]] = {}  # new token -> where the pair that makes it begins, or once began
    pending: list[int] = []  # heap of the keys of `places`

    def note(place: int, pair: Pair) -> None:
        token = made_by.get(pair)
        if token is None:
            return
        if token not in places:
            places[token] = []
            heapq.heappush(pending, token)
        places[token].append(place)

    for place, pair in enumerate(pairwise(tokens)):
        note(place, pair)
    while pending:
        token = heapq.heappop(pending)
        for place in sorted(places.pop(token)):  # from left to right
            joined = right[place]
            if joined == end or made_by.get((tokens[place], tokens[joined])) != token:
                continue  # another merge has changed what stands here
            tokens[place], tokens[joined] = token, GONE
            after, before = right[joined], left[place]
            right[place], left[after] = after, place
            if before >= 0:
                note(before, (tokens[before], token))
            if after < end:
                note(place, (token, tokens[after]))
    return [token for token in tokens if token != GONE]


def merge_steps(tokens: list[int], made_by: Mapping[Pair, int]) -> list[MergeStep]:
    """Every step of merging a piece, with all the pairs that could have been joined."""
    steps: list[MergeStep] = []
    while True:
        pairs = enumerate(pairwise(tokens))
        candidates = tuple((place, made_by[pair]) for place, pair in pairs if pair in made_by)
        if not candidates:
            return steps
        place, token = min(candidates, key=lambda candidate: (candidate[1], candidate[0]))
        steps.append(MergeStep(tuple(tokens), candidates, place, token))
        tokens = [*tokens[:place], token, *tokens[place + 2 :]]
