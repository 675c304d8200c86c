"""MNIST-1D: ten shapes of one dimension, padded, scaled, shifted, sheared and noisy, made by the published recipe."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from warptheory.core.checks import check_fits, check_integer
from warptheory.training.data._dataset import Dataset, LabelledImages

# The twelve heights of each digit's stroke, from top to bottom.
_STROKES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
_SHRINK = 6  # templates are divided by it
_OFFSET = 1e-8  # keeps a template's zeros apart from the zeros of the padding
_LEAST_PADDING, _MOST_PADDING = 36, 60  # zeros behind a template
_DILATED = 72  # length of the template with its padding, before the last resampling
_SCALE_SPREAD = 0.4  # amplitudes are uniform in 1 ± half of it
_SHIFTS = 48  # cyclic shifts, in steps of the dilated signal
_SMOOTH_NOISE = 0.25  # deviation of the noise in the padding, before it is smoothed
_SMOOTHING = 2  # deviation of the Gaussian that smooths it, in steps
_WHITE_NOISE = 0.02
_SHEAR_SPREAD = 0.75
_LENGTH = 40
_TRAIN_SHARE = 0.8


def mnist1d(*, samples: int = 5000, recipe_seed: int = 42) -> Dataset:
    """Generate MNIST-1D; by default the very numbers that were published, in single precision.

    All random numbers come from NumPy's Mersenne twister in the recipe's order, because the published set is
    defined by its seed. As published, the signals have mean zero and variance one over training and test
    signals together, and the split is a random one, not stratified.

    Args:
        samples: signals in all, four fifths of them for training; rounded down to a multiple of ten.
        recipe_seed: the seed of the recipe.

    Returns:
        Signals of shape (N, 1, 40).

    Raises:
        ArgumentError: fewer samples than classes, or a seed that the Mersenne twister does not take.

    Source: S. Greydanus and D. Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024, arXiv:2011.14439.
    """
    check_integer("samples", samples, least=len(_STROKES))
    check_fits("samples", samples, 8 * _LENGTH * samples)
    check_integer("recipe_seed", recipe_seed, least=0, most=2**32 - 1)
    generator = np.random.RandomState(recipe_seed)
    labels = np.arange(len(_STROKES)).repeat(samples // len(_STROKES))
    shapes = templates()
    signals = np.stack([_signal(shapes[label], generator) for label in labels])
    order = generator.permutation(len(labels))
    signals, labels = signals[order], labels[order]
    signals = (signals - signals.mean()) / signals.std()
    border = int(len(labels) * _TRAIN_SHARE)
    train, test = (_labelled(signals[part], labels[part]) for part in (slice(border), slice(border, None)))
    return Dataset("mnist1d", tuple(str(digit) for digit in range(len(_STROKES))), train, test)


def _labelled(signals: Float[ndarray, "N L"], labels: ndarray) -> LabelledImages:
    return LabelledImages(torch.from_numpy(signals).unsqueeze(1).float(), torch.from_numpy(labels).long())


def templates() -> Float[ndarray, "10 12"]:
    """Return the shapes without noise, shape (10, 12)."""
    strokes = np.array(_STROKES)
    centred = strokes - strokes.mean(1, keepdims=True)
    standard = centred / centred.std(1, keepdims=True)
    return np.asarray((standard - standard[:, :1]) / _SHRINK)


def _signal(template: Float[ndarray, "12"], generator: np.random.RandomState) -> Float[ndarray, "40"]:
    from scipy import ndimage

    # The order of the draws is the recipe's.
    padding = _LEAST_PADDING + int(generator.rand() * (_MOST_PADDING - _LEAST_PADDING + 1))
    dilated = _resample(np.pad(template + _OFFSET, (0, padding)), _DILATED)
    scaled = dilated * (1 + _SCALE_SPREAD * (generator.rand() - 0.5))
    shifted = np.roll(scaled, generator.choice(_SHIFTS))
    smooth_noise = ndimage.gaussian_filter(_SMOOTH_NOISE * generator.randn(_DILATED), _SMOOTHING)
    white_noise = _WHITE_NOISE * generator.randn(_DILATED)
    noisy = np.where(shifted != 0, shifted, smooth_noise) + white_noise
    shear = _SHEAR_SPREAD * (generator.rand() - 0.5)
    return _resample(noisy - shear * _points(-0.5, 0.5, _DILATED), _LENGTH)


def _resample(signal: Float[ndarray, "N"], length: int) -> Float[ndarray, "M"]:
    """Interpolate linearly at `length` points from the first to the last, shape (M,)."""
    return np.asarray(np.interp(_points(0.0, 1.0, length), _points(0.0, 1.0, len(signal)), signal))


@cache  # asked for five times a signal
def _points(first: float, last: float, number: int) -> Float[ndarray, "N"]:
    return np.linspace(first, last, number)
