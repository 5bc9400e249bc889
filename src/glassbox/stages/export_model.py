"""Write a model for other programs: the folder that Hugging Face's transformers loads.

The weights are the same numbers under the names of a family that computes just what this model does (GPT-2, GPT-NeoX,
Llama, Mistral, Qwen), with the tokenizer and the chat template beside them. A model that no family describes is
refused, and the sentence says what they lack.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from glassbox.stages.interface import Context, Slot, Stage, StageSettings

if TYPE_CHECKING:
    from glassbox.tokenizers import Tokenizer


class Settings(StageSettings):
    to: Path = Field(description="A new folder.")
    number_format: Literal["kept", "float64", "float32", "float16", "bfloat16"] = Field(
        default="kept", description="How weights are stored."
    )
    shard_gigabytes: float = Field(
        default=5.0, gt=0, le=10_000, description="Weights of more than this are cut into several files."
    )

    @field_validator("to")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        """A run may be resumed from another folder."""
        return path.absolute()


def run(settings: Settings, context: Context) -> dict[str, object]:
    from glassbox.hub import Export, ModelFiles
    from glassbox.hub.new_place import new_folder
    from glassbox.hub.number_formats import NAMES
    from glassbox.hub.tokenizer_files import kept_chat_template

    folder = context.input("model").folder
    export = Export(ModelFiles(folder))

    def progress(done: int, total: int) -> None:
        if context.stop_requested:
            raise _Stopped
        context.progress(done, total, unit="weights", note="writing")

    try:
        with new_folder(settings.to) as into:
            export.write(
                into,
                _tokenizer(folder),
                kept_chat_template(folder / "tokenizer"),
                NAMES.get(settings.number_format),
                shard_bytes=int(settings.shard_gigabytes * 1e9),
                progress=progress,
            )
    except _Stopped:
        return {}
    return {
        "folder": str(settings.to),
        "family": export.family.model_type,
        "bytes": sum(path.stat().st_size for path in settings.to.iterdir()),
    }


def _tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer in a model's folder; some models have none."""
    from glassbox.tokenizers import load

    return load(folder / "tokenizer") if (folder / "tokenizer").is_dir() else None


class _Stopped(Exception):  # noqa: N818  (nothing went wrong)
    """Someone asked to stop; what is half-written is thrown away."""


STAGE = Stage(settings=Settings, run=run, takes={"model": Slot("model", "the model to write")})
