"""One operation for each stage in the API's description, with the types of its own settings.

There is one route for all stages. In the description it is as many as there are stages, `start_pretrain` and so on, so
that a generated client knows every setting with its type, its bounds and its default.
"""

from __future__ import annotations

import copy
from typing import Any

from pydantic import BaseModel, Field, create_model
from pydantic.json_schema import models_json_schema

from glassbox.stages.interface import Stage
from glassbox.stages.registry import load_stage, stages
from glassbox.workshop.bodies import Body
from glassbox.workshop.jobs.preparing import Reference, StartRequest

OPERATIONS = {"start": "/api/stages/{stage}/runs", "validate": "/api/stages/{stage}/validate"}


def request_model(stage: Stage) -> type[BaseModel]:
    """`StartRequest` with the stage's own settings and inputs; for its schema alone."""
    title = "".join(word.capitalize() for word in stage.name.split("-"))
    settings = _model(f"{title}Settings", stage.settings, f"The settings of {stage.name}: {stage.summary}")
    slots = {name: (Reference, Field(default=None, description=slot.description)) for name, slot in stage.takes.items()}
    inputs = _model(f"{title}Inputs", Body, "Artifacts, NAME or NAME:3; what is left out is chosen.", **slots)
    nothing: dict[str, Any] = {}
    needed = any(field.is_required() for field in stage.settings.model_fields.values())
    return _model(
        f"Start{title}",
        StartRequest,
        f"{stage.summary} With what, and when.",
        settings=(
            settings,
            Field(default=... if needed else nothing, description="What is left out is as its default says."),
        ),
        inputs=(inputs, Field(default=nothing, description="Artifacts by slot.")),
    )


def _model(name: str, base: type[BaseModel], docstring: str, **fields: Any) -> type[BaseModel]:
    return create_model(name, __base__=base, __doc__=docstring, **fields)


def with_operations_of_stages(document: dict[str, Any]) -> dict[str, Any]:
    """The API's description, with the operations of all stages."""
    all_of_them = [load_stage(stage.name) for stage in stages()]
    models = {stage.name: request_model(stage) for stage in all_of_them}
    references, schemas = models_json_schema(
        [(model, "validation") for model in models.values()], ref_template="#/components/schemas/{model}"
    )
    document["components"]["schemas"] |= schemas.get("$defs", {})
    paths: dict[str, Any] = {}
    for path, item in document["paths"].items():
        verb = next((verb for verb, template in OPERATIONS.items() if template == path), None)
        if verb is None:
            paths[path] = item
            continue
        for stage in all_of_them:
            schema = references[(models[stage.name], "validation")]
            paths[path.replace("{stage}", stage.name)] = _operation(item, verb, stage, schema)
    return document | {"paths": paths}


def _operation(item: dict[str, Any], verb: str, stage: Stage, schema: dict[str, Any]) -> dict[str, Any]:
    item = copy.deepcopy(item)
    operation = item["post"]
    operation["operationId"] = f"{verb}_{stage.name.replace('-', '_')}"
    operation["summary"] = f"{verb.capitalize()} {stage.name}"
    operation["description"] = f"{stage.summary}\n\n{operation['description']}"
    operation["parameters"] = [one for one in operation["parameters"] if one["name"] != "stage"]
    operation["requestBody"]["content"]["application/json"]["schema"] = schema
    return item
