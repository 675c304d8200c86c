"""B8: gradients through stacked warps."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.core.errors import ArgumentError
from warptheory.results._depth import LAYERS, Iterate, solved
from warptheory.results._experiment import DerivedExperiment, MomentExperiment
from warptheory.results._ranges import Range, whole, wide_offsets
from warptheory.results._result import Result
from warptheory.results._setting import HALF_WIDTH, PIXEL, TAU, Setting
from warptheory.results._stack_experiment import StackExperiment
from warptheory.results.backward._compound_poisson import THRESHOLD
from warptheory.results.backward._descendants import PoissonPower, descendant_tail_steps
from warptheory.results.backward._reading import support_size
from warptheory.results.backward._smooth_offsets import MOST_POINTS, WaveGrid
from warptheory.results.backward._smooth_tail import smooth_tail_steps
from warptheory.results.backward.jensen import BackwardGain
from warptheory.symbolic import (
    AfterLayers,
    Expectation,
    Field,
    IIDField,
    NotReducible,
    OffsetField,
    Step,
    WideOffsets,
    restated,
    splat,
)

result = Result(
    "B8",
    "Gradients through stacked warps",
    "With widely spread independent offsets a layer takes the second moment m of W₁ᵀ…W_Lᵀ1 to ρ̄ᵈ m + 1: after L "
    "layers it is (1 − ρ̄ᵈ⁽ᴸ⁺¹⁾)/(1 − ρ̄ᵈ), and it converges to 1/(1 − ρ̄ᵈ), 3 and 9/5 for the linear kernel in d "
    "= 1, 2. With smooth offsets W₁ᵀ…W_Lᵀ1 is ∏1/|J|, and every layer multiplies its second moment by ⟨1/|J|⟩: it "
    "grows exponentially with depth, as (1 − τ²)^(−dL/2) for εᵢ = τ sin tᵢ; its logarithm at a position of the "
    "input is then minus the sum of dL independent log(1 + τ cos θ), θ of density (1 + τ cos θ)/2π. At a finite "
    "spread a layer takes the spectral density S to |ŵ|²S + (R̂ − |ŵ|²)(∫S + μ²), as in B3, so that the second "
    "moment after L layers is m_L = 1 + Σ_{l < L} b_l m_{L−1−l}, with the b_l of A9. The law for wide offsets: an "
    "input is reached through the outputs that read it, a Poisson number of them in each layer, so that its paths "
    "are a branching process: the share q that no gradient reaches goes to exp(−|S|ᵈ(1 − q)) a layer, and for the "
    "nearest kernel the gradient of ones is the number of descendants after L generations, whose mean stays 1 "
    "while 1 − q falls as 2/L.",
    assumptions=(
        "The offsets of every layer and pixel are independent, uniform on [−a, a)ᵈ; or smooth as in B6, without folds.",
        "Smooth offsets have phases that are random and independent over the layers.",
        "The kernel is a partition of unity with finitely many taps.",
    ),
    source="arXiv 2511.20800, forward and backward pass; theory label B8",
    meaning="Through a stack of scattered warps the gradient stays finite but reaches ever fewer inputs, and "
    "through smooth ones it grows exponentially with depth. Shortcuts past the warps help against both.",
    values={"tau": Range(0.5, 0.3, 0.65)},
    notation={
        "t": "the size of the gradient of ones after L layers",
        "z_L": "the gradient of ones after L layers",
        "F_L": "the distribution function of the logarithm of a product of L Jacobians",
        "G_L": "the generating function of the descendants after L layers",
        "M": "what an input's probability is taken to, layer by layer",
    },
)

_COMPACT = ("linear", "keys")
_LAYERS = whole(4, 1, 6)


def stack(setting: Setting, layers: int) -> Field:
    """Return W₁ᵀ…W_Lᵀ1, the layers' offsets independent and uniform on [−a, a)."""
    z: Field = IIDField("g", mean=1, deviation=0)
    for number in range(1, layers + 1):
        z = splat(z, OffsetField("uniform", setting.dim, name=f"epsilon_{number}"), setting.kernel, name=f"z{number}")
    return z


