"""The optimisers: SGD with momentum, Adam, AdamW, and Muon with AdamW for what isn't a hidden matrix.

    optimizer = AdamW(model, learning_rate=1e-3)
    model.train_step(tokens, targets, optimizer)

They are `torch.optim.Optimizer`s, so PyTorch's schedulers and gradient scalers know them. A group's learning rate is
the run's learning rate times its `lr_factor`. Notable: one step is a handful of calls for the whole model instead of a
dozen for each weight (at 0.8M parameters 0.4 ms against 5 ms of `torch.optim.AdamW`'s default); Muon orthogonalises
all matrices of one shape, of all layers, in one batched product; query, key and value are one parameter in memory and
three matrices to Muon; the state has the weights' canonical names (`named_state`), so that a checkpoint is plain
tensors and a view can ask for the second moment of `blocks.0.attention.query`.
"""

# pyright: reportPrivateImportUsage=false
# The calls for many tensors at once (`_foreach_*`, `_fused_adamw_`) are what `torch.optim` itself is made of; PyTorch
# documents them but keeps the underscore.

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from glassbox.engines.tensors.transformer import FUSED, Transformer
from glassbox.errors import BadInput
from glassbox.spec import part_of, weight_shapes

# "The Polar Express" (Amsel, Persson, Musco & Gower 2025, algorithm 1): polynomials a·x + b·x³ + c·x⁵, each the best
# next one for the singular values that those before it have left, beginning with [0.001, 1]. x is divided by the safety
# factor before each, so that rounding to bfloat16 doesn't carry it out of the polynomial's domain.
SAFETY = 1.01
POLAR_EXPRESS = tuple(
    (a / SAFETY, b / SAFETY**3, c / SAFETY**5)
    for a, b, c in (
        (8.28721201814563, -23.595886519098837, 17.300387312530933),
        (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
        (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
        (3.3184196573706015, -2.488488024314874, 0.51004894012372),
        (2.300652019954817, -1.6689039845749518, 0.4188073119525673),
    )
)


class Optimizer(torch.optim.Optimizer, ABC):
    """What all of them share: groups of a model's parameters, and a state with canonical names.

    groups: each a dict with "params" and "lr_factor" (what the run's learning rate is multiplied by for it).
    """

    tensors: ClassVar[tuple[str, ...]] = ()  # the state of one weight: tensors of its shape, zero at the beginning

    def __init__(self, model: Transformer, learning_rate: float, groups: Iterable[dict[str, Any]]) -> None:
        self.model = model
        groups = [group | {"lr": learning_rate * group["lr_factor"]} for group in groups if group["params"]]
        super().__init__(groups, {})
        self.steps = torch.zeros(())  # updates made so far
        for parameter in self._parameters():
            self._begin(parameter)

    def _begin(self, parameter: Tensor) -> None:
        self.state[parameter] = {name: torch.zeros_like(parameter) for name in self.tensors}

    @property
    def learning_rate(self) -> float:
        """The run's learning rate of the next step; setting it sets that of every group."""
        group = self.param_groups[0]
        return group["lr"] / group["lr_factor"]

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        for group in self.param_groups:
            group["lr"] = rate * group["lr_factor"]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  (the base takes anything)
        """Update every weight that has a gradient."""
        self.steps += 1
        for group in self.param_groups:
            held = [parameter for parameter in group["params"] if parameter.grad is not None]
            if held:
                self._update(group, held, [parameter.grad for parameter in held])

    @abstractmethod
    def _update(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        """Update the weights of one group in place."""

    def named_state(self) -> dict[str, Tensor]:
        """`<canonical name>.<tensor>` -> the state itself, and `steps`: all that another optimiser needs to go on."""
        state = {"steps": self.steps}
        for name, parameter in self.model.named_parameters():
            for kind, tensor in self.state[parameter].items():
                for weight, part in _apart(self.model, name, tensor):
                    state[f"{weight}.{kind}"] = part
        return state

    def load_named_state(self, state: Mapping[str, Any]) -> None:
        """Copy in what `named_state` gave, of whatever engine: tensors or arrays.

        Raises BadInput, changing nothing, when it is of another kind of optimiser or another model.
        """
        state = {name: torch.as_tensor(held) for name, held in state.items()}
        own = self.named_state()
        if differing := sorted(own.keys() ^ state.keys()):
            raise BadInput(
                f"The optimiser's state doesn't fit: {differing[0]} is in only one of the two.",
                "Resume with the model and the optimiser that wrote it.",
            )
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise BadInput(
                    f"The optimiser's {name} has shape {tuple(state[name].shape)} instead of {tuple(tensor.shape)}.",
                    "Resume with the model that wrote it.",
                )
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _states(self, weights: list[Tensor], kind: str) -> list[Tensor]:
        return [self.state[weight][kind] for weight in weights]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Polyak 1964): v ← momentum·v + g, w ← w - rate·v."""

    tensors = ("velocity",)

    def __init__(self, model: Transformer, learning_rate: float = 0.1, *, momentum: float = 0.9) -> None:
        self.momentum = momentum
        super().__init__(model, learning_rate, [{"params": list(model.parameters()), "lr_factor": 1.0}])

    def _update(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        velocities = self._states(weights, "velocity")
        torch._foreach_mul_(velocities, self.momentum)
        torch._foreach_add_(velocities, gradients)
        torch._foreach_add_(weights, velocities, alpha=-group["lr"])


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), PyTorch's fused kernel. At step t, element by element:

    m ← beta1·m + (1 - beta1)·g            first moment
    v ← beta2·v + (1 - beta2)·g²           second moment
    w ← w - rate · m/(1 - beta1ᵗ) / (√(v/(1 - beta2ᵗ)) + epsilon)
    """

    tensors = ("first_moment", "second_moment")

    def __init__(
        self,
        model: Transformer,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        epsilon: float = 1e-8,
    ) -> None:
        group = {"params": list(model.parameters()), "lr_factor": 1.0}
        super().__init__(model, learning_rate, [_with_adam(group, betas, epsilon)])

    def _update(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        _adam(self, group, weights, gradients)


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2): w ← w - rate·decay·w beforehand.

    Matrices decay, gains and biases don't.
    """

    tensors = ("first_moment", "second_moment")

    def __init__(
        self,
        model: Transformer,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        epsilon: float = 1e-8,
        weight_decay: float = 0.1,
    ) -> None:
        matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
        vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
        groups = (
            {"params": matrices, "lr_factor": 1.0, "weight_decay": weight_decay},
            {"params": vectors, "lr_factor": 1.0},
        )
        super().__init__(model, learning_rate, [_with_adam(group, betas, epsilon) for group in groups])

    def _update(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        _adam(self, group, weights, gradients)


class Muon(Optimizer):
    """Muon for the matrices of the blocks, Adam for the rest (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

    The gradient's Nesterov momentum is replaced by the nearest orthogonal matrix, so that the update is equally long in
    every direction that the matrix knows, and scaled by √max(1, rows/columns).

    learning_rate:  of the block's matrices.
    embedding_rate, output_rate, vector_rate: of the embeddings, of the output matrix (and of an embedding that is tied
                    to it), of gains and biases: Adam's. All follow the run's schedule in proportion.
    momentum:       grows from 0.85 to this over the first `momentum_warmup` updates (speed-run, 2024).
    weight_decay:   of the block's matrices, decoupled.
    """

    def __init__(
        self,
        model: Transformer,
        learning_rate: float = 0.03,
        *,
        embedding_rate: float = 0.1,
        output_rate: float = 0.01,
        vector_rate: float = 0.01,
        momentum: float = 0.9,
        momentum_warmup: int = 0,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.8, 0.95),
        epsilon: float = 1e-10,
    ) -> None:
        self.momentum, self.momentum_warmup = momentum, momentum_warmup
        rates = {"embedding": embedding_rate, "output": output_rate, "vector": vector_rate}
        by_role: dict[str, list[nn.Parameter]] = {"hidden": [], "embedding": [], "output": [], "vector": []}
        for name, parameter in model.named_parameters():
            by_role[role_of(name, parameter.ndim, tied=model.spec.tied_embeddings)].append(parameter)
        groups = [{"params": by_role["hidden"], "lr_factor": 1.0, "weight_decay": weight_decay, "rule": "muon"}]
        for role, rate in rates.items():
            group = {"params": by_role[role], "lr_factor": rate / learning_rate, "rule": "adam"}
            groups.append(_with_adam(group, betas, epsilon))
        self._hidden = {id(parameter) for parameter in by_role["hidden"]}
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        super().__init__(model, learning_rate, groups)

    def _begin(self, parameter: Tensor) -> None:
        tensors = ("momentum",) if id(parameter) in self._hidden else ("first_moment", "second_moment")
        self.state[parameter] = {name: torch.zeros_like(parameter) for name in tensors}

    def _update(self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        if group["rule"] == "adam":
            _adam(self, group, weights, gradients)
            return
        momentum = self.momentum_now()
        averages = self._states(weights, "momentum")
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        directions = torch._foreach_lerp(gradients, averages, momentum)  # Nesterov's look ahead
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        for matrices, updates in self._by_shape(weights, list(directions)):
            rows, columns = matrices[0].shape
            orthogonal = orthogonalize(torch.stack(updates))  # (matrices, rows, columns)
            rate = group["lr"] * math.sqrt(max(1.0, rows / columns))
            torch._foreach_add_(matrices, list(orthogonal.to(matrices[0].dtype).unbind()), alpha=-rate)

    def _by_shape(self, weights: list[Tensor], directions: list[Tensor]) -> Iterable[tuple[list[Tensor], list[Tensor]]]:
        """The canonical matrices and their updates, all those of one shape together."""
        groups: dict[torch.Size, tuple[list[Tensor], list[Tensor]]] = {}
        for weight, direction in zip(weights, directions, strict=True):
            name = self._names[id(weight)]
            for (_, matrix), (_, update) in zip(
                _apart(self.model, name, weight), _apart(self.model, name, direction), strict=True
            ):
                matrices, updates = groups.setdefault(matrix.shape[-2:], ([], []))
                matrices.extend(matrix.unbind() if matrix.ndim == 3 else [matrix])  # one for each expert
                updates.extend(update.unbind() if update.ndim == 3 else [update])
        return groups.values()

    def momentum_now(self) -> float:
        if not self.momentum_warmup:
            return self.momentum
        done = min(1.0, self.steps.item() / self.momentum_warmup)
        return min(0.85, self.momentum) * (1 - done) + self.momentum * done


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "muon": Muon}


def clip_gradients(model: Transformer, limit: float) -> float:
    """Scale all gradients down together so that their norm is at most `limit` (Pascanu et al. 2013, §3.2).

    Returns the norm of before, over all gradients as one vector; 0 when there are none.
    """
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    if norm > limit:
        torch._foreach_mul_(gradients, limit / norm)
    return norm


def role_of(name: str, dimensions: int, *, tied: bool) -> str:
    """What Muon takes a parameter for: hidden, embedding, output or vector."""
    part = part_of(name)
    if dimensions < 2:
        return "vector"
    if part in ("attention", "feedforward"):
        return "hidden"
    if part == "output" or (tied and name == "embedding.tokens"):
        return "output"
    return "embedding"


def orthogonalize(matrices: Tensor) -> Tensor:
    """The nearest (semi-)orthogonal matrix of each, (count, rows, columns) -> the same: U·Vᵀ where it is U·S·Vᵀ.

    A Newton-Schulz iteration: odd polynomials of the matrix move all singular values towards 1 and leave the singular
    vectors alone. Singular values above a hundredth of the Frobenius norm end between 0.8 and 1.2, smaller ones grow
    but may stay below, which is all that Muon asks for. Computed in bfloat16 where the device multiplies it faster;
    float64 stays float64.
    """
    wide = matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices  # the smaller Gram matrix
    x = wide if wide.dtype == torch.float64 else wide.to(_product_format(wide.device))
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-30)  # of nothing comes nothing
    for a, b, c in POLAR_EXPRESS:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.to(matrices.dtype)
    return x.mT if wide is not matrices else x


def _product_format(device: torch.device) -> torch.dtype:
    """bfloat16 on accelerators and on processors that have instructions for it."""
    if device.type != "cpu":
        return torch.bfloat16
    can = torch.cpu.get_capabilities()
    return torch.bfloat16 if can.get("avx512_bf16") or can.get("amx_bf16") else torch.float32


def _with_adam(group: dict[str, Any], betas: tuple[float, float], epsilon: float) -> dict[str, Any]:
    return {"weight_decay": 0.0, **group, "betas": betas, "epsilon": epsilon}


def _adam(optimizer: Optimizer, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
    """Adam with decoupled weight decay on one group."""
    torch._fused_adamw_(
        weights,
        gradients,
        optimizer._states(weights, "first_moment"),
        optimizer._states(weights, "second_moment"),
        [],
        [optimizer.steps] * len(weights),
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=group["weight_decay"],
        eps=group["epsilon"],
        amsgrad=False,
        maximize=False,
    )


def _apart(model: Transformer, name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """A tensor of a parameter's shape as the canonical weights that the parameter holds: views of its rows."""
    owner, _, last = name.rpartition(".")
    if last not in FUSED:
        return [(name, tensor)]
    shapes = weight_shapes(model.spec)
    names = [f"{owner}.{part}" for part in FUSED[last]]
    rows = max(0, tensor.ndim - 2)  # behind the experts, where there are any
    return list(zip(names, tensor.split([shapes[part][rows] for part in names], rows), strict=True))
