"""Cases of the operators: what a call returns, and its derivatives, against the reference in float64.

All inputs are numbers of the dtype of the call, so that both compute the same thing; what differs is rounding, bounded
by the number of terms of a sum times the largest sum of absolute values that the kernel's weights allow.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from tests.fuzz.draws import Draws, offsets
from warptheory import kernels, warping
from warptheory.core.tolerances import rounding
from warptheory.kernels import tap_weights
from warptheory.warping import boundaries, jacobian

_KERNELS = ("linear", "nearest", "keys", "bspline3", "lanczos3", "triangle", "gauss", "sinc", "gauss(0.5)")
_PREFILTERED = "bspline3(prefilter=True)"
# Kernels that bend, or jump, between pixels as well: a fraction that is rounded may come to lie on the other side.
_INNER_KNOTS = ("nearest", "triangle", "lanczos3", "gauss")
_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_PASSES = ("forward", "backward", "jvp", "vmap", "twice")
_MOST_TAPS = {"forward": 1000, "backward": 64, "jvp": 64, "vmap": 16, "twice": 16}
# A bound on Σ|c| for the coefficients of the cubic spline: 3 along an axis, M. Unser, 1999.
_PREFILTER_GAIN = 3.0


class MismatchError(AssertionError):
    """A result that is not what it should be."""


@dataclass(frozen=True)
class Setting:
    """How a case samples."""

    kernel: str
    boundary: str
    knot: str
    backend: str | None


def operator_case(draws: Draws) -> None:
    """Draw a call of `warp`, `splat` or `warp_gradient`, and compare it."""
    name = draws.choice(("warp", "splat", "warp_gradient"), (5, 3, 1))
    dim = draws.choice((1, 2, 3), (6, 8, 3))
    mode = draws.choice(_PASSES, (6, 5, 1, 1, 1))
    setting = _setting(draws, dim, mode)
    size, grid = draws.size(dim), draws.size(dim)
    if not kernels.get(setting.kernel).is_compact:
        size, grid = (tuple(min(length, 7) for length in lengths) for lengths in (size, grid))
    if mode in ("vmap", "twice"):
        size, grid = (tuple(min(length, 5) for length in lengths) for lengths in (size, grid))
    batch = 0 if draws.chance(0.02) else draws.integer(1, 3)
    groups = draws.choice((1, 2, 3), (6, 2, 1))
    channels = groups * draws.choice((0, 1, 2, 3, 5, 8, 16, 17), (1, 8, 6, 5, 4, 3, 3, 3))
    dtype = draws.choice(_DTYPES, (11, 5, 1, 1))
    wide = draws.choice(_DTYPES) if draws.chance(0.08) else dtype
    if setting.backend == "cpu" and (dtype != wide or dtype not in _DTYPES[:2]):
        setting = Setting(setting.kernel, setting.boundary, setting.knot, None)

    near = not setting.kernel.startswith(_INNER_KNOTS)
    field = offsets(draws, (batch, groups, dim, *grid), size, near)
    on_grid, on_image = (batch, channels, *grid), (batch, channels, *size)
    values = draws.normal(on_grid if name == "splat" else on_image)
    is_finite = mode != "forward" or draws.chance(0.9)
    if not is_finite:
        places = draws.uniform(values.shape) < 0.1
        values = np.where(places, draws.choice((math.nan, math.inf, -math.inf)), values)
    x, eps = draws.tensor(values, dtype), draws.tensor(field, wide)
    if groups == 1 and draws.chance(0.7):
        eps = eps[:, 0]

    call = _call(name, size, setting)
    given: list[Tensor] = []

    def fresh(values: Tensor) -> Tensor:
        given.append(torch.from_numpy(draws.normal(values.shape)).to(values.dtype))
        return given[-1].clone()

    found = _passes(call, x, eps, mode, fresh)
    raw, left = Setting(setting.kernel, setting.boundary, setting.knot, "reference"), iter(given)
    exact = _passes(_call(name, size, raw), x.double(), eps.double(), mode, lambda _: next(left).double().clone())
    shape = {"warp": on_grid, "splat": on_image, "warp_gradient": (batch, channels, dim, *grid)}[name]
    first = found[0]
    if mode == "vmap":
        shape = (2 * batch, *shape[1:])
    if tuple(first.shape) != shape or first.dtype != dtype:
        raise MismatchError(f"{name} returned {tuple(first.shape)}, {first.dtype}")
    if mode != "vmap":  # whose images are stacked first
        _check_layout(name, first, x)
    tolerance = _Bound(setting, name, mode, x, eps, size, given)
    # A coefficient depends on pixels as far as rounding lets it, which is farther in float64.
    as_far = setting.kernel != _PREFILTERED or dtype == torch.float64
    for number, (mine, true) in enumerate(zip(found, exact, strict=True)):
        _compare(f"{name}, {mode}, result {number}", mine, true, tolerance.value, is_finite, as_far=as_far)


def _setting(draws: Draws, dim: int, mode: str) -> Setting:
    kernel = draws.choice(_KERNELS, (24, 3, 6, 3, 2, 2, 2, 2, 1)) if draws.chance(0.96) else _PREFILTERED
    resolved = kernels.get(kernel)
    if (len(resolved.taps) if resolved.is_compact else 7) ** dim > _MOST_TAPS[mode]:
        kernel = "linear"
    boundary = draws.choice(boundaries.names()) if kernels.get(kernel).is_compact else "periodic"
    knot = draws.choice(("right", "central"), (2, 1))
    backend = draws.choice((None, "cpu", "reference"), (8, 2, 1)) if kernels.get(kernel).is_compact else None
    return Setting(kernel, boundary, knot, backend)


def _call(name: str, size: tuple[int, ...], setting: Setting) -> Callable[[Tensor, Tensor], Tensor]:
    rule = {"kernel": setting.kernel, "boundary": setting.boundary, "knot": setting.knot, "backend": setting.backend}
    if name == "splat":
        return lambda g, eps: warping.splat(g, eps, size, **rule)
    operator = getattr(warping, name)
    return lambda x, eps: operator(x, eps, **rule)


def _passes(
    call: Callable[[Tensor, Tensor], Tensor], x: Tensor, eps: Tensor, mode: str, like: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Return what a call returns, and its derivatives; `like` gives a tangent of the shape and dtype of a tensor."""
    if mode == "forward":
        return [call(x, eps)]
    if mode == "jvp":
        if 0 in x.stride() + eps.stride():  # torch takes no tangents of expanded tensors
            x, eps = x.clone(), eps.clone()
        return list(torch.func.jvp(call, (x, eps), (like(x), like(eps))))
    if mode == "vmap":
        mapped = torch.stack([x, x.flip(1)]), torch.stack([eps, eps])
        return [torch.func.vmap(call)(*mapped).flatten(0, 1), torch.func.vmap(call, (0, None))(mapped[0], eps)[1]]
    leaves = [x.detach().requires_grad_(), eps.detach().requires_grad_()]
    y = call(*leaves)
    g = like(y)
    if mode == "backward":
        return [y.detach(), *torch.autograd.grad(y, leaves, g)]
    first = torch.autograd.grad(y, leaves, g.requires_grad_(), create_graph=True)
    total = sum((each * like(each)).sum() for each in first)
    second = torch.autograd.grad(total, [*leaves, g], allow_unused=True)
    results = [
        y,
        *first,
        *(torch.zeros_like(of) if d is None else d for d, of in zip(second, [*leaves, g], strict=True)),
    ]
    return [each.detach() for each in results]


