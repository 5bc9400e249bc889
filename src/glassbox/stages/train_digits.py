"""Train a model on the digit task: Max ( 5 3 9 ) is 9.

Of the task one-digit the answer is one of ten classes, given by an encoder (the preset digits). Of the task two-digit
the numbers go to 99 and a decoder writes the answer digit by digit (the preset two-digits). Any engine learns the same,
at its own pace. A run that was killed or stopped goes on from the last whole epoch.
"""

from __future__ import annotations

import json
import time
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from glassbox.stages.interface import Context, Slot, Stage, StageSettings

if TYPE_CHECKING:
    from glassbox.data.digits import Split
    from glassbox.training.digits import DigitTraining, Recipe, Step

CHECKPOINT = "latest.safetensors"
TOLD_EVERY = 10  # steps, whose loss and accuracy are averaged
PRESETS = {"one-digit": "digits", "two-digit": "two-digits"}


class Settings(StageSettings):
    task: Literal["one-digit", "two-digit"] = Field(
        "one-digit", description="Numbers 0 to 9 and a class as the answer, or 0 to 99 and an answer written out."
    )
    size: Literal["small", "medium", "large"] = Field(
        "medium", description="1,000, 10,000 or 50,000 examples; the task two-digit needs 10,000."
    )
    engine: Literal["scalars", "lists", "arrays", "tensors"] = Field(
        "arrays", description="What computes; scalars and lists are meant for step-by-step."
    )
    precision: Literal["float32", "float64"] | None = Field(
        None, description="Of arrays and tensors; none is the engine's own."
    )
    epochs: int | None = Field(None, ge=1, le=100_000, description="Times through the examples; none is the size's.")
    batch_size: int | None = Field(None, ge=1, le=50_000, description="Examples of one step; none is the size's.")
    learning_rate: float | None = Field(None, gt=0, le=10, description="At its height; none is the size's.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of the examples, the first weights and the order of batches.")

    @property
    def default_name(self) -> str | None:
        return PRESETS[self.task]


def prepare(settings: Settings) -> tuple[DigitTraining, Split]:
    """A fresh model with all that it needs to learn, and the examples."""
    from glassbox.data.digits import TASKS, generate
    from glassbox.engines.catalogue import engine
    from glassbox.spec import preset
    from glassbox.training.digits import DigitTraining

    split = generate(TASKS[settings.task], settings.size, settings.seed)
    chosen = engine(settings.engine)
    model = chosen.transformer(preset(PRESETS[settings.task]), settings.seed, precision=settings.precision)
    return DigitTraining(chosen, model, split.train, _recipe(settings), settings.seed), split


def run(settings: Settings, context: Context) -> dict[str, object]:
    from glassbox.engines.model_files import load_arrays
    from glassbox.evaluation.digits import accuracy_by_operation

    training, split = prepare(settings)
    saved = context.checkpoints / CHECKPOINT
    if saved.exists():
        training.restore(load_arrays(saved))
        context.log(f"Going on from step {training.done:,} of {training.total:,}.")
    began = time.monotonic()
    if not _train(training, context):
        context.log(f"Stopped after step {training.done:,} of {training.total:,}; resume the run to go on.")
        return {"finished": False, "steps": training.done}
    seconds = time.monotonic() - began
    context.progress(0, None, note=f"answering {len(split.test):,} expressions that it has never seen")
    by_operation = accuracy_by_operation(training.model, split.test)
    result: dict[str, object] = {
        "finished": True,
        "task": settings.task,
        "engine": settings.engine,
        "parameters": _parameters(training),
        "examples": len(split.train),
        "epochs": training.recipe.epochs,
        "steps": training.done,
        "seconds": seconds,
        "test_examples": len(split.test),
        "accuracy": fmean(by_operation[example.operation] for example in split.test),
        "accuracy_by_operation": by_operation,
    }
    _publish(training, settings, result, context)
    return result


def _recipe(settings: Settings) -> Recipe:
    """The size's recipe with what the settings say otherwise."""
    from dataclasses import replace

    from glassbox.training.digits import RECIPES

    said = {name: getattr(settings, name) for name in ("epochs", "batch_size", "learning_rate")}
    return replace(
        RECIPES[settings.task, settings.size], **{name: value for name, value in said.items() if value is not None}
    )


def _train(training: DigitTraining, context: Context) -> bool:
    """To the end, or until someone asks to stop (False); a checkpoint after every epoch and when stopping."""
    from glassbox.engines.model_files import save_arrays

    saved = context.checkpoints / CHECKPOINT
    window: list[Step] = []
    for step in training.steps():
        window.append(step)
        if step.number % TOLD_EVERY == 0 or step.number == training.total:
            values = _means(window)
            context.metrics(step.number, values)
            epoch = -(-step.number // training.steps_per_epoch)
            note = f"epoch {epoch}, {values['accuracy']:.1%} right"
            context.progress(step.number, training.total, unit="steps", note=note)
            window = []
        finished = step.number == training.total
        if context.stop_requested and not finished:
            save_arrays(training.state(), saved)
            return False
        if step.number % training.steps_per_epoch == 0 and not finished:
            save_arrays(training.state(), saved)
    return True


def _means(window: list[Step]) -> dict[str, float]:
    count = len(window)
    return {
        "loss": sum(step.loss for step in window) / count,
        "accuracy": sum(float(step.right.mean()) for step in window) / count,
        "gradient_norm": sum(step.gradient_norm for step in window) / count,
        "learning_rate": window[-1].learning_rate,
    }


def _parameters(training: DigitTraining) -> int:
    from glassbox.spec import count_parameters

    return count_parameters(training.model.spec).total


def _publish(training: DigitTraining, settings: Settings, result: dict[str, Any], context: Context) -> None:
    from glassbox.engines.model_files import save_model
    from glassbox.evaluation.digits import STORY_FILE
    from glassbox.tokenizers.digits import DigitTokenizer

    with context.output("model") as draft:
        save_model(training.model, draft.folder)
        tokenizer = draft.folder / "tokenizer"
        tokenizer.mkdir()
        DigitTokenizer().save(tokenizer)
        story = {"settings": settings.model_dump(mode="json"), "result": result}
        (draft.folder / STORY_FILE).write_text(json.dumps(story, indent=2) + "\n", encoding="utf-8")
        draft.describe(task=settings.task, parameters=result["parameters"], accuracy=result["accuracy"])


STAGE = Stage(
    settings=Settings,
    makes={"model": Slot("model", "the trained model, with its tokenizer and the story of its training")},
    run=run,
)
