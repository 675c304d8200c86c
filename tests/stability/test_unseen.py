"""What the monitor cannot see: it says so, and the monitored run is the plain one, to the last bit."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

import warptheory as wt
from warptheory.core.errors import ArgumentError
from warptheory.operators import SelfWarp2d
from warptheory.stability import OffsetOutput

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


class Sampler(nn.Module):
    """Samples by grid_sample, so that it can be scripted."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid = self.head(x).permute(0, 2, 3, 1).tanh()
        return torch.nn.functional.grid_sample(x, grid, align_corners=False)


class Gather(nn.Module):
    """Samples by hand."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x):
        shift = self.head(x).flatten(2)
        line = torch.arange(shift.shape[2]) + shift
        low = line.floor()
        rest = line - low
        first, second = (
            x.flatten(2).gather(2, (low + step).long().clamp(0, shift.shape[2] - 1).expand(-1, x.shape[1], -1))
            for step in (0, 1)
        )
        return (first * (1 - rest) + second * rest).reshape(x.shape)


def image(seed=0):
    return torch.randn(2, 2, 6, 5, generator=torch.Generator().manual_seed(seed))


def scripted():
    return nn.Sequential(nn.Conv2d(2, 2, 1), torch.jit.script(Sampler()), SelfWarp2d(2))


def traced():
    return nn.Sequential(nn.Conv2d(2, 2, 1), torch.jit.trace(Sampler(), image(), check_trace=False), SelfWarp2d(2))


def frozen():
    script = torch.jit.freeze(torch.jit.script(nn.Sequential(Sampler()).eval()))
    return nn.Sequential(nn.Conv2d(2, 2, 1), script, SelfWarp2d(2))


def nested():
    inner = nn.Sequential(nn.ReLU(), torch.jit.script(nn.Sequential(Sampler(), Sampler())))
    return nn.Sequential(nn.Conv2d(2, 2, 1), inner, SelfWarp2d(2))


def root():
    return torch.jit.script(nn.Sequential(nn.Conv2d(2, 2, 1), Sampler()))


def traced_root():
    return torch.jit.trace(nn.Sequential(nn.Conv2d(2, 2, 1), Sampler()), image(), check_trace=False)


# The parts that are not seen, and the layers that are.
PROGRAMS = {
    scripted: ("'1'", ["2"]),
    traced: ("'1'", ["2"]),
    frozen: ("'1'", ["2"]),
    nested: ("'1.1'", ["2"]),
    root: ("the model itself", []),
    traced_root: ("the model itself", []),
}


def train(model, steps=3):
    """Return the losses, the last gradients and the weights of a short training."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step in range(steps):
        loss = model(image(step)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    tensors = [*(p.detach() for p in model.parameters()), *(p.grad for p in model.parameters() if p.grad is not None)]
    return losses, torch.cat([each.flatten() for each in tensors])


@pytest.fixture
def _as_written(request):
    """TorchScript rewrites what it has run a few times, by other roundings; what is frozen runs in no other way."""
    with torch.jit.optimized_execution(request.node.callspec.params["build"] is frozen):
        yield


@pytest.mark.usefixtures("_as_written")
@pytest.mark.parametrize("build", PROGRAMS)
def test_torchscript_in_a_training_step(build):
    torch.manual_seed(0)
    plain = train(build())
    torch.manual_seed(0)
    model, (name, layers) = build(), PROGRAMS[build]
    monitor = wt.stability.monitor(model, interval=1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with monitor:
            watched = train(model)
        with monitor:  # said once
            pass
    (text,) = (str(each.message) for each in told if "not seen: what samples" in str(each.message))
    assert f"inside {name}, which is TorchScript" in text
    assert "modules=" in text
    assert watched[0] == plain[0]
    assert torch.equal(watched[1], plain[1])
    assert [row.layer for row in monitor.rows()] == layers * 3


@pytest.mark.parametrize("build", PROGRAMS)
def test_torchscript_on_one_image(build):
    model, (name, layers) = build(), PROGRAMS[build]
    modes = [getattr(module, "training", None) for module in model.modules()]
    told = f"inside {name}, which is TorchScript"
    with pytest.warns(UserWarning, match=told):
        fields = wt.stability.offset_fields(model, image()[:1])
    assert [field.layer for field in fields] == layers
    for call in (wt.stability.sampling_points, wt.stability.receptive_field):
        if layers:
            with pytest.warns(UserWarning, match=told):
                call(model, image()[:1], (2, 3))
        else:
            with pytest.warns(UserWarning, match=told), pytest.raises(ArgumentError, match="a model that samples"):
                call(model, image()[:1], (2, 3))
    assert [getattr(module, "training", None) for module in model.modules()] == modes


def test_a_script_cannot_be_named():
    modules = {"1": OffsetOutput()}
    with pytest.raises(ArgumentError, match="^modules: expected modules that are not TorchScript, got '1'$"):
        wt.stability.monitor(scripted(), 1, modules)
    with pytest.raises(ArgumentError, match="^modules: expected modules that are not TorchScript, got '1'$"):
        wt.stability.offset_fields(scripted(), image()[:1], modules)


@pytest.mark.parametrize("model", [Gather(), nn.Sequential(nn.Conv2d(2, 2, 1))], ids=["gather", "none"])
def test_a_model_in_which_nothing_was_seen(model):
    plain = train(copy.deepcopy(model))
    with pytest.warns(UserWarning, match="saw no sampling operation.*modules=") as told:  # noqa: PT031
        with wt.stability.monitor(model, interval=1) as m:
            watched = train(model)
        with m:
            pass
    assert len(told) == 1
    assert len(m.table()) == 0
    assert watched[0] == plain[0]
    assert torch.equal(watched[1], plain[1])


def test_a_table_of_nothing_is_told_of_when_it_is_asked_for():
    """A loop may never leave the monitor."""
    model = Gather()
    with warnings.catch_warnings(record=True) as told, wt.stability.monitor(model, interval=1) as m:
        warnings.simplefilter("always")
        assert len(m.table()) == len(told) == 0  # nothing has run
        model(image())
        assert m.rows() == m.rows() == []
        assert len(told) == 1
    assert len(told) == 1


@pytest.mark.filterwarnings("error")
def test_the_head_of_a_gather_can_be_named():
    class Paired(Gather):
        def __init__(self):
            super().__init__()
            self.head = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1))

        def forward(self, x):
            return x + self.head(x)[:, :1]

    model = Paired()
    with wt.stability.monitor(model, interval=1, modules={"head": OffsetOutput()}) as m:
        model(image()).sum().backward()
    assert [row.layer for row in m.rows()] == ["head"]
    wrong = wt.stability.monitor(model, interval=1, modules={"head": OffsetOutput(dim=3)})
    with wrong, pytest.raises(ArgumentError, match="^modules: expected outputs with 3 axes"):
        model(image())


