"""How gradients will grow on their way back through a self-warp network, told from one batch before any backward pass.

>>> from warptheory.networks import selfwarp_resnet
>>> from warptheory.stability import predicted_gradients
>>> images, labels = torch.randn(4, 3, 16, 16), torch.arange(4)
>>> network = selfwarp_resnet(20, classes=4, width=4, scale=1.0, head_gain=1.0)
>>> predicted_gradients(network, images, labels).explosion > 1
True
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from warptheory import warping
from warptheory.core.errors import ArgumentError
from warptheory.core.presented import Presented, brief
from warptheory.networks import ResidualBlock, SelfWarpNet1d, SelfWarpResNet
from warptheory.networks.selfwarp_net1d import SignalBlock
from warptheory.operators.self_warp import SelfWarp
from warptheory.results.selfwarp.cascade import (
    CascadeStage,
    Convolved,
    GradientCascade,
    GradientProfile,
    Normalised,
    Rectified,
    Residual,
    Warped,
    moments_of,
)

Network = SelfWarpResNet | SelfWarpNet1d


def predicted_gradients(network: Network, images: Float[Tensor, "B C *S"], labels: Int[Tensor, "B"]) -> GradientProfile:
    """Predict the energy of the gradient of the loss at every block, from a forward pass alone (theory F5).

    It is the mean over random signs of the gradient at the last block's output, about which the gradient of one batch
    scatters: in deep networks by a factor of two or three.

    Args:
        network: a self-warp network or its plain twin, in the mode it would be trained in; it is left as it is.
        images: one batch, shape (B, C, *S).
        labels: its classes, shape (B,); the loss is their cross-entropy.

    Raises:
        ArgumentError: another network, or warps with smoothing or a bound on their slopes; images or labels that do not
            fit it; or a loss that has no gradient.
    """
    _check_batch(network, images, labels)
    reading = read_cascade(network, images)
    return reading.cascade.profile(moments_of(output_gradient(network, reading.features, labels)))


def measured_gradients(network: Network, images: Float[Tensor, "B C *S"], labels: Int[Tensor, "B"]) -> GradientProfile:
    """Measure what `predicted_gradients` predicts, by one backward pass; arguments and errors as there.

    Args:
        network: as there.
        images: as there, shape (B, C, *S).
        labels: as there, shape (B,).
    """
    loss, places = _loss_and_places(network, images, labels)
    return _profile_of(torch.autograd.grad(loss, places))


def randomly_signed_gradients(
    network: Network,
    images: Float[Tensor, "B C *S"],
    labels: Int[Tensor, "B"],
    draws: int,
    generator: np.random.Generator,
) -> tuple[GradientProfile, ...]:
    """Measure it for gradients that are the loss's at the last block's output but for their signs; one profile a draw.

    The mean of their energies is what `predicted_gradients` is about: a sign for every position, the same for all
    channels, makes gradients at different positions uncorrelated and leaves the moments of each. The loss's own is one
    gradient of such energies. It takes one forward pass, and a backward pass for every draw.

    Args:
        network: as in `predicted_gradients`.
        images: as there, shape (B, C, *S).
        labels: as there, shape (B,).
        draws: how many.
        generator: draws the signs.
    """
    loss, places = _loss_and_places(network, images, labels)
    (sent,) = torch.autograd.grad(loss, places[-1], retain_graph=True)
    found = []
    for _ in range(draws):
        signs = 1.0 - 2.0 * generator.integers(0, 2, (len(sent), 1, *sent.shape[2:]))
        signed = sent * torch.from_numpy(signs).to(sent)
        found.append(_profile_of(torch.autograd.grad(places[-1], places, signed, retain_graph=True)))
    return tuple(found)


def _loss_and_places(network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the loss, and the inputs of all blocks with the output of the last, in one graph."""
    _check_batch(network, images, labels)
    copy = deepcopy(network)  # whose running statistics may change
    places: list[Tensor] = []
    for block in copy.blocks:
        block.register_forward_pre_hook(lambda _, given: places.append(given[0]))
    copy.blocks.register_forward_hook(lambda _, given, found: places.append(found))
    with torch.enable_grad():
        # A network of signals has no layer in front of its blocks.
        loss = functional.cross_entropy(copy(images.detach().requires_grad_()), labels)
    return loss, places


