"""What a pretraining reads: shards, and the tokenizer that made them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glassbox.data.shards import Shards
from glassbox.errors import BadInput
from glassbox.stages.pretraining.settings import Settings
from glassbox.tokenizers import Tokenizer, load
from glassbox.workspace.artifact import Artifact


@dataclass(frozen=True)
class Inputs:
    """What is read: shards, and the tokenizer that made them."""

    shards: Shards
    tokenizer: Tokenizer
    tokenizer_folder: Path
    identity: dict[str, str]


def checked_inputs(settings: Settings, shards_artifact: Artifact, tokenizer_artifact: Artifact) -> Inputs:
    """Raises BadInput where shards, tokenizer and model don't belong together."""
    if settings.steps is not None and settings.seconds is not None:
        raise BadInput("Both a number of steps and a time were given.", "Give --steps or --seconds.")
    shards, tokenizer = Shards(shards_artifact.folder), load(tokenizer_artifact.folder)
    if (
        shards.tokenizer != tokenizer_artifact.reference
        or shards.vocabulary_size != tokenizer.vocabulary_size
        or shards.end_of_text != tokenizer.end_of_text
    ):
        raise BadInput(
            f"The shards {shards_artifact.reference} were made by the tokenizer {shards.tokenizer} of "
            f"{shards.vocabulary_size:,} ids, and {tokenizer_artifact.reference} of {tokenizer.vocabulary_size:,} "
            "ids was given.",
            f"Give --tokenizer {shards.tokenizer}, or tokenize the corpus again.",
        )
    return Inputs(
        shards,
        tokenizer,
        tokenizer_artifact.folder,
        {"shards": shards_artifact.manifest.hash, "tokenizer": tokenizer_artifact.manifest.hash},
    )
