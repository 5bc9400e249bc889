"""What a family of models is: one file of `families` with names and sizes in both directions."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from glassbox.errors import BadInput
from glassbox.hub import families
from glassbox.hub.config import Config
from glassbox.hub.correspondence import Correspondence
from glassbox.spec import ModelSpec

NOT_COMPUTED = {"initialization", "initial_std"}  # how weights began says nothing about what the model computes


@dataclass(frozen=True, eq=False)
class Family:
    """How `transformers` describes and names the models of one architecture.

    model_type and architecture: as in config.json.
    read:    a config to a spec. Raises BadInput that names what the spec can't say.
    write:   a spec to a config; of a spec that the family can't say, something that doesn't read back as that spec.
    tensors: where each weight of such a spec is in their files.
    prefix:  what stands before every name but the output matrix's; files of the bare model lack it.
    ignored: ends of names that hold no weights: masks and tables that old versions saved.
    copies:  names under which a file may hold the token embedding a second time.
    renamed: ends of names in old files -> what they are called now.
    """

    model_type: str
    architecture: str
    read: Callable[[Config], ModelSpec]
    write: Callable[[ModelSpec], dict[str, Any]]
    tensors: Callable[[ModelSpec], Iterable[Correspondence]]
    prefix: str
    ignored: tuple[str, ...] = ()
    copies: tuple[str, ...] = ("lm_head.weight",)
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])

    def config(self, spec: ModelSpec) -> dict[str, Any]:
        """The whole config.json of a spec."""
        return {"architectures": [self.architecture], "model_type": self.model_type, **self.write(spec)}

    def differences(self, spec: ModelSpec) -> list[str]:
        """The fields of a spec that the family can't say, with their values; empty where it carries the spec whole."""
        try:
            returned = self.read(Config(self.write(spec))).model_dump()
        except BadInput:  # what is left of the spec in their words makes no sense at all
            returned = dict.fromkeys(ModelSpec.model_fields)
        wanted = spec.model_dump()
        return [f"{name} = {wanted[name]}" for name in wanted if wanted[name] != returned[name]
                and name not in NOT_COMPUTED]  # fmt: skip


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
