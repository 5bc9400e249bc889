"""Several processes learn what one learns: the law that everything about them follows from.

In float64 the losses, gradients and weights of N processes are those of one to 1e-9, whatever the shares.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from glassbox.errors import BadInput
from glassbox.training.parallel import ALONE, RENDEZVOUS_VARIABLE, gpu_of_this_process, joined

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forks")

TRAININGS = ("plainly", "accumulating_and_clipping", "with_muon", "in_single_precision", "with_experts")
CALLS = {
    **{f"{name}-{size}": (size, name) for name in TRAININGS for size in (1, 2)},
    **{f"{name}-3": (3, name) for name in TRAININGS[:2]},
    **{f"{name}-2": (2, name) for name in ("gradients", "with_dropout", "drifting_apart", "asked_to_stop")},
    **{f"{name}-3": (3, name) for name in ("losing_one", "talking")},
    **{f"with_a_share_of_nothing-{size}": (size, "with_a_share_of_nothing") for size in (1, 2)},
    "gradients-1": (1, "gradients"),
    "asked_to_stop-1": (1, "asked_to_stop"),
    "first_leg": (1, "first_leg"),
    "second_leg": (2, "second_leg"),
    "last_leg": (1, "last_leg"),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """Of every call, what each process returned. All in one program, so that PyTorch is imported once."""
    script = Path(__file__).with_name("processes.py")
    folder = tmp_path_factory.mktemp("processes")
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], input=json.dumps(CALLS), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_close(left: Any, right: Any, tolerance: float) -> None:
    """The same shape of lists and dictionaries, with numbers that are close; those of weights by name."""
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for name, value in left.items():
            assert_close(value, right[name], tolerance)
    elif isinstance(left, list):
        torch.testing.assert_close(torch.tensor(left), torch.tensor(right), rtol=0, atol=tolerance)
    else:
        assert left == pytest.approx(right, abs=tolerance)


@pytest.mark.parametrize(
    ("training", "world_size", "tolerance"),
    [
        ("plainly", 2, 1e-9),
        ("plainly", 3, 1e-9),  # shares of 3, 3 and 2 windows
        ("accumulating_and_clipping", 2, 1e-9),
        ("accumulating_and_clipping", 3, 1e-9),
        ("with_experts", 2, 1e-9),
        ("with_muon", 2, 1e-9),
        ("in_single_precision", 2, 1e-4),
    ],
)
def test_several_processes_learn_what_one_learns(
    results: dict[str, list[Any]], training: str, world_size: int, tolerance: float
) -> None:
    [alone], together = results[f"{training}-1"], results[f"{training}-{world_size}"]
    assert len(alone["loss"]) == 6
    assert len(alone["validation_loss"]) == 3
    assert alone["loss"][0][1] > alone["loss"][-1][1]
    for name in ("loss", "gradient_norm", "validation_loss", "expert_balance", "weights"):
        assert_close(together[0][name], alone[name], tolerance)
    if "full_loss" in alone:
        assert_close(together[0]["full_loss"], alone["full_loss"], tolerance)


def test_a_process_whose_share_has_no_targets_learns_with_the_others(results: dict[str, list[Any]]) -> None:
    [alone], together = results["with_a_share_of_nothing-1"], results["with_a_share_of_nothing-2"]
    assert alone["loss"][0] > alone["loss"][-1]
    assert all(process == together[0] for process in together)
    assert_close(together[0], alone, 1e-9)


@pytest.mark.parametrize("call", ["plainly-3", "accumulating_and_clipping-2", "in_single_precision-2"])
def test_all_processes_have_the_same_weights_to_the_bit(results: dict[str, list[Any]], call: str) -> None:
    first, *others = results[call]
    for other in others:
        assert other["weights"] == first["weights"]
        assert other["validation_loss"] == first["validation_loss"]


def test_gradients_are_averaged_before_the_update(results: dict[str, list[Any]]) -> None:
    """A famous fault elsewhere: the loss goes past what would average, and every process learns from its own share."""
    [alone] = results["gradients-1"]
    together = results["gradients-2"]
    own = [torch.tensor(process["own"]["output.weight"]) for process in together]
    assert (own[0] - own[1]).abs().max() > 1e-3  # each process was shown something else
    for process in together:
        assert_close(process["averaged"], alone["own"], 1e-12)


def test_processes_drop_other_values(results: dict[str, list[Any]]) -> None:
    first, second = results["with_dropout-2"]
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_a_stop_that_the_leader_hears_stops_all_at_one_step_and_all_go_on(results: dict[str, list[Any]]) -> None:
    [alone], together = results["asked_to_stop-1"], results["asked_to_stop-2"]
    for process in together:
        assert (process["stopped"]["finished"], process["stopped"]["steps"]) == (False, 6)
        assert (process["resumed"]["finished"], process["resumed"]["steps"]) == (True, 12)
    assert together[0]["stopped"]["saved"][-1] == 6
    assert_close(together[0]["resumed"]["weights"], alone["resumed"]["weights"], 1e-9)


def test_checkpoints_of_several_processes_and_of_one_are_the_same_thing(results: dict[str, list[Any]]) -> None:
    """One process trains to the fourth step, two to the eighth, one to the end."""
    [alone], legs = results["plainly-1"], [results[f"{leg}_leg"][0] for leg in ("first", "second", "last")]
    assert [leg["steps"] for leg in legs] == [4, 8, 12]
    assert_close([loss for leg in legs for loss in leg["loss"]], alone["loss"], 1e-9)
    assert_close(legs[-1]["weights"], alone["weights"], 1e-9)


def test_when_a_process_is_killed_the_others_say_so_and_end(results: dict[str, list[Any]]) -> None:
    *others, killed = results["losing_one-3"]
    assert killed == {"signal": signal.SIGKILL}
    for rank, process in enumerate(others):
        assert f"Process {rank} of 0 to 2 lost another one of this run" in process["problem"]
        assert "goes on from its last checkpoint" in process["remedy"]


def test_weights_that_differ_in_one_bit_are_noticed(results: dict[str, list[Any]]) -> None:
    assert all("no longer have the same weights" in process["problem"] for process in results["drifting_apart-2"])


def test_what_the_leader_says_counts(results: dict[str, list[Any]]) -> None:
    message = {"from": 0, "text": "Grüße", "nothing": None}
    assert results["talking-3"] == [[True, False, message, None, [3.0, 3.0]]] * 3


def test_a_process_alone_joins_nobody() -> None:
    with joined(0, 1) as group:
        assert group is ALONE
        assert (group.rank, group.world_size, group.leads) == (0, 1, True)
    assert not torch.distributed.is_initialized()


def test_processes_that_are_told_no_meeting_place_say_how_they_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", RENDEZVOUS_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadInput, match="didn't find the others at env://") as refused, joined(1, 2):
        pass
    assert "torchrun" in refused.value.remedy


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert gpu_of_this_process() == 1
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(BadInput, match="3 processes of this machine want a GPU each, and PyTorch finds 2"):
        gpu_of_this_process()