def _check_layout(name: str, found: Tensor, x: Tensor) -> None:
    """A result of `warp` and `splat` is channels-last where its input is."""
    if name == "warp_gradient" or found.numel() == 0 or x.shape[1] < 2 or math.prod(x.shape[2:]) < 2:
        return
    if x.is_contiguous() and not found.is_contiguous():
        raise MismatchError(f"a contiguous input gave strides {found.stride()}")
    if x.movedim(1, -1).is_contiguous() and not found.movedim(1, -1).is_contiguous():
        raise MismatchError(f"a channels-last input gave strides {found.stride()}")


@cache
def _weight_sum(kernel: str, order: int, size: int) -> float:
    """Return max Σ|w| over fractions, for a derivative along an axis."""
    resolved = kernels.get(kernel)
    fraction = torch.linspace(0, 1, 257, dtype=torch.float64)
    length = None if resolved.is_compact else size
    sums = [
        sum(weight.abs() for _, weight in tap_weights(resolved, fraction, order, length, side))
        for side in ("right", "left")
    ]
    return max(float(found.max()) for found in sums)


class _Bound:
    """Bounds on rounding: γ of all terms that meet in a number, times the largest their absolute values can sum to."""

    def __init__(
        self,
        setting: Setting,
        name: str,
        mode: str,
        x: Tensor,
        eps: Tensor,
        size: tuple[int, ...],
        given: list[Tensor],
    ) -> None:
        dim, channels = len(size), max(x.shape[1], 1)
        resolved = kernels.get(setting.kernel)
        taps = math.prod(len(resolved.taps) if resolved.is_compact else length for length in size)
        positions = math.prod(eps.shape[-dim:])
        gain, lengths = 1.0, 0
        if resolved.prefilter is not None:
            gain, lengths = _PREFILTER_GAIN**dim, sum(size)
        order = {"forward": 0, "vmap": 0, "backward": 1, "jvp": 1, "twice": 2}[mode] + (name == "warp_gradient")
        # Of polynomials whose terms cancel, each weight is as wrong as the largest of its terms.
        weight = 8 * max(max(_weight_sum(setting.kernel, n, max(size)) for n in range(order + 1)), 1.0)
        values = [max((float(each.abs().max()) for each in (x.nan_to_num(0, 0, 0),) if each.numel()), default=0.0)]
        values += [float(each.abs().max()) if each.numel() else 0.0 for each in given]
        largest = math.prod(max(value, 1.0) for value in values)
        self._operations = taps * (2 if setting.knot == "central" else 1) + 30 * dim + lengths
        self._magnitude = gain * weight**dim * largest
        if mode in ("backward", "twice", "jvp") or name == "splat":
            self._operations += positions * taps + channels
            self._magnitude *= max(positions, channels) * dim
        if mode == "twice":
            self._operations += positions * taps
            self._magnitude *= max(positions, channels) * dim
        self._compute = torch.promote_types(torch.promote_types(x.dtype, eps.dtype), torch.float32)
        self._narrow = min((x.dtype, eps.dtype), key=lambda dtype: -torch.finfo(dtype).eps)
        # Between parts of a derivative numbers are rounded to the dtype of the call.
        self._roundings = 1 if mode in ("forward", "vmap") else channels + 12

    @property
    def value(self) -> float:
        """The bound."""
        narrow = rounding(self._narrow, self._roundings).relative
        return (rounding(self._compute, self._operations).relative + narrow) * self._magnitude


