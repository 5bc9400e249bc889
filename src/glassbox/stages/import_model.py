"""Bring in a model in Hugging Face's format: GPT-2, GPT-NeoX (Pythia), Llama, Mistral, Mixtral, Qwen, T5, BART, BERT.

The folder holds config.json, safetensors (one file, or shards with an index) and tokenizer.json; a model on the hub is
fetched by its name. Everything is checked before anything is written. Weights that come as pickle (pytorch_model.bin)
are refused: opening them would run whatever their author put in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from glassbox.errors import BadInput
from glassbox.spec import count_parameters
from glassbox.stages.interface import Context, Slot, Stage, StageSettings, Stopped
from glassbox.stages.local_paths import InputPath
from glassbox.workspace.names import name_from


class Settings(StageSettings):
    path: InputPath | None = Field(default=None, description="The model's folder; or give a hub-name.")
    hub_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="A model on the Hugging Face hub: EleutherAI/pythia-70m.",
    )
    revision: str | None = Field(
        default=None, min_length=1, max_length=200, description="With a hub-name: a branch, tag or commit; else newest."
    )
    number_format: Literal["kept", "float64", "float32", "float16", "bfloat16"] = Field(
        default="kept", description="How weights are stored; every engine reads them all."
    )

    @property
    def default_name(self) -> str | None:
        name = self.path.name if self.path else (self.hub_name or "").rpartition("/")[2]
        return name_from(name) if name else None


def run(settings: Settings, context: Context) -> dict[str, object]:
    from glassbox.hub import Import
    from glassbox.hub.number_formats import NAMES, name_of
    from glassbox.hub.tokenizer_files import keep_tokenizer, read_chat_template, read_tokenizer

    model = Import(_folder(settings))
    tokenizer = read_tokenizer(model.folder, model.spec.vocabulary_size)
    template = read_chat_template(model.folder)
    found = " and ".join(name_of(code) for code in model.number_formats)
    facts: dict[str, JsonValue] = {
        "family": model.family.model_type,
        "parameters": count_parameters(model.spec).total,
        "number_format": found if settings.number_format == "kept" else settings.number_format,
    }
    context.log(f"A {model.family.model_type} of {facts['parameters']:,} parameters in {found}.")
    if tokenizer is None:
        context.log("The folder has no tokenizer.json: this model reads ids, and no text.")

    def progress(done: int, total: int) -> None:
        if context.stop_requested:
            raise Stopped
        context.progress(done, total, unit="weights", note="copying")

    try:
        if tokenizer is not None:
            with context.output("tokenizer") as draft:
                tokenizer.save(draft.folder)
                draft.describe(
                    kind="huggingface",
                    vocabulary_size=tokenizer.vocabulary_size,
                    special_tokens=dict(tokenizer.special_tokens),
                )
        with context.output("model") as draft:
            model.write(draft.folder, NAMES.get(settings.number_format), progress)
            if tokenizer is not None:
                keep_tokenizer(tokenizer, template, draft.folder / "tokenizer")
            draft.describe(**facts)
    except Stopped:
        return {}
    return {
        **facts,
        "tokenizer": None if tokenizer is None else tokenizer.vocabulary_size,
        "chat_template": template is not None,
    }


def _folder(settings: Settings) -> Path:
    """Where the model is, fetched first if it was named. Raises BadInput unless one of both was given."""
    from glassbox.hub.download import download

    if settings.path is not None and settings.hub_name is None and settings.revision is None:
        return settings.path
    if settings.hub_name is not None and settings.path is None:
        return download(settings.hub_name, settings.revision)
    raise BadInput("A model is imported from a path or by a name on the hub.", "Give --path or --hub-name.")


STAGE = Stage(
    settings=Settings,
    run=run,
    makes={
        "model": Slot("model", "its description, weights, tokenizer and chat template"),
        "tokenizer": Slot("tokenizer", "the same tokenizer by itself, to tokenize text with", required=False),
    },
)
