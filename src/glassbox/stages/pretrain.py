"""Train a language model from nothing on shards of token ids.

Before the first step it says what the run will take (parameters, memory, time, from a short measurement), afterwards
what it took. Give it steps, or seconds: then the number of steps that fits is decided once, before the first one. A
run that was killed or stopped goes on from its last checkpoint and ends with the same weights, to the bit. Several
processes can share each batch: what they learn is, up to rounding, what one learns (docs/parallel.md).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from glassbox.spec import count_memory, described
from glassbox.stages.interface import Context, Needs, Slot, Stage
from glassbox.stages.pretraining.settings import MAY_DIFFER, Settings
from glassbox.workspace.artifact import Artifact

MEMORY_OF_PYTORCH = 600_000_000  # bytes, before it has a model
MEMORY_OF_A_RECIPE = 2_000_000_000  # bytes, for a model that isn't chosen yet when the run is asked for


def run(settings: Settings, context: Context) -> dict[str, object]:
    began = time.monotonic()
    from glassbox.stages.pretraining.inputs import checked_inputs
    from glassbox.stages.pretraining.running import train
    from glassbox.training.parallel import joined

    inputs = checked_inputs(settings, context.input("shards"), context.input("tokenizer"))
    with joined(context.rank, context.world_size) as group:
        trained = train(settings, context, inputs, group, began)
        if trained.is_finished:
            with context.output("model") as draft:
                trained.write(draft)
            if settings.keep_checkpoints is None:
                trained.training.checkpoints.keep_newest()
    return trained.result


def needs(settings: Settings, inputs: Mapping[str, Artifact]) -> Needs:
    """Predicted from the model's description where it is known, and from its batch."""
    gpu = {"cpu": "never", "cuda": "always"}.get(settings.device, "if there is one")
    memory, batch = MEMORY_OF_A_RECIPE, settings.micro_batch or settings.batch_size
    if settings.preset and batch:
        facts = inputs["tokenizer"].manifest.facts
        changes = settings.model.model_dump(exclude_none=True)
        if isinstance(size := facts.get("vocabulary_size"), int):
            changes["vocabulary_size"] = size
        spec = described(settings.preset).replace(**changes)
        memory = MEMORY_OF_PYTORCH + int(count_memory(spec, batch=batch).process)
    return Needs(settings.threads, memory, gpu)  # pyright: ignore[reportArgumentType]  (one of the three)


STAGE = Stage(
    settings=Settings,
    needs=needs,
    may_differ=MAY_DIFFER | {"seconds"},
    takes={
        "shards": Slot("shards", "the token ids to learn from"),
        "tokenizer": Slot("tokenizer", "the tokenizer that made them; the model keeps a copy"),
    },
    makes={"model": Slot("model", "the trained model, with its tokenizer and the story of its training")},
    run=run,
    parallel=True,
)
