"""The monitor in loops of others: plain ones, and those of Lightning and Hugging Face by the callbacks of the guide.

Stand-ins call the hooks with the arguments and in the order in which these packages do: Lightning 2 in its
`_TrainingEpochLoop`, transformers 4 and 5 in `Trainer._inner_training_loop`.
"""

import math
import re
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import pytest
import torch
from torch import nn

import warptheory
from warptheory import stability
from warptheory.core.errors import ArgumentError
from warptheory.operators import SelfWarp2d
from warptheory.stability import LayerStatistics

GUIDE = Path(warptheory.__file__).parents[1] / "docs" / "guides" / "watch_your_own_model.md"


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


class Writer:
    """Keeps what it is given, as TensorBoard's `SummaryWriter` takes it."""

    def __init__(self):
        self.scalars = []

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None):
        self.scalars.append((tag, scalar_value, global_step))


def network():
    return nn.Sequential(nn.Conv2d(2, 2, 1), SelfWarp2d(2, head_gain=0.3))


def train(model, watch, steps, spoiled=None, first=0):
    """Take steps; the loss of one of them is not finite."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for step in range(first, first + steps):
        loss = model(torch.randn(2, 2, 6, 6)).square().mean()
        loss = watch.check(loss * math.nan if step == spoiled else loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step)


def test_scalars_have_units_and_come_once():
    model, writer = network(), Writer()
    with stability.TrainingWatch(model, interval=2, writer=writer) as watch:
        train(model, watch, 5)
    table = watch.monitor.table()
    assert list(table["step"]) == [0, 2, 4]
    offsets = [(value, step) for tag, value, step in writer.scalars if tag == "1/offset deviation (pixels)"]
    assert offsets == list(zip(table["offset_deviation"], table["step"], strict=True))
    units = stability.Monitor.legend().query("unit != ''")
    assert len(writer.scalars) == 3 * len(units)
    assert {tag for tag, _, _ in writer.scalars} == {
        f"1/{name.replace('_', ' ')} ({unit})" for name, unit in zip(units["name"], units["unit"], strict=True)
    }


def test_what_is_not_known_is_not_logged_and_evaluation_apart():
    model, writer = network().eval(), Writer()
    with stability.monitor(model, interval=1) as m, torch.no_grad():
        model(torch.randn(2, 2, 6, 6))
    m.log_to(writer, step=70)
    m.log_to(writer, step=71)
    tags = [tag for tag, _, _ in writer.scalars]
    assert {step for _, _, step in writer.scalars} == {70}
    assert all(tag.startswith("evaluation/1/") for tag in tags)
    assert not any("gradient" in tag for tag in tags)
    assert len(tags) == sum(value == value for value in vars(m.rows()[0]).values() if isinstance(value, float))


@pytest.mark.filterwarnings("ignore:loss is nan", "ignore:in layer")
def test_alarms_are_handed_on_once_and_may_end_the_loop():
    model, told = network(), []
    with stability.TrainingWatch(model, interval=1, on_alarm=told.append) as watch:
        train(model, watch, 4, spoiled=2)
    assert told == list(watch.alarms)
    assert told[0].startswith("loss is nan at step 2; ")

    def stop(text):
        raise FloatingPointError(text)

    model = network()
    with (
        pytest.raises(FloatingPointError, match="loss is nan at step 1"),
        stability.TrainingWatch(model, interval=1, on_alarm=stop) as watch,
    ):
        train(model, watch, 4, spoiled=1)
    # Nothing is left behind on the model.
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_it_changes_nothing():
    weights = []
    for watches in (False, True):
        torch.manual_seed(3)
        model = network()
        watch = stability.TrainingWatch(model, interval=1)
        if watches:
            watch.open()
        train(model, watch, 4)
        watch.close()
        weights.append(torch.cat([each.detach().flatten() for each in model.parameters()]))
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_alarm": "print"}, "^on_alarm: expected a function"),
        ({"writer": []}, "^writer: expected an object with add_scalar"),
        ({"interval": 0}, "^interval: expected"),
    ],
)
def test_bad_options(options, message, as_users_call):
    with pytest.raises(ArgumentError, match=message):
        stability.TrainingWatch(network(), **options)
    with pytest.raises(ArgumentError, match="^writer: expected an object with add_scalar"):
        stability.monitor(network()).log_to(None)


# ---- the plot


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes}


def test_the_plot_has_the_numbers_of_the_table_and_units():
    mpl.use("agg")
    model = nn.Sequential(SelfWarp2d(2, head_gain=0.3), SelfWarp2d(2, head_gain=0.3))
    with stability.TrainingWatch(model, interval=1) as watch:
        train(model, watch, 4)
    figure = watch.monitor.plot()
    table = watch.monitor.table()
    found = panels(figure)
    assert found["offset deviation"].get_ylabel() == "pixels"
    assert found["offset gradient variance"].get_ylabel() == "loss²/pixel²"
    assert {name.replace(" ", "_") for name in found} < {*LayerStatistics.__dataclass_fields__}
    lines = [line for line in found["offset deviation"].get_lines() if len(line.get_xdata()) == 4]
    for layer, line in zip(("0", "1"), lines, strict=True):
        assert list(line.get_ydata()) == list(table.query(f"layer == '{layer}'")["offset_deviation"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0", "1"]
    assert len({line.get_color() for line in lines}) == len({line.get_linestyle() for line in lines}) == 2


def test_many_layers_nothing_and_hostile_names_are_drawn():
    model = nn.Sequential(*(SelfWarp2d(2) for _ in range(11)))
    model.add_module("_$x", SelfWarp2d(2))
    with stability.monitor(model, interval=1) as m:
        model(torch.randn(1, 2, 6, 6))
    names = [text.get_text() for text in m.plot().legends[0].get_texts()]
    assert names[0] == "0"
    assert names[-1] == "_$x"
    assert len(names) == 10
    for drawn in (m.plot(training=False), stability.monitor(model).plot()):
        assert not drawn.legends
        drawn.canvas.draw()


@pytest.mark.filterwarnings("ignore:in layer")
def test_a_step_that_is_not_finite_is_marked():
    layer = SelfWarp2d(2, head_gain=0.3)
    with stability.monitor(nn.Sequential(layer), interval=1) as m:
        for step in range(4):
            layer.head.bias.data.fill_(math.nan if step == 3 else 0.1)
            m.model(torch.randn(1, 2, 6, 6))
    marks = panels(m.plot())["offset deviation"].get_lines()[1]
    assert list(marks.get_xdata()) == [3]
    assert marks.get_marker() == "x"


# ---- loops of others


def block(package):
    """Return the code of the guide for a package."""
    (found,) = (
        text
        for text in re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
        if package in text
    )
    return found


def callback(monkeypatch, package, name):
    """Return the guide's callback, which derives from a class with no hook of its own."""
    module = types.ModuleType(package)
    setattr(module, name, type(name, (), {}))
    outer = package.split(".")[0]
    monkeypatch.setitem(sys.modules, outer, types.ModuleType(outer))
    monkeypatch.setitem(sys.modules, package, module)
    variables = {}
    exec(compile(block(package), str(GUIDE), "exec"), variables)
    return variables["WatchOffsets"]()


