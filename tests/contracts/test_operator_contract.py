"""What every operator keeps: its pattern says what it does, in every way in which torch may run it.

An operator's file declares examples, layers with inputs, and all of them are looked at here; torch's compiler looks at
them in tests/tracing/check_operators.py. The truth is dense: the
matrix of a pattern is built anew by loops over taps, from NumPy's padding and the value of the kernel.
"""

import copy
import inspect
import itertools
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch
from torch.autograd import gradcheck, gradgradcheck

from tests.operators.examples import CASES, close, setting
from warptheory import operators
from warptheory.core.formulas import mathml
from warptheory.kernels import POSITION
from warptheory.kernels import get as kernel_of
from warptheory.patterns import Chain, Levels, Transposed, Weighting

TESTS = Path(__file__).parents[1] / "operators"
# NumPy's names of the boundary rules.
PADDING = {"zeros": "constant", "border": "edge", "reflect": "symmetric", "mirror": "reflect", "periodic": "wrap"}


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request):
    return setting(*request.param)


# ---- the truth


def dense(pattern):
    """Return the matrix (B, D·N, C·M) of a pattern as a NumPy array, by loops."""
    if isinstance(pattern, Chain):
        found = [dense(part) for part in pattern.parts]
        product = found[0]
        for part in found[1:]:
            product = part @ product
        return product
    if isinstance(pattern, Transposed):
        return dense(pattern.pattern).swapaxes(1, 2)
    if isinstance(pattern, Weighting):
        return np.stack([np.diag(each.flatten().numpy()) for each in pattern.factors.detach()])
    if isinstance(pattern, Levels):
        parts = [dense(part).reshape(pattern.batch, pattern.outputs, part.channels, -1) for part in pattern.parts]
        return np.concatenate(parts, 3).reshape(pattern.batch, pattern.outputs, -1)
    return dense_sampling(pattern)


def detached(pattern):
    """Return a sampling pattern that tracks no gradients."""
    tensors = {name: getattr(pattern, name) for name in ("offsets", "weights", "filters")}
    return replace(pattern, **{name: None if each is None else each.detach() for name, each in tensors.items()})


