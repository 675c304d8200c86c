"""The processes that train one model together, each on its share of every batch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn

from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.training.batch_norm import synchronised_batch_norm


class FirstProcessError(WarpTheoryError):
    """The process that went first failed, so that this one cannot go on."""


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is.

    Attributes:
        rank: its number, from 0; number 0 writes files and prints.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> "Processes":
        """Return what torch.distributed was told, or that there is one process."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    def share(self, batch: int) -> slice:
        """Return this process's share of a batch.

        Raises:
            ArgumentError: a batch that the processes cannot share evenly.
        """
        if batch % self.count:
            raise ArgumentError("batch", expected=f"a multiple of the {self.count} processes", received=batch)
        size = batch // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def mean(self, values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Return the mean over the processes of each value, shape (n,)."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values / self.count

    @contextmanager
    def parallel(self, model: nn.Module) -> Iterator[nn.Module]:
        """Yield the model as it is called in training: it averages gradients, and normalises by the whole batch."""
        if self.count == 1:
            yield model
            return
        with synchronised_batch_norm(model):
            # The buffers stay equal in all processes, because they are updated from the same statistics.
            yield nn.parallel.DistributedDataParallel(model, forward_sync_buffers=False)

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let process 0 go first, such as to download a file that the others then find.

        Raises:
            FirstProcessError: in the others, when process 0 failed.
        """
        if self.count == 1:
            yield
            return
        if self.rank > 0:
            if not _told_by_the_first():
                raise FirstProcessError("the first process could not go on; it says why")
            yield
            return
        succeeded = False
        try:
            yield
            succeeded = True
        finally:
            _told_by_the_first(succeeded)


def _told_by_the_first(succeeded: bool | None = None) -> bool:
    """Tell the other processes whether process 0 succeeded, or hear it from there."""
    told = [succeeded]
    distributed.broadcast_object_list(told, src=0)
    return bool(told[0])


@contextmanager
def joined_processes(device: str = "cpu") -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes that `torchrun` started, if it did; yield them, and the device of this one.

    Args:
        device: "cpu" or "cuda", of which each process takes one, or one device such as "cuda:1".

    Raises:
        ArgumentError: no such device, or fewer GPUs than processes.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", "0")) if count > 1 else None)
    if count == 1:
        yield Processes(), chosen
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes.current(), chosen
    finally:
        distributed.destroy_process_group()


def _device(name: str, local_rank: int | None) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ArgumentError("device", expected="a torch device such as cpu or cuda", received=repr(name)) from error
    if device.type == "cpu":
        return device
    if device.type != "cuda" or not torch.cuda.is_available():
        raise ArgumentError("device", expected="cpu, or cuda where there is a GPU", received=repr(name))
    index = device.index if local_rank is None else local_rank
    if index is not None and index >= torch.cuda.device_count():
        raise ArgumentError("device", expected=f"one of {torch.cuda.device_count()} GPUs", received=f"number {index}")
    if index is not None:
        torch.cuda.set_device(index)
    return torch.device("cuda", torch.cuda.current_device())
