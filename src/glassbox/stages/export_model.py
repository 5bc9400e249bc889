"""Write a model for other programs: Hugging Face's transformers, llama.cpp, or onnxruntime.

huggingface is a folder that transformers loads, gguf a file for llama.cpp, Ollama and LM Studio. The weights are the
same numbers under the names of a family that computes just what this model does (GPT-2, GPT-NeoX, Llama, Mistral,
Mixtral, Qwen; for transformers also T5, BART, BERT), with the tokenizer and the chat template beside them. A model that
no family describes is refused, and the sentence says what they lack. onnx is a folder with the model as a graph, which
needs no family.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from glassbox.errors import BadInput
from glassbox.stages.interface import Context, Slot, Stage, StageSettings, Stopped
from glassbox.stages.local_paths import OutputPath
from glassbox.workspace import Artifact

if TYPE_CHECKING:
    from glassbox.hub.importing import Progress
    from glassbox.tokenizers import Tokenizer


class Settings(StageSettings):
    format: Literal["huggingface", "gguf", "onnx"] = Field(default="huggingface", description="Who shall read it.")
    to: OutputPath = Field(description="A new folder, or with gguf a new file.")
    number_format: Literal["kept", "float64", "float32", "float16", "bfloat16"] = Field(
        default="kept", description="How weights are stored; gguf has vectors, onnx all in float32."
    )
    shard_gigabytes: float = Field(
        default=5.0, gt=0, le=10_000, description="With huggingface: weights of more than this are cut into files."
    )


def run(settings: Settings, context: Context) -> dict[str, object]:
    def progress(done: int, total: int) -> None:
        if context.stop_requested:
            raise Stopped
        context.progress(done, total, unit="weights", note="writing")

    write = {"huggingface": _write_huggingface, "gguf": _write_gguf, "onnx": _write_onnx}[settings.format]
    try:
        kind = write(settings, context.input("model"), progress)
    except Stopped:
        return {}
    files = settings.to.iterdir() if settings.to.is_dir() else [settings.to]
    return {"computed_as": kind, "bytes": sum(path.stat().st_size for path in files)}


def _write_huggingface(settings: Settings, model: Artifact, progress: Progress) -> str:
    from glassbox.hub import Export, ModelFiles
    from glassbox.hub.new_place import new_folder
    from glassbox.hub.number_formats import NAMES
    from glassbox.hub.tokenizer_files import kept_chat_template

    export = Export(ModelFiles(model.folder))
    with new_folder(settings.to) as into:
        export.write(
            into,
            _tokenizer(model.folder),
            kept_chat_template(model.folder / "tokenizer"),
            NAMES.get(settings.number_format),
            shard_bytes=int(settings.shard_gigabytes * 1e9),
            progress=progress,
        )
    return export.family.model_type


def _write_gguf(settings: Settings, model: Artifact, progress: Progress) -> str:
    from glassbox.hub import ModelFiles
    from glassbox.hub.gguf.exporting import GgufExport
    from glassbox.hub.new_place import new_file
    from glassbox.hub.number_formats import NAMES
    from glassbox.hub.tokenizer_files import kept_chat_template

    export = GgufExport(ModelFiles(model.folder), model.name)
    tokenizer = _tokenizer(model.folder)
    if tokenizer is None:
        raise BadInput(f"The model {model.reference} has no tokenizer, which a GGUF file needs.", "Choose another one.")
    template = kept_chat_template(model.folder / "tokenizer")
    with new_file(settings.to) as path:
        export.write(path, tokenizer, template, NAMES.get(settings.number_format), progress)
    return export.architecture


def _write_onnx(settings: Settings, model: Artifact, progress: Progress) -> str:
    from glassbox.hub import ModelFiles
    from glassbox.hub.new_place import new_folder
    from glassbox.hub.onnx.exporting import OnnxExport
    from glassbox.hub.tokenizer_files import kept_chat_template

    if settings.number_format not in ("kept", "float32"):
        raise BadInput(f"ONNX is written in float32, and {settings.number_format} was asked for.", "Leave it out.")
    export = OnnxExport(ModelFiles(model.folder))
    with new_folder(settings.to) as into:
        export.write(into, _tokenizer(model.folder), kept_chat_template(model.folder / "tokenizer"), progress)
    return "onnx"


def _tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer in a model's folder; some models have none."""
    from glassbox.tokenizers import load

    return load(folder / "tokenizer") if (folder / "tokenizer").is_dir() else None


STAGE = Stage(settings=Settings, run=run, takes={"model": Slot("model", "the model to write")})