@pytest.mark.filterwarnings("ignore:loss is nan", "ignore:in layer")
def test_lightning(monkeypatch):
    hooks = callback(monkeypatch, "lightning.pytorch", "Callback")
    module = SimpleNamespace(net=network())
    trainer = SimpleNamespace(global_step=0, should_stop=False)
    optimizer = torch.optim.SGD(module.net.parameters(), lr=1e-3)
    hooks.on_train_start(trainer, module)
    for index in range(12):
        loss = module.net(torch.randn(2, 2, 6, 6)).square().mean() * (math.nan if index == 7 else 1)
        hooks.on_before_backward(trainer, module, loss)
        loss.backward()
        optimizer.step()
        trainer.global_step += 1
        hooks.on_train_batch_end(trainer, module, {"loss": loss.detach()}, None, index)
        if trainer.should_stop:
            break
    hooks.on_train_end(trainer, module)
    assert index == 7
    assert hooks.watch.alarms[0].startswith("loss is nan at step 7; ")


@pytest.mark.filterwarnings("ignore:grad_norm is nan", "ignore:in layer")
def test_hugging_face(monkeypatch):
    hooks = callback(monkeypatch, "transformers", "TrainerCallback")
    model, arguments = network(), SimpleNamespace()
    state, control = SimpleNamespace(global_step=0), SimpleNamespace(should_training_stop=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    others = {"model": model, "optimizer": optimizer, "train_dataloader": None}
    hooks.on_train_begin(arguments, state, control, **others)
    while state.global_step < 12 and not control.should_training_stop:
        loss = model(torch.randn(2, 2, 6, 6)).square().mean() * (math.nan if state.global_step == 6 else 1)
        loss.backward()
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        optimizer.step()
        state.global_step += 1
        hooks.on_step_end(arguments, state, control, **others)
        # By default a loss that is not finite is not what is logged.
        hooks.on_log(arguments, state, control, logs={"loss": 1.0, "grad_norm": norm}, **others)
    hooks.on_train_end(arguments, state, control, **others)
    assert state.global_step == 8
    assert hooks.watch.alarms[0].startswith("grad_norm is nan at step 7; ")
