"""The loop: what it measures, what it needs, and what it says when training diverges."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch.nn import functional

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.networks import selfwarp_resnet
from warptheory.training import DivergedError, TrainingSettings, accuracy, data, fingerprint, fit, open_checkpoints

pytestmark = pytest.mark.usefixtures("as_users_call")


def test_training_learns_and_repeats():
    """The accuracy on fresh regions is 5 standard errors above chance; the same seed gives the same losses."""
    patches = data.load("patches", size=16, train_per_class=30, test_per_class=30)
    train, test, classes = patches.train, patches.test, len(patches.classes)
    histories = []
    for _ in range(2):
        model = selfwarp_resnet(8, classes=classes, channels_in=1, width=8)
        histories.append(fit(model, train.images, train.labels, steps=40, batch=32))
    assert histories[0] == histories[1]
    assert histories[0][-1].loss < histories[0][0].loss
    chance, count = 1 / classes, len(test.images)
    assert accuracy(model, test.images, test.labels) > chance + 5 * (chance * (1 - chance) / count) ** 0.5
    assert any(p.abs().max() > 0 for p in model.parameter_groups()["warping"])


def test_any_model_can_be_trained():
    images = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    labels = (images[:, 0] > 0).long()
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 2)
    history = fit(model, images, labels, steps=30, batch=20, learning_rate=1.0)
    assert history[-1].accuracy > 0.9


def test_divergence_is_named():
    model = selfwarp_resnet(8, classes=2, channels_in=1, width=4)
    images = torch.zeros(8, 1, 8, 8)
    with torch.no_grad():
        model.stem.weight.fill_(torch.nan)
    with pytest.raises(DivergedError, match="^loss is nan at step 0; "):
        fit(model, images, torch.zeros(8, dtype=torch.long), steps=1, batch=4)


def test_steps_are_measured(tiny, task):
    model, seen = tiny(dropout=0.0), []
    before = tiny(dropout=0.0)
    history = fit(model, *task, steps=20, batch=60, test=task, evaluation_interval=8, on_step=seen.append)
    assert seen == history
    images, labels = task
    assert history[0].loss == pytest.approx(functional.cross_entropy(before(images), labels).item(), rel=1e-5)
    assert history[0].learning_rate == 0.05
    assert set(history[0].gradient_norms) == {"warping", "rest"}
    assert all(step.images_per_second > 0 for step in history)
    assert [step.step for step in history if step.test_accuracy is not None] == [7, 15, 19]
    assert history[-1].test_accuracy == accuracy(model, *task)
    assert history[-1].loss < history[0].loss
    assert model.training


def test_nothing_but_the_settings_decides(tiny, task):
    """Evaluation, torch's global seed and its thread of random numbers change nothing, and are not changed."""
    prints = []
    for seed, options in ((1, {}), (2, {"test": task, "evaluation_interval": 1})):
        torch.manual_seed(seed)
        model = tiny()
        fit(model, *task, steps=5, batch=20, augment=("flip", "crop"), **options)
        prints.append(fingerprint(model))
        drawn = torch.rand(1)
        torch.manual_seed(seed)
        assert torch.rand(1) == drawn
    assert prints[0] == prints[1]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"optimizer": "adamw"},
        {"schedule": "step"},
        {"warm_up": 2},
        {"augment": ("flip",)},
        {"clip": 0.1},
        {"momentum": 0.5},
        {"weight_decay": 0.1},
        {"warping_multiplier": 1.0},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_every_setting_matters(change, tiny, task):
    settings = TrainingSettings(steps=4, batch=20)
    models = [tiny(dropout=0.0), tiny(dropout=0.0)]
    fit(models[0], *task, settings)
    fit(models[1], *task, settings, **change)
    assert fingerprint(models[0]) != fingerprint(models[1])


