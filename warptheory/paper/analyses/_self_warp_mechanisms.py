"""The two mechanisms of instability of a self-warp, each alone: a stack of layers with two switches.

Features of C independent smooth channels in the plane pass L self-warps whose heads read their own pixel with random
unit filters, new in every layer. One switch says whether offsets move the map, the other whether their gradient is
passed on to the head:

- both: ε, the network as it is;
- gradient: ε − ε.detach(), which is 0 and has the gradient of ε: the forward pass is that of no warp;
- map: ε.detach();
- neither: 0.

What enters backward is a smooth field of unit variance, independent of the features. Known before anything is run:
given the features the gradient path of independent own-pixel heads multiplies the mean energy at a position by
1 + α²λ a layer, λ the squared gradient there per channel (F3), whose law is λ₂χ²/C with dC degrees of freedom; slopes
of the features grow by 1 + dτ² a layer with τ = α√λ₂ (C3), and points fold with B7's probability at that τ, if slopes
are normal. Where both mechanisms act, F3's factors are taken at the mean square slopes that were measured: C3 knows no
grid that ends their growth, and there is no prediction of a stack here for what a map that folds does to the gradient.

Two measurements say where this has to fail. The kurtosis of the slopes is 3 while they are normal; what it is above
says how few places hold the slope. The share of positions that hold half of the gradient's energy says where gradients
gather, which a product of mean factors cannot know.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import results, warping
from warptheory.core.streams import Stream
from warptheory.fields import SquaredExponential
from warptheory.fields.sampling import kept_sampler
from warptheory.operators import SelfWarp2d
from warptheory.warping.jacobian import jacobian_determinant

DIM, CHANNELS, PIXELS, LENGTH, DEPTH = 2, 16, 48, 8.0, 8
# τ = α√λ₂ at the first layer: hardly a fold at the first, and folds everywhere after eight layers of the second.
SLOPES = (0.25, 0.5)
RUNS = 24
COVARIANCE = SquaredExponential(LENGTH, dim=DIM)
_START = 2 * float(COVARIANCE(0.0) - COVARIANCE(1.0))  # λ₂ of forward differences, those of the linear kernel
GAIN, FOLDS, SLOPE = "gradient gain", "folded share", "slope of the features"
KURTOSIS, HALF = "kurtosis of the slopes", "share of positions with half of the energy"


@dataclass(frozen=True)
class ActingMechanism:
    """Which of the two mechanisms acts.

    Attributes:
        moves: whether the offsets move the map.
        passes: whether their gradient reaches the head.
    """

    moves: bool
    passes: bool

    def of(self, offsets: Float[Tensor, "B d *S"]) -> Float[Tensor, "B d *S"]:
        """Return the offsets that a layer uses, (B, d, *S) as given."""
        held = offsets.detach()
        if self.moves:
            return offsets if self.passes else held
        return offsets - held if self.passes else torch.zeros_like(held)


MECHANISMS: Mapping[str, ActingMechanism] = MappingProxyType(
    {
        "both": ActingMechanism(moves=True, passes=True),
        "gradient": ActingMechanism(moves=False, passes=True),
        "map": ActingMechanism(moves=True, passes=False),
        "neither": ActingMechanism(moves=False, passes=False),
    }
)


@dataclass(frozen=True)
class MechanismRow:
    """A row of the record.

    Attributes:
        mechanism: what acts, a key of `MECHANISMS`.
        slope: τ at the first layer, without unit.
        quantity: what is measured.
        layers: after how many layers, from the input for what is of features, from the output for what is of gradients.
        theory: the predicted number; NaN where there is none.
        estimate: the mean of runs.
        stderr: its standard error.
        n: the number of runs.
    """

    mechanism: str
    slope: float
    quantity: str
    layers: int
    theory: float
    estimate: float
    stderr: float
    n: int


def mechanism_rows(seed: int, device: str, runs: int = RUNS) -> Iterator[MechanismRow]:
    """Yield gains, folds and slopes over depth for each mechanism and slope.

    Args:
        seed: seed of every random number.
        device: torch device.
        runs: number of independent stacks.
    """
    for slope in SLOPES:
        scale = slope / math.sqrt(_START)
        for name, mechanism in MECHANISMS.items():
            streams = [Stream(seed, f"self-warp mechanisms, {slope}", number) for number in range(runs)]
            measured = [_run(mechanism, scale, stream, device) for stream in streams]
            slopes = np.mean([np.square(run[SLOPE]) for run in measured], axis=0)
            theory = _theory(mechanism, scale) | {GAIN: _gains(mechanism, scale, slopes)}
            for quantity in measured[0]:
                values = np.array([run[quantity] for run in measured])
                for layer in range(values.shape[1]):
                    yield MechanismRow(
                        name,
                        slope,
                        quantity,
                        layer,
                        theory[quantity][layer],
                        float(values[:, layer].mean()),
                        float(values[:, layer].std(ddof=1) / math.sqrt(runs)),
                        runs,
                    )


def _run(mechanism: ActingMechanism, scale: float, stream: Stream, device: str) -> dict[str, list[float]]:
    """Send one batch through a stack and back; the same stream has the same features, heads and gradient."""
    generator = stream.generator()
    sampler = kept_sampler(COVARIANCE, (PIXELS,) * DIM, periodic=True)
    drawn = sampler.sample(2, generator, channels=CHANNELS, device=device, dtype=torch.float32)
    features, upstream = drawn[:1], drawn[1:]
    states, folds = [features.requires_grad_()], []
    for _ in range(DEPTH):
        layer = SelfWarp2d(CHANNELS, kernel_size=1, scale=scale, boundary="periodic").to(device)
        weights = generator.standard_normal((DIM, CHANNELS, 1, 1)) / math.sqrt(CHANNELS)
        layer.head.weight.data.copy_(torch.from_numpy(weights))
        offsets = mechanism.of(layer.offsets(states[-1])[:, 0])
        folds.append(float((jacobian_determinant(offsets.detach()) < 0).double().mean()))
        states.append(warping.warp(states[-1], offsets, "linear", "periodic"))
    gradients = torch.autograd.grad(states[-1], states[::-1], upstream)
    energies = [float(gradient.square().mean()) for gradient in gradients]
    return {
        GAIN: [energy / energies[0] for energy in energies],
        FOLDS: folds,
        SLOPE: [math.sqrt(_slope_moment(state.detach(), 2)) for state in states],
        KURTOSIS: [_slope_moment(state.detach(), 4) / _slope_moment(state.detach(), 2) ** 2 for state in states],
        HALF: [_share_with_half(gradient) for gradient in gradients],
    }


def _slope_moment(features: Float[Tensor, "B C *S"], power: int) -> float:
    """Return the mean of a power of forward differences along an axis, over all of them."""
    differences = [(features.roll(-1, axis) - features).pow(power).mean() for axis in range(2, features.ndim)]
    return float(torch.stack(differences).mean())


def _share_with_half(gradient: Float[Tensor, "B C *S"]) -> float:
    """Return the least share of positions that holds half of the energy."""
    energy = gradient.square().sum(1).flatten().sort(descending=True).values.double().cumsum(0)
    return float((energy < energy[-1] / 2).double().mean())


def _theory(mechanism: ActingMechanism, scale: float) -> dict[str, list[float]]:
    """Return what is predicted, by the quantity's name."""
    variances = [_START]
    for _ in range(DEPTH):
        variances.append(variances[-1] * (1 + DIM * scale**2 * variances[-1] * mechanism.moves))
    folding = results.get("B7")
    shares = [folding.evaluate("fold probability", dim=DIM, tau=scale * math.sqrt(v)) for v in variances[:-1]]
    return {
        FOLDS: [share * mechanism.moves for share in shares],
        SLOPE: [math.sqrt(variance) for variance in variances],
        KURTOSIS: [3.0 if layers == 0 or not mechanism.moves else math.nan for layers in range(DEPTH + 1)],
        HALF: [math.nan] * (DEPTH + 1),
    }


def _gains(mechanism: ActingMechanism, scale: float, variances: Float[np.ndarray, "L"]) -> list[float]:
    """Return F3's gain after each number of layers from the output, at slope variances (L,) of what enters them."""
    if not mechanism.passes:
        return [math.nan if mechanism.moves and layers else 1.0 for layers in range(DEPTH + 1)]
    if mechanism.moves:  # the last layers first; what the map does to the gradient is left out
        last_first = [1 + DIM * scale**2 * float(variance) for variance in variances[-2::-1]]
        return [math.prod(last_first[:layers]) for layers in range(DEPTH + 1)]
    # E(1 + aχ²)ᴸ by the moments k(k + 2)(k + 4)… of χ² with k degrees of freedom.
    freedom, unit = DIM * CHANNELS, scale**2 * _START / CHANNELS
    return [
        sum(
            math.comb(layers, power) * unit**power * math.prod(freedom + 2 * i for i in range(power))
            for power in range(layers + 1)
        )
        for layers in range(DEPTH + 1)
    ]
