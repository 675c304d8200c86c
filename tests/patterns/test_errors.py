"""Shapes that do not fit are refused, by name of the argument."""

import inspect
from dataclasses import replace

import pytest
import torch

from tests.patterns.settings import convolution
from warptheory.core.errors import ArgumentError
from warptheory.patterns import Chain, Lattice, Levels, SamplingPattern, Weighting, sample
from warptheory.patterns.layouts import OffsetOutput

PATTERN = convolution()
IMAGE, OUTCOME = torch.zeros(2, 4, 8, 8), torch.zeros(2, 6, 8, 8)
OFFSETS, UNIT = torch.zeros(2, 2, 2, 5, 5), Lattice.unit(2)


def pattern(offsets=OFFSETS, lattice=UNIT, taps=1, weights=None, filters=None, channels=4):
    """Return a pattern, past the checks of shapes that tests run with."""
    kind = SamplingPattern.__new__(SamplingPattern)
    given = {"size": (5, 5), "channels": channels, "offsets": offsets, "lattice": lattice, "taps": taps}
    inspect.unwrap(SamplingPattern.__init__)(kind, **given, weights=weights, filters=filters)
    return kind


CASES = [
    ("offsets", lambda: pattern(torch.zeros(2, 2, 3, 5, 5))),
    ("offsets", lambda: pattern(torch.zeros(2, 2, 2, 5))),
    ("offsets", lambda: pattern(taps=3)),
    ("offsets", lambda: pattern(channels=3)),
    ("lattice", lambda: pattern(lattice=Lattice.unit(1))),
    ("lattice", lambda: pattern(lattice=Lattice((1.0, 1.0), ((0.0, 0.0),) * 3))),
    ("weights", lambda: pattern(weights=torch.zeros(2, 2, 5, 4))),
    ("weights", lambda: pattern(weights=torch.zeros(2, 1, 5, 5))),
    ("filters", lambda: pattern(filters=torch.zeros(4, 3, 1))),
    ("filters", lambda: pattern(filters=torch.zeros(4, 4, 2))),
    ("filters", lambda: pattern(filters=torch.zeros(3, 2, 1))),
    ("filters", lambda: pattern(filters=torch.zeros(4, 0, 1))),
    ("filters", lambda: pattern(filters=torch.zeros(4, 4))),
    ("x", lambda: PATTERN.apply(IMAGE[:1])),
    ("x", lambda: PATTERN.apply(IMAGE[:, :2])),
    ("x", lambda: PATTERN.apply(IMAGE[..., :7])),
    ("x", lambda: sample(OUTCOME, PATTERN)),
    ("g", lambda: PATTERN.adjoint(IMAGE)),
    ("filters", lambda: PATTERN.apply(IMAGE.double())),
    ("parts", lambda: Chain(())),
    ("parts", lambda: Chain((PATTERN, PATTERN))),
    ("parts", lambda: Chain((PATTERN, convolution(batch=1, channels=6)))),
    ("parts", lambda: Levels(())),
    ("parts", lambda: Levels((PATTERN, convolution(side=7)))),
    ("x", lambda: Levels((PATTERN,)).apply(torch.zeros(2, 4, 63))),
    ("x", lambda: Weighting(OUTCOME).apply(IMAGE)),
    ("g", lambda: Weighting(OUTCOME).adjoint(IMAGE)),
    ("order", lambda: OffsetOutput("triples")),
    ("dim", lambda: OffsetOutput(dim=0)),
    ("scale", lambda: OffsetOutput(scale=float("inf"))),
]


@pytest.mark.parametrize(("name", "call"), CASES)
def test_errors_name_the_argument(name, call):
    with pytest.raises(ArgumentError, match=f"^{name}: expected .*, got ") as raised:
        call()
    assert raised.value.argument == name


def test_what_fits_is_taken():
    """The cases above differ from these by what they name."""
    assert pattern().output_shape == (4, 5, 5)
    assert pattern(filters=torch.zeros(6, 2, 1), weights=torch.zeros(2, 2, 5, 5)).output_shape == (6, 5, 5)
    assert PATTERN.apply(IMAGE).shape == OUTCOME.shape


def test_shapes_alone_are_enough():
    """On the meta device, which knows of no autocast."""
    pattern, x = convolution(), IMAGE.to("meta")
    tensors = {name: getattr(pattern, name).float().to("meta") for name in ("offsets", "weights", "filters")}
    assert replace(pattern, **tensors).apply(x).shape == OUTCOME.shape
