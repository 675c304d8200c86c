"""The cascade of gradient moments, against dense Jacobians of the real layers, and against a backward pass."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from warptheory import networks
from warptheory.core.errors import ArgumentError
from warptheory.networks import selfwarp_net1d, selfwarp_resnet
from warptheory.results.selfwarp.cascade import GradientCascade, Normalised, energy_of, moments_of, white_moments
from warptheory.stability import (
    measured_gradients,
    output_gradient,
    predicted_gradients,
    randomly_signed_gradients,
    read_cascade,
)


def moments(shape, seed=0):
    """Random positive semi-definite matrices (B, *S, C, C) for a feature map (B, C, *S)."""
    batch, channels, *size = shape
    root = torch.randn(batch, *size, channels, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return root @ root.transpose(-1, -2)


def by_jacobian(function, x, sent):
    """Σ_t A(s, t)ᵀ S(t) A(s, t) with the dense Jacobian A of a function."""
    jacobian = torch.autograd.functional.jacobian(function, x)  # (B, O, *T, B, C, *S)
    batch, outputs = sent.shape[0], sent.shape[-1]
    dense = jacobian.reshape(batch, outputs, -1, batch, x.shape[1], x[0, 0].numel())
    flat = sent.reshape(batch, -1, outputs, outputs)
    found = torch.einsum("bothcs,btop,bpthds->hscd", dense, flat, dense)
    return found.reshape(len(x), *x.shape[2:], x.shape[1], x.shape[1])


def trained_looking(network):
    """Random running statistics and gains, so that nothing is 0 or 1 by chance; in double precision."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, std=0.2, generator=generator)
    return network.double().eval()


def read(network, images):
    with torch.no_grad():
        return read_cascade(network, images).cascade.layers


@torch.no_grad()
def check_stages(stages, functions, x):
    """Every stage is exact for gradients that are uncorrelated at its output."""
    assert len(stages) == len(functions)
    for stage, function in zip(stages, functions, strict=True):
        out = function(x)
        sent = moments(out.shape)
        torch.testing.assert_close(stage.backward(sent), by_jacobian(function, x, sent), rtol=1e-9, atol=1e-9)
        x = out


