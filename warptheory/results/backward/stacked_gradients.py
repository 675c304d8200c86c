"""B8: gradients through stacked warps."""

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import kernels, warping
from warptheory.core.errors import ArgumentError
from warptheory.montecarlo import Experiment
from warptheory.results._depth import LAYERS, Iterate, solved
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range, whole, wide_offsets
from warptheory.results._result import Result
from warptheory.results._setting import HALF_WIDTH, PIXEL, Setting
from warptheory.results._stack_experiment import StackExperiment
from warptheory.results.backward._column_tail import THRESHOLD
from warptheory.results.backward._descendants import DescendantTail, PoissonPower
from warptheory.results.backward._smooth_tail import smooth_tail_steps
from warptheory.results.backward.jensen import MOST_POINTS, GainExperiment, backward_steps, gain_experiment
from warptheory.symbolic import (
    AfterLayers,
    Derivation,
    Expectation,
    Field,
    IIDField,
    NotReducible,
    OffsetField,
    Statistic,
    Step,
    WideOffsets,
    splat,
)
from warptheory.symbolic._reading import support_size
from warptheory.symbolic._slopes import TAU, DerivedStatistic

_DEEPEST = 64  # by then a grid that is finer by a factor in each layer has more points than can be held
_COMPACT = ("linear", "keys")


def stack(setting: Setting, layers: int) -> Field:
    """Return W₁ᵀ…W_Lᵀ1, the layers' offsets independent and uniform on [−a, a)."""
    z: Field = IIDField("g", mean=1, deviation=0)
    for number in range(1, layers + 1):
        z = splat(z, OffsetField("uniform", setting.dim, name=f"epsilon_{number}"), setting.kernel, name=f"z{number}")
    return z


def second_moment_of_two(setting: Setting) -> Expectation:
    """State the second moment after two layers."""
    return Expectation(stack(setting, 2)[PIXEL] ** 2)


def wide_second_moment_of_three(setting: Setting) -> WideOffsets:
    """State the second moment after three layers of widely spread offsets."""
    return WideOffsets(Expectation(stack(setting, 3)[PIXEL] ** 2), HALF_WIDTH)


def second_moment(setting: Setting) -> AfterLayers:
    """State the second moment after L layers."""
    return AfterLayers(second_moment_of_two(setting), LAYERS)


@dataclass(frozen=True)
class WideStackMoment(Statistic):
    """The second moment of W₁ᵀ…W_Lᵀ1 for widely spread offsets.

    Attributes:
        setting: kernel and number of axes.
        layers: L, a symbol, or infinity.
    """

    setting: Setting
    layers: sp.Expr

    def derive(self) -> Derivation:
        """Return the steps from one layer's map to the closed form, or to its fixed point."""
        moment = sp.Symbol("m", positive=True)
        layer = self._layer(moment)
        iterate = Step(
            "One layer",
            "what a layer receives has the mean 1 and the second moment m = M(L − 1), M(0) = 1; wide offsets place "
            "every pixel anywhere, so that of its covariance only the variance counts",
            Iterate(layer, moment, sp.Integer(1), self.layers),
        )
        return Derivation(str(self), (iterate, solved(layer, moment, sp.Integer(1), self.layers)))

    def _layer(self, moment: sp.Symbol) -> sp.Expr:
        """Return the second moment after a layer, by the algebra."""
        g = IIDField("g", mean=1, deviation=sp.sqrt(moment - 1))
        z = splat(g, OffsetField("uniform", self.setting.dim), self.setting.kernel)
        return sp.expand(WideOffsets(Expectation(z[PIXEL] ** 2), HALF_WIDTH).doit())

    def __str__(self) -> str:
        return f"E (W₁ᵀ…W_Lᵀ1)², wide offsets, L = {self.layers}, d = {self.setting.dim}"


def wide_second_moment(setting: Setting) -> WideStackMoment:
    """State the second moment after L layers of widely spread offsets."""
    return WideStackMoment(setting, LAYERS)


def wide_second_moment_of_many(setting: Setting) -> WideStackMoment:
    """State what it tends to with the number of layers."""
    return WideStackMoment(setting, sp.oo)


