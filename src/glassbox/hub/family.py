"""What a family of models is: one file of `families` with names and sizes in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from glassbox.errors import BadInput
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
