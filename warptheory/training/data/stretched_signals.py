"""Signals of a few shapes under smooth, monotone time warps: a network gains that runs the clock back."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from warptheory import warping
from warptheory.core.checks import check_fits, check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import kept_sampler
from warptheory.fields.covariance.squared_exponential import SquaredExponential
from warptheory.training.data._dataset import Dataset, LabelledImages, normalised

_ROUGHNESS = 1 / 16  # correlation length of a shape over the length of a signal
_SLOWNESS = 1 / 4  # correlation length of the speed of time, likewise


def stretched_signals(
    *,
    seed: int = 0,
    classes: int = 10,
    length: int = 64,
    train_per_class: int = 200,
    test_per_class: int = 100,
    stretch: float = 0.9,
    difference: float = 0.25,
    noise: float = 0.2,
) -> Dataset:
    """Draw signals s(τ(t)) + noise, s being the shape of the class and τ a time warp of the signal's own.

    A shape is a smooth random one that all classes have in common, and a smaller one of the class. Time runs from the
    first sample to the last with the speed τ'(t) ∝ exp(g(t)), g a smooth Gaussian field, so that it never turns back.
    Warps move samples by more than classes differ, which is why undoing them helps.

    Args:
        seed: seed of shapes, warps and noise.
        classes: number of classes.
        length: samples of a signal.
        train_per_class: training signals of each class.
        test_per_class: test signals of each class.
        stretch: standard deviation of the logarithm of the speed; 0 for no warp.
        difference: standard deviation of the shape of a class, that of the common one being 1.
        noise: standard deviation of the white noise, on the same scale.

    Returns:
        Signals of shape (N, 1, length), normalised by the training signals, class by class.

    Raises:
        ArgumentError: options of the wrong kind, or out of their ranges.

    Source: the warps are those of the square-root velocity literature, where τ' > 0 has a logarithm: A. Srivastava,
    E. P. Klassen, Functional and Shape Data Analysis, Springer 2016, https://doi.org/10.1007/978-1-4939-4020-2.
    """
    check_integer("classes", classes, least=2)
    check_integer("length", length, least=16)
    check_number("difference", difference, above=0)
    check_number("noise", noise, least=0)
    check_number("stretch", stretch, least=0)
    counts = {"train_per_class": train_per_class, "test_per_class": test_per_class}
    for argument, count in counts.items():
        check_integer(argument, count)
        check_fits(argument, count, 24 * classes * count * length)
    shapes = templates(classes, length, difference, Stream(seed, "stretched_signals/shapes").generator())
    parts = (
        _drawn(shapes, count, stretch, noise, Stream(seed, f"stretched_signals/{argument}").generator())
        for argument, count in counts.items()
    )
    return normalised("stretched_signals", tuple(str(name) for name in range(classes)), *parts)


def templates(
    classes: int, length: int, difference: float, generator: np.random.Generator
) -> Float[Tensor, "classes length"]:
    """Draw the shapes, shape (classes, length), float64.

    Args:
        classes: number of shapes.
        length: samples of a shape.
        difference: standard deviation of what a class has of its own, that of the common shape being 1.
        generator: source of the numbers.
    """
    fields = _fields(length, _ROUGHNESS, classes + 1, generator)
    return fields[:1] + difference * fields[1:]


def time_warps(count: int, length: int, stretch: float, generator: np.random.Generator) -> Float[Tensor, "N length"]:
    """Draw where signals are read: τ at each sample, increasing from 0 to length − 1, shape (N, length), float64.

    Args:
        count: number of warps N.
        length: samples of a signal.
        stretch: standard deviation of the logarithm of the speed.
        generator: source of the numbers.

    Raises:
        ArgumentError: a stretch that is beyond double precision: time would stand still.
    """
    speed = torch.exp(stretch * _fields(length, _SLOWNESS, count, generator))
    steps = (speed[:, 1:] + speed[:, :-1]) / 2
    run = torch.cat([torch.zeros(count, 1, dtype=steps.dtype), steps.cumsum(1)], 1)
    times = (length - 1) * run / run[:, -1:]
    if not bool((times.diff(dim=1) > 0).all()):
        raise ArgumentError("stretch", expected="speeds within double precision", received=stretch)
    return times


def _fields(length: int, share: float, count: int, generator: np.random.Generator) -> Float[Tensor, "N length"]:
    sampler = kept_sampler(SquaredExponential(length=share * length, dim=1), (length,))
    return sampler.sample(count, generator)[:, 0]


def _drawn(
    shapes: Float[Tensor, "classes L"], count: int, stretch: float, noise: float, generator: np.random.Generator
) -> LabelledImages:
    labels = torch.arange(len(shapes)).repeat_interleave(count)
    length = shapes.shape[1]
    times = time_warps(len(labels), length, stretch, generator)
    offsets = (times - torch.arange(length)).unsqueeze(1)
    read = warping.warp(shapes[labels].unsqueeze(1), offsets, "keys", "border")
    noisy = read + noise * torch.from_numpy(generator.standard_normal(read.shape))
    return LabelledImages(noisy.float(), labels)
