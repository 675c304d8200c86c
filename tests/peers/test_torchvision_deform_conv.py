"""Our deformable convolution against what torchvision's returned: values and gradients, knots among them.

Where theirs is wrong is in tests/operators/test_deform_conv.py.
"""

import json

import pytest
import torch

from tests.peers.torchvision_deform_conv import RECORD, SEEDS, drawn, projections
from warptheory import operators
from warptheory.core.tolerances import rounding

THEIRS = json.loads(RECORD.read_text(encoding="utf-8"))
# Projections are sums of up to 600 values, each a sum of up to 400 products of numbers below 4.
ROUNDING = rounding(torch.float64, operations=1000, magnitude=2000)


def ours(call):
    return lambda **tensors: operators.deform_conv2d(**tensors, **call.geometry)


def test_it_was_run_with_these_versions():
    assert THEIRS["versions"]["torch"].startswith("2.14.1")
    assert THEIRS["versions"]["torchvision"].startswith("0.29.1")
    assert [each["seed"] for each in THEIRS["calls"]] == list(SEEDS)


@pytest.mark.parametrize("kind", range(4), ids=["random", "more-random", "zero", "whole"])
def test_it_is_torchvisions(kind):
    """Outcome and gradients of all tensors, also where offsets are whole and derivatives have two sides."""
    for theirs in THEIRS["calls"][kind::4]:
        call = drawn(theirs["seed"])
        found = projections(call, ours(call), theirs["seed"])
        assert list(found) == list(theirs["projections"])
        for name, values in theirs["projections"].items():
            assert found[name] == pytest.approx(values, rel=ROUNDING.relative, abs=ROUNDING.absolute), name


def test_another_offset_is_seen():
    """The comparison can fail: with offsets moved by 1e-6 the projections are others."""
    theirs = THEIRS["calls"][0]
    call = drawn(theirs["seed"])
    call.tensors["offset"] += 1e-6
    found = projections(call, ours(call), theirs["seed"])["outcome"]
    assert found != pytest.approx(theirs["projections"]["outcome"], rel=ROUNDING.relative, abs=ROUNDING.absolute)
