"""Which distances relative positions tell apart: plain numbers that follow from the spec, the same in every engine."""

from __future__ import annotations

import math

from glassbox.spec import ModelSpec


def relative_bucket(spec: ModelSpec, distance: int) -> int:
    """The row of the table of scores for a key that stands `distance` tokens before the query (Raffel 2020, §2.1).

    Half of the buckets hold one distance each, from 0 on; the others hold ranges that grow in proportion, up to
    `relative_distance`, and the last one everything beyond. Where a token sees what comes later too, one half of all
    buckets is for keys at or before it and the other for keys behind it.
    """
    buckets, first = spec.relative_buckets, 0
    if not spec.causal:
        buckets //= 2
        first = buckets if distance < 0 else 0
        distance = abs(distance)
    distance, single = max(0, distance), buckets // 2
    if distance < single:
        return first + distance
    ranges = buckets - single
    share = math.log(distance / single) / math.log(spec.relative_distance / single)
    return first + min(buckets - 1, single + int(share * ranges))