@torch.no_grad()
def check_shortcut(residual, branch, x):
    """Beside its stages and its shortcut a block has twice their product, what returns to where it started."""
    sent = found = moments(branch(x).shape)
    for stage in reversed(residual.stages):
        found = stage.backward(found)
    every = (slice(None), *(slice(None, None, residual.stride) for _ in residual.size))
    channels = residual.channels
    found[every] += sent[..., :channels, :channels]
    jacobian = torch.autograd.functional.jacobian(branch, x)
    for image, *place in torch.cartesian_prod(*map(torch.arange, sent.shape[:-2])).tolist():
        start = tuple(residual.stride * one for one in place)
        returning = jacobian[(image, slice(None), *place, image, slice(None), *start)]
        product = sent[(image, *place)][:channels] @ returning
        found[(image, *start)] += product + product.T
    torch.testing.assert_close(residual.backward(sent), found, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "options", [{}, {"groups": 2, "kernel_size": 5}, {"gradient_scale": 0.5}, {"mixing": "pointwise"}]
)
def test_stages_of_residual_networks_against_jacobians(options):
    """The second block of stride two has offsets within a pixel, so that nothing returns from farther away."""
    network = trained_looking(selfwarp_resnet(8, 3, 2, 2, head_gain=1.0, scale=0.1, seed=3, **options))
    images = torch.randn(2, 2, 6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = functional.relu(network.stem_norm(network.stem(images))).detach()
    for block, (residual, last) in zip(network.blocks, read(network, images), strict=True):
        parts = (block.warp, block.first, block.first_norm, torch.relu, block.second, block.second_norm)
        check_stages(residual.stages, parts, x)
        check_shortcut(residual, nn.Sequential(*parts[:3], nn.ReLU(), *parts[4:]), x)
        x = block(x).detach()
        assert torch.equal(last.mask, x > 0)


@pytest.mark.parametrize("placement", ["both", "between"])
def test_where_the_warp_stands(placement):
    network = trained_looking(selfwarp_resnet(8, 3, 2, 2, head_gain=1.0, scale=0.1, placement=placement))
    images = torch.randn(2, 2, 6, 5, dtype=torch.float64)
    block, layer = network.blocks[0], read(network, images)[0]
    x = functional.relu(network.stem_norm(network.stem(images))).detach()
    if placement == "both":
        check_stages(layer[:1], (block.warp,), x)
        x, residual = block.warp(x).detach(), layer[1]
        parts = (block.first, block.first_norm, torch.relu, block.second, block.second_norm)
    else:
        residual = layer[0]
        parts = (block.first, block.first_norm, torch.relu, block.warp, block.second, block.second_norm)
    check_stages(residual.stages, parts, x)
    modules = [part if isinstance(part, nn.Module) else nn.ReLU() for part in parts]
    check_shortcut(residual, nn.Sequential(*modules), x)


def test_stages_of_signal_networks_against_jacobians():
    network = trained_looking(selfwarp_net1d(3, 2, 4, 2, head_gain=1.0, scale=0.7, seed=2))
    x = torch.randn(3, 2, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for block, layer in zip(network.blocks, read(network, x), strict=True):
        check_stages(layer, (block.warp, block.convolution, block.norm, torch.relu), x)
        x = block(x).detach()


def test_batch_norm_in_training_against_its_jacobian():
    """The projection mixes all positions of the batch, exactly."""
    x = torch.randn(2, 3, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    norm = nn.BatchNorm2d(3, affine=True).double()
    norm.weight.data = weight
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    deviation = (variance + norm.eps).sqrt()
    stage = Normalised(weight / deviation.flatten(), (x - mean) / deviation)
    sent = moments(x.shape)
    torch.testing.assert_close(stage.backward(sent), by_jacobian(norm, x, sent), rtol=1e-4, atol=1e-5)  # eps in x̂² = 1


def batch():
    generator = torch.Generator().manual_seed(0)
    smooth = functional.avg_pool2d(torch.randn(8, 1, 18, 18, generator=generator), 3, 1)
    return 3 * smooth, torch.arange(8) % 4


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_growth_is_predicted_within_a_factor(scale):
    network = selfwarp_resnet(14, 4, 1, 8, scale=scale, head_gain=1.0)
    before = copy.deepcopy(network.state_dict())
    images, labels = batch()
    predicted, measured = (each(network, images, labels) for each in (predicted_gradients, measured_gradients))
    assert len(predicted.amplitudes) == len(network.blocks) + 1
    assert 1 / 1.5 < predicted.explosion / measured.explosion < 1.5
    assert measured.explosion > (30 if scale == 1 else 1)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_means_miss_what_the_cascade_sees():
    network, (images, labels) = selfwarp_resnet(20, 4, 1, 8, scale=3.0, head_gain=1.0), batch()
    reading = read_cascade(network, images)
    start = moments_of(output_gradient(network, reading.features, labels))
    measured = measured_gradients(network, images, labels)
    assert reading.cascade.mean_profile(start).explosion < measured.explosion / 1.5
    assert measured.explosion / 3 < reading.cascade.energy_profile(start).explosion < 3 * measured.explosion
    assert reading.cascade.mean_profile(start).half_energy_shares[0] == pytest.approx(0.5)
    assert measured.half_energy_shares[0] < 0.1
    assert reading.cascade.profile(start).half_energy_shares[0] < 0.1


def test_a_deep_network_does_not_overflow():
    images, _ = batch()
    layers = read(selfwarp_resnet(8, 4, 1, 4, scale=3.0, head_gain=1.0), images[:2, :, :8, :8])
    start = white_moments(torch.ones(2, 8, 8), 4)
    profile = GradientCascade((layers[0],) * 80).profile(start)
    assert 88 < profile.log_gains[0] < 1000  # e⁸⁸ is all that single precision holds
    assert float(profile.energies[0].sum()) == pytest.approx(1, rel=1e-5)


def test_moments():
    gradient = torch.randn(2, 3, 4)
    torch.testing.assert_close(energy_of(moments_of(gradient)), gradient.square().sum(1))
    energy = torch.rand(2, 4)
    torch.testing.assert_close(energy_of(white_moments(energy, 5)), energy)


def test_what_cannot_be_read_is_refused():
    images, _ = batch()
    with pytest.raises(ArgumentError, match="network"):
        read_cascade(nn.Identity(), images)
    for options in ({"smoothing": 1.0}, {"lipschitz": 0.5}):
        with pytest.raises(ArgumentError, match="smoothing"):
            read_cascade(selfwarp_resnet(8, 4, 1, 4, **options), images)
    network = networks.selfwarp_resnet(8, 4, 1, 4)
    reading = read_cascade(network, images)
    nothing = moments_of(torch.zeros_like(reading.features))
    with pytest.raises(ArgumentError, match="start"):
        reading.cascade.profile(nothing)


def test_random_signs_leave_energies_at_the_output():
    network, (images, labels) = selfwarp_resnet(8, 4, 1, 4, scale=1.0, head_gain=1.0), batch()
    own = measured_gradients(network, images, labels)
    draws = randomly_signed_gradients(network, images, labels, 24, np.random.default_rng(0))
    for draw in draws:
        torch.testing.assert_close(draw.energies[-1], own.energies[-1])
    gains = np.exp([draw.log_gains[0] for draw in draws])
    assert len(np.unique(gains)) == 24
    predicted = predicted_gradients(network, images, labels)
    assert np.exp(predicted.log_gains[0]) == pytest.approx(gains.mean(), rel=0.3)  # a closure, not exact
    again = randomly_signed_gradients(network, images, labels, 1, np.random.default_rng(0))
    assert again[0].log_gains == draws[0].log_gains


@pytest.mark.usefixtures("as_users_call")
def test_a_batch_that_does_not_fit_is_refused():
    images, labels = batch()
    network = networks.selfwarp_resnet(8, 4, 1, 4)
    wrong = [
        ("images", images[:, :, 0], labels),
        ("images", torch.cat([images, images], 1), labels),
        ("images", images.double(), labels),
        ("images", images * float("nan"), labels),
        ("images", images[:0], labels[:0]),
        ("images", "photographs", labels),
        ("labels", images, labels[:1]),
        ("labels", images, labels.float()),
        ("labels", images, labels + 4),
        ("labels", images, None),
    ]
    for argument, given, classes in wrong:
        for ask in (predicted_gradients, measured_gradients):
            with pytest.raises(ArgumentError, match=f"^{argument}: "):
                ask(network, given, classes)


def test_a_profile_shows_itself_in_a_line():
    images, labels = batch()
    profile = predicted_gradients(networks.selfwarp_resnet(8, 4, 1, 4), images, labels)
    assert repr(profile).startswith("GradientProfile(places=4, explosion=")