@result.quantity("second moment after two layers")
def second_moment_of_two(setting: Setting) -> Expectation:
    """State the second moment after two layers."""
    return Expectation(stack(setting, 2)[PIXEL] ** 2)


class SplattedOnes(StackExperiment):
    """The mean square of ones, splatted again and again.

    Offsets over the whole grid place every pixel uniformly, as in the limit of wide offsets; of two pixels of a grid of
    N, which sum to a constant, the product has a mean that is too small by a share m/N, m the second moment: 0.04 % at
    most. Others reach few pixels, and a grid that is wider makes no difference.
    """

    pixels: ClassVar[Mapping[int, int]] = {1: 8192, 2: 64}

    def start(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> Float[Tensor, "rows 1 *S"]:
        """Return ones, shape (rows, 1, *S)."""
        return torch.ones((rows, 1, *self.grid), dtype=torch.float64, device=device)

    def layer(
        self, field: Float[Tensor, "rows 1 *S"], offsets: Float[Tensor, "rows d *S"]
    ) -> Float[Tensor, "rows 1 *S"]:
        """Splat, shape (rows, 1, *S)."""
        return warping.splat(field, offsets, kernel=self.setting.kernel, boundary="periodic")

    def seen(self, field: Float[Tensor, "rows 1 *S"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return the mean square, shape (rows,)."""
        return field.square().flatten(1).mean(1)


@result.quantity(
    "second moment after L layers",
    smallest_effect=0.002,  # of what exceeds 1, some hundredths
    kernels=_COMPACT,
    values={LAYERS.name: _LAYERS},
)
class SecondMoment(SplattedOnes, MomentExperiment):
    """The second moment after L layers."""

    half_width = HALF_WIDTH

    @property
    def statistic(self) -> AfterLayers:
        """The second moment, by the algebra."""
        return AfterLayers(second_moment_of_two(self.setting), LAYERS)


@result.quantity("second moment after three layers, wide offsets", values=wide_offsets)
def wide_second_moment_of_three(setting: Setting) -> WideOffsets:
    """State the second moment after three layers of widely spread offsets."""
    return WideOffsets(Expectation(stack(setting, 3)[PIXEL] ** 2), HALF_WIDTH)


@result.quantity("second moment after L layers, wide offsets", kernels=_COMPACT, values={LAYERS.name: _LAYERS})
class WideSecondMoment(SplattedOnes):
    """The second moment after L layers of widely spread offsets."""

    depth: ClassVar[sp.Expr] = LAYERS

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from one layer's map, by the algebra, to the closed form, or to its fixed point."""
        moment = sp.Symbol("m", positive=True)
        g = IIDField("g", mean=1, deviation=sp.sqrt(moment - 1))
        z = splat(g, OffsetField("uniform", self.setting.dim), self.setting.kernel)
        layer = sp.expand(WideOffsets(Expectation(z[PIXEL] ** 2), HALF_WIDTH).doit())
        iterate = Step(
            "One layer",
            "what a layer receives has the mean 1 and the second moment m = M(L − 1), M(0) = 1; wide offsets place "
            "every pixel anywhere, so that of its covariance only the variance counts",
            Iterate(layer, moment, sp.Integer(1), self.depth),
        )
        return iterate, solved(layer, moment, sp.Integer(1), self.depth)

    def __str__(self) -> str:
        return "lim (L → ∞) of E (W₁ᵀ…W_Lᵀ1)²" if self.depth == sp.oo else "E (W₁ᵀ…W_Lᵀ1)²"


_MISSING = 6e-4  # of the limit, after the layers that stand for many


@result.quantity("second moment after many layers, wide offsets")
class WideSecondMomentOfMany(WideSecondMoment):
    """What the same tends to with the number of layers."""

    depth = sp.oo

    @property
    def layers(self) -> int:
        """The number L of layers after which a share ρ̄ᵈ⁽ᴸ⁺¹⁾ of the limit is missing that does not matter."""
        kept = self.kernel.functionals().as_floats()["rho_bar"] ** self.setting.dim
        return math.ceil(math.log(_MISSING) / math.log(kept)) - 1


@result.quantity(
    "share without a gradient after L layers, wide offsets",
    smallest_effect=0.04,
    kernels=("linear", "nearest"),
    values={LAYERS.name: _LAYERS},
)
class WideDeadStack(SplattedOnes):
    """The share of inputs that no gradient reaches through L layers of widely spread offsets."""

    text = "P(W₁ᵀ…W_Lᵀ1 = 0)"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the readings of an input to those whose own gradient is not zero."""
        q = sp.Symbol("q", positive=True)
        all_dead = PoissonPower(support_size(self.kernel) ** self.setting.dim, q)
        return (
            Step(
                "Readings",
                "an input is dead if each of the R outputs that read it is, R Poisson (B4), which wide offsets "
                "take from anywhere, so that they are dead independently of each other; q = M(L − 1), M(0) = 0",
                Iterate(all_dead, q, sp.Integer(0), LAYERS),
            ),
            Step(
                "Add the series",
                "the generating function of R",
                Iterate(sp.simplify(all_dead.series.doit()), q, sp.Integer(0), LAYERS),
            ),
        )

    def seen(self, field: Float[Tensor, "rows 1 *S"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return the share of pixels where nothing arrived, shape (rows,)."""
        return (field == 0).double().flatten(1).mean(1)


@result.quantity(
    "tail after L layers, wide offsets",
    smallest_effect=0.02,
    kernels=("nearest",),
    values={LAYERS.name: _LAYERS, THRESHOLD.name: Range(2.5, 0.6, 4.4)},
)
class WideTail(SplattedOnes):
    """The law of W₁ᵀ…W_Lᵀ1 for the nearest kernel and widely spread offsets."""

    text = "P(W₁ᵀ…W_Lᵀ1 > t)"
    symbols = frozenset({LAYERS.name, THRESHOLD.name})

    def steps(self) -> tuple[Step, ...]:
        """Return the steps of a branching process.

        Raises:
            NotReducible: another kernel than nearest.
        """
        if self.setting.kernel != "nearest":
            raise NotReducible(sp.Symbol(self.setting.kernel), "readings are counts for the nearest kernel")
        return descendant_tail_steps()

    def seen(self, field: Float[Tensor, "rows 1 *S"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return the share of pixels where more than t arrived, shape (rows,)."""
        return _share_beyond(field, values)


_DEEPEST = 64  # by then a grid that is finer by a factor in each layer has more points than can be held


@result.quantity(
    "second moment after L layers, smooth offsets",
    smallest_effect=0.02,
    dims=(1,),
    kernels=_COMPACT,
    values=lambda setting: {LAYERS.name: whole(2, 1, 2) if setting.kernel == "linear" else whole(3, 1, 3)},
)
class SmoothSecondMoment(DerivedExperiment):
    """The second moment after L layers of smooth offsets without folds, ε = τ sin t with random phases.

    Ones are splatted L times, from grids that get coarser. A row is the mean over phases that are half a turn apart, or
    less, in every layer but the first.
    """

    text = "E (W₁ᵀ…W_Lᵀ1)²"
    symbols = frozenset({TAU.name, LAYERS.name})

    def steps(self) -> tuple[Step, ...]:
        """Return those of one layer (B6) to the power L: what comes out is homogeneous, and independent of the next."""
        reason = "each layer multiplies the second moment of what it receives by ⟨1/J⟩, independently of the others: "
        return restated(BackwardGain(self.setting).steps(), reason, lambda one: one**LAYERS)

    @property
    def phases(self) -> int:
        """The number of phases of a row, for each axis and layer."""
        return 2

    def seen(self, z: Float[Tensor, "rows 1 *S"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return the mean square of what comes out, shape (rows,)."""
        return z.square().flatten(1).mean(1)

    def grids(self, values: Mapping[str, float]) -> list[WaveGrid]:
        """Return the grids of the layers; each arrives on the finer grid that the next one leaves from.

        The last has half or a third of the pixels of B6's, which keep the bias at 0.1 % or less.
        """
        one = WaveGrid.of(self.setting)
        last = replace(one, period=one.period // (1 + self.setting.dim)).resolving(values[TAU.name])
        finer = (last.oversampling**power for power in reversed(range(int(values[LAYERS.name]))))
        return [replace(last, period=last.period * factor) for factor in finer]

    def check_values(self, values: Mapping[str, float]) -> None:
        """Check that the grids of all layers can be held, the first one of which is the finest.

        Raises:
            ArgumentError: a slope as in B6, or too many layers.
        """
        if values[LAYERS.name] > _DEEPEST or self.row_elements(values) > MOST_POINTS:
            expected = f"layers whose first has at most {MOST_POINTS} points, on grids that get coarser by three"
            raise ArgumentError(LAYERS.name, expected=expected, received=values[LAYERS.name])

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of the first layer."""
        return self.grids(values)[0].points

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the phases of all layers, and return what is seen of what comes out; shape (rows,)."""
        grids, dim = self.grids(values), self.setting.dim
        shape = (rows, 1, *(grids[0].period * grids[0].oversampling,) * dim)
        z = torch.ones(shape, dtype=torch.float64, device=device)
        for number, grid in enumerate(grids):
            phases = torch.from_numpy(2 * np.pi * generator.random((rows, dim)))
            if number > 0:  # all that scatters is how the layers lie to each other
                phases = phases.repeat(len(z) // rows, 1)
                turns = 2 * np.pi / self.phases * torch.tensor(list(np.ndindex(*(self.phases,) * dim)))
                phases = torch.cat([phases + turn for turn in turns])
                z = z.repeat(self.phases**dim, *[1] * (dim + 1))
            z = grid.splatted(z, phases.to(device), values[TAU.name])
        return self.seen(z, values).reshape(-1, rows).mean(0)


# A grid that is fine enough for two layers in the plane takes the kernel that reproduces parabolas.
result.quantity(
    "second moment after L layers, smooth offsets in the plane",
    smallest_effect=0.02,
    dims=(2,),
    kernels=("keys",),
    values={LAYERS.name: whole(2, 1, 2), "tau": Range(0.4, 0.25, 0.5)},
)(SmoothSecondMoment)


@result.quantity(
    "tail after L layers, smooth offsets",
    smallest_effect=0.04,
    bias=0.05,  # of the share of pixels on a grid: 0.2 %
    kernels=("keys",),
    values=lambda setting: {
        LAYERS.name: whole(2, 1, 4 - setting.dim),
        "tau": Range(0.5, 0.3, 0.6) if setting.dim == 1 else Range(0.4, 0.3, 0.5),
        THRESHOLD.name: Range(1.15, 1.05, 1.25),
    },
)
class SmoothTail(SmoothSecondMoment):
    """The law of W₁ᵀ…W_Lᵀ1 for the same offsets."""

    text = "P(W₁ᵀ…W_Lᵀ1 > t)"
    symbols = SmoothSecondMoment.symbols | {THRESHOLD.name}

    def steps(self) -> tuple[Step, ...]:
        """Return the steps from the characteristic function of log J to its convolution."""
        return smooth_tail_steps(self.setting.dim)

    @property
    def phases(self) -> int:
        """The number of phases of a row, for each axis and layer, as is cheapest."""
        return {1: 4, 2: 2}[self.setting.dim]

    def seen(self, z: Float[Tensor, "rows 1 *S"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return the share of pixels where more than t arrived, shape (rows,)."""
        return _share_beyond(z, values)


def _share_beyond(z: Float[Tensor, "rows 1 *S"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
    return (z > values[THRESHOLD.name]).double().flatten(1).mean(1)
