import numpy as np
import pytest
import torch

from tests.operators.interpolated import interpolated
from warptheory import operators
from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding

FIXED = (operators.Shift1d, operators.Shift2d, operators.Shift3d)
LEARNED = (operators.SparseShift1d, operators.SparseShift2d, operators.SparseShift3d)
PADDING = {"zeros": "constant", "border": "edge", "reflect": "symmetric", "mirror": "reflect", "periodic": "wrap"}
ROUNDING = rounding(torch.float64, operations=100, magnitude=10)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def shifted(x, offsets, boundary):
    """Return x_c[n + ε_c] for whole offsets (C, d), by NumPy's padding and indexing."""
    margin = 20
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), *[(margin, margin)] * (x.ndim - 2)], PADDING[boundary])
    found = [
        padded[(slice(None), c, *[slice(margin + s, margin + s + n) for s, n in zip(shift, x.shape[2:], strict=True)])]
        for c, shift in enumerate(offsets)
    ]
    return torch.from_numpy(np.stack(found, 1))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_fixed_shifts_are_exact(dim):
    """Random tables, channels left over, and shifts beyond the image among them."""
    for seed in range(60):
        random = np.random.default_rng(seed)
        boundary = list(PADDING)[seed % len(PADDING)]
        channels, size = int(random.integers(1, 7)), (6, 4, 3)[:dim]
        table = random.integers(-7, 8, (int(random.integers(1, channels + 1)), dim)).tolist()
        layer = FIXED[dim - 1](channels, table, boundary)
        width = channels // len(table)
        offsets = [shift for shift in table for _ in range(width)]
        offsets += [[0] * dim] * (channels - len(offsets))
        x = torch.from_numpy(random.normal(size=(2, channels, *size)))
        assert torch.equal(layer(x), shifted(x, offsets, boundary))


def test_by_default_each_direction_has_a_group():
    x = torch.randn(2, 11, 4, 5)
    y = operators.Shift2d(11)(x)
    for group, (axis, step) in enumerate([(2, 1), (2, -1), (3, 1), (3, -1)]):
        part = slice(2 * group, 2 * group + 2)
        expected = torch.roll(x[:, part], -step, axis)
        # What comes in is zero.
        expected.select(axis, -1 if step > 0 else 0).zero_()
        assert torch.equal(y[:, part], expected)
    assert torch.equal(y[:, 8:], x[:, 8:])
    assert operators.Shift1d(3).shifts == ((1,), (-1,), (0,))
    assert len(operators.Shift3d(7).shifts) == 7


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_learned_shifts_are_rounded_and_their_gradient_is_that_of_interpolation(dim):
    """The input has the gradient of the shift that was made."""
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        layer = LEARNED[dim - 1](3, spread=2.5).double()
        with torch.no_grad():
            layer.shift.uniform_(-2.5, 2.5, generator=generator)
        x = torch.randn(2, 3, *(5, 4, 3)[:dim], generator=generator, dtype=torch.float64, requires_grad=True)
        y = layer(x)
        whole = (layer.shift.detach() + 0.5).floor()
        close(y.detach(), shifted(x.detach(), whole.long().tolist(), "zeros"))
        g = torch.randn(y.shape, generator=generator, dtype=torch.float64)
        of_x, of_shift = torch.autograd.grad(y, (x, layer.shift), g)
        smooth = torch.cat([interpolated(x[:, c : c + 1], layer.shift[c]) for c in range(3)], 1)
        close(of_shift, torch.autograd.grad(smooth, layer.shift, g)[0])
        close(of_x, shifted(g, (-whole).long().tolist(), "zeros"))


def test_no_shift_is_the_identity():
    x = torch.randn(2, 3, 5, 4)
    layer = operators.SparseShift2d(3, spread=0)
    assert torch.equal(layer(x), x)
    assert torch.equal(operators.Shift2d(3, [(0, 0)])(x), x)
    # The derivative at the knot is there all the same.
    layer(x)[..., 1, 1].sum().backward()
    assert torch.equal(layer.shift.grad[:, 1], (x[..., 1, 2] - x[..., 1, 1]).sum(0))


def test_a_penalty_draws_shifts_to_zero():
    torch.manual_seed(0)
    layer = operators.SparseShift2d(4, spread=2.0)
    penalty = layer.penalty()
    assert penalty.item() == pytest.approx(layer.shift.abs().sum().item())
    (gradient,) = torch.autograd.grad(penalty, layer.shift)
    assert torch.equal(gradient, layer.shift.sign())
    assert layer.shift.abs().max() <= 2


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (operators.Shift2d, (0,), "^channels: expected a positive integer, got 0$"),
        (operators.Shift2d, (4,), "^shifts: expected at most 4, a channel each, got 5$"),
        (operators.Shift2d, (4, []), "^shifts: expected for each group 2 whole numbers"),
        (operators.Shift2d, (4, [(1,)]), "^shifts: expected for each group 2 whole numbers"),
        (operators.Shift2d, (4, [(1, 0.5)]), "^shifts: expected for each group 2 whole numbers"),
        (operators.Shift2d, (5, None, "foo"), "^boundary: expected one of "),
        (operators.SparseShift2d, (4, -1.0), "^spread: expected a finite number ≥ 0"),
    ],
)
def test_bad_settings(kind, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        kind(*arguments)


def test_bad_inputs(as_users_call):
    for layer in (operators.Shift2d(5), operators.SparseShift2d(5)):
        for shape in ((1, 4, 3, 3), (1, 5, 3)):
            with pytest.raises(ArgumentError, match=r"^input: expected shape \(B, 5, \*S\) with 2 axes S"):
                layer(torch.randn(shape))
