"""The families there are, and which of them computes what a model does."""

from __future__ import annotations

import importlib
import pkgutil

from glassbox.errors import BadInput
from glassbox.hub import families
from glassbox.hub.family import Family
from glassbox.spec import ModelSpec


def all_families() -> list[Family]:
    """Every module of `families` that has a FAMILY, by name."""
    modules = [importlib.import_module(f"{families.__name__}.{one.name}") for one in _modules()]
    return [module.FAMILY for module in modules]


def family_of(model_type: object) -> Family:
    """Raises BadInput that names the families there are."""
    known = {family.model_type: family for family in all_families()}
    if not isinstance(model_type, str) or model_type not in known:
        raise BadInput(
            f"config.json says model_type {model_type!r:.60}, a family that Glassbox doesn't know.",
            f"Choose a model of one of these: {', '.join(known)}.",
        )
    return known[model_type]


def family_that_carries(spec: ModelSpec, preferred: str | None = None) -> Family:
    """A family whose config, read back, is this very spec; the preferred one if it is one of them.

    Raises BadInput that names what the nearest family lacks.
    """
    lacking = {family: family.differences(spec) for family in all_families()}
    fitting = [family for family, differences in lacking.items() if not differences]
    if fitting:
        return next((family for family in fitting if family.model_type == preferred), fitting[0])
    nearest = min(lacking, key=lambda family: len(lacking[family]))
    raise BadInput(
        f"No family of Hugging Face's transformers computes what this model does: the nearest, {nearest.model_type}, "
        f"can't say {'; '.join(lacking[nearest])}.",
        "Export to ONNX, which needs no family, or train a model of a known one (glassbox spec list).",
    )


def _modules() -> list[pkgutil.ModuleInfo]:
    return list(pkgutil.iter_modules(families.__path__))
