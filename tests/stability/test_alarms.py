"""What the monitor tells at once, in a loop that is not the library's: gradients and offsets that explode or end."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import warptheory as wt
from warptheory.core.errors import ArgumentError
from warptheory.networks import selfwarp_resnet
from warptheory.operators import SelfWarp2d


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def told_by(run):
    """Return what is told in a run, each with how far it was."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: found.append((len(run.steps), str(message)))
        run()
    return found


class Loop:
    """Steps of a loop of somebody else, each with a factor on the loss."""

    def __init__(self, model, factors, rate=0.0, interval=1):
        self.model, self.factors, self.rate, self.interval = model, factors, rate, interval
        self.images, self.steps = torch.randn(4, 2, 6, 6), []

    def __call__(self):
        optimizer = torch.optim.SGD(self.model.parameters(), lr=self.rate)
        with wt.stability.monitor(self.model, interval=self.interval):
            for factor in self.factors:
                loss = factor * self.model(self.images).square().mean()
                optimizer.zero_grad()
                loss.backward()
                if self.rate:
                    optimizer.step()
                self.steps.append(loss.item())


def model(warps=1):
    layers = []
    for _ in range(warps):
        layers += [nn.Conv2d(2, 2, 3, padding=1), SelfWarp2d(2, head_gain=0.5)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_gradients_that_end_are_told_of_at_the_step_once_a_layer(value):
    told = told_by(Loop(model(2), [1, 1, 1, value, value, 1, value]))
    assert {step for step, _ in told} == {3}
    texts = sorted(text for _, text in told)
    assert [text[:15] for text in texts] == ["in layer '1', a", "in layer '3', a"]
    assert all("at step 3 in training: gradients are not finite (" in text for text in texts)


@pytest.mark.parametrize("values", ["weight of the head", "image", "parameter alone"])
def test_where_it_is_not_finite_is_told(values):
    network = model()
    if values == "weight of the head":
        nn.init.constant_(network[1].head.weight, math.nan)
        wanted = "offsets are not finite"
    elif values == "image":
        nn.init.constant_(network[0].weight, math.inf)
        wanted = "sampled values are not finite"
    else:
        # The gradient of the outcome is finite, and that of the weights of the head is not.
        network[1].head.weight.register_hook(lambda gradient: gradient / 0)
        wanted = r"gradients are not finite (parameter_gradient_variance nan)"
    told = told_by(Loop(network, [1.0]))
    assert any(wanted in text and text.startswith("in layer '1', at step 0") for _, text in told), told


@pytest.mark.parametrize(("growth", "steps"), [(8.0, 15), (1.5, 40)])
def test_gradients_that_explode_are_told_of(growth, steps):
    """Even where each step grows by little."""
    factors = growth ** np.arange(float(steps))
    told = told_by(Loop(model(), factors.tolist()))
    assert [text.split(": ")[1] for _, text in told] == ["gradients have grown"]
    step = told[0][0]
    median = np.median(factors[:step])
    assert factors[step] / median > 1e3 >= factors[step - 1] / np.median(factors[: step - 1])


def test_at_an_interval_too():
    told = told_by(Loop(model(), [1.0] * 11 + [1e5] * 20, interval=10))
    assert [(step, text.split(": ")[1]) for step, text in told] == [(20, "gradients have grown")]


def test_an_exploding_run():
    """Everything is told of within two steps, and once for each kind and layer."""
    network = selfwarp_resnet(8, width=4)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e6, momentum=0.9)
    images, labels = torch.randn(8, 3, 8, 8), torch.arange(8) % 10

    def train():
        with wt.stability.monitor(network, interval=1):
            for _ in range(8):
                loss = functional.cross_entropy(network(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    with pytest.warns(UserWarning, match="have grown|not finite") as told:
        train()
    texts = [str(each.message) for each in told]
    assert any("at step 1 in training" in text or "at step 2 in training" in text for text in texts)
    kinds = [(text.split(",")[0], text.split(": ")[1].split(" (")[0].split(" to ")[0]) for text in texts]
    assert len(set(kinds)) == len(kinds)


def test_offsets_that_leave_the_image():
    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.size = 0.0

        def forward(self, x):
            return wt.warp(x, self.size * torch.ones(len(x), 2, 6, 6))

    def told(sizes):
        shift = Shift()
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            with wt.stability.monitor(shift, interval=1):
                for shift.size in sizes:
                    shift(torch.randn(4, 1, 6, 6))
        return [str(each.message) for each in found]

    where = "in the model itself, at step {} in training: "
    grown, outside, dead = told([0.0, 0.0, 70.0, 80.0])
    assert grown.startswith(where.format(2) + "offsets have grown to 70 pixels, from a median of 0; ")
    assert outside == where.format(2) + "hardly a sample is on the image: a share of 1 lies off it"
    assert dead == where.format(2) + "no sample reads a share of 1 of the inputs; without offsets it would be 0"
    assert told([0.0, 1e-6, 1e-3, 1.0]) == []
    # A shift by three of six pixels along both axes leaves a quarter of the inputs to be read.
    assert told([0.0, 3.0]) == [
        where.format(1) + "no sample reads a share of 0.75 of the inputs; without offsets it would be 0"
    ]
    # What never was otherwise has not grown, and is off the image all the same.
    assert [text.split(": ")[1][:6] for text in told([50.0] * 5)] == ["hardly", "no sam"]


def test_samples_off_the_image_are_no_alarm_where_it_is_repeated():
    class Shift(nn.Module):
        def forward(self, x):
            return wt.warp(x, torch.full((len(x), 2, 6, 6), 40.0), boundary="periodic")

    with warnings.catch_warnings(), wt.stability.monitor(Shift(), interval=1) as m:
        warnings.simplefilter("error")
        m.model(torch.randn(4, 1, 6, 6))
    assert m.rows()[0].outside_fraction == 1


def test_inputs_that_the_grid_itself_leaves_out_are_no_alarm():
    """A quarter of the pixels is read by a grid of every second one: nothing of that is the offsets'."""

    class Half(nn.Module):
        def forward(self, x):
            theta = torch.eye(2, 3).expand(len(x), 2, 3)
            grid = functional.affine_grid(theta, [len(x), 1, 3, 3], align_corners=True)
            return functional.grid_sample(x, grid, align_corners=True)

    with warnings.catch_warnings(), wt.stability.monitor(Half(), interval=1) as m:
        warnings.simplefilter("error")
        m.model(torch.randn(4, 1, 5, 5))
    assert m.rows()[0].dead_fraction == 16 / 25
    assert m.rows()[0].outside_fraction == 0


@pytest.mark.filterwarnings("ignore:loss is", "ignore:grad_norm is", "ignore:in layer")
class TestALoss:
    """A loss that is not finite, with what came before it."""

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_names_the_layer_whose_offsets_had_grown_once(self, value):
        layer = SelfWarp2d(2)
        network = nn.Sequential(nn.Identity(), layer)
        with wt.stability.monitor(network, interval=1) as m:
            for step in range(5):
                layer.head.bias.data.fill_(0.1 if step < 4 else 0.9)
                loss = network(torch.randn(2, 2, 6, 6)).mean()
                m.check(loss + (value if step == 4 else 0))
            m.check(value)
        text = (
            f"loss is {value} at step 4; offsets of layer '1' had grown to 0.9 pixels at the last record, from a median"
        )
        assert m.alarms == (f"{text} of 0.1",)

    def test_tells_the_alarms_before_it(self):
        with wt.stability.monitor(model(), interval=1) as m:
            m.model[1].head.bias.data.fill_(math.nan)
            m.model(torch.randn(2, 2, 6, 6))
            m.check(torch.tensor(math.nan))
        first, *_, last = m.alarms
        assert first.startswith("in layer '1', at step 0 in training: offsets are not finite")
        assert last.startswith(f"loss is nan at step 0; before it: {first}")
        with pytest.raises(ArgumentError, match="^loss: expected a scalar, got shape"):
            m.check(torch.zeros(2))

    def test_without_offsets_that_grew(self):
        with wt.stability.monitor(model(), interval=1) as m:
            m.model(torch.randn(2, 2, 6, 6))
            m.check(math.nan, 7, name="grad_norm")
        assert m.alarms == ("grad_norm is nan at step 7; no offsets had grown at the last record",)


@pytest.mark.parametrize("rate", [0.0, 0.05])
@pytest.mark.parametrize("start", ["zero head", "zero last layer"])
def test_good_runs_say_nothing(rate, start):
    """What begins with exact zeros grows from the first step on."""
    network = selfwarp_resnet(8, width=4)
    if start == "zero last layer":
        for parameter in list(network.parameters())[-2:]:
            nn.init.zeros_(parameter)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9)
    with warnings.catch_warnings(), wt.stability.monitor(network, interval=1):
        warnings.simplefilter("error")
        for _ in range(8):
            images, labels = torch.randn(8, 3, 8, 8), torch.arange(8) % 10
            loss = functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@pytest.mark.filterwarnings("error")
def test_statistics_that_are_not_known_are_no_alarm():
    class Point(nn.Module):
        def forward(self, x):
            return functional.grid_sample(x, torch.zeros(len(x), 1, 1, 2), align_corners=True)

    for network, batch in ((Point(), 2), (model(), 0)):
        with wt.stability.monitor(network, interval=1):
            network(torch.zeros(batch, 2, 5, 5))