def _compare(what: str, mine: Tensor, true: Tensor, tolerance: float, is_finite: bool, *, as_far: bool = True) -> None:
    if mine.shape != true.shape:
        raise MismatchError(f"{what}: shape {tuple(mine.shape)}, and {tuple(true.shape)} of the reference")
    if mine.numel() == 0:
        return
    finite = true.isfinite()
    if is_finite and not bool(finite.all()):
        raise MismatchError(f"{what}: the reference is not finite")
    if not (torch.equal(mine.isfinite(), finite) if as_far else bool(mine.isfinite()[finite].all())):
        raise MismatchError(f"{what}: finite at other places than the reference")
    error = (mine.double() - true)[finite].abs()
    if error.numel() and not float(error.max()) <= tolerance:
        raise MismatchError(f"{what}: error {float(error.max()):.3g}, bound {tolerance:.3g}")


def matrix_case(draws: Draws) -> None:
    """Draw a matrix: its product with an image is the warp, that of its transpose the splat."""
    dim = draws.choice((1, 2, 3), (5, 4, 1))
    setting = _setting(draws, dim, "vmap")
    size, grid = (tuple(min(length, 6) for length in draws.size(dim)) for _ in range(2))
    groups, batch = draws.integer(1, 2), draws.integer(1, 2)
    dtype = draws.choice(_DTYPES[:2])
    near = not setting.kernel.startswith(_INNER_KNOTS)
    eps = draws.tensor(offsets(draws, (batch, groups, dim, *grid), size, near), dtype)
    matrix = warping.warp_matrix(eps, size, setting.kernel, setting.boundary)
    rows, columns = math.prod(grid), math.prod(size)
    if tuple(matrix.shape) != (batch, groups, rows, columns) or matrix.dtype != dtype:
        raise MismatchError(f"warp_matrix returned {tuple(matrix.shape)}, {matrix.dtype}")
    dense = matrix.to_dense().double()
    rule = (setting.kernel, setting.boundary)
    for operator, like, length in ((warping.warp, size, columns), (warping.splat, grid, rows)):
        x = torch.from_numpy(draws.normal((batch, groups, *like)))
        keywords = {} if operator is warping.warp else {"size": size}
        true = operator(x, eps.double(), **keywords, kernel=rule[0], boundary=rule[1], backend="reference")
        side = dense if operator is warping.warp else dense.transpose(2, 3)
        mine = (side @ x.reshape(batch, groups, length, 1)).reshape(true.shape)
        bound = _Bound(setting, "splat", "forward", x, eps, size, []).value
        bound *= 1 if dtype == torch.float64 else torch.finfo(torch.float32).eps / torch.finfo(torch.float64).eps
        _compare(f"warp_matrix as {operator.__name__}", mine, true, bound, True)