def _profile_of(gradients: Iterable[Tensor]) -> GradientProfile:
    energies = [gradient.double().square().sum(1) for gradient in gradients]
    totals = torch.stack([energy.sum() for energy in energies]).log()
    if not bool(torch.isfinite(totals).all()):
        raise ArgumentError("images", expected="a batch whose loss has a finite gradient", received="none, or infinite")
    return GradientProfile(tuple(energy / energy.sum() for energy in energies), tuple((totals - totals[-1]).tolist()))


@dataclass(frozen=True, eq=False)
class CascadeReading(Presented):
    """What a forward pass tells of the gradients to come.

    Attributes:
        cascade: one layer for each block of the network.
        features: what the last block returns, shape (B, C, *S).
    """

    cascade: GradientCascade
    features: Float[Tensor, "B C *S"]


def _check_batch(network: nn.Module, images: Any, labels: Any) -> None:
    """Check a batch that a network is to classify; raises ArgumentError."""
    _check_images(network, images)
    if not isinstance(labels, Tensor) or labels.dtype != torch.long or labels.shape != images.shape[:1]:
        expected = f"a tensor of {len(images)} whole numbers (torch.int64)"
        raise ArgumentError("labels", expected=expected, received=brief(labels))
    classes = cast("nn.Linear", network.classifier).out_features
    if bool(((labels < 0) | (labels >= classes)).any()):
        raise ArgumentError("labels", expected=f"classes in 0 … {classes - 1}", received=sorted(set(labels.tolist())))


def _check_images(network: nn.Module, images: Any) -> Network:
    """Return the network if its cascade can be read from the images; raises ArgumentError."""
    if not isinstance(network, SelfWarpResNet | SelfWarpNet1d):
        expected = "a network of `warptheory.networks`"
        raise ArgumentError("network", expected=expected, received=type(network).__name__)
    axes, first = network.dim, next(module for module in network.modules() if isinstance(module, nn.Conv1d | nn.Conv2d))
    channels, dtype = first.in_channels, first.weight.dtype
    if not isinstance(images, Tensor) or images.ndim != axes + 2 or images.shape[1] != channels or not images.numel():
        expected = f"a tensor (B, {channels}, {'L' if axes == 1 else 'H, W'}) with at least one image"
        raise ArgumentError("images", expected=expected, received=brief(images))
    if images.dtype != dtype:
        raise ArgumentError("images", expected=f"the network's dtype {dtype}", received=images.dtype)
    if not bool(torch.isfinite(images).all()):
        raise ArgumentError("images", expected="finite numbers", received="NaN or infinity among them")
    return network


@torch.no_grad()
def read_cascade(network: nn.Module, images: Float[Tensor, "B C *S"]) -> CascadeReading:
    """Read the masks, gains, slopes and positions of every block from one batch (B, C, *S), by a forward pass.

    Running statistics stay as they were. In evaluation mode BatchNorm multiplies by constants.

    Raises:
        ArgumentError: another network, or warps with smoothing or a bound on their slopes.
    """
    read = _check_images(network, images)
    x, layers = _entering(read, images), []
    for block in read.blocks:
        stages, x = _read(block, x)
        layers.append(stages)
    return CascadeReading(GradientCascade(tuple(layers)), x)


