"""The loop: what it reaches, tells, saves, and how it ends."""

import errno
import math
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from tiny import SPEC, Listener, assert_same_bits, make_loop, make_step, weights_of

from glassbox.data.shards import Shards
from glassbox.errors import BadInput
from glassbox.spec import Experts
from glassbox.training import checkpoints as checkpoints_module
from glassbox.training.checkpoints import Checkpoints
from glassbox.training.loop import Loop, Plan
from glassbox.training.step import StepResult

PLAN = Plan(steps=40, log_every=5, evaluate_every=10, checkpoint_every=10)


def test_the_loss_goes_down(shards: Shards, tmp_path: Path) -> None:
    listener = Listener()
    outcome = make_loop(shards, tmp_path, plan=Plan(120, log_every=10), listener=listener).run()
    losses = [loss for _, loss in listener.series("loss")]
    assert losses[0] > 2
    assert losses[-1] < 0.3
    assert outcome.finished
    assert outcome.steps == 120
    assert outcome.validation_loss < 2


def test_of_a_mixture_of_experts_each_window_tells_how_evenly_they_are_visited(shards: Shards, tmp_path: Path) -> None:
    listener = Listener()
    step = make_step(SPEC.replace(experts=Experts(count=4, active=2, hidden_width=8)))
    make_loop(shards, tmp_path, plan=Plan(10, log_every=5), step=step, listener=listener).run()
    told = listener.series("expert_balance")
    assert [number for number, _ in told] == [5, 10]
    assert all(1.9 < balance < 4 for _, balance in told)


