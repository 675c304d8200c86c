"""Every boundary rule is an index map; engines that take it agree with the reference; a new file is a new rule."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

import warptheory as wt
from tests.warping.cases import make_case
from warptheory import operators
from warptheory.core.catalogue import entry_modules
from warptheory.core.tolerances import rounding
from warptheory.warping import BackendError, boundaries
from warptheory.warping.boundaries import Boundary

RULES = boundaries.names()
SIZES = (1, 2, 3, 7, 100)
ENGINES = ("cpu", "triton")


def check_index_map(rule: Boundary) -> None:
    """Inside, a position reads its own pixel; elsewhere one of the axis, however far and however short that is."""
    for size in SIZES:
        near = torch.arange(-3 * size - 3, 4 * size + 3)
        far = torch.tensor([-(2**30), -(2**30) + 1, 2**30 - 1, 2**30, -(2**40), 2**40])
        positions = torch.cat([near, far]).reshape(1, -1)
        pixels, exist = rule(positions, size)
        assert pixels.shape == positions.shape
        assert pixels.dtype == torch.int64
        assert ((pixels >= 0) & (pixels < size)).all(), f"{rule.name} leaves an axis of {size} pixels"
        inside = (positions >= 0) & (positions < size)
        assert torch.equal(pixels[inside], positions[inside]), f"{rule.name} moves pixels of an axis of {size}"
        if exist is not None:
            assert exist.dtype == torch.bool
            assert exist[inside].all(), f"{rule.name} denies pixels of an axis of {size}"


@pytest.mark.parametrize("name", RULES)
def test_the_index_map_stays_in_range(name):
    check_index_map(boundaries.get(name))


def leaves(positions, size):
    return positions % (size + 1), None


def moves(positions, size):
    return (positions + 1) % size, None


def denies(positions, size):
    return positions.clamp(0, size - 1), (positions > 0) & (positions < size)


@pytest.mark.parametrize("wrong", [leaves, moves, denies])
def test_a_wrong_map_is_refused(wrong):
    with pytest.raises(AssertionError, match=rf"^{wrong.__name__} "):
        check_index_map(Boundary(wrong.__name__, wrong))


@pytest.mark.parametrize("name", RULES)
def test_what_is_read_off_a_map(name):
    """A filtered axis, continued, is the continued axis, filtered; or it is not, and a margin is needed."""
    rule, size, reach = boundaries.get(name), 8, 4
    generator = np.random.default_rng(0)
    line, filter_ = generator.standard_normal(size), generator.standard_normal(reach)
    symmetric = np.concatenate([filter_[:0:-1], filter_])

    def continued(values, beyond):
        pixels, exist = rule(torch.arange(-beyond, size + beyond), size)
        return values[pixels.numpy()] * (1 if exist is None else exist.numpy())

    long = np.convolve(continued(line, 20 + reach - 1), symmetric, mode="valid")
    assert rule.commutes == np.allclose(long, continued(long[20 : 20 + size], 20), rtol=0, atol=1e-12)
    outside = rule(torch.tensor([-1]), size)[1]
    assert rule.has_outside == (outside is not None and not outside.all())


@pytest.mark.parametrize("kernel", ["linear", "keys"])
@pytest.mark.parametrize("name", RULES)
def test_engines_that_take_a_rule_agree_with_the_reference(name, kernel):
    for size, kind in (((9, 7), "wild"), ((1, 1), "white"), ((2, 1), "on_the_edge")):
        case = make_case(2, kind, batch=1, size=size, grid=(4, 5)).to(torch.float64)
        close = rounding(torch.float64, 200, 200 * float(case.x.abs().max() + case.g.abs().max())).absolute
        for backend in (*ENGINES, "reference"):
            try:
                y = wt.warp(case.x, case.offsets, kernel, name, backend=backend)
            except BackendError:
                continue
            z = wt.splat(case.g, case.offsets, size, kernel, name, backend=backend)
            torch.testing.assert_close(
                y, wt.warp(case.x, case.offsets, kernel, name, backend="reference"), rtol=0, atol=close
            )
            assert abs((y * case.g).sum() - (z * case.x).sum()) <= close * y.numel()


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder whose files are entries of a package, for as long as a test lasts."""

    def add(package, name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
        entry_modules.cache_clear()

    yield add
    entry_modules.cache_clear()


ODD = '''
"""Odd: the image repeats, and every second copy is missing."""

import torch


def odd(positions, size):
    """Return the positions modulo the size, and whether their copy is there."""
    return torch.remainder(positions, size), torch.remainder(positions, 2 * size) < size
'''


def test_a_new_file_is_a_new_rule(shelf, monkeypatch):
    """It is found, passes the contract, works in every operator, and engines that do not know it say so."""
    monkeypatch.delenv("WARPTHEORY_BACKEND", raising=False)
    shelf(boundaries, "odd", ODD)
    assert "odd" in boundaries.names()
    rule = boundaries.get("odd")
    check_index_map(rule)
    assert (rule.has_outside, rule.commutes) == (True, False)
    case = make_case(2, "white", size=(4, 5), grid=(4, 5)).to(torch.float64)
    chosen = wt.warping.backend(case.x, case.offsets, "keys", "odd")
    assert chosen.name == "reference"
    assert "not 'odd'" in chosen.reason
    with pytest.raises(BackendError, match="not 'odd'"):
        wt.warp(case.x, case.offsets, "keys", "odd", backend="cpu")
    matrix = wt.warp_matrix(case.offsets, (4, 5), "keys", "odd").to_dense()
    y = wt.warp(case.x, case.offsets, "keys", "odd")
    matrix = matrix if matrix.ndim == 4 else matrix[:, None]
    x = case.x.reshape(len(case.x), matrix.shape[1], -1, 20)
    expected = torch.einsum("bgnm,bgcm->bgcn", matrix, x).reshape(y.shape)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    z = wt.splat(case.g, case.offsets, (4, 5), "keys", "odd")
    assert abs((y * case.g).sum() - (z * case.x).sum()) < 1e-10
    x, offsets = case.x[:1, :1].clone().requires_grad_(), case.offsets[:1, :1].clone().requires_grad_()
    assert gradcheck(lambda a, b: wt.warp(a, b, "keys", "odd"), (x, offsets), fast_mode=True)


FLIP = '''
"""Flip."""

from warptheory.operators._operator import WarpOperator

__all__ = ["Flip1d"]


class Flip1d(WarpOperator):
    def offsets(self, x):
        places = x.new_tensor(range(x.shape[2]))
        return (places.flip(0) - places).expand(len(x), 1, 1, -1)
'''


def test_a_new_file_is_a_new_operator(shelf):
    shelf(operators, "flip", FLIP)
    operators.exported_names.cache_clear()
    try:
        x = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0))
        assert torch.equal(operators.Flip1d()(x), x.flip(2))
    finally:
        operators.exported_names.cache_clear()
    with pytest.raises(AttributeError, match="no attribute 'Flop1d'"):
        _ = operators.Flop1d
