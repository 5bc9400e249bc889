"""Several processes that train one model: each on its share of every batch, all with the same weights.

The model knows nothing of it (torchtitan's lesson): a step averages the gradients of all processes before it clips and
updates, and as every process begins with the same weights and makes the same update, they stay the same. So the loop is
the same program everywhere; only one process, the leader, tells, saves and is asked. Notable: gradients, losses and how
many targets they are means over travel in one message, so that shares of unequal size weigh what they hold.

    with joined(rank, world_size) as group:
        step = TrainingStep(model, optimizer, micro_batch=8, group=group)

Where the processes find one another stands in the environment, as torchrun sets it (MASTER_ADDR, MASTER_PORT), or, so
that no port is opened to anybody else, in a file that GLASSBOX_RENDEZVOUS names.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator, Iterable, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor

from glassbox.errors import BadInput

RENDEZVOUS_VARIABLE = "GLASSBOX_RENDEZVOUS"
PATIENCE = timedelta(days=365)
"""How long a process waits for the others' messages: as long as a run may be paused. One that is lost is noticed by its
closed connection, at once."""


class Group:
    """The processes of a run. This one is a group of one: what is asked of all is answered by itself."""

    rank = 0
    world_size = 1

    @property
    def leads(self) -> bool:
        """Is this the process that tells, saves and is asked?"""
        return self.rank == 0

    def average(self, parameters: Sequence[Tensor], told: Sequence[Tensor], targets: int) -> list[Tensor]:
        """Make every parameter's gradient that of the whole batch, and return the means of the scalars `told`.

        targets: how many this process's share has, over which its gradients and scalars are means; with none, neither
        is looked at.
        """
        return list(told)

    def total(self, numbers: Tensor) -> Tensor:
        """The sums over all processes, of the same shape."""
        return numbers

    def agreed(self, answer: bool) -> bool:
        """The leader's answer, whatever this process thinks."""
        return answer

    def shared(self, value: Any) -> Any:
        """The leader's value, which JSON can hold; what the others give isn't looked at."""
        return value

    def require_same(self, tensors: Iterable[Tensor]) -> None:
        """Raises BadInput where the processes' tensors aren't the same to the bit."""


class ProcessGroup(Group):
    """All processes of a run: every one of them calls the same methods in the same order.

    Messages between processors go by gloo, those between GPUs by NCCL. Raises BadInput when a process is lost.
    """

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank, self.world_size = rank, world_size
        self._message: Tensor | None = None

    def average(self, parameters: Sequence[Tensor], told: Sequence[Tensor], targets: int) -> list[Tensor]:
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        scalars = torch.stack([*told, torch.ones_like(told[0])]).to(gradients[0].dtype)
        message = self._joined([*(gradient.flatten() for gradient in gradients), scalars])
        message = message.mul_(targets) if targets else message.zero_()
        with self._together():
            distributed.all_reduce(message)
        message.div_(message[-1].clone())  # the sum of all processes' targets
        *parts, means = message.split([*(parameter.numel() for parameter in parameters), len(scalars)])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return list(means[:-1].to(told[0].dtype, copy=True).unbind())  # read after the next message, perhaps

    def total(self, numbers: Tensor) -> Tensor:
        sums = numbers.clone()
        with self._together():
            distributed.all_reduce(sums)
        return sums

    def agreed(self, answer: bool) -> bool:
        word = torch.tensor([answer], dtype=torch.uint8)
        with self._together():
            distributed.broadcast(word, src=0)
        return bool(word.item())

    def shared(self, value: Any) -> Any:
        text = json.dumps(value).encode() if self.leads else b""
        size = torch.tensor([len(text)])
        with self._together():
            distributed.broadcast(size, src=0)
            letters = torch.frombuffer(bytearray(text), dtype=torch.uint8) if self.leads else self._room(size)
            distributed.broadcast(letters, src=0)
        return json.loads(letters.numpy().tobytes())

    def require_same(self, tensors: Iterable[Tensor]) -> None:
        sums = torch.stack([_bits(tensor).sum(dtype=torch.int64).cpu() for tensor in tensors])
        least, most = sums.clone(), sums.clone()
        with self._together():
            distributed.all_reduce(least, distributed.ReduceOp.MIN)
            distributed.all_reduce(most, distributed.ReduceOp.MAX)
        if not torch.equal(least, most):
            raise BadInput(
                f"The {self.world_size} processes of this run no longer have the same weights.",
                "Give them the same PyTorch on the same kind of processors, then resume the run from a checkpoint.",
            )

    def _joined(self, parts: list[Tensor]) -> Tensor:
        """One behind another, (numbers of all parts,), in memory that is kept: asking the system for it takes longer
        than filling it."""
        size = sum(part.numel() for part in parts)
        like = parts[0]
        if self._message is None or (self._message.numel(), self._message.dtype) != (size, like.dtype):
            self._message = torch.empty(size, dtype=like.dtype, device=like.device)
        return torch.cat(parts, out=self._message)

    @staticmethod
    def _room(size: Tensor) -> Tensor:
        return torch.empty(int(size.item()), dtype=torch.uint8)

    @contextlib.contextmanager
    def _together(self) -> Generator[None]:
        """Within the block the processes exchange something."""
        try:
            yield
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise BadInput(
                f"Process {self.rank} of 0 to {self.world_size - 1} lost another one of this run: {reason}",
                "See in the run's output what that one said, then resume: the run goes on from its last checkpoint.",
            ) from error


ALONE = Group()


@contextlib.contextmanager
def joined(rank: int, world_size: int) -> Generator[Group]:
    """Within the block, this process belongs to the group of all processes of a run.

    Raises BadInput where they can't find one another.
    """
    if world_size == 1:
        yield ALONE
        return
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(gpu_of_this_process())
    where = os.environ.get(RENDEZVOUS_VARIABLE, "env://")
    try:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",
            init_method=where,
            rank=rank,
            world_size=world_size,
            timeout=PATIENCE,
        )
    except (ValueError, RuntimeError) as error:
        raise BadInput(
            f"Process {rank} of 0 to {world_size - 1} didn't find the others at {where}: {error}",
            "Start all of them with the launcher torchrun or ray, or with `torchrun`.",
        ) from error
    try:
        yield ProcessGroup(rank, world_size)
    finally:
        distributed.destroy_process_group()


def gpu_of_this_process() -> int:
    """The number of the GPU that this process has to itself. Raises BadInput if there aren't enough."""
    number, processes = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    there = torch.cuda.device_count()
    if number >= there:
        raise BadInput(
            f"{processes} processes of this machine want a GPU each, and PyTorch finds {there}.",
            f"Start {there} processes, or hide the GPUs with CUDA_VISIBLE_DEVICES= to train on the processor.",
        )
    return number


def _bits(tensor: Tensor) -> Tensor:
    """The same memory as whole numbers, whose sum has no rounding."""
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.detach().contiguous().view(whole)
