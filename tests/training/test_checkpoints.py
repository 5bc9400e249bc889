"""Checkpoints: whole or absent, whatever happens while they are written."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox.errors import BadInput
from glassbox.training import checkpoints as module
from glassbox.training.checkpoints import Checkpoint, Checkpoints


def checkpoint(step: int, *, loss: float | None = None, numbers: int = 10) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    weights = {"embedding.tokens": torch.randn(numbers, generator=generator)}
    moments = {"0.first": torch.randn(numbers, generator=generator).bfloat16(), "0.count": torch.tensor(step)}
    return Checkpoint(step, {"weights": weights, "optimizer": moments}, {"seed": 7, "rate": 0.1}, loss)


def assert_same(left: Checkpoint, right: Checkpoint) -> None:
    assert (left.step, left.facts, left.validation_loss) == (right.step, right.facts, right.validation_loss)
    assert left.tensors.keys() == right.tensors.keys()
    for name, tensors in left.tensors.items():
        assert tensors.keys() == right.tensors[name].keys()
        for key, tensor in tensors.items():
            assert tensor.dtype == right.tensors[name][key].dtype
            assert torch.equal(tensor, right.tensors[name][key])


def litter(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith("step-")]


def damage(path: Path, how: str) -> None:
    file = path / "weights.safetensors"
    match how:
        case "a flipped bit":
            content = bytearray(file.read_bytes())
            content[-1] ^= 1
            file.write_bytes(content)
        case "a cut file":
            file.write_bytes(file.read_bytes()[:-1])
        case "a lost file":
            file.unlink()
        case "no state":
            (path / "state.json").unlink()
        case "an empty state":
            (path / "state.json").write_bytes(b"")
        case "a binary state":
            (path / "state.json").write_bytes(b"\xff\x00" * 100)
        case "a state of another shape":
            (path / "state.json").write_text("[1, 2]")
        case "a changed number":
            state = json.loads((path / "state.json").read_text())
            state["content"]["facts"]["rate"] = 0.2
            (path / "state.json").write_text(json.dumps(state))


DAMAGES = [
    "a flipped bit",
    "a cut file",
    "a lost file",
    "no state",
    "an empty state",
    "a binary state",
    "a state of another shape",
    "a changed number",
]


def test_what_is_saved_comes_back_to_the_bit(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    store.save(checkpoint(3, loss=1.25))
    assert_same(store.load(3), checkpoint(3, loss=1.25))
    latest = store.latest()
    assert latest is not None
    assert_same(latest, checkpoint(3, loss=1.25))


def test_only_safetensors_and_json_are_written(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).save(checkpoint(1))
    assert sorted(file.name for file in path.iterdir()) == [
        "optimizer.safetensors",
        "state.json",
        "weights.safetensors",
    ]


def test_views_of_one_buffer_are_saved_apart(tmp_path: Path) -> None:
    buffer = torch.arange(12.0)
    views = {"rows": buffer[:6].view(2, 3), "turned": buffer[6:].view(3, 2).T}
    Checkpoints(tmp_path).save(Checkpoint(1, {"weights": views}))
    loaded = Checkpoints(tmp_path).load(1).tensors["weights"]
    assert torch.equal(loaded["rows"], views["rows"])
    assert torch.equal(loaded["turned"], views["turned"])


def test_an_empty_folder_has_no_latest_checkpoint(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path).latest() is None


def test_a_missing_step_is_answered_with_those_there(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    store.save(checkpoint(4))
    with pytest.raises(BadInput, match=r"no checkpoint of step 5 .* Those there: 4"):
        store.load(5)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_it_used(tmp_path: Path, how: str) -> None:
    said: list[str] = []
    store = Checkpoints(tmp_path, report=said.append)
    store.save(checkpoint(1))
    damage(store.save(checkpoint(2)), how)
    latest = store.latest()
    assert latest is not None
    assert_same(latest, checkpoint(1))
    assert "step-00000002 is damaged" in said[0]
    assert said[1] == "Going on from the checkpoint of step 1, the newest one that is whole."


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_asked_for_by_name_is_refused(tmp_path: Path, how: str) -> None:
    store = Checkpoints(tmp_path)
    damage(store.save(checkpoint(2)), how)
    with pytest.raises(BadInput, match="is damaged"):
        store.load(2)


def test_a_checkpoint_of_a_later_format_is_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Checkpoints(tmp_path)
    monkeypatch.setattr(module, "FORMAT", 2)
    store.save(checkpoint(1))
    monkeypatch.setattr(module, "FORMAT", 1)
    with pytest.raises(BadInput, match="it has format 2, and this version reads format 1"):
        store.load(1)


def test_when_all_are_damaged_training_does_not_quietly_begin_anew(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    for step in (1, 2):
        damage(store.save(checkpoint(step)), "a flipped bit")
    with pytest.raises(BadInput, match="Not one of the 2 checkpoints"):
        store.latest()


def test_a_damaged_checkpoint_is_replaced_when_its_step_comes_again(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    damage(store.save(checkpoint(2)), "a flipped bit")
    store.save(checkpoint(2))
    assert_same(store.load(2), checkpoint(2))
    assert litter(tmp_path) == []


@given(
    steps=st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True).map(sorted),
    losses=st.lists(st.none() | st.floats(0, 9), min_size=12, max_size=12),
    keep_last=st.integers(1, 4),
    keep_every=st.none() | st.integers(1, 20),
)
@settings(max_examples=15)
def test_retention_keeps_the_newest_the_best_and_every_nth(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[int],
    losses: list[float | None],
    keep_last: int,
    keep_every: int | None,
) -> None:
    store = Checkpoints(tmp_path_factory.mktemp("run"), keep_last=keep_last, keep_every=keep_every)
    for step, loss in zip(steps, losses, strict=False):
        store.save(checkpoint(step, loss=loss))
    kept = set(store.steps())
    measured = {step: loss for step, loss in zip(steps, losses, strict=False) if loss is not None}
    best = {min(measured, key=lambda step: (measured[step], step))} if measured else set()
    nth = {step for step in steps if keep_every and step % keep_every == 0}
    assert kept == set(steps[-keep_last:]) | best | nth
    assert litter(store.folder) == []


def test_without_keep_best_the_best_one_may_go(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, keep_last=1, keep_best=False)
    store.save(checkpoint(1, loss=0.1))
    store.save(checkpoint(2, loss=0.2))
    assert store.steps() == [2]


def test_a_write_that_a_kill_cut_short_is_never_taken_for_a_checkpoint_and_is_swept_away(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    store.save(checkpoint(1))
    half = tmp_path / ".step-00000002.part"
    half.mkdir()
    (half / "weights.safetensors").write_bytes(b"half")
    assert store.steps() == [1]
    assert Checkpoints(tmp_path).steps() == [1]
    assert litter(tmp_path) == []


@pytest.mark.parametrize("call", ["save_file", "sync", "write_file", "rename_folder"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_refuses_leaves_the_last_checkpoint_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    store = Checkpoints(tmp_path)
    store.save(checkpoint(1))

    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(module, call, refuse)
        with pytest.raises(BadInput) as raised:
            store.save(checkpoint(2))
    assert "The checkpoint of step 2" in raised.value.problem
    assert "the checkpoint of step 1 is untouched" in raised.value.problem
    assert ("Free some space" in raised.value.remedy) == (number != errno.EIO)
    assert litter(tmp_path) == []
    latest = store.latest()
    assert latest is not None
    assert_same(latest, checkpoint(1))


FILL_THE_DISK = """
import sys, torch
from pathlib import Path
from glassbox.errors import BadInput
from glassbox.training.checkpoints import Checkpoint, Checkpoints
store = Checkpoints(Path(sys.argv[1]))
store.save(Checkpoint(1, {"weights": {"a": torch.ones(10)}}))
try:
    store.save(Checkpoint(2, {"weights": {"a": torch.ones(1_000_000)}}))