def dense_sampling(pattern):
    pattern = detached(pattern)
    groups, taps = pattern.offset_groups, pattern.taps
    batch, grid = pattern.batch, pattern.grid
    pixels, points = math.prod(pattern.size), math.prod(grid)
    outputs = pattern.output_shape[0]
    found = np.zeros((batch, outputs, points, pattern.channels, pixels))
    spacing, origins = np.array(pattern.lattice.spacing), np.array(pattern.lattice.origins)
    width, inputs = pattern.channels // groups, pattern.channels // pattern.groups
    for b, field, (n, index) in itertools.product(range(batch), range(groups * taps), enumerate(np.ndindex(*grid))):
        group, tap = divmod(field, taps)
        origin = origins[field if len(origins) > 1 else 0]
        place = spacing * index + origin + pattern.offsets[b, field][(slice(None), *index)].numpy()
        row = read(place, pattern)
        if pattern.weights is not None:
            row = row * float(pattern.weights[b, field][index])
        for c in range(group * width, (group + 1) * width):
            if pattern.filters is None:
                found[b, c, n, c] += row
                continue
            first = c // inputs * (outputs // pattern.groups)
            for o in range(first, first + outputs // pattern.groups):
                found[b, o, n, c] += float(pattern.filters[o, c % inputs, tap]) * row
    return found.reshape(batch, outputs * points, pattern.channels * pixels)


def read(place, pattern):
    """Return how much of each pixel is read at a place (d,): (M,)."""
    axes = [
        axis_weights(float(p), n, pattern.kernel, pattern.boundary) for p, n in zip(place, pattern.size, strict=True)
    ]
    row = axes[0]
    for axis in axes[1:]:
        row = np.multiply.outer(row, axis)
    return row.flatten()


@cache
def axis_weights(place, size, kernel, boundary):
    if kernel == "sinc":
        return fourier_weights(place, size)
    margin = math.ceil(abs(place)) + size + 8
    if boundary == "zeros":
        source = np.pad(np.arange(size), margin, constant_values=-1)
    else:
        source = np.pad(np.arange(size), margin, mode=PADDING[boundary])
    weights = np.zeros(size)
    for m, pixel in zip(range(-margin, size + margin), source, strict=True):
        if pixel >= 0 and abs(place - m) < 8:
            weights[pixel] += kernel_value(kernel, place - m)
    return weights


def fourier_weights(place, size):
    """Return how much of each pixel of a periodic axis is read by ideal interpolation, whose kernel never ends."""
    waves = np.exp(2j * np.pi * np.fft.fftfreq(size) * place)
    if size % 2 == 0:
        waves[size // 2] = np.cos(np.pi * place)
    return np.fft.fft(waves).real / size


def kernel_value(kernel, t):
    # Written out where it is simple: the catalogue is looked at elsewhere.
    if kernel == "linear":
        return max(0.0, 1 - abs(t))
    if kernel == "nearest":
        return float(-0.5 <= t < 0.5)
    return float(_value(kernel)(t))


@cache
def _value(kernel):
    return sp.lambdify(POSITION, kernel_of(kernel).value(), "math")


# ---- the contract


def check_matrix(found):
    """The layer is its matrix, and the matrix is the dense one."""
    matrix = dense(found.pattern)
    close(found.pattern.matrix().to_dense().detach(), torch.from_numpy(matrix))
    close(found.layer.operator_matrix(*found.inputs).to_dense().detach(), torch.from_numpy(matrix))
    shape = (len(found.image), *found.pattern.output_shape)
    product = torch.from_numpy(matrix @ found.image.detach().flatten(1).numpy()[..., None]).reshape(shape)
    close(found.pattern.apply(found.image).detach(), product)
    close(found.y, found.layer.finish(product).detach())


def test_layer_is_its_matrix(case):
    check_matrix(case)


def test_matrix_check_refuses_a_layer_that_does_something_else(case):
    wrong = replace(case, y=case.y + 1e-6)
    with pytest.raises(AssertionError):
        check_matrix(wrong)


def shifted(pattern, x):
    """Return what a pattern at whole positions makes of images, by indexing alone: padded, shifted, mixed."""
    margin = int(pattern.positions().abs().max()) + max(pattern.size) + 1
    rule = {} if pattern.boundary == "zeros" else {"mode": PADDING[pattern.boundary]}
    padded = np.pad(x.numpy(), [(0, 0), (0, 0), *[(margin, margin)] * len(pattern.size)], **rule)
    places = pattern.positions().round().long().numpy() + margin
    width, inputs = pattern.channels // pattern.offset_groups, pattern.channels // pattern.groups
    found = np.zeros((len(x), *pattern.output_shape))
    for b, c, tap in itertools.product(range(len(x)), range(pattern.channels), range(pattern.taps)):
        field = c // width * pattern.taps + tap
        samples = padded[b, c][tuple(places[b, field])]
        if pattern.weights is not None:
            samples = samples * pattern.weights[b, field].numpy()
        if pattern.filters is None:
            found[b, c] += samples
            continue
        per_group = pattern.output_shape[0] // pattern.groups
        for o in range(c // inputs * per_group, (c // inputs + 1) * per_group):
            found[b, o] += float(pattern.filters[o, c % inputs, tap]) * samples
    return torch.from_numpy(found)


@pytest.mark.parametrize("offsets", ["zero", "whole"])
def test_at_whole_positions_it_is_a_plain_layer(case, offsets):
    """Zero offsets make the plain convolution, whole ones shifts: what is read is a pixel, and nothing is mixed."""
    looked_at = 0
    for pattern in case.pattern.samplings():
        moved = torch.zeros_like(pattern.offsets) if offsets == "zero" else pattern.offsets.round()
        still = replace(detached(pattern), offsets=moved.detach())
        positions = still.positions()
        # A lattice of a resize has no whole places, and other kernels mix at whole places too.
        if not torch.equal(positions, positions.round()) or pattern.kernel not in ("linear", "nearest", "keys"):
            continue
        x = torch.randn(len(case.y), *pattern.input_shape, generator=torch.Generator().manual_seed(3)).double()
        close(still.apply(x).detach(), shifted(still, x))
        looked_at += 1
    if not looked_at:
        pytest.skip("no whole places on its lattice")


def test_adjoint(case):
    g = torch.randn(len(case.y), *case.pattern.output_shape, generator=torch.Generator().manual_seed(4)).double()
    forward, backward = (case.pattern.apply(case.image) * g).sum(), (case.image * case.pattern.adjoint(g)).sum()
    close(forward.detach(), backward.detach())
    x = case.image.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(case.pattern.apply(x), x, g)
    close(gradient, case.pattern.adjoint(g).detach())


def test_inputs_may_be_named(case):
    """As the original's callers name them, and in statistics as well."""
    names = list(inspect.signature(case.layer.forward).parameters)
    if names == ["inputs", "named"]:
        names = list(inspect.signature(case.layer.pattern).parameters)
    named = dict(zip(names, case.inputs, strict=False))
    close(case.layer(**named).detach(), case.y)
    assert case.layer.statistics(**named) == case.layer.statistics(*case.inputs)


def test_to_measure_is_not_to_train(case):
    before = copy.deepcopy(dict(case.layer.named_buffers()))
    case.layer.train()
    case.layer.statistics(*case.inputs)
    case.layer.operator_matrix(*case.inputs)
    assert all(torch.equal(buffer, before[name]) for name, buffer in case.layer.named_buffers())


def leaves(inputs):
    return [
        each.detach().clone().requires_grad_() if isinstance(each, torch.Tensor) and each.is_floating_point() else each
        for each in inputs
    ]


def test_gradients_to_second_order(case):
    inputs, parameters = leaves(case.inputs), [each for each in case.layer.parameters() if each.requires_grad]

    def function(*values):
        return case.layer(*values[: len(inputs)])

    assert gradcheck(function, (*inputs, *parameters), fast_mode=True, atol=1e-6)
    assert gradgradcheck(function, tuple(inputs), fast_mode=True, atol=1e-6)


def test_autocast(case):
    """Sums of products in bfloat16: so many digits of the largest value."""
    layer = case.layer.float()
    inputs = [
        each.float() if isinstance(each, torch.Tensor) and each.is_floating_point() else each for each in case.inputs
    ]
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(*inputs)
    assert found.dtype in (torch.bfloat16, torch.float32)
    error = (found.double() - case.y).abs().max() / case.y.abs().max()
    assert error < 20 * torch.finfo(torch.bfloat16).eps


@pytest.mark.parametrize(("name", "key"), CASES)
def test_no_images(name, key):
    full = setting(name, key)
    example = operators.get(name).examples[key]
    generator = torch.Generator().manual_seed(2)
    inputs = example.inputs(torch.zeros(0, *example.shape[1:], dtype=torch.float64), generator)
    y = full.layer(*inputs)
    assert y.shape == (0, *full.y.shape[1:])
    assert y.dtype == torch.float64
    assert full.layer.operator_matrix(*inputs).shape == (0, full.pattern.outputs, full.pattern.inputs)
    assert math.isnan(full.layer.statistics(*inputs).forward_gain)


def test_statistics_are_those_of_the_matrix(case):
    matrix, statistics = dense(case.pattern), case.layer.statistics(*case.inputs)
    offsets = np.concatenate([each.offsets.detach().numpy().ravel() for each in case.pattern.samplings()])
    expected = {
        "forward_gain": (matrix**2).sum(2).mean(),
        "backward_gain": (matrix**2).sum(1).mean(),
        "largest_row_sum": matrix.sum(2).max(),
        "largest_column_sum": matrix.sum(1).max(),
        "dead_share": (matrix == 0).all(1).mean(),
        "offset_mean": offsets.mean(),
        "offset_deviation": offsets.std(),
    }
    assert {name: getattr(statistics, name) for name in expected} == pytest.approx(expected, rel=1e-9, abs=1e-12)


# ---- what its file says


@pytest.mark.parametrize("name", operators.names())
def test_what_is_said_of_it(name):
    entry = operators.get(name)
    # What cannot be converted is shown as it is written.
    assert all("<mtext>" not in mathml(formula) for formula in (entry.formula, *entry.where))
    assert all(entry.where.values())
    assert entry.source
    assert all(said.endswith(".") for said in (*entry.conventions, entry.initialisation))
    tests = TESTS / f"test_{name}.py"
    for defect in entry.defects:
        assert f"def {defect.test}(" in tests.read_text(encoding="utf-8"), defect.test
