"""An optimiser's state as named tensors and JSON, so that a checkpoint needs no pickle.

A tensor is called `<parameter's number>.<name>`, such as `0.exp_avg`, in the order of the optimiser's groups. Settings
of the groups (learning rate, betas) are not state: they come from the run's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from glassbox.errors import BadInput


def save_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors of the state, and the rest of it."""
    tensors: dict[str, torch.Tensor] = {}
    rest: dict[str, Any] = {}
    for number, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            (tensors if isinstance(value, torch.Tensor) else rest)[f"{number}.{name}"] = value
    return tensors, rest


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], rest: Mapping[str, Any]
) -> None:
    """Give an optimiser the state that `save_optimizer` took. Raises BadInput if it is another optimiser's."""
    parameters = _parameters(optimizer)
    optimizer.state.clear()
    for key, value in {**tensors, **rest}.items():
        number, _, name = key.partition(".")
        if int(number) >= len(parameters):
            raise BadInput(
                f"The checkpoint holds optimiser state for parameter {number}, and there are {len(parameters)}.",
                "Resume with the model and optimiser that wrote it.",
            )
        parameter = parameters[int(number)]
        if isinstance(value, torch.Tensor):
            # Counters of steps stay where they were (on the CPU, unless the optimiser is fused).
            value = value.clone() if value.ndim == 0 else value.to(parameter.device, copy=True)
        optimizer.state[parameter][name] = value


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
