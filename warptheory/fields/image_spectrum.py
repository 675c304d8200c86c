"""The covariance that belongs to the measured, isotropic spectrum of real images.

Source: D. L. Ruderman, W. Bialek, Phys. Rev. Lett. 73(6), 1994 (power laws of natural images).
"""

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Float
from numpy import ndarray
from scipy import special
from torch import Tensor

from warptheory.core.errors import ArgumentError
from warptheory.fields import photographs
from warptheory.fields._waves import WaveSum, composite, interpolate
from warptheory.fields.covariance import CovarianceFunction
from warptheory.fields.periodogram import radial_spectra
from warptheory.fields.radial_transforms import mean_over_sphere

_EDGE = 1e-9  # radians per pixel
_CORNER = math.sqrt(2) * math.pi
_DENSE = 8  # a grid of lags has at most so many points for each lag that is asked for
_FEW = 16  # lags at which a sum over all frequencies is the shorter way
_OCTANTS = 8
_GAUSSIAN = 7.5  # 56 radians of a wave are as many deviations, over which 32 nodes integrate exp(−x²/2) to rounding
_ELEMENTS = 2**17  # of a matrix of lags and frequencies, made at a time


@dataclass(frozen=True)
class PowerLawFit:
    """S(ω) ≈ A|ω|^−β over a band, with standard errors between patches.

    Attributes:
        amplitude: A, the density at one radian per pixel.
        exponent: β.
        amplitude_error: standard error of A.
        exponent_error: standard error of β.
        band: lowest and highest |ω| of the fit, in radians per pixel.
    """

    amplitude: float
    exponent: float
    amplitude_error: float
    exponent_error: float
    band: tuple[float, float]