def jacobian_case(draws: Draws) -> None:
    """Draw an offset field: J = det(I + ∇ε) by NumPy's differences and determinant."""
    dim = draws.integer(1, 3)
    grid = tuple(max(2, length) for length in draws.size(dim))
    dtype = draws.choice(_DTYPES[:2])
    eps = draws.tensor(10.0 ** draws.integer(-3, 3) * draws.normal((draws.integer(0, 3), dim, *grid)), dtype)
    spacing = None if draws.chance(0.5) else [draws.choice((0.5, 1.0, 2.0, 3.0)) for _ in range(dim)]
    found = jacobian.jacobian_determinant(eps, spacing)
    field = eps.double().numpy()
    inner = (slice(0, -1),) * dim
    slopes = np.stack(
        [
            np.diff(field, axis=2 + axis)[(..., *(slice(None) if i == axis else inner[i] for i in range(dim)))]
            / (1.0 if spacing is None else spacing[axis])
            for axis in range(dim)
        ],
        axis=2,
    )
    total = np.moveaxis(slopes, (1, 2), (-2, -1)) + np.eye(dim)
    true = torch.from_numpy(np.linalg.det(total)) if total.size else found.double()
    if tuple(found.shape) != (len(eps), *(length - 1 for length in grid)) or found.dtype != dtype:
        raise MismatchError(f"jacobian_determinant returned {tuple(found.shape)}, {found.dtype}")
    # Rows of a determinant are bounded by their sums; Hadamard. Differences of large offsets cancel.
    largest = 1 + 4 * dim * (float(eps.abs().max()) if eps.numel() else 0.0)
    bound = rounding(dtype, 8 * dim + 4).relative * math.factorial(dim) * largest**dim
    _compare("jacobian_determinant", found, true, bound, True)