def test_gradients_are_clipped_and_offsets_can_be_held(tiny, task):
    """With plain steps of size one, the way is at most the clip; a multiplier of zero moves nothing."""
    model, before = tiny(), tiny()
    fit(
        model,
        *task,
        steps=1,
        batch=60,
        learning_rate=1.0,
        momentum=0.0,
        weight_decay=0.0,
        clip=1e-3,
        warping_multiplier=0,
    )
    moved = [p - q for p, q in zip(model.parameters(), before.parameters(), strict=True)]
    way = torch.cat([way.flatten() for way in moved]).double().norm().item()
    assert 0.0 < way < 1.001e-3
    assert torch.equal(model.first.weight, before.first.weight)


def test_bfloat16_is_near_float32(tiny, task):
    """The losses of the first step differ by the rounding of bfloat16, 2⁻⁸ of values of order one."""
    losses = [fit(tiny(dropout=0.0), *task, steps=1, batch=60, precision=name)[0].loss for name in ("fp32", "bf16")]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], abs=0.03)


class Recorded:
    """A monitor that has recorded two steps."""

    def table(self):
        return pd.DataFrame({"step": [0, 10], "layer": ["blocks.0", "blocks.1"], "slope_deviation": [0.1, 7.25]})


def test_divergence_is_diagnosed(tiny, task):
    """The learning rate of the group "warping" makes it diverge; the error says what is known."""
    model, seen = tiny(dropout=0.0), []
    model.norm = torch.nn.Identity()  # normalised features would bound the loss
    model.parameter_groups = lambda: {"warping": [*model.first.parameters()], "rest": [*model.last.parameters()]}
    with pytest.raises(DivergedError) as caught:
        fit(
            model,
            *task,
            steps=100,
            batch=20,
            learning_rate=1.0,
            warping_multiplier=1e9,
            monitor=Recorded(),
            on_step=seen.append,
        )
    error, text = caught.value, str(caught.value)
    assert list(error.history[:-1]) == seen
    assert f"at step {len(seen)}; a smaller learning_rate or warping_multiplier" in text
    assert "times the median of the steps before" in text
    assert "the monitor at step 10:\n   layer  slope_deviation\nblocks.1             7.25" in text
    assert "last good checkpoint: none was written" in text


def test_gradients_that_are_not_finite_stop_before_the_update(tiny, task):
    """√x at x = 0 has a loss that is finite, and a slope that is not."""

    class Root(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = torch.nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return self.shift.abs().sqrt() + x.mean((1, 2, 3))[:, None] * 0

    model = Root()
    with pytest.raises(DivergedError, match=r"^norm of the gradient of 'rest' is nan \(loss 1.099\) at step 0; "):
        fit(model, *task, steps=2, batch=60)
    assert model.shift.tolist() == [0, 0, 0]


def test_a_loss_that_has_grown_is_no_success(tiny, task, tmp_path):
    """Its numbers are finite; all steps were done, and the weights are kept. Going on says the same again."""
    for _ in range(2):
        model, seen = tiny(dropout=0.0), []
        with (
            open_checkpoints(tmp_path, {}, interval=4, resume=True) as checkpoints,
            pytest.raises(DivergedError, match=r"^loss has grown from 1\.\d+ to .*; a smaller learning_rate") as caught,
        ):
            fit(
                model,
                *task,
                steps=8,
                batch=20,
                learning_rate=1e3,
                weight_decay=0.0,
                checkpoints=checkpoints,
                monitor=Recorded(),
                on_step=seen.append,
            )
        assert len(caught.value.history) == 8
        assert caught.value.checkpoint.name == "step-000000008"
        assert "the monitor at step 10:" in str(caught.value)
    assert seen == []


def labelled(shape=(8, 1, 6, 6), labels=8):
    return torch.zeros(shape), torch.zeros(labels, dtype=torch.long)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (labelled(), {}, "^steps: expected a positive integer, got nothing"),
        (labelled(), {"steps": 1, "rate": 1}, "^rate: expected one of augment, "),
        (labelled(), {"steps": 1}, "^batch: expected an integer in 1 … 8, got 64"),
        (labelled(labels=7), {"steps": 1}, r"^labels: expected int64 of shape \(8,\), got torch.int64 \(7,\)"),
        ((torch.zeros(8, 1, 6, 6), torch.zeros(8)), {"steps": 1}, "^labels: expected int64 .*, got torch.float32"),
        (
            (torch.zeros(8).long(), torch.zeros(8).long()),
            {"steps": 1},
            "^images: expected shape .*float32 as the model",
        ),
        ((torch.zeros(8, 1, 6, 6).double(), torch.zeros(8).long()), {"steps": 1}, "^images: .* got torch.float64"),
        ((torch.zeros(8, 1, 6, 6), torch.full((8,), 3)), {"steps": 1, "batch": 8}, "^labels: expected classes 0 … 2"),
        ((torch.zeros(8, 1, 6, 6), torch.full((8,), -1)), {"steps": 1, "batch": 8}, "^labels: expected classes 0 … 2"),
        (labelled(), {"steps": 1, "batch": 8, "evaluation_interval": 1}, "^evaluation_interval: .* images to test"),
        (
            labelled(),
            {"steps": 1, "batch": 8, "evaluation_interval": True},
            "^evaluation_interval: expected a positive",
        ),
        (labelled(), {"steps": 1, "batch": 8, "test": labelled((0, 1, 6, 6), 0)}, "^test: expected at least one"),
        (labelled(), {"steps": 1, "batch": 8, "test": labelled(labels=3)}, "^test: expected int64 of shape"),
        (labelled(), {"steps": 1, "batch": 8, "precision": "fp16"}, "^precision: expected fp32 or bf16 on a CPU"),
    ],
)
def test_bad_input(task, options, message, tiny):
    with pytest.raises(ArgumentError, match=message):
        fit(tiny(), *task, **options)


