"""D6: each resampling blurs, and each warp roughens; where the two balance, and what spectrum is left."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from warptheory import kernels
from warptheory.kernels import Kernel
from warptheory.results._quantity import Quantity
from warptheory.results._ranges import Range, whole
from warptheory.results._result import Result
from warptheory.results._setting import Setting
from warptheory.results.discretization import _balance, _equilibrium, _layers, _power
from warptheory.results.discretization._diffusion_experiments import (
    WAVE_PERIOD,
    EquilibriumExperiment,
    LayersExperiment,
    WaveExperiment,
    check_lengths,
    check_slope,
)
from warptheory.symbolic import Derivation, Statistic, Step

Chain = Callable[[Kernel, int], tuple[Step, ...]]

POWER = "power transfer"
LOSS = "variance lost in a layer"
GROWTH = "growth of the gradient variance in a layer"
LATER_GROWTH = "growth of the gradient variance in L layers"
GRADIENT = "gradient variance at equilibrium"
SPECTRUM = "ratio of powers at equilibrium"


@dataclass(frozen=True)
class ChainStatistic(Statistic):
    """A statistic whose derivation is a function of the kernel and the number of axes.

    Attributes:
        text: the statistic in plain text.
        chain: makes the steps; they are remembered.
        kernel: name of the kernel.
        dim: number d of axes.
        above: the value that its size is counted from.
    """

    text: str
    chain: Chain
    kernel: str
    dim: int
    above: float = 0.0

    def derive(self) -> Derivation:
        """Return the steps that lead to the closed form."""
        return Derivation(str(self), _remembered(self.chain, self.kernel, self.dim))

    def size(self, value: float) -> float:
        """Return how far a value lies from where its size is counted from."""
        return abs(value - self.above)

    def __str__(self) -> str:
        return f"{self.text}, {self.kernel}, d = {self.dim}"


@cache
def _remembered(chain: Chain, kernel: str, dim: int) -> tuple[Step, ...]:
    return chain(kernels.get(kernel), dim)


def stated(text: str, chain: Chain, above: float = 0.0) -> Callable[[Setting], ChainStatistic]:
    """Return what states a statistic for a setting; arguments as in `ChainStatistic`."""
    return lambda setting: ChainStatistic(text, chain, setting.kernel, setting.dim, above)


def on_the_grid(setting: Setting) -> Mapping[str, float]:
    """Return frequencies of the experiment's grid, near 0.9 along the first axis."""
    lowest = 2 * math.pi / WAVE_PERIOD
    names = [omega.name for omega in _power.frequencies(setting.dim)]
    modes = zip(names, (2, 3, 1), strict=False)
    return {name: Range(lowest * mode, lowest, 4 * lowest, step=lowest) for name, mode in modes}


def of_layers(setting: Setting) -> Mapping[str, float]:
    """Return the frequencies, and three layers."""
    return {**on_the_grid(setting), "L": whole(3, 1, 5)}