# ---- what cannot be read does not end the run ------------------------------------------------------------------------


class Doubled(nn.Module):
    """Warps by a subclass of tensors whose sums fail."""

    class Refusing(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func in (torch.var_mean, torch.Tensor.detach):
                raise TypeError("no statistics")
            return super().__torch_function__(func, types, args, kwargs or {})

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        grid = self.head(x).permute(0, 2, 3, 1).as_subclass(self.Refusing)
        return functional.grid_sample(x, grid, align_corners=False).as_subclass(torch.Tensor)


def test_what_cannot_be_read_is_told_of_and_changes_nothing():
    model = nn.Sequential(Doubled(), SelfWarp2d(2))
    plain = train(copy.deepcopy(model))
    told = "in '0' could not be read, and is not recorded: TypeError: no statistics"
    with pytest.warns(UserWarning, match=told), wt.stability.monitor(model, interval=1) as m:
        watched = train(model)
    assert watched[0] == plain[0]
    assert torch.equal(watched[1], plain[1])
    assert [row.layer for row in m.rows()] == ["1"] * 3


def test_gradients_that_cannot_be_read_change_nothing(monkeypatch):
    from warptheory.stability import _row_gradients

    def fail(_):
        raise ValueError("no variance")

    model = nn.Sequential(SelfWarp2d(2))
    plain = train(copy.deepcopy(model))
    monkeypatch.setattr(_row_gradients, "variance", fail)
    told = "a gradient could not be read.*no variance"
    with pytest.warns(UserWarning, match=told), wt.stability.monitor(model, interval=1):
        watched = train(model)
    assert watched[0] == plain[0]
    assert torch.equal(watched[1], plain[1])


class Returns(nn.Module):
    """A module of a model with hostile habits."""

    def __init__(self, way):
        super().__init__()
        self.first, self.warp, self.last, self.way = nn.Conv2d(2, 2, 1), SelfWarp2d(2, head_gain=0.5), nn.PReLU(), way

    def forward(self, x, flag=None):
        x = self.first(x)
        if self.way == "in place":
            y = self.warp(x)
            x.mul_(2) if not x.requires_grad else None
            return y.mul_(2).add_(1)
        if self.way == "twice":
            return self.warp(self.warp(x))
        if self.way == "containers":
            return {"a": [self.warp(x)], "b": None, "c": (3, "text")}
        if self.way == "integers":
            return functional.embedding((self.warp(x) > 0).long(), self.last.weight[None].expand(2, 1))[..., 0] + x
        if self.way == "deleted":
            y = self.warp(x)
            if "last" in self._modules:
                y = self.last(y)
                del self.last
            return y
        assert self.way == "autocast"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.warp(self.first(x)).float()


@pytest.mark.parametrize("way", ["in place", "twice", "containers", "integers", "deleted", "autocast"])
def test_hostile_modules(way):
    def run(model):
        losses = []
        for step in range(3):
            y = model(image(step), flag=True)
            y = y["a"][0] if way == "containers" else y
            loss = y.square().mean()
            model.zero_grad()
            loss.backward()
            losses.append(loss.item())
        return losses, [p.grad for p in model.parameters()]

    model = Returns(way)
    plain = run(copy.deepcopy(model))
    with warnings.catch_warnings(), wt.stability.monitor(model, interval=1) as m:
        warnings.simplefilter("error", UserWarning)
        watched = run(model)
    assert watched[0] == plain[0]
    assert all((p is q is None) or torch.equal(p, q) for p, q in zip(watched[1], plain[1], strict=True))
    assert len(m.rows()) == (6 if way == "twice" else 3)


def test_quantised_parts():
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Linear(5, 5), SelfWarp2d(2)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    with torch.no_grad():
        plain = quantised(image())
        with wt.stability.monitor(quantised, interval=1) as m:
            assert torch.equal(quantised(image()), plain)
    assert [row.layer for row in m.rows()] == ["2"]