@dataclass(frozen=True, eq=False, repr=False)
class ImageSpectrum(CovarianceFunction):
    """The spectrum of images, isotropic on the band |ωᵢ| ≤ π of the grid and zero beyond, and its covariance.

    Between the measured wavenumbers S is a power law (log–log interpolation); below the first and above the last one
    it keeps their values. C(τ) and every moment are integrals of that density.

    Attributes:
        wavenumbers: |ω| of the rings, in radians per pixel, increasing, shape (K,).
        densities: S on the rings, a row for each patch, shape (P, K); their mean counts.

    Raises:
        ArgumentError: wavenumbers that do not increase, densities of another shape, or a mean that is not positive.
    """

    wavenumbers: Float[ndarray, "K"]
    densities: Float[ndarray, "P K"]

    def __post_init__(self) -> None:
        k = np.array(self.wavenumbers, dtype=float)
        rows = np.array(self.densities, dtype=float)
        if k.ndim != 1 or len(k) < 2 or not (k[0] > 0 and (np.diff(k) > 0).all() and k[-1] <= _CORNER):
            raise ArgumentError("wavenumbers", expected="increasing numbers in (0, √2π]", received=k)
        if rows.ndim != 2 or len(rows) == 0 or rows.shape[1] != len(k):
            raise ArgumentError("densities", expected=f"shape (P, {len(k)}), P ≥ 1", received=rows.shape)
        if not (np.isfinite(rows).all() and (rows.mean(0) > 0).all()):
            raise ArgumentError("densities", expected="a positive mean at every wavenumber", received=rows.mean(0))
        object.__setattr__(self, "wavenumbers", k)
        object.__setattr__(self, "densities", rows)

    def __repr__(self) -> str:
        # This text identifies the spectrum inside expressions, so it tells measurements of one size apart.
        digest = hashlib.blake2b(self.wavenumbers.tobytes() + self.densities.tobytes(), digest_size=8).hexdigest()
        return f"ImageSpectrum of {len(self.densities)} patches at {self._extent} [{digest}]"

    @classmethod
    def of(
        cls, images: Float[Tensor, "B C H W"] | Sequence[Float[Tensor, "_ _ _"]], patch: int | None = None
    ) -> "ImageSpectrum":
        """Measure the spectrum of images.

        Args:
            images: a batch, shape (B, C, H, W), or images (C, H, W) that may differ in size where they are cut.
            patch: side of the squares into which the images are cut, in pixels; None takes each image as one patch.
                Where they fit, a patch is averaged with those half a side further down and right, so that the windows
                weigh the pixels alike (Welch's overlap). Channels are averaged.

        Raises:
            ArgumentError: no images, of another shape, smaller than a patch, of different sizes without a patch,
                or without contrast.
        """
        wavenumbers, rows = radial_spectra(images, patch)
        return cls(wavenumbers, rows)

    @classmethod
    def of_photograph(cls, name: str, patch: int = 128) -> "ImageSpectrum":
        """Measure the spectrum of a photograph of `fields.photographs`, in grey.

        Args:
            name: a name in `photographs.names()`.
            patch: side of the squares into which it is cut, in pixels.

        Raises:
            UnknownNameError: no photograph of that name.
            ArgumentError: a patch that does not fit.
        """
        return cls.of([photographs.load(name, grey=True)], patch)

    @property
    def dim(self) -> int:
        """The two axes of an image."""
        return 2

    @cached_property
    def density(self) -> Float[ndarray, "K"]:
        """S on the rings, the mean over patches, in squared intensities times pixels², shape (K,)."""
        return np.asarray(self.densities.mean(0))

    @property
    def density_error(self) -> Float[ndarray, "K"]:
        """Standard errors of `density` between patches, shape (K,).

        Raises:
            ArgumentError: a single patch.
        """
        self._check_patches()
        return np.asarray(self.densities.std(0, ddof=1) / math.sqrt(len(self.densities)))

    def density_at(self, wavenumber: Float[ndarray, "*N"] | float) -> Float[ndarray, "*N"]:
        """Return S at wavenumbers in radians per pixel, shape (*N): a power law between the rings."""
        logarithm = np.log(np.maximum(wavenumber, self.wavenumbers[0]))
        return np.asarray(np.exp(np.interp(logarithm, np.log(self.wavenumbers), np.log(self.density))))

    def power_law(self, band: tuple[float, float] | None = None) -> PowerLawFit:
        """Fit A|ω|^−β to the density by least squares of the logarithms, each ring alike.

        Args:
            band: lowest and highest |ω| in radians per pixel. By default from twice the first ring, where the window
                smooths |ω|⁻² by less than 3 %, to 1, beyond which lens, camera and file shape the spectrum.

        Returns:
            The fit; standard errors are those of the jackknife over patches, which takes them as independent.

        Raises:
            ArgumentError: a band with fewer than three rings, or a single patch.

        Source: B. Efron, C. Stein, Ann. Statist. 9(3), 1981 (the jackknife).
        """
        self._check_patches()
        low, high = (2 * self.wavenumbers[0], 1.0) if band is None else band
        inside = (self.wavenumbers >= low) & (self.wavenumbers <= high)
        if inside.sum() < 3:
            raise ArgumentError("band", expected=f"three or more of {self._extent}", received=(low, high))
        rows, logs = self.densities[:, inside], np.log(self.wavenumbers[inside])
        count = len(rows)
        fits = np.polyfit(logs, np.log((rows.sum(0) - rows).T / (count - 1)), 1)
        slope, constant = np.polyfit(logs, np.log(rows.mean(0)), 1)
        errors = math.sqrt(count - 1) * fits.std(1)
        amplitude = math.exp(constant)
        return PowerLawFit(
            amplitude, -float(slope), amplitude * float(errors[1]), float(errors[0]), (float(low), float(high))
        )

    def expression(self, *lag: Any) -> sp.Expr:
        """Return C(τ) as a number; arguments as in `CovarianceFunction`.

        Raises:
            ArgumentError: another number of coordinates, or a symbol.
        """
        return sp.Float(float(self.at(np.array(self._numbers(lag, "lag")))))

    def spectral_density(self, *frequency: Any) -> sp.Expr:
        """Return S(ω) as a number, zero beyond |ωᵢ| = π; arguments as in `CovarianceFunction`.

        Raises:
            ArgumentError: another number of coordinates, or a symbol.
        """
        omega = self._numbers(frequency, "frequency")
        return sp.Float(float(self.density_at(math.hypot(*omega)))) if max(map(abs, omega)) <= math.pi else sp.S(0)

    def torus_spectrum(self, size: Sequence[int], spacing: float) -> Float[ndarray, "*M"]:
        """Return S summed over the aliases of each frequency, over the area of a point, shape (*M).

        Of a wave on the edge of the band, |ωᵢ| = π, half the power belongs to either sign.
        """
        whole = 2 * math.pi / spacing
        aliases = range(-math.ceil(spacing) - 1, math.ceil(spacing) + 2)
        axes = [whole * np.fft.fftfreq(n) for n in size]
        total = np.zeros(tuple(size))
        for shift in itertools.product(aliases, repeat=len(size)):
            omega = np.meshgrid(*(axis + whole * j for axis, j in zip(axes, shift, strict=True)), indexing="ij")
            share = np.prod([_share_of_band(part) for part in omega], axis=0)
            total += share * self.density_at(np.hypot(*omega))
        return total / spacing ** len(size)

    def spectral_moment(self, *orders: int) -> sp.Expr:
        """Return (2π)⁻² ∫ S ω₁^p ω₂^q dω over the grid's band |ωᵢ| ≤ π; arguments as in `CovarianceFunction`."""
        first, second = self._check_orders(orders)
        if first % 2 or second % 2:
            return sp.Integer(0)
        k, weights = self._disc(0.0)
        disc = float(mean_over_sphere((first, second))) * (weights @ k ** (first + second))
        omega, corner = self._corners(0.0)
        powers = (omega[0] ** first * omega[1] ** second + omega[1] ** first * omega[0] ** second) / 2
        return sp.Float(float(disc + corner @ powers))

    @property
    def is_isotropic(self) -> bool:
        """False: S ends on a square, so that C differs between axis and diagonal.

        At |τ| = 1 by 0.4 % of C(0) for a photograph, by sinc²(1/√2) = 20 % for a spectrum that is flat to the end.
        """
        return False

    def range(self, share: float) -> int:
        """Return what `CovarianceFunction.range` does, on a torus that grows until its half is longer than they are.

        Raises:
            ArgumentError: it is more than five hundred pixels.
        """
        for size in (256, 1024, 4096):
            omega = 2 * math.pi * np.fft.fftfreq(size)
            band = np.multiply.outer(_share_of_band(omega), _share_of_band(omega))
            lines = (band * self.density_at(np.hypot(omega[:, None], omega))).sum(1)  # both axes are alike
            along = np.abs(np.fft.ifft(lines).real[: size // 2])
            correlated = int(np.flatnonzero(along > share * along[0])[-1])
            if correlated < size // 8:
                return correlated + 1
        raise ArgumentError("covariance", expected=f"correlations that fall below {share:g}", received=self)

    def wave_quadrature(self, reach: float) -> tuple[Float[ndarray, "2 P"], Float[ndarray, "P"]]:
        """Return frequencies of a quadrant, shape (2, P), and their weights, as in `CovarianceFunction`."""
        (k, weights), (omega, corner) = self._disc(reach), self._corners(reach)
        angle, share = (x.ravel() for x in composite([0.0, math.pi / 2], math.pi * reach))
        disc = np.multiply.outer(np.stack([np.cos(angle), np.sin(angle)]), k).reshape(2, -1)
        disc_weights = np.multiply.outer(share * 2 / math.pi, weights).ravel()
        return np.concatenate([disc, omega, omega[::-1]], 1), np.concatenate([disc_weights, corner / 2, corner / 2])

    def _mean_over_offsets(self, spread: float) -> float:
        reach = _GAUSSIAN * spread
        (k, weights), (omega, corner) = self._disc(reach), self._corners(reach)
        disc = weights @ np.exp(-((k * spread) ** 2) / 2)
        return float(disc + corner @ np.exp(-np.square(omega * spread).sum(0) / 2))

    def _values(self, lags: Float[ndarray, "N d"]) -> Float[ndarray, "N"]:
        lags = np.abs(lags)
        different, places = np.unique(np.hypot(*lags.T), return_inverse=True)
        return np.asarray(self._disc_values(different)[places] + self._corner_values(lags))

    def _disc_values(self, distances: Float[ndarray, "N"]) -> Float[ndarray, "N"]:
        """Return (2π)⁻¹ ∫₀^π S(k) J₀(kr) k dk."""
        k, weights = self._disc(float(distances.max(initial=0.0)))

        def values(r: Float[ndarray, "M"]) -> Float[ndarray, "M"]:
            parts = np.array_split(r, 1 + r.size * k.size // _ELEMENTS)
            return np.concatenate([special.j0(np.multiply.outer(part, k)) @ weights for part in parts])

        return interpolate(values, math.pi, distances)

    def _corner_values(self, lags: Float[ndarray, "N 2"]) -> Float[ndarray, "N"]:
        """Return the part of |ω| > π: waves along both axes, the same with the axes exchanged."""
        omega, weights = self._corners(float(np.hypot(*lags.T).max(initial=0.0)))
        if len(lags) <= _FEW:
            values = [weights @ np.cos(lag[:, None] * omega).prod(0) for lag in np.concatenate([lags, lags[:, ::-1]])]
            return np.asarray(np.reshape(values, (2, -1)).mean(0))
        waves = WaveSum.of(omega, weights / 2, math.pi, float(lags.max()))
        (rows, row), (columns, column) = (np.unique(axis, return_inverse=True) for axis in lags.T)
        if rows.size * columns.size <= _DENSE * len(lags):
            return np.asarray((waves.on_grid(rows, columns) + waves.on_grid(columns, rows).T)[row, column])
        parts = np.array_split(lags, 1 + lags.size * waves.panels.nodes.size // _ELEMENTS)
        return np.concatenate([waves.at_pairs(*part.T) + waves.at_pairs(*part.T[::-1]) for part in parts])

    def _disc(self, reach: float) -> tuple[Float[ndarray, "K"], Float[ndarray, "K"]]:
        """Return nodes k in [0, π] and weights with S(k) k/2π, for waves of lags up to `reach` pixels."""
        knots = self.wavenumbers[self.wavenumbers < math.pi]
        k, weights = (x.ravel() for x in composite([0.0, *knots, math.pi], reach))
        return k, weights * k * self.density_at(k) / (2 * math.pi)

    def _corners(self, reach: float) -> tuple[Float[ndarray, "2 P"], Float[ndarray, "P"]]:
        """Return frequencies ω₁ ≥ ω₂ ≥ 0, shape (2, P), and weights with S/(2π)² of the band beyond the disc.

        They stand for their mirror images, eight of each. With k = π/cos φ, whose circle lies in the band between the
        angle φ and the diagonal, integrands have no roots, and |∂ω/∂φ| ≤ 2π.
        """
        knots = self.wavenumbers[(self.wavenumbers > math.pi) & (self.wavenumbers < _CORNER)]
        panels = composite([0.0, *np.arccos(math.pi / knots), math.pi / 4], 2 * math.pi * reach)
        parts = [self._arcs(phi, weights, reach) for phi, weights in zip(*panels, strict=True)]
        return np.concatenate([omega for omega, _ in parts], axis=1), np.concatenate([weight for _, weight in parts])

    def _arcs(
        self, phi: Float[ndarray, "M"], weights: Float[ndarray, "M"], reach: float
    ) -> tuple[Float[ndarray, "2 P"], Float[ndarray, "P"]]:
        """Return what `_corners` does, for the angles of one panel; each arc ends at the diagonal."""
        k, width = math.pi / np.cos(phi), math.pi / 4 - phi
        share, share_weights = (x.ravel() for x in composite([0.0, 1.0], float(k[0] * width[0]) * reach))
        angle = phi[:, None] + np.outer(width, share)
        omega = k[:, None] * np.stack([np.cos(angle), np.sin(angle)])
        # k dk = k² tan φ dφ, and (2π)⁻².
        density = _OCTANTS / (2 * math.pi) ** 2 * self.density_at(k) * k**2 * np.tan(phi)
        return omega.reshape(2, -1), np.outer(density * width * weights, share_weights).ravel()

    def _numbers(self, coordinates: Sequence[Any], argument: str) -> list[float]:
        checked = self._check_axes(coordinates, argument)
        if not all(coordinate.is_number for coordinate in checked):
            raise ArgumentError(argument, expected="numbers: a measured spectrum has no formula", received=coordinates)
        return [float(coordinate) for coordinate in checked]

    def _check_patches(self) -> None:
        if len(self.densities) < 2:
            raise ArgumentError("patches", expected="two or more, for errors between them", received=1)

    @property
    def _extent(self) -> str:
        return f"{len(self.wavenumbers)} wavenumbers in [{self.wavenumbers[0]:.3g}, {self.wavenumbers[-1]:.3g}]"


def _share_of_band(omega: Float[ndarray, "*N"]) -> Float[ndarray, "*N"]:
    """Return 1 for |ω| < π, 1/2 at the edge, and 0 beyond."""
    beyond = np.abs(omega) - math.pi
    return np.where(np.abs(beyond) < _EDGE, 0.5, np.where(beyond < 0, 1.0, 0.0))
