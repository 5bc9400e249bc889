"""A run of pretrain that takes seconds."""

from __future__ import annotations

from typing import Any

from glassbox.data.shard_writer import ShardWriter
from glassbox.tokenizers.characters import CharacterTokenizer
from glassbox.workspace import Artifact, Run, Workspace

TEXT = "the cat sat on the mat and the dog ate the cake that the cat had made for the man with the hat. "
SETTINGS: dict[str, Any] = {
    "model": {"context": 16, "width": 16, "layers": 2, "heads": 2},
    "batch_size": 8,
    "steps": 30,
    "optimizer": "adamw",
    "precision": "fp32",
    "sample_tokens": 8,
    "evaluate_every": 10,
    "checkpoint_every": 10,
    "device": "cpu",
}


def inputs_in(workspace: Workspace) -> dict[str, Artifact]:
    """Shards of a small text by characters, and the tokenizer that made them."""
    tokenizer = CharacterTokenizer.train([TEXT])
    with workspace.artifacts.draft("tokenizer", "letters") as letters:
        tokenizer.save(letters.folder)
    reference = letters.artifact.reference
    with workspace.artifacts.draft("shards", "cats", parents=[letters.artifact]) as draft:
        size, end = tokenizer.vocabulary_size, tokenizer.end_of_text
        with ShardWriter(draft.folder, vocabulary_size=size, tokenizer=reference, end_of_text=end) as writer:
            for split, documents in (("train", [TEXT] * 30), ("validation", [TEXT[20:], TEXT[40:]])):
                writer.append(split, tokenizer.encode_arrays(documents), len("".join(documents).encode()))
    return {"shards": draft.artifact, "tokenizer": letters.artifact}


def queued(workspace: Workspace, inputs: dict[str, Artifact], **settings: Any) -> Run:
    """A run of it that nobody has begun."""
    return workspace.runs.create("pretrain", name="cats", settings=SETTINGS | settings, inputs=inputs)


def losses(run: Run) -> dict[int, float]:
    """By step; means over the steps since the last one."""
    metrics = [event.fields for event in run.events if event.kind == "metrics"]
    return {one["step"]: one["values"]["loss"] for one in metrics if "loss" in one["values"]}


def validation_losses(run: Run) -> dict[int, float]:
    metrics = [event.fields for event in run.events if event.kind == "metrics"]
    return {one["step"]: one["values"]["validation_loss"] for one in metrics if "validation_loss" in one["values"]}
