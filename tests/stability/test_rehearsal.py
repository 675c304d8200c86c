"""Rehearsed steps against steps that are really taken, on networks whose positions are known in closed form."""

import copy
import itertools
import math
import statistics

import pytest
import torch
from torch import nn
from torch.nn import functional

from warptheory import stability


class Stretched(nn.Module):
    """Reads an image at its own pixels plus a constant displacement, which is learnt, through a factor."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.displacement = nn.Parameter(torch.tensor([0.3, -0.2]))
        self.filter = nn.Conv2d(1, 2, 3, padding=1)
        self.factor = factor

    def forward(self, x):
        height, width = x.shape[-2:]
        identity = torch.eye(2, 3, device=x.device).expand(len(x), 2, 3)
        grid = functional.affine_grid(identity, x.shape, align_corners=False)
        pixels = torch.tensor([2 / width, 2 / height], device=x.device)
        return self.filter(
            functional.grid_sample(x, grid + self.factor * self.displacement * pixels, align_corners=False)
        )


def problem(seed=0, count=3, factor=1.0, rate=0.1):
    torch.manual_seed(seed)
    model = Stretched(factor)
    batches = [(torch.randn(4, 1, 8, 8), torch.randn(4, 2, 8, 8)) for _ in range(count)]
    return model, batches, torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)


def condition(found):
    return next((each for each in found.conditions if each.name == "speed in rehearsal"), None)


def trained(model, batches, optimizer, steps):
    """Return where the displacement is after every step of a training, in pixels."""
    places = [model.factor * model.displacement.detach().clone()]
    for number in range(steps):
        inputs, target = batches[number % len(batches)]
        optimizer.zero_grad()
        functional.mse_loss(model(inputs), target).backward()
        optimizer.step()
        places.append(model.factor * model.displacement.detach().clone())
    return places


@pytest.mark.parametrize(("steps", "count"), [(10, 3), (7, 2), (1, 4)])
def test_it_is_what_training_does(steps, count):
    """The geometric mean of the last steps' lengths, which is the same for all pixels. Float32 rounds at 1e-4 of it."""
    model, batches, optimizer = problem(count=count)
    found = condition(stability.diagnose(model, batches, functional.mse_loss, optimizer, rehearsal=steps))
    places = trained(model, batches, optimizer, steps)
    lengths = [float((after - before).norm()) for before, after in itertools.pairwise(places)][steps // 2 :]
    assert found.value == pytest.approx(statistics.geometric_mean(lengths), rel=1e-3)
    assert found.unit == "pixels a step"
    if len(lengths) > 1:
        spread = statistics.stdev(map(math.log, lengths)) / math.sqrt(len(lengths))
        assert found.stderr == pytest.approx(found.value * spread, rel=1e-2)


def test_it_is_taken_back():
    model, batches, optimizer = problem()
    trained(model, batches, optimizer, 2)  # so that there is momentum
    before, momentum = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict()["state"])
    stability.diagnose(model, batches, functional.mse_loss, optimizer)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    left = optimizer.state_dict()["state"]
    assert all(torch.equal(left[key]["momentum_buffer"], value["momentum_buffer"]) for key, value in momentum.items())


def test_a_training_that_blows_up_later_is_seen():
    """A rate at which the loss overflows after a few steps, and not in the first."""
    model, batches, optimizer = problem(rate=1e6)
    found = condition(stability.diagnose(model, batches, functional.mse_loss, optimizer))
    assert found.value == math.inf
    assert found.verdict == "fail"


def test_fast_positions_are_told_apart():
    verdicts = {}
    for factor in (1.0, 10.0):
        model, batches, optimizer = problem(factor=factor)
        verdicts[factor] = condition(stability.diagnose(model, batches, functional.mse_loss, optimizer)).verdict
    assert verdicts[1.0] == "ok"
    assert verdicts[10.0] != "ok"


def test_none_is_taken_where_none_is_wanted():
    model, batches, optimizer = problem()
    assert condition(stability.diagnose(model, batches, functional.mse_loss, optimizer, rehearsal=0)) is None
