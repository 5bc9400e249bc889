"""The recipe: a model and settings that fit together, and grow with what there is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox.engines.tensors.optimizer import OPTIMIZERS
from glassbox.errors import BadInput
from glassbox.spec import count_flops, count_parameters
from glassbox.training.recipe import LADDER, LARGEST_BATCH, SMALLEST_BATCH, TOKENS_PER_WEIGHT, recommend
from glassbox.training.schedules import Schedule

corpora, vocabularies = st.integers(2, 10**11), st.integers(2, 200_000)
times, speeds = st.floats(1, 10**6), st.floats(1e9, 1e16)


@given(corpora, vocabularies, times, speeds)
def test_what_is_recommended_fits_together(corpus: int, vocabulary: int, seconds: float, speed: float) -> None:
    recipe = recommend(corpus, vocabulary, seconds, speed)
    assert recipe.spec.vocabulary_size == vocabulary
    assert recipe.spec.context < corpus
    assert recipe.optimizer in OPTIMIZERS
    Schedule(recipe.schedule, 100, recipe.learning_rate, warmup=int(100 * recipe.warmup), decay=recipe.decay)
    assert recipe.tokens == pytest.approx(seconds * speed / count_flops(recipe.spec).training)
    batch = recipe.batch_size * recipe.spec.context
    assert min(SMALLEST_BATCH, recipe.spec.context) / 2 <= batch <= 2 * LARGEST_BATCH


@given(corpora, vocabularies, times, speeds)
def test_the_model_is_the_largest_that_sees_enough_tokens(
    corpus: int, vocabulary: int, seconds: float, speed: float
) -> None:
    recipe = recommend(corpus, vocabulary, seconds, speed)
    rung = (recipe.spec.width, recipe.spec.layers)
    enough = TOKENS_PER_WEIGHT * count_parameters(recipe.spec).total
    assert recipe.tokens >= enough or rung == LADDER[0]
    if rung != LADDER[-1]:
        width, layers = LADDER[LADDER.index(rung) + 1]
        larger = recipe.spec.replace(width=width, layers=layers, heads=width // 64)
        assert seconds * speed / count_flops(larger).training < TOKENS_PER_WEIGHT * count_parameters(larger).total


@given(corpora, vocabularies, speeds)
def test_more_time_never_gives_a_smaller_model(corpus: int, vocabulary: int, speed: float) -> None:
    sizes = [
        count_parameters(recommend(corpus, vocabulary, seconds, speed).spec).total for seconds in (1, 60, 3600, 1e5)
    ]
    assert all(before <= after for before, after in pairwise(sizes))


@pytest.mark.parametrize("numbers", [(1, 256, 60, 1e10), (100, 1, 60, 1e10), (100, 256, 0, 1e10), (100, 256, 60, 0)])
def test_nothing_to_train_on_is_refused(numbers: tuple[int, int, float, float]) -> None:
    with pytest.raises(BadInput, match="No recipe can be made"):
        recommend(*numbers)
