"""The checks of shapes that all tests run with: a wrong one is an error, for every kind of arguments."""

import dataclasses
import os

import beartype
import jaxtyping
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from tests import shapes
from warptheory.warping import reference

pytestmark = pytest.mark.skipif(
    os.environ.get("WARPTHEORY_TEST_SHAPES") == "off", reason="not run: the shape checks are switched off"
)


def cut(x: Float[Tensor, "*N"], length: int = 1) -> Float[Tensor, "*N"]:
    return x[:length]


@pytest.mark.parametrize("earlier", [0, 20])
def test_a_wrong_shape_is_an_error(earlier):
    """However often the function was called with other numbers of axes."""
    checked = shapes.check_shapes(cut, typechecker=beartype.beartype)
    for _ in range(earlier):
        checked(torch.zeros(1, 1))
    with pytest.raises(jaxtyping.TypeCheckError):
        checked(torch.zeros(2))


def test_a_data_class_of_a_wrong_shape_is_an_error():
    @dataclasses.dataclass(frozen=True)
    class Pair:
        first: Float[Tensor, "n"]
        second: Float[Tensor, "n"]

    checked = shapes.check_shapes(Pair, typechecker=beartype.beartype)
    assert checked(torch.zeros(2), torch.ones(2)).second.sum() == 2
    with pytest.raises(jaxtyping.TypeCheckError):
        checked(torch.zeros(2), torch.zeros(3))


def test_a_function_without_arrays_is_left_alone():
    assert shapes.check_shapes(len, typechecker=beartype.beartype) is len


def test_the_library_is_checked():
    with pytest.raises(jaxtyping.TypeCheckError):
        reference.gather(torch.zeros(3), None, None, None)
