"""Jobs for campaigns, small enough to be sent to other processes; some of them go wrong."""

import os
import signal
import sys
import time
from dataclasses import dataclass, field

import torch

from warptheory.montecarlo import Claim, Judgement


class StopError(BaseException):
    """No `Exception`, and with arguments that pickle does not know."""

    def __init__(self, text):
        super().__init__(text, "and more")


@dataclass(frozen=True)
class Normal:
    """Rows of a normal law with mean 1 and deviation 1; from one chunk on something happens."""

    trouble: str = ""
    chunk_seed: int = -1
    symbols: frozenset = field(default_factory=frozenset)

    def row_elements(self, values):
        return 4096

    def sample(self, generator, rows, values, device="cpu"):
        sample = torch.from_numpy(1 + generator.standard_normal(rows))
        if self.trouble and float(sample[0]) > 2.2:  # in about a chunk of nine
            if self.trouble == "dies":
                os._exit(3)
            if self.trouble == "is killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "exits":
                sys.exit(5)
            if self.trouble == "stops":
                raise StopError("of a kind of its own")
            if self.trouble == "hangs":
                while True:
                    time.sleep(0.01)
            if self.trouble == "raises":
                raise ZeroDivisionError("no such number")
            if self.trouble == "memory":
                raise MemoryError
            sample[1] = torch.nan
        return sample


class Combined(Normal):
    """The mean of these rows, by a function that fails."""

    def combine(self, means, values):
        raise ZeroDivisionError("no such function")


class CombinedToAnEnd(Normal):
    """The mean of these rows, by a function that ends the program."""

    def combine(self, means, values):
        sys.exit(5)


@dataclass(frozen=True)
class MeanJob:
    """The claim that the mean of `Normal` is one, or another number."""

    name: str
    number: float = 1.0
    trouble: str = ""

    def prepare(self):
        if self.trouble == "preparation":
            raise ArithmeticError("this cannot be derived")
        if self.trouble == "preparation exits":
            sys.exit(5)
        if self.trouble == "preparation dies":
            os._exit(3)
        if self.trouble == "preparation hangs":
            while True:
                time.sleep(0.01)
        return self.number

    def experiment(self):
        kinds = {"function": Combined(), "function exits": CombinedToAnEnd()}
        return kinds.get(self.trouble, Normal(self.trouble))

    def trial(self, prepared):
        if self.trouble == "trial exits":
            sys.exit(5)
        claim = Claim(self.name, prepared, self.experiment(), smallest_effect=0.2)
        return Judgement(claim, seed=0, z=4.0, source=self)