RESULT = Result(
    label="D6",
    title="Repeated resampling: numerical diffusion against roughening",
    statement=(
        "A layer whose fractions are equally likely multiplies the power at ω by R̂(ω) = ∏ Σ_j a(j) cos jωᵢ, a = "
        "∫k(u)k(u + ·)du; linear: 1 − (1 − cos ω)/3 per axis; L layers by R̂ᴸ. With smooth offsets too, a layer "
        "averages the covariance over the steps of two walkers, exactly on the grid: C_y(Δ) = Σ_δ E a(Δ + η − δ) C(δ), "
        "η ~ N(0, 2(K(0) − K(Δ))). For small slopes, d = 1, that adds ½(τ²r² + κ)C″(r), κ = ∫u²a the kernel's own "
        "variance: 1/3 for linear, 2/3 for bspline3, 0 for keys, which diffuses at the fourth order, R̂ = 1 − ω⁴/40. "
        "Linear: roughening and diffusion are equal at the lag r_* = 1/(τ√3); λ₂ grows by 1 + τ² − λ₄/6λ₂ a layer, "
        "until λ₄/λ₂ = 6τ². From C(0) = 1 that takes about log(3τ²/λ₂)/3τ² layers, since the frequencies that carry "
        "λ₂ grow by exp(3τ²/2) a layer; λ₂ stays far below the 3τ² of unhindered growth. Where variance arrives at "
        "large scales at a rate χ a layer, net of what stays there, ω²S ∝ exp(−|ω|/√3τ) and λ₂ = 6χ."
    ),
    assumptions=(
        "All pixels of a layer share an offset that is uniform over a pixel, beside homogeneous Gaussian offsets of "
        "covariance K per component; the layers' offsets are independent of each other and of the input. (Without the "
        "shared one the error is of the order exp(−π²(K(0) + K(Δ))): the mean of two pixels' offsets takes its place.)",
        "The input is homogeneous, C its covariance; a periodic grid, or one without an edge.",
        "k is even, a partition of unity, and made of finitely many polynomials.",
        "Continuum: one axis, small slopes, fields smooth on the scale of the grid, lags below those of K and F.",
        "Equilibrium: the mean over the axis is taken off after each layer, since walkers of compressible offsets stay "
        "together and variance that is fed in gathers there: c a layer of it, and χ − c reaches the grid.",
    ),
    source=(
        "arXiv 2511.20800, discretization; theory label D6; G. K. Batchelor, J. Fluid Mech. 5, 1959, and R. H. "
        "Kraichnan, Phys. Fluids 11, 1968, for the balance of straining and diffusion"
    ),
    quantities=(
        Quantity(
            POWER,
            stated("|ŷ(ω)|²/|x̂(ω)|²", _power.uniform_power),
            values=on_the_grid,
            simulation=lambda _, s: WaveExperiment(s.kernel, s.dim),
        ),
        Quantity(
            "power transfer, normal offsets",
            stated("|ŷ(ω)|²/|x̂(ω)|², offsets N(0, s²)", _power.normal_power),
            values=on_the_grid,
            simulation=lambda _, s: WaveExperiment(s.kernel, s.dim, "normal"),
        ),
        Quantity(
            "power transfer of L layers",
            stated("|ŷ(ω)|²/|x̂(ω)|² after L layers", _power.power_of_layers),
            values=of_layers,
            simulation=lambda _, s: WaveExperiment(s.kernel, s.dim, layers=None),
        ),
        Quantity(
            LOSS,
            stated("1 − C_y(0)/C(0)", _layers.loss_steps),
            smallest_effect=0.02,  # of what is lost: 0.1 % of the variance
            values=lambda setting: {"ell": Range(1.5, 0.8, 3.0, "log")},
            simulation=lambda _, s: LayersExperiment(s.kernel, s.dim, gradient=False, smooth=False),
        ),
        Quantity(
            GROWTH,
            stated("(C_y(0) − C_y(1))/(C(0) − C(1))", _layers.growth_steps, above=1.0),
            smallest_effect=0.05,  # of what it grows by: half a percent of the ratio
            simulation=lambda _, s: LayersExperiment(s.kernel, s.dim, gradient=True),
            check_drawn=check_lengths,
        ),
        Quantity(
            "variance lost in L layers",
            stated("1 − C_L(0)/C(0)", _layers.loss_of_layers),
            smallest_effect=0.05,  # of what is lost: 1 % of the variance
            values=lambda setting: {"L": whole(3, 1, 4), "ell": Range(1.5, 0.8, 3.0, "log")},
            simulation=lambda _, s: LayersExperiment(s.kernel, s.dim, gradient=False, layers=None),
            check_drawn=check_lengths,
        ),
        Quantity(
            LATER_GROWTH,
            stated("(C_L(0) − C_L(1))/(C(0) − C(1))", _layers.growth_of_layers, above=1.0),
            smallest_effect=0.05,
            values=lambda setting: {"L": whole(3, 1, 4) if setting.dim == 1 else whole(2, 1, 2)},
            simulation=lambda _, s: LayersExperiment(s.kernel, s.dim, gradient=True, layers=None),
            check_drawn=check_lengths,
        ),
        Quantity(
            "the kernel's own variance", stated("κ = ∫u² a(u) du", _power.kernel_variance_steps), checked_by=(POWER,)
        ),
        Quantity(
            "growth of the gradient variance, small slopes",
            stated("(C_y(0) − C_y(1))/(C(0) − C(1)), small slopes", _balance.growth_of_small_slopes),
            checked_by=(GROWTH,),
        ),
        Quantity("lag of balance", stated("r_*", _balance.lag_steps), checked_by=(SPECTRUM,)),
        Quantity(
            "layers of growth",
            stated("the layers in which the gradient variance grows", _layers.layers_of_growth),
            values=lambda setting: {"ell": Range(12.0, 8.0, 20.0), "ell_epsilon": Range(20.0, 15.0, 30.0)},
            checked_by=(LATER_GROWTH,),
        ),
        Quantity(
            "least layers of growth",
            stated("a lower bound of the layers in which the gradient variance grows", _balance.least_layers),
            values=lambda setting: {"ell": Range(12.0, 8.0, 20.0)},
            checked_by=(LATER_GROWTH,),
        ),
        Quantity(
            GRADIENT,
            stated("2(C(0) − C(1)) at equilibrium", _equilibrium.gradient_steps),
            smallest_effect=0.03,
            kernels=("linear",),  # others balance C(0) with more than C(1)
            dims=(1,),
            values=lambda setting: {"tau": Range(0.5, 0.35, 0.8)},
            simulation=lambda _, s: EquilibriumExperiment(s.kernel, ratio=False),
            check_drawn=check_slope,
        ),
        Quantity(
            SPECTRUM,
            stated("P(7π/16)/P(3π/16) at equilibrium", _equilibrium.ratio_steps),
            smallest_effect=0.03,
            dims=(1,),
            values=lambda setting: {"tau": Range(0.5, 0.35, 0.8)},
            simulation=lambda _, s: EquilibriumExperiment(s.kernel, ratio=True),
            check_drawn=check_slope,
        ),
        Quantity(
            "gradient variance at equilibrium, continuum",
            stated("λ₂ at equilibrium", _balance.gradient_steps),
            checked_by=(GRADIENT,),
        ),
        Quantity(
            "spectrum at equilibrium, continuum",
            stated("ω² S(ω) at equilibrium", _balance.spectrum_steps),
            checked_by=(SPECTRUM,),
        ),
    ),
    kernels=("linear", "keys", "bspline3"),
    values={
        "tau": Range(0.4, 0.3, 0.8),
        "ell": Range(4.0, 2.5, 6.0),
        "ell_epsilon": Range(3.0, 2.0, 5.0),
        "chi": Range(1.0, 0.5, 2.0, "log"),
    },
)
