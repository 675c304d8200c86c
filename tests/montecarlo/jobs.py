"""Jobs for campaigns, small enough to be sent to other processes; some of them go wrong."""

import os
from dataclasses import dataclass, field

import torch

from warptheory.montecarlo import Claim, Judgement


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


@dataclass(frozen=True)
class MeanJob:
    """The claim that the mean of `Normal` is one, or another number."""

    name: str
    number: float = 1.0
    trouble: str = ""

    def prepare(self):
        if self.trouble == "preparation":
            raise ArithmeticError("this cannot be derived")
        return self.number

    def experiment(self):
        return Combined() if self.trouble == "function" else Normal(self.trouble)

    def trial(self, prepared):
        claim = Claim(self.name, prepared, self.experiment(), smallest_effect=0.2)
        return Judgement(claim, seed=0, z=4.0, source=self)