def test_settings_and_keywords_together(tiny, task):
    settings = TrainingSettings(steps=3, batch=20, seed=5)
    assert len(fit(tiny(), *task, settings, steps=2)) == 2
    assert fit(tiny(), *task, settings) == fit(tiny(), *task, **{**vars(settings)})
    with pytest.raises(UnknownNameError, match="did you mean 'batch'"):
        fit(tiny(), *task, settings, bach=2)
    with pytest.raises(ArgumentError, match="^batch"):
        replace(settings, batch=0)


def test_times_are_not_compared(tiny, task):
    (step,) = fit(tiny(), *task, steps=1, batch=20)
    assert step == replace(step, images_per_second=math.pi)
    assert step != replace(step, loss=math.pi)


def test_images_that_are_not_finite_are_named(tiny, task):
    images = task[0].clone()
    images[7, 0, 2, 2] = torch.nan
    with pytest.raises(ArgumentError, match="^images: expected finite numbers, got infinite or NaN in image 7$"):
        fit(tiny(), images, task[1], steps=1, batch=20)


def test_frozen_parameters(tiny, task):
    """A group that is frozen has no gradient and does not move; where all are, there is nothing to train."""
    model, before = tiny(), tiny()
    model.first.requires_grad_(False)
    history = fit(model, *task, steps=2, batch=20)
    assert [step.gradient_norms["warping"] for step in history] == [0.0, 0.0]
    assert torch.equal(model.first.weight, before.first.weight)
    with pytest.raises(ArgumentError, match="^model: expected a model with parameters to train, got Tiny$"):
        fit(tiny().requires_grad_(False), *task, steps=2, batch=20)


def test_accuracy_leaves_the_mode_of_every_module(tiny, task):
    model = tiny().train()
    model.norm.eval()
    accuracy(model, *task)
    assert (model.training, model.norm.training) == (True, False)


def test_accuracy_of_nothing(tiny, task):
    images, labels = task
    with pytest.raises(ArgumentError, match="^images: expected at least one image, got none$"):
        accuracy(tiny(), images[:0], labels[:0])
    with pytest.raises(ArgumentError, match="^labels: expected int64 of shape "):
        accuracy(tiny(), images, labels[:3])