except BadInput as error:
    print(error)
"""


def fill(folder: Path, **limits: object) -> str:
    command = [sys.executable, "-c", FILL_THE_DISK, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True, **limits).stdout


def test_a_file_that_may_not_grow_stops_the_write_with_a_clear_sentence(tmp_path: Path) -> None:
    """The system's own refusal, which everybody can provoke: a limit on the size of files."""
    said = fill(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)))
    assert "The checkpoint of step 2 (4.0 MB) could not be written, and the checkpoint of step 1 is untouched" in said
    assert "no room is left" in said
    assert Checkpoints(tmp_path).steps() == [1]


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting a small disk needs root on Linux")
def test_a_full_disk_stops_the_write_with_a_clear_sentence(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("this system doesn't allow mounting")
    try:
        said = fill(tmp_path)
        assert "no room is left" in said
        assert "Free some space there, then resume the run" in said
        store = Checkpoints(tmp_path)
        assert store.steps() == [1]
        assert torch.equal(store.load(1).tensors["weights"]["a"], torch.ones(10))
        assert litter(tmp_path) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="The folder for checkpoints cannot be used"):
        Checkpoints(tmp_path / "file" / "checkpoints")


def test_a_number_that_json_cannot_hold_is_not_written(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save(Checkpoint(1, {}, {"loss": float("nan")}))
    assert store.steps() == []
    assert litter(tmp_path) == []
