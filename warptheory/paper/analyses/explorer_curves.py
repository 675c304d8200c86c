"""Gains of one layer and of stacks on a grid of kernels, laws and axes, for the page of `warptheory explore`.

Writes `explorer_curves.parquet`, one row for each value of a parameter: the closed form's number and, at some of the
values, the estimate with its standard error. Laws are compared at the same standard deviation of the offsets, from
which the value of their own scale follows. The input has mean 0 and variance 1; the gradient that is sent back is one.

Every kernel that reads finitely many pixels and every law with a spread are taken; a kernel with a parameter comes with
some values of it. All laws are taken with the kernels as they are without arguments, and other values of the parameters
with the first law only; the full profile has all pairs, and more simulations.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import sympy as sp

from warptheory import kernels, results
from warptheory.core.catalogue import load_entry
from warptheory.core.errors import ArgumentError
from warptheory.fields import laws
from warptheory.kernels import Kernel
from warptheory.paper.curves import manifest_of, points_of, write_curves
from warptheory.paper.entries import Analysis, Cost, ExplorerCurve, RunSettings
from warptheory.results import Curve, evenly_spaced

RECORD = "explorer_curves.parquet"
DIMS = (1, 2)
LAYERS = tuple(float(layers) for layers in range(1, 7))
SPREADS = (*evenly_spaced(0.05, 0.5, 10), *evenly_spaced(0.6, 2.0, 15))  # pixels; the gain falls within the first half
SIMULATED = {"quick": (0.25, 0.8), "full": (0.1, 0.25, 0.4, 0.6, 0.8, 1.2, 1.8)}
_FACTORS = (0.6, 0.8, 1.5, 2.0)  # on the value that a kernel's parameter has without arguments


def families() -> list[str]:
    """Return the kernels that read finitely many pixels, with their default parameters."""
    found = map(kernels.get, kernels.names())
    return [kernel.name for kernel in found if kernel.is_compact and kernel.prefilter is None]


def parameter(family: str) -> inspect.Parameter | None:
    """Return the one number that a kernel is built from; None for kernels with none or more."""
    builder: Callable[..., Kernel] = load_entry(kernels.__name__, family, "family").__dict__[family]
    found = list(inspect.signature(builder).parameters.values())
    return found[0] if len(found) == 1 and isinstance(found[0].default, float) else None


def members(family: str) -> list[str]:
    """Return kernels of a family for other values of its parameter, those that the family has; none without one."""
    number, found = parameter(family), list[str]()
    if number is None:
        return found
    for factor in _FACTORS:
        with suppress(ArgumentError):  # such as a triangle of less than a pixel
            found.append(kernels.get(f"{family}({factor * number.default:g})").name)
    return found


def varied_laws() -> list[str]:
    """Return the laws of offsets that have a spread, the normal one first."""
    found = [law for law in laws.names() if laws.get(law).variance != 0]
    return sorted(found, key=lambda law: (law != results.Setting().offsets, law))


def deviation(law: str) -> float:
    """Return the standard deviation of a law whose scale is one."""
    entry = laws.get(law)
    return float(sp.sqrt(entry.variance) / entry.scale)


def pairs(profile: str, thin: int) -> list[tuple[str, str]]:
    """Return the pairs of a kernel and a law."""
    plain, some = families()[::thin], varied_laws()[::thin]
    others = [member for family in plain for member in members(family)[::thin]]
    with_others = some if profile == "full" else some[:1]
    return [(kernel, law) for kernel in plain for law in some] + [(k, law) for k in others for law in with_others]


def forward_gain(settings: RunSettings) -> Iterator[Curve]:
    """Yield Var y against the spread of the offsets (A4)."""
    plain = set(families())
    for kernel, law in pairs(settings.profile, settings.thin):
        once = settings.profile == "quick" and (kernel not in plain or law != varied_laws()[0])
        yield from against_spread("A4", "variance", kernel, law, SIMULATED[settings.profile][: 1 if once else None])


def response_to_ones(settings: RunSettings) -> Iterator[Curve]:
    """Yield Var Wᵀ1 against the spread of the offsets, of the first law (B3)."""
    for kernel in families()[:: settings.thin]:
        if kernels.get(kernel).reproduces >= 0:
            simulated = SIMULATED[settings.profile]
            yield from against_spread("B3", "variance of the response to ones", kernel, varied_laws()[0], simulated)


def against_spread(label: str, quantity: str, kernel: str, law: str, simulated: Sequence[float]) -> Iterator[Curve]:
    """Yield a quantity against the spread of the offsets, in pixels, for each number of axes."""
    unit, scale = deviation(law), str(laws.get(law).scale)
    values, points = (tuple(spread / unit for spread in spreads) for spreads in (SPREADS, simulated))
    for dim in DIMS:
        yield Curve(results.get(label), quantity, scale, values, points, kernel, dim, {"offsets": law})


def stacks(settings: RunSettings) -> Iterator[Curve]:
    """Yield what L layers of wide offsets leave of the variance (A9), and make of a constant gradient (B8)."""
    simulated = LAYERS if settings.profile == "full" else LAYERS[2::3]
    asked = (("A9", "variance after L layers, wide offsets"), ("B8", "second moment after L layers, wide offsets"))
    for kernel in families()[:: settings.thin]:
        if is_solved(kernels.get(kernel)):
            for (label, name), dim in ((each, dim) for each in asked for dim in DIMS):
                yield Curve(results.get(label), name, "L", LAYERS, simulated, kernel, dim, rtol=1.5e-2)


def is_solved(kernel: Kernel) -> bool:
    """Whether the results on stacks hold for a kernel, and its ρ̄, from which they follow, is a rational number."""
    return kernel.reproduces >= 0 and bool(kernel.functionals().rho_bar.is_Rational)


def run(settings: RunSettings) -> Path:
    """Compute and write the record; return its path."""
    curves: Sequence[Curve] = [*forward_gain(settings), *response_to_ones(settings), *stacks(settings)]
    chosen = {"profile": settings.profile}
    return write_curves(list(points_of(curves, settings)), manifest_of(__name__, settings, **chosen), settings)


ANALYSIS = Analysis(
    run=run,
    writes=(RECORD,),
    cost=Cost(quick=40, full=360),
    explored=(
        ExplorerCurve(
            "A4",
            "variance",
            RECORD,
            control="spread",
            choices=("kernel", "dim", "offsets"),
            axis="Var y",
            text="What a warp leaves of the variance of white input. Whole offsets cost nothing; as soon as offsets "
            "spread over half a pixel, every fraction is as likely as any other, and the share ρ̄ᵈ is left.",
            order=10,
            power=2,
        ),
        ExplorerCurve(
            "A9",
            "variance after L layers, wide offsets",
            RECORD,
            control="depth",
            choices=("kernel", "dim"),
            axis="Var y after L layers",
            text="Every layer of widely spread offsets takes the same factor, so the variance falls geometrically "
            "with depth.",
            order=20,
            power=2,
            logarithmic=True,
        ),
        ExplorerCurve(
            "B3",
            "variance of the response to ones",
            RECORD,
            control="spread",
            choices=("kernel", "dim", "offsets"),
            axis="Var Wᵀ1",
            text="A gradient that is one everywhere. Forward, a constant passes unchanged, since rows of W sum to one; "
            "backward, columns do not, and it turns into noise.",
            order=30,
        ),
        ExplorerCurve(
            "B8",
            "second moment after L layers, wide offsets",
            RECORD,
            control="depth",
            choices=("kernel", "dim"),
            axis="mean square of the gradient",
            text="A constant gradient, sent back through L layers of widely spread offsets. Forward a constant stays "
            "what it is; backward it becomes noise, and its mean square approaches 1/(1 − ρ̄ᵈ).",
            order=50,
        ),
    ),
)