def squared(z: Tensor, values: Mapping[str, float]) -> Tensor:
    """Return the squares, shape (rows, 1, *S) as given."""
    return z.square()


def is_dead(z: Tensor, values: Mapping[str, float]) -> Tensor:
    """Return 1 where nothing arrived, and else 0, shape (rows, 1, *S) as given."""
    return (z == 0).double()


def exceeds(z: Tensor, values: Mapping[str, float]) -> Tensor:
    """Return 1 where more than t arrived, and else 0, shape (rows, 1, *S) as given."""
    return (z > values[THRESHOLD.name]).double()


@dataclass(frozen=True)
class SplattedOnesExperiment(StackExperiment):
    """Ones, splatted again and again.

    Offsets over the whole grid place every pixel uniformly, as in the limit of wide offsets; of two pixels of a grid of
    N, which sum to a constant, the product has a mean that is too small by a share m/N, m the second moment: 0.04 % at
    most. Others reach few pixels, and a grid that is wider makes no difference.

    Attributes:
        function: what is averaged over the pixels of what comes out, of that and of the values; its square by default.
        parameters: names of the values that it needs.
    """

    function: Callable[[Tensor, Mapping[str, float]], Tensor] = squared
    parameters: frozenset[str] = frozenset()

    pixels: ClassVar[Mapping[int, int]] = {1: 8192, 2: 64}

    @property
    def symbols(self) -> Set[str]:
        """Those of the layers, and what the function needs."""
        return {*super().symbols, *self.parameters}

    def start(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str
    ) -> Float[Tensor, "rows 1 *S"]:
        """Return ones, shape (rows, 1, *S)."""
        return torch.ones((rows, 1, *self.size), dtype=torch.float64, device=device)

    def layer(
        self, field: Float[Tensor, "rows 1 *S"], offsets: Float[Tensor, "rows d *S"]
    ) -> Float[Tensor, "rows 1 *S"]:
        """Splat, shape (rows, 1, *S)."""
        return warping.splat(field, offsets, kernel=self.kernel, boundary="periodic")

    def seen(self, field: Float[Tensor, "rows 1 *S"], values: Mapping[str, float]) -> Float[Tensor, "rows"]:
        """Return the mean of the function, shape (rows,)."""
        return self.function(field, values).flatten(1).mean(1)


_MISSING = 6e-4  # of the limit, after the layers that stand for many


def many_layers(setting: Setting) -> int:
    """Return the number L of layers after which a share ρ̄ᵈ⁽ᴸ⁺¹⁾ of the limit is missing that does not matter."""
    kept = kernels.get(setting.kernel).functionals().as_floats()["rho_bar"] ** setting.dim
    return math.ceil(math.log(_MISSING) / math.log(kept)) - 1


@dataclass(frozen=True)
class WideDeadStack(Statistic):
    """The share of inputs that no gradient reaches through L layers of widely spread offsets.

    Attributes:
        readings: the mean number of outputs that read an input in one layer.
    """

    readings: sp.Expr

    def derive(self) -> Derivation:
        """Return the steps from the readings of an input to those whose own gradient is not zero."""
        q = sp.Symbol("q", positive=True)
        all_dead = PoissonPower(self.readings, q)
        return Derivation(
            str(self),
            (
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
            ),
        )

    def __str__(self) -> str:
        return "P(W₁ᵀ…W_Lᵀ1 = 0), wide offsets"


def wide_dead_share(setting: Setting) -> WideDeadStack:
    """State the share of inputs that no gradient reaches through L layers."""
    return WideDeadStack(support_size(kernels.get(setting.kernel)) ** setting.dim)


def wide_tail(setting: Setting) -> DescendantTail:
    """State the law of W₁ᵀ…W_Lᵀ1 for the nearest kernel."""
    if setting.kernel != "nearest":
        raise NotReducible(sp.Symbol(setting.kernel), "readings are counts for the nearest kernel")
    return DescendantTail()


def smooth_second_moment(setting: Setting) -> DerivedStatistic:
    """State the second moment after L layers of smooth offsets without folds, ε = τ sin t with random phases."""
    return DerivedStatistic("E (W₁ᵀ…W_Lᵀ1)², smooth offsets", _smooth_steps, setting.dim)