def test_waiting_for_the_answer_whether_to_stop_is_no_part_of_training_time(
    shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited, clock = [0.0], time.perf_counter

    class Pausing(Listener):
        @property
        def stop_requested(self) -> bool:
            waited[0] += 10_000
            return False

    monkeypatch.setattr(time, "perf_counter", lambda: clock() + waited[0])
    outcome = make_loop(shards, tmp_path, plan=Plan(5, log_every=5), listener=Pausing()).run()
    assert waited == [50_000]
    assert outcome.seconds < 10_000


def test_each_window_tells_its_mean_and_what_it_cost(shards: Shards, tmp_path: Path) -> None:
    each, by_five = Listener(), Listener()
    make_loop(shards, tmp_path / "each", plan=Plan(10, log_every=1), listener=each).run()
    make_loop(
        shards, tmp_path / "five", plan=Plan(10, log_every=5), listener=by_five, flops_per_token=1e6, matmul_peak=1e12
    ).run()
    for name in ("loss", "gradient_norm"):
        single = [value for _, value in each.series(name)]
        assert by_five.series(name) == [
            (5, pytest.approx(sum(single[:5]) / 5)),
            (10, pytest.approx(sum(single[5:]) / 5)),
        ]
    values = by_five.told[0][1]
    assert values["learning_rate"] == pytest.approx(5e-3)
    assert values["memory_bytes"] > 1e7
    assert values["model_flops_utilization"] == pytest.approx(values["tokens_per_second"] * 1e6 / 1e12)
    assert "model_flops_utilization" not in each.told[0][1]


def test_an_evaluation_tells_loss_perplexity_and_bits_per_byte(shards: Shards, tmp_path: Path) -> None:
    listener = Listener()
    loop = make_loop(shards, tmp_path, plan=PLAN, listener=listener)
    loop.run()
    assert [step for step, _ in listener.series("validation_loss")] == [10, 20, 30, 40]
    step, values = listener.told[-1]
    assert step == 40
    assert values["validation_loss"] == loop.validation.sampled_loss(loop.step.loss)
    assert values["perplexity"] == pytest.approx(math.exp(values["validation_loss"]))
    assert values["bits_per_byte"] == loop.validation.bits_per_byte(values["validation_loss"])


def test_the_outcome_measures_the_whole_validation_split(shards: Shards, tmp_path: Path) -> None:
    loop = make_loop(shards, tmp_path, plan=Plan(10))
    outcome = loop.run()
    assert outcome.validation_loss == loop.validation.full_loss(loop.step.loss)
    assert outcome.bits_per_byte == loop.validation.bits_per_byte(outcome.validation_loss)


def test_samples_are_asked_for_at_their_interval_and_at_the_end(shards: Shards, tmp_path: Path) -> None:
    asked: list[int] = []
    make_loop(shards, tmp_path, plan=Plan(25, sample_every=10), sample=asked.append).run()
    assert asked == [10, 20, 25]


@pytest.mark.parametrize(("precision", "optimizer"), [("fp32", "adamw"), ("bf16", "muon"), ("fp16", "adamw")])
def test_a_run_resumed_from_any_checkpoint_ends_with_the_same_bits(
    shards: Shards, tmp_path: Path, precision: str, optimizer: str
) -> None:
    def loop(name: str) -> Loop:
        step = make_step(dropout=0.2, micro_batch=3, clip=1.0, seed=5, precision=precision, optimizer=optimizer)
        plan = Plan(steps=45, log_every=4, evaluate_every=5, checkpoint_every=7)
        return make_loop(shards, tmp_path / name, plan=plan, keep_last=100, step=step, patience=2, learning_rate=3e-2)

    whole = loop("whole")
    outcome = whole.run()
    steps = whole.checkpoints.steps()
    assert len(steps) > 2
    for step in steps:
        shutil.copytree(tmp_path / "whole", tmp_path / f"from {step}")
        resumed = loop(f"from {step}")
        again = resumed.run(resumed.checkpoints.load(step))
        assert_same_bits(whole.step.model.weights(), resumed.step.model.weights())
        assert (again.validation_loss, again.best_step, again.steps) == (
            outcome.validation_loss,
            outcome.best_step,
            outcome.steps,
        )


def test_early_stopping_ends_the_run_and_puts_the_best_weights_back(shards: Shards, tmp_path: Path) -> None:
    listener, seen = Listener(), {}
    loop = make_loop(
        shards,
        tmp_path,
        plan=Plan(500, log_every=5, evaluate_every=5, sample_every=5),
        patience=3,
        learning_rate=0.1,
        listener=listener,
        sample=lambda done: seen.update({done: weights_of(loop)}),
    )
    outcome = loop.run()
    losses = dict(listener.series("validation_loss"))
    best = min(losses, key=lambda step: losses[step])
    assert outcome.stopped_early
    assert outcome.steps == best + 3 * 5 < 500
    assert outcome.best_step == best
    assert_same_bits(loop.step.model.weights(), seen[best])
    assert any(f"The weights of step {best}" in line for line in listener.said)


def test_without_patience_the_last_weights_are_kept(shards: Shards, tmp_path: Path) -> None:
    loop = make_loop(shards, tmp_path, plan=Plan(60, evaluate_every=5, log_every=5), learning_rate=0.1)
    outcome = loop.run()
    assert not outcome.stopped_early
    assert outcome.best_step is None
    assert outcome.steps == 60


def test_a_request_to_stop_saves_and_returns_and_the_run_goes_on_later(shards: Shards, tmp_path: Path) -> None:
    whole = make_loop(shards, tmp_path / "whole", plan=PLAN)
    whole.run()
    stopped = make_loop(shards, tmp_path / "run", plan=PLAN, listener=Listener(stop_after=15))
    outcome = stopped.run()
    assert not outcome.finished
    assert outcome.steps == 15
    assert math.isnan(outcome.validation_loss)
    listener = Listener()
    resumed = make_loop(shards, tmp_path / "run", plan=PLAN, listener=listener)
    resumed.run(resumed.checkpoints.latest())
    assert listener.said == ["Going on from step 15 of 40."]
    assert_same_bits(whole.step.model.weights(), resumed.step.model.weights())


def test_a_checkpoint_of_other_settings_is_refused_by_their_names(shards: Shards, tmp_path: Path) -> None:
    make_loop(shards, tmp_path, plan=PLAN, identity={"seed": 1, "shards": "abc"}).run()
    other = make_loop(shards, tmp_path, plan=PLAN, identity={"seed": 2, "shards": "abc"})
    with pytest.raises(BadInput, match="belongs to another run: seed was 1 and is 2\\."):
        other.run(other.checkpoints.latest())


@pytest.mark.parametrize("what", ["loss", "gradient norm"])
def test_a_loss_or_gradient_that_is_no_number_stops_the_run_and_names_step_and_last_good_checkpoint(
    shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    loop = make_loop(shards, tmp_path, plan=PLAN)
    true_step, nothing = loop.step.__class__.__call__, torch.tensor(math.nan)

    def broken(self: object, number: int, *arguments: object) -> StepResult:
        result = true_step(loop.step, number, *arguments)
        if number != 23:
            return result
        return StepResult(nothing, result.gradient_norm) if what == "loss" else StepResult(result.loss, nothing)

    monkeypatch.setattr(loop.step.__class__, "__call__", broken)
    with pytest.raises(BadInput) as raised:
        loop.run()
    assert f"at step 23 the {what} is nan" in raised.value.problem
    assert "the last good checkpoint is that of step 20" in raised.value.problem
    assert loop.checkpoints.latest() is not None


def test_a_learning_rate_that_is_far_too_high_ends_in_that_sentence(shards: Shards, tmp_path: Path) -> None:
    loop = make_loop(shards, tmp_path, plan=Plan(200, evaluate_every=1), learning_rate=1e20)
    with pytest.raises(BadInput, match=r"Training diverged: .* there is no checkpoint yet"):
        loop.run()


def test_a_validation_loss_that_is_no_number_stops_the_run(
    shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = make_loop(shards, tmp_path, plan=PLAN)
    monkeypatch.setattr(loop.validation, "sampled_loss", lambda loss: math.inf)
    with pytest.raises(BadInput, match="at step 10 the validation loss is inf"):
        loop.run()
    assert loop.checkpoints.steps() == []


def test_a_full_disk_stops_the_run_with_the_last_checkpoint_intact_and_it_goes_on_when_there_is_room(
    shards: Shards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_loop(shards, tmp_path / "whole", plan=PLAN)
    whole.run()
    loop = make_loop(shards, tmp_path / "run", plan=PLAN)
    save = checkpoints_module.save_file

    def fills_up(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if "step-00000030" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints_module, "save_file", fills_up)
        with pytest.raises(BadInput, match=r"checkpoint of step 30 .* the checkpoint of step 20 is untouched"):
            loop.run()
    assert [path.name for path in sorted((tmp_path / "run").iterdir())] == ["step-00000010", "step-00000020"]
    resumed = make_loop(shards, tmp_path / "run", plan=PLAN)
    resumed.run(resumed.checkpoints.latest())
    assert_same_bits(whole.step.model.weights(), resumed.step.model.weights())


def test_a_checkpoint_of_another_optimizer_is_refused(shards: Shards, tmp_path: Path) -> None:
    make_loop(shards, tmp_path, plan=PLAN).run()
    other = make_loop(shards, tmp_path, plan=PLAN, step=make_step(optimizer="muon"))
    with pytest.raises(BadInput, match="optimiser's state doesn't fit"):
        other.run(other.checkpoints.latest())


def test_a_checkpoint_of_another_model_is_refused(shards: Shards, tmp_path: Path) -> None:
    make_loop(shards, tmp_path, plan=PLAN).run()
    wider = make_loop(shards, tmp_path, plan=PLAN, step=make_step(SPEC.replace(width=32)))
    with pytest.raises(BadInput, match="shape"):
        wider.run(wider.checkpoints.latest())


def test_a_finished_run_that_is_resumed_only_measures_again(shards: Shards, tmp_path: Path) -> None:
    outcome = make_loop(shards, tmp_path, plan=PLAN).run()
    again = make_loop(shards, tmp_path, plan=PLAN)
    assert again.run(Checkpoints(tmp_path).latest()).validation_loss == outcome.validation_loss
