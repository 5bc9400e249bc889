"""Early stopping by itself; with the loop in test_loop.py."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from glassbox.training.early_stopping import EarlyStopping


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.full((2,), value)}


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.integers(0, 5), st.integers(0, 30))
def test_it_keeps_the_weights_of_the_first_lowest_loss_and_stops_after_patience(
    losses: list[float], patience: int, interruption: int
) -> None:
    watch = EarlyStopping(patience)
    seen: list[float] = []
    for step, loss in enumerate(losses):
        if step == interruption:  # a resumed run goes on as if nothing had happened
            again = EarlyStopping(patience)
            again.restore(watch.facts(), watch.best_weights)
            watch = again
        if watch.exhausted:
            break
        seen.append(loss)
        watch.observe(step, loss, weights(step))
    best = seen.index(min(seen))
    assert (watch.best_step, watch.best_loss) == (best, min(seen))
    if patience:
        assert torch.equal(watch.best_weights["w"], weights(best)["w"])
        assert watch.exhausted == (len(seen) - 1 - best >= patience)
    else:
        assert not watch.exhausted
        assert watch.best_weights == {}


def test_the_best_weights_are_a_copy() -> None:
    watch, current = EarlyStopping(1), weights(1)
    watch.observe(0, 1.0, current)
    current["w"].fill_(2)
    assert torch.equal(watch.best_weights["w"], weights(1)["w"])


def test_before_the_first_evaluation_there_is_no_best() -> None:
    assert EarlyStopping(1).facts() == {"best_loss": None, "best_step": None, "waited": 0}
