"""Checkpoints that survive a kill at any moment, a full disk, and a damaged file.

A checkpoint is a folder of safetensors and one `state.json`; nothing in it can run code when it is read. It is written
beside its place, synced and renamed, so under its final name it is always whole as far as writing goes; `state.json`
holds the hash of every file, so what rots later is noticed when it is read.

    checkpoints/step-00000400/weights.safetensors, optimizer.safetensors, state.json
    checkpoints/.step-00000500.part/               (a write that a kill cut short: swept away at the next start)
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from glassbox.errors import BadInput
from glassbox.workspace.atomic import rename_folder, sync, write_file
from glassbox.workspace.saved_steps import saved_steps, step_folder

FORMAT = 1
STATE_FILE = "state.json"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on after `step` steps.

    tensors: file name without suffix -> name -> tensor, such as weights, optimizer, best.
    facts: whatever else, as JSON. validation_loss: the loss measured at this very step, if it was.
    """

    step: int
    tensors: Mapping[str, Mapping[str, torch.Tensor]]
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    validation_loss: float | None = None


class Checkpoints:
    """The checkpoints of one run, in one folder that only one process writes to.

    keep_last: how many of the newest stay. keep_every: those at multiples of this many steps stay too. keep_best: so
    does the one with the lowest validation loss. report: told, in a sentence, about damage that was stepped over.
    writes: False for a process that only reads what another one writes; it leaves that one's litter alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep_last: int = 2,
        keep_every: int | None = None,
        keep_best: bool = True,
        report: Callable[[str], None] = lambda sentence: None,
        writes: bool = True,
    ) -> None:
        self.folder = folder
        self.keep_last = max(1, keep_last)
        self.keep_every = keep_every
        self.keep_best = keep_best
        self._report = report
        with _explained(folder, "The folder for checkpoints cannot be used"):
            folder.mkdir(parents=True, exist_ok=True)
            if writes:
                self._sweep()

    def steps(self) -> list[int]:
        """The steps that a checkpoint exists for, oldest first, damaged ones included."""
        return saved_steps(self.folder)

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies, or would lie."""
        return step_folder(self.folder, step)

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint and drop the ones that retention lets go.

        Raises BadInput when the disk is full or refuses; then nothing of this checkpoint is left on it, and the ones
        before it are as they were.
        """
        target = self.path(checkpoint.step)
        draft = self.folder / f".{target.name}.part"
        try:
            with _explained(self.folder, self._failure(checkpoint)):
                self._write(checkpoint, draft)
                self._remove(target)  # a damaged or replayed one of the same step
                rename_folder(draft, target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        self._retain()
        return target

    def load(self, step: int) -> Checkpoint:
        """Read one checkpoint, every file verified. Raises BadInput when it is missing or damaged."""
        path = self.path(step)
        if not path.is_dir():
            there = ", ".join(map(str, self.steps())) or "none"
            raise BadInput(f"There is no checkpoint of step {step:,} in {self.folder}.", f"Those there: {there}.")
        try:
            return _read(path)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise BadInput(
                f"The checkpoint in {path} is damaged: {why}.", "Resume from another one, or delete that folder."
            ) from error

    def latest(self) -> Checkpoint | None:
        """The newest whole checkpoint; None where there is none at all.

        Every damaged one that is stepped over is reported. Raises BadInput when all are damaged, rather than begin
        anew without a word.
        """
        newest_first = self.steps()[::-1]
        for step in newest_first:
            try:
                checkpoint = self.load(step)
            except BadInput as damage:
                self._report(damage.problem)
                continue
            if step != newest_first[0]:
                self._report(f"Going on from the checkpoint of step {step:,}, the newest one that is whole.")
            return checkpoint
        if newest_first:
            raise BadInput(
                f"Not one of the {len(newest_first)} checkpoints in {self.folder} can be read.",
                "Delete that folder to train from the beginning, or restore it from a backup.",
            )
        return None

    def back_to(self, step: int) -> Checkpoint:
        """Read the checkpoint of a step, and then drop those of later ones, which training from here makes anew.

        Raises BadInput when it is missing or damaged; then all stay.
        """
        checkpoint = self.load(step)
        for later in self.steps():
            if later > step:
                self._remove(self.path(later))
        return checkpoint

    def keep_newest(self) -> None:
        """Drop all but the newest: what a run that is over keeps."""
        for step in self.steps()[:-1]:
            self._remove(self.path(step))

    def remove(self) -> None:
        """Delete all of them, and their folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, checkpoint: Checkpoint, draft: Path) -> None:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        files: dict[str, object] = {}
        for name, tensors in checkpoint.tensors.items():
            path = draft / f"{name}.safetensors"
            save_file({key: tensor.detach().contiguous() for key, tensor in tensors.items()}, path)
            sync(path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": _hash(path)}
        content = {
            "format": FORMAT,
            "step": checkpoint.step,
            "validation_loss": checkpoint.validation_loss,
            "facts": checkpoint.facts,
            "files": files,
        }
        signed = {"sha256": _hash_of_json(content), "content": content}
        write_file(draft / STATE_FILE, json.dumps(signed, indent=2, allow_nan=False).encode())

    def _failure(self, checkpoint: Checkpoint) -> str:
        """The sentence's beginning, should this checkpoint not get onto the disk."""
        needed = sum(tensor.nbytes for tensors in checkpoint.tensors.values() for tensor in tensors.values())
        before = self.steps()
        kept = f"the checkpoint of step {before[-1]:,} is untouched" if before else "there is no earlier checkpoint"
        size = f"{needed / 1e6:,.1f} MB"
        return f"The checkpoint of step {checkpoint.step:,} ({size}) could not be written, and {kept}"

    def _retain(self) -> None:
        steps = self.steps()
        kept = set(steps[-self.keep_last :])
        if self.keep_every:
            kept |= {step for step in steps if step % self.keep_every == 0}
        if self.keep_best:
            losses = {step: loss for step in steps if (loss := self._validation_loss(step)) is not None}
            kept |= {min(losses, key=lambda step: (losses[step], step))} if losses else set()
        for step in set(steps) - kept:
            self._remove(self.path(step))

    def _validation_loss(self, step: int) -> float | None:
        try:
            content = json.loads((self.path(step) / STATE_FILE).read_bytes())["content"]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # damaged: it cannot be the best one, and reading it will say so
        return content["validation_loss"]

    def _remove(self, path: Path) -> None:
        """Take the name away first: a kill in the middle must not leave half a checkpoint under it."""
        if path.exists():
            doomed = path.with_name(f".{path.name}.removed.part")
            shutil.rmtree(doomed, ignore_errors=True)
            rename_folder(path, doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def _sweep(self) -> None:
        for litter in self.folder.glob(".step-*.part"):
            shutil.rmtree(litter, ignore_errors=True)


def _read(path: Path) -> Checkpoint:
    """Raises OSError, ValueError, KeyError, TypeError or SafetensorError for whatever is wrong."""
    signed = json.loads((path / STATE_FILE).read_bytes())
    content = signed["content"]
    if signed["sha256"] != _hash_of_json(content):
        raise ValueError(f"{STATE_FILE} doesn't have the content it was written with")
    if content["format"] != FORMAT:
        raise ValueError(f"it has format {content['format']}, and this version reads format {FORMAT}")
    tensors: dict[str, Mapping[str, torch.Tensor]] = {}
    for name, entry in content["files"].items():
        file = path / name
        size = file.stat().st_size
        if size != entry["bytes"]:
            raise ValueError(f"{name} has {size:,} bytes instead of {entry['bytes']:,}")
        if _hash(file) != entry["sha256"]:
            raise ValueError(f"{name} doesn't have the content it was written with")
        tensors[name.removesuffix(".safetensors")] = load_file(file)
    return Checkpoint(content["step"], tensors, content["facts"], content["validation_loss"])


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_of_json(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


@contextlib.contextmanager
def _explained(folder: Path, failure: str) -> Iterator[None]:
    """Within the block, what the disk refuses becomes BadInput."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = _error_number(error)
        if number in _NO_ROOM:
            free = shutil.disk_usage(folder).free / 1e6
            raise BadInput(
                f"{failure}: no room is left for it on the disk of {folder} ({free:,.1f} MB free).",
                "Free some space there, then resume the run: it goes on from its last checkpoint.",
            ) from error
        reason = os.strerror(number) if number else str(error)
        raise BadInput(f"{failure}: {reason} ({folder}).", "Make that folder writable, then resume the run.") from error


def _error_number(error: OSError | SafetensorError) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"os error (\d+)", str(error))  # safetensors tells the system's error in words only
    return int(found[1]) if found else None