def output_gradient(
    network: Network, features: Float[Tensor, "B C *S"], labels: Int[Tensor, "B"]
) -> Float[Tensor, "B C *S"]:
    """Return the gradient of the cross-entropy at the last block's output (B, C, *S), which the classifier decides.

    Args:
        network: the network.
        features: what its last block returns, shape (B, C, *S).
        labels: classes, shape (B,).
    """
    with torch.enable_grad():
        leaf = features.detach().requires_grad_()
        loss = functional.cross_entropy(_scores(network, leaf), labels)
        (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient


def _scores(network: Network, features: Tensor) -> Tensor:
    pooled = features.mean((2, 3)) if features.ndim == 4 else functional.adaptive_avg_pool1d(features, 5).flatten(1)
    scores: Tensor = network.classifier(pooled)
    return scores


def _entering(network: Network, images: Tensor) -> Tensor:
    """Return what the first block is given."""
    if isinstance(network, SelfWarpNet1d):
        return images
    found, _ = _normalised(network.stem_norm, network.stem(images))
    return functional.relu(found)


# What is read of a part of a network: its stages, and what it returns.
StagesAndOutput = tuple[tuple[CascadeStage, ...], Tensor]


def _read(block: nn.Module, x: Tensor) -> StagesAndOutput:
    if isinstance(block, ResidualBlock):
        return _read_residual(block, x)
    assert isinstance(block, SignalBlock)
    warped, x = _read_warp(block.warp, x)
    convolved, x = _read_convolution(block.convolution, block.norm, x)
    rectified, x = _read_relu(x)
    return (*warped, *convolved, *rectified), x


def _read_residual(block: ResidualBlock, x: Tensor) -> StagesAndOutput:
    none: tuple[CascadeStage, ...] = ()
    entering = (none, x) if block.placement == "between" else _read_warp(block.warp, x)
    first, branch = _read_convolution(block.first, block.first_norm, entering[1])
    rectified, branch = _read_relu(branch)
    between, branch = _read_warp(block.warp, branch) if block.placement == "between" else (none, branch)
    second, branch = _read_convolution(block.second, block.second_norm, branch)
    is_both = block.placement == "both"
    passed = entering[1] if is_both else x
    shortcut = passed[:, :, :: block.stride, :: block.stride]
    branch = branch + functional.pad(shortcut, (0, 0, 0, 0, 0, branch.shape[1] - x.shape[1]))
    stages = (*(none if is_both else entering[0]), *first, *rectified, *between, *second)
    residual = Residual(stages, x.shape[1], tuple(x.shape[2:]), block.stride)
    last, branch = _read_relu(branch)
    return (*(entering[0] if is_both else none), residual, *last), branch


def _read_relu(x: Tensor) -> StagesAndOutput:
    return (Rectified(x > 0),), functional.relu(x)


def _read_convolution(convolution: nn.Module, norm: nn.Module, x: Tensor) -> StagesAndOutput:
    assert isinstance(convolution, nn.Conv1d | nn.Conv2d)
    mixed = convolution(x)
    found, normalised = _normalised(norm, mixed)
    stage = Convolved(convolution.weight.detach(), tuple(x.shape[2:]), convolution.stride[0])
    return (stage, normalised), found


def _normalised(norm: nn.Module, x: Tensor) -> tuple[Tensor, Normalised]:
    """Return what a BatchNorm would return, its running statistics left alone, and its stage."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    axes = (0, *range(2, x.ndim))
    variance, mean = torch.var_mean(x, axes, correction=0)
    if not norm.training:
        assert norm.running_var is not None
        assert norm.running_mean is not None
        variance, mean = norm.running_var, norm.running_mean
    found = functional.batch_norm(x, mean, variance, norm.weight, norm.bias, eps=norm.eps)
    gain = norm.weight.detach() / (variance + norm.eps).sqrt()
    if not norm.training:
        return found, Normalised(gain)
    along = [1, -1, *[1] * (x.ndim - 2)]
    scaled = (x - mean.reshape(along)) / (variance + norm.eps).sqrt().reshape(along)
    return found, Normalised(gain, scaled)


def _read_warp(warp: nn.Module, x: Tensor) -> StagesAndOutput:
    """Return the stage of a self-warp, none for a block without one."""
    if not isinstance(warp, SelfWarp):
        return (), x
    field = warp.field
    if field.smoothing > 0 or field.lipschitz is not None:
        expected = "self-warps whose offsets are the head's output times a scale"
        raise ArgumentError("network", expected=expected, received=f"smoothing or a bound on slopes: {field}")
    offsets = warp.offsets(x)
    options = {"kernel": warp.kernel, "boundary": warp.boundary}
    slopes = warping.warp_gradient(x, offsets, **options)
    matrix = warping.warp_matrix(offsets, **options)
    head = field.scale * field.gradient_scale * warp.head.weight.detach()
    return (Warped(matrix, slopes, head),), warping.warp(x, offsets, **options)
