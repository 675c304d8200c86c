"""The cascade of gradient energy through a network: what enters at the output, where it goes, how it grows."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.core.presented import Presented
from warptheory.fields.localisation import share_of_positions
from warptheory.results.selfwarp._cascade_stages import CascadeStage


@dataclass(frozen=True, eq=False)
class GradientProfile(Presented):
    """The energy of a gradient at the input of every layer, and at the output.

    Attributes:
        energies: u_l(t)/Σu_l, one map of every image for each place, from the input of the first layer to the output of
            the last; each of shape (B, *S), with the sum 1.
        log_gains: log(Σu_l/Σu_L), for the same places; the last is 0.
    """

    energies: tuple[Float[Tensor, "B *_"], ...]
    log_gains: tuple[float, ...]

    def _parts(self) -> Iterable[str]:
        yield f"places={len(self.energies)}"
        yield f"explosion={self.explosion:.4g}"

    @property
    def amplitudes(self) -> tuple[float, ...]:
        """|g_l|/|g_L|: the norm of the gradient against that of the output's."""
        return tuple(math.exp(gain / 2) for gain in self.log_gains)

    @property
    def explosion(self) -> float:
        """|g_0|/|g_L|: the norm of the gradient at the input against that at the output."""
        return self.amplitudes[0]

    @property
    def half_energy_shares(self) -> tuple[float, ...]:
        """The share of positions, over all images, that holds half of the energy, at every place."""
        return tuple(float(share_of_positions(energy.flatten()[None])) for energy in self.energies)


@dataclass(frozen=True, eq=False)
class GradientCascade(Presented):
    """Layers, each as a gradient passes it, which predict how gradient energy spreads and grows.

    Attributes:
        layers: in the order of the forward pass; every layer a tuple of stages in that order.
    """

    layers: tuple[tuple[CascadeStage, ...], ...]

    def _parts(self) -> Iterable[str]:
        yield f"layers={len(self.layers)}"

    def profile(self, start: Float[Tensor, "B *S C C"]) -> GradientProfile:
        """Predict the energy at every layer from the channels' second moments at every position.

        Args:
            start: moments of the gradient at the output, shape (B, *S, C, C), such as `moments_of(gradient)`.
        """
        return self._profile(start, with_channels=True)

    def energy_profile(self, start: Float[Tensor, "B *S C C"]) -> GradientProfile:
        """Predict it from energies alone: u_{l−1} = m_l u_l + b_l u_l + α² A[λ_l b_l u_l] (theory F5).

        In front of every layer the energy of a position is taken to be spread evenly over its channels.

        Args:
            start: moments as in `profile`, of which only the energy counts; shape (B, *S, C, C).
        """
        return self._profile(start, with_channels=False)

    def mean_profile(self, start: Float[Tensor, "B *S C C"]) -> GradientProfile:
        """Predict it from every layer's mean gain alone, as if energy were spread evenly over positions (theory F3).

        Args:
            start: moments as in `profile`, of which only the total counts; shape (B, *S, C, C).
        """
        gains, moments, energies = [0.0], white_moments(torch.ones_like(energy_of(start)), start.shape[-1]), []
        energies.append(_shares(energy_of(moments)))
        for layer in reversed(self.layers):
            found = _back_through(layer, moments)
            gains.append(gains[-1] + math.log(_total(found) / _total(moments)))
            energy = torch.ones_like(energy_of(found))
            moments = white_moments(energy, found.shape[-1])
            energies.append(_shares(energy))
        return GradientProfile(tuple(reversed(energies)), tuple(reversed(gains)))

    def _profile(self, start: Tensor, *, with_channels: bool) -> GradientProfile:
        total = _total(start)
        if not (math.isfinite(total) and total > 0):
            raise ArgumentError("start", expected="moments of a gradient that is finite and not zero", received=total)
        moments, gains = start / total, [0.0]
        energies = [_shares(energy_of(moments))]
        for layer in reversed(self.layers):
            if not with_channels:
                moments = white_moments(energy_of(moments), moments.shape[-1])
            moments = _back_through(layer, moments)
            total = _total(moments)
            gains.append(gains[-1] + math.log(total))
            moments = moments / total  # 27 layers can pass 10³⁶, more than single precision holds
            energies.append(_shares(energy_of(moments)))
        return GradientProfile(tuple(reversed(energies)), tuple(reversed(gains)))


@torch.no_grad()
def _back_through(layer: tuple[CascadeStage, ...], moments: Tensor) -> Tensor:
    for stage in reversed(layer):
        moments = stage.backward(moments)
    return moments


def moments_of(gradient: Float[Tensor, "B C *S"]) -> Float[Tensor, "B *S C C"]:
    """Return g(t)g(t)ᵀ at every position of a gradient (B, C, *S) that is known, shape (B, *S, C, C)."""
    places = gradient.movedim(1, -1)
    return places[..., None] * places[..., None, :]


def white_moments(energy: Float[Tensor, "B *S"], channels: int) -> Float[Tensor, "B *S C C"]:
    """Return the moments of a gradient whose energy, shape (B, *S), is the same in all channels; (B, *S, C, C)."""
    unit = torch.eye(channels, dtype=energy.dtype, device=energy.device) / channels
    return energy[..., None, None] * unit


def energy_of(moments: Float[Tensor, "B *S C C"]) -> Float[Tensor, "B *S"]:
    """Return E|g(t)|² at every position of moments (B, *S, C, C), shape (B, *S)."""
    return moments.diagonal(dim1=-2, dim2=-1).sum(-1)


def _shares(energy: Tensor) -> Tensor:
    """Return an energy over its sum; rounding may leave tiny negative values of positions that hold none."""
    kept = energy.clamp_min(0)
    return kept / kept.sum()


def _total(moments: Tensor) -> float:
    return float(energy_of(moments).sum(dtype=torch.float64))
