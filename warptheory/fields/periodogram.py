"""The periodogram of images, and its means over rings of wavenumbers.

With a window w and ω on the frequencies of the transform,

    P(ω) = |Σₙ w(n) (x(n) − m) exp(−iωn)|² / Σ w²,    m = Σ w x / Σ w,

has the mean S convolved with |W|²/(2π)² Σ w²: division by Σ w² makes up for the power that the window takes, and what
remains is a smoothing over a frequency or so. The window is the periodic Hann window along each axis, w = sin²(πn/N):
its transform vanishes from the second frequency on, so that taking off the mean m changes the frequencies
|jᵢ| ≤ 1 alone, and its side lobes fall as ω⁻⁶, faster than the spectra of images. Smoothing makes a power law
|ω|^−β larger by a share of some β²/6j² at the j-th frequency from zero.

Source: P. Welch, IEEE Trans. Audio Electroacoust. 15(2), 1967 (windowed periodograms, averaged over patches).
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from warptheory.core.errors import ArgumentError

# Rings are at least one frequency wide, and this share of their radius: power laws bend little over one.
_RING = 0.06
_FIRST = 2  # the first frequency on which neither the mean nor its removal leaves a trace
_SMALLEST = 8  # pixels of a patch with a few rings in it


def periodogram(images: Float[Tensor, "*B H W"]) -> Float[ndarray, "*B H W"]:
    """Return P(ω) of images, mean removed, in squared intensities times pixels², shape (*B, H, W).

    The mean of P over its frequencies is Σ w²(x − m)²/Σ w², the variance under the window (Parseval).

    Args:
        images: intensities, shape (*B, H, W).

    Returns:
        P at the frequencies of the discrete transform, in its order.
    """
    x = images.detach().cpu().double().numpy()
    window = np.multiply.outer(*(np.sin(np.pi * np.arange(n) / n) ** 2 for n in x.shape[-2:]))
    mean = (window * x).sum((-2, -1), keepdims=True) / window.sum()
    return np.asarray(np.abs(np.fft.fft2(window * (x - mean))) ** 2 / np.square(window).sum())


def radial_spectra(
    images: Float[Tensor, "B C H W"] | Sequence[Float[Tensor, "_ _ _"]], patch: int | None
) -> tuple[Float[ndarray, "K"], Float[ndarray, "P K"]]:
    """Return the wavenumbers of rings, shape (K,), and the mean of P over each ring, for every patch, shape (P, K).

    Args:
        images: a batch, shape (B, C, H, W), or images (C, H, W).
        patch: side of the squares into which they are cut, in pixels; None takes each image as one patch.

    Raises:
        ArgumentError: images or a patch that cannot be used, see `ImageSpectrum.of`.
    """
    patches = _patches(images, patch)
    size = patches[0].shape[-2:]
    k = wavenumbers(size)
    ring, centres = rings(k, 2 * math.pi / min(size))
    rows = np.stack([radial_mean(periodogram(p).mean((0, 1)), k, ring, centres) for p in patches])
    if not (np.isfinite(rows).all() and (rows.mean(0) > 0).all()):
        raise ArgumentError("images", expected="finite images with contrast", received="none at some frequency")
    return centres, rows


def _patches(
    images: Float[Tensor, "B C H W"] | Sequence[Float[Tensor, "_ _ _"]], patch: int | None
) -> list[Float[Tensor, "_ _ P Q"]]:
    """Return the images, or the squares into which they are cut, each with those that overlap it; (N, C, P, Q)."""
    listed = list(images)
    if not listed or not all(isinstance(i, Tensor) and i.ndim == 3 and i.is_floating_point() for i in listed):
        received = [tuple(i.shape) if isinstance(i, Tensor) else type(i).__name__ for i in listed]
        raise ArgumentError("images", expected="floating tensors (C, H, W), one or more", received=received)
    if patch is None:
        size, *others = sorted({tuple(image.shape[1:]) for image in listed})
        if others:
            raise ArgumentError("patch", expected="a side, for images of different sizes", received=(size, *others))
        if min(size) < _SMALLEST:
            raise ArgumentError("images", expected=f"{_SMALLEST} pixels or more along each axis", received=size)
        return [image.unsqueeze(0) for image in listed]
    smallest = min(min(image.shape[1:]) for image in listed)
    if type(patch) is not int or not _SMALLEST <= patch <= smallest:
        raise ArgumentError("patch", expected=f"an integer from {_SMALLEST} to {smallest}, to fit", received=patch)
    return [squares for image in listed for squares in _squares(image, patch)]


def _squares(image: Float[Tensor, "C H W"], patch: int) -> list[Float[Tensor, "_ C P P"]]:
    """Cut an image; half-way squares go with the one above and left of them."""
    step = (patch + 1) // 2
    squares = image.unfold(1, patch, step).unfold(2, patch, step).movedim(0, 2)
    rows, columns = squares.shape[:2]
    corners = itertools.product(range(0, rows, 2), range(0, columns, 2))
    return [squares[i : i + 2, j : j + 2].flatten(0, 1) for i, j in corners]


def wavenumbers(size: Sequence[int]) -> Float[ndarray, "H W"]:
    """Return |ω| of the discrete transform's frequencies, in radians per pixel, shape (H, W)."""
    rows, columns = (2 * math.pi * np.fft.fftfreq(n) for n in size)
    return np.asarray(np.hypot(rows[:, None], columns))


def rings(k: Float[ndarray, "H W"], lowest: float) -> tuple[ndarray, Float[ndarray, "K"]]:
    """Return the ring of each frequency, −1 where it has none, shape (H, W), and their mean |ω|, shape (K,)."""
    edges = [_FIRST * lowest * (1 - 1e-9)]
    while edges[-1] < k.max():
        edges.append(edges[-1] + max(lowest, _RING * edges[-1]))
    found = np.searchsorted(edges, k.ravel(), side="right") - 1
    used, counts = np.unique(found[found >= 0], return_counts=True)
    ring = np.where(found >= 0, np.searchsorted(used, found), -1)
    logs = np.bincount(ring[ring >= 0], np.log(k.ravel()[ring >= 0]))
    return ring.reshape(k.shape), np.exp(logs / counts)


def radial_mean(
    values: Float[ndarray, "H W"], k: Float[ndarray, "H W"], ring: ndarray, centres: Float[ndarray, "K"]
) -> Float[ndarray, "K"]:
    """Return the means over rings, of |ω|² times the values, so that an inverse square bends nothing; shape (K,)."""
    inside = ring >= 0
    total = np.bincount(ring[inside], (values * k**2)[inside])
    return np.asarray(total / np.bincount(ring[inside]) / centres**2)
