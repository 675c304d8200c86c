"""The examples that operators declare, with the random numbers that the tests give them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from warptheory import operators
from warptheory.core.tolerances import rounding
from warptheory.patterns import Pattern

CASES = [(name, key) for name in operators.names() for key in operators.get(name).examples]


@dataclass(frozen=True)
class Setting:
    """A layer in double precision, its inputs, and what it makes of them."""

    layer: operators.SamplingOperator
    inputs: tuple
    pattern: Pattern
    image: Tensor
    y: Tensor


def setting(name, key):
    """Return an example of an operator, new each time: the random numbers are the same."""
    example = operators.get(name).examples[key]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layer = example.build().double()
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(*example.shape, generator=generator, dtype=torch.float64)
    inputs = example.inputs(x, generator)
    with torch.no_grad():
        return Setting(layer, inputs, layer.pattern(*inputs), layer.image(*inputs), layer(*inputs))


def close(found, expected):
    """Compare what differs by rounding in double precision: sums of some hundred products of a size of a few."""
    tolerance = rounding(torch.float64, operations=400, magnitude=20)
    torch.testing.assert_close(found, expected, rtol=tolerance.relative, atol=tolerance.absolute)