def _smooth_steps(dim: int) -> tuple[Step, ...]:
    """Take the steps of one layer (B6) to the power L: what comes out is homogeneous, and independent of the next."""
    reason = "each layer multiplies the second moment of what it receives by ⟨1/J⟩, independently of the others: "
    return tuple(
        Step(step.name, reason * (number == 0) + step.reason, step.expression**LAYERS)
        for number, step in enumerate(backward_steps(dim))
    )


@dataclass(frozen=True)
class SmoothStackExperiment:
    """Ones, splatted L times by smooth offsets of random phase, from grids that get coarser.

    A row is the mean over phases that are half a turn apart, or less, in every layer but the first.

    Attributes:
        layer: the last layer; each one before has a grid that is finer by its oversampling.
        function: what is averaged over the pixels of what comes out, of that and of the values; its square by default.
        parameters: names of the values that it needs.
        phases: their number for each axis and layer.
    """

    layer: GainExperiment
    function: Callable[[Tensor, Mapping[str, float]], Tensor] = squared
    parameters: frozenset[str] = frozenset()
    phases: int = 2

    def _layers(self, values: Mapping[str, float]) -> list[GainExperiment]:
        """Return the layers; each arrives on the finer grid that the next one leaves from."""
        last = self.layer.resolving(values[TAU.name])
        finer = (last.oversampling**power for power in reversed(range(int(values[LAYERS.name]))))
        return [replace(last, period=last.period * factor) for factor in finer]

    @property
    def symbols(self) -> Set[str]:
        """The largest slope, the number of layers, and what the function needs."""
        return {*self.layer.symbols, LAYERS.name, *self.parameters}

    def row_elements(self, values: Mapping[str, float]) -> int:
        """Return the number of pixels of the first layer."""
        return self._layers(values)[0].points

    def sample(
        self, generator: np.random.Generator, rows: int, values: Mapping[str, float], device: str = "cpu"
    ) -> Float[Tensor, "rows"]:
        """Draw the phases of all layers, and return the mean of the function of what comes out; shape (rows,)."""
        layers, dim = self._layers(values), self.layer.dim
        shape = (rows, 1, *(layers[0].period * layers[0].oversampling,) * dim)
        z = torch.ones(shape, dtype=torch.float64, device=device)
        for number, layer in enumerate(layers):
            phases = torch.from_numpy(2 * np.pi * generator.random((rows, dim)))
            if number > 0:  # all that scatters is how the layers lie to each other
                phases = phases.repeat(len(z) // rows, 1)
                turns = 2 * np.pi / self.phases * torch.tensor(list(np.ndindex(*(self.phases,) * dim)))
                phases = torch.cat([phases + turn for turn in turns])
                z = z.repeat(self.phases**dim, *[1] * (dim + 1))
            z = layer.splatted(z, phases.to(device), values[TAU.name])
        return self.function(z, values).flatten(1).mean(1).reshape(-1, rows).mean(0)


def on_smooth_offsets(statistic: Statistic, setting: Setting) -> SmoothStackExperiment:
    """Return the experiment on smooth offsets; half or a third of one layer's pixels keep the bias at 0.1 % or less."""
    layer = gain_experiment(setting, backward=True)
    return SmoothStackExperiment(replace(layer, period=layer.period // (1 + setting.dim)))


def smooth_tail(setting: Setting) -> DerivedStatistic:
    """State the law of W₁ᵀ…W_Lᵀ1 for the same offsets."""
    return DerivedStatistic("P(W₁ᵀ…W_Lᵀ1 > t), smooth offsets", smooth_tail_steps, setting.dim)


def tail_on_smooth_offsets(statistic: Statistic, setting: Setting) -> Experiment:
    """Return the experiment that counts pixels beyond t."""
    squares, phases = on_smooth_offsets(statistic, setting), {1: 4, 2: 2}[setting.dim]  # as is cheapest
    return replace(squares, function=exceeds, parameters=frozenset({THRESHOLD.name}), phases=phases)


def check_stack(setting: Setting, values: Mapping[str, float]) -> None:
    """Check that the grids of all layers can be held, the first one of which is the finest.

    Raises:
        ArgumentError: a slope as in B6, or too many layers.
    """
    experiment = on_smooth_offsets(smooth_second_moment(setting), setting)
    if values[LAYERS.name] > _DEEPEST or experiment.row_elements(values) > MOST_POINTS:
        expected = f"layers whose first has at most {MOST_POINTS} points, on grids that get coarser by three"
        raise ArgumentError(LAYERS.name, expected=expected, received=values[LAYERS.name])


RESULT = Result(
    label="B8",
    title="Gradients through stacked warps",
    statement=(
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
        "while 1 − q falls as 2/L."
    ),
    assumptions=(
        "The offsets of every layer and pixel are independent, uniform on [−a, a)ᵈ; or smooth as in B6, without folds.",
        "Smooth offsets have phases that are random and independent over the layers.",
        "The kernel is a partition of unity with finitely many taps.",
    ),
    source="arXiv 2511.20800, forward and backward pass; theory label B8",
    quantities=(
        Quantity("second moment after two layers", second_moment_of_two),
        Quantity(
            "second moment after L layers",
            second_moment,
            smallest_effect=0.002,  # of what exceeds 1, some hundredths
            kernels=_COMPACT,
            values=lambda setting: {"L": whole(4, 1, 6)},
            simulation=lambda _, s: SplattedOnesExperiment(s.kernel, s.dim, HALF_WIDTH),
        ),
        Quantity("second moment after three layers, wide offsets", wide_second_moment_of_three, values=wide_offsets),
        Quantity(
            "second moment after L layers, wide offsets",
            wide_second_moment,
            kernels=_COMPACT,
            values=lambda setting: {"L": whole(4, 1, 6)},
            simulation=lambda _, s: SplattedOnesExperiment(s.kernel, s.dim),
        ),
        Quantity(
            "second moment after many layers, wide offsets",
            wide_second_moment_of_many,
            simulation=lambda _, s: SplattedOnesExperiment(s.kernel, s.dim, layers=many_layers(s)),
        ),
        Quantity(
            "share without a gradient after L layers, wide offsets",
            wide_dead_share,
            smallest_effect=0.04,
            kernels=("linear", "nearest"),
            values=lambda setting: {"L": whole(4, 1, 6)},
            simulation=lambda _, s: SplattedOnesExperiment(s.kernel, s.dim, function=is_dead),
        ),
        Quantity(
            "tail after L layers, wide offsets",
            wide_tail,
            smallest_effect=0.02,
            kernels=("nearest",),
            values=lambda setting: {"L": whole(4, 1, 6), THRESHOLD.name: Range(2.5, 0.6, 4.4)},
            simulation=lambda _, s: SplattedOnesExperiment(
                s.kernel, s.dim, function=exceeds, parameters=frozenset({THRESHOLD.name})
            ),
        ),
        Quantity(
            "second moment after L layers, smooth offsets",
            smooth_second_moment,
            smallest_effect=0.02,
            dims=(1,),
            kernels=_COMPACT,
            values=lambda setting: {"L": whole(2, 1, 2) if setting.kernel == "linear" else whole(3, 1, 3)},
            simulation=on_smooth_offsets,
            check_drawn=check_stack,
        ),
        # A grid that is fine enough for two layers in the plane takes the kernel that reproduces parabolas.
        Quantity(
            "second moment after L layers, smooth offsets in the plane",
            smooth_second_moment,
            smallest_effect=0.02,
            dims=(2,),
            kernels=("keys",),
            values=lambda setting: {"L": whole(2, 1, 2), "tau": Range(0.4, 0.25, 0.5)},
            simulation=on_smooth_offsets,
            check_drawn=check_stack,
        ),
        Quantity(
            "tail after L layers, smooth offsets",
            smooth_tail,
            smallest_effect=0.04,
            bias=0.05,  # of the share of pixels on a grid: 0.2 %
            kernels=("keys",),
            values=lambda setting: {
                "L": whole(2, 1, 4 - setting.dim),
                "tau": Range(0.5, 0.3, 0.6) if setting.dim == 1 else Range(0.4, 0.3, 0.5),
                THRESHOLD.name: Range(1.15, 1.05, 1.25),
            },
            simulation=tail_on_smooth_offsets,
            check_drawn=check_stack,
        ),
    ),
    values={"tau": Range(0.5, 0.3, 0.65)},
)
