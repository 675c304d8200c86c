"""The development set of the stability study: its networks, tasks, labels, and the runs that are kept."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from warptheory.paper.analyses import stability_development
from warptheory.paper.analyses._stability_configurations import (
    ARCHITECTURES,
    RATES,
    Configuration,
    build,
    position_parameters,
    train,
)
from warptheory.paper.analyses._stability_labels import (
    configurations,
    critical_multipliers,
    label_of,
    labelled,
    near_critical,
    reference,
)
from warptheory.paper.analyses._stability_parts import ring, warp, warp_signals, warp_taps
from warptheory.paper.analyses._stability_plan import CURVES
from warptheory.paper.analyses._stability_tasks import TASKS, TaskBatches, chance
from warptheory.paper.entries import RunSettings

SETTINGS = {curve.base.architecture: curve.base for curve in reversed(CURVES)}


def configured(name, **changes):
    from dataclasses import replace

    return replace(SETTINGS[name], **{"alpha": 0.7, "optimizer": "sgd", **changes})


def output(problem):
    inputs, _ = next(iter(problem.batches))
    return problem.model(*inputs) if isinstance(inputs, tuple) else problem.model(inputs)


def test_every_architecture_is_tried():
    assert set(SETTINGS) == set(ARCHITECTURES)
    assert {curve.base.task for curve in CURVES} <= set(TASKS)


def test_warps_by_hand():
    """Shifts by whole pixels are rolls inside; half a pixel is the mean of two."""
    x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    down = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(2, 2, 5, 6)
    torch.testing.assert_close(warp(x, down)[:, :, :-1], x[:, :, 1:])
    torch.testing.assert_close(warp(x, 0.5 * down)[:, :, :-1], (x[:, :, 1:] + x[:, :, :-1]) / 2)
    shift = torch.full((2, 1, 6), 1.5)
    torch.testing.assert_close(warp_signals(x[:, 0, :3], shift)[..., :4], (x[:, 0, :3, 1:5] + x[:, 0, :3, 2:]) / 2)


def test_nine_taps_are_a_filter():
    """Nine warps in the ring, mixed by the weights of a 3×3 filter, are torch's convolution inside."""
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 3, 6, 6, generator=generator), torch.randn(4, 3, 3, 3, generator=generator)
    read = warp_taps(x, ring().view(1, 9, 2, 1, 1).expand(2, 9, 2, 6, 6))
    mixed = torch.einsum("oik,bikhw->bohw", weight.flatten(2), read.unflatten(1, (3, 9)))
    torch.testing.assert_close(mixed[..., 1:-1, 1:-1], functional.conv2d(x, weight), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_head_of_zero_is_the_twin(name):
    """The mask of the modulated one apart, which starts at one half, and is read twice."""
    started, twin, moved = (
        build(configured(name, **changes))
        for changes in ({"zero_head": True}, {"alpha": 0.0, "zero_head": True}, {"zero_head": False})
    )
    torch.testing.assert_close(output(started), output(twin))
    assert not torch.allclose(output(started), output(moved), atol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_step_moves_positions_by_the_multiplier(name):
    """SGD's first step is the gradient times rate and multiplier; a twin's positions get no gradient."""
    moved = {}
    for multiplier in (0.1, 0.2):
        problem = build(configured(name, zero_head=True, multiplier=multiplier))
        before = [parameter.detach().clone() for parameter in position_parameters(problem.model)]
        inputs, target = next(iter(problem.batches))
        problem.loss(problem.model(*inputs) if isinstance(inputs, tuple) else problem.model(inputs), target).backward()
        problem.optimizer.step()
        after = position_parameters(problem.model)
        moved[multiplier] = torch.cat([(new - old).flatten() for new, old in zip(after, before, strict=True)])
    assert moved[0.1].abs().max() > 0
    torch.testing.assert_close(moved[0.2], 2 * moved[0.1], rtol=1e-2, atol=1e-6)  # differences of float32 numbers


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_named_for_positions_reaches_the_loss_through_them_alone(name):
    """Without warps it has no gradient, and everything else has; masks beside offsets apart."""
    problem = build(configured(name, alpha=0.0, zero_head=True))
    inputs, target = next(iter(problem.batches))
    problem.loss(problem.model(*inputs) if isinstance(inputs, tuple) else problem.model(inputs), target).backward()
    known = {id(parameter) for parameter in position_parameters(problem.model)}
    for parameter in problem.model.parameters():
        moving = parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
        assert moving == (id(parameter) not in known) or (name == "modulated" and id(parameter) in known)


def test_a_localiser_can_be_slowed_alone():
    frozen, slow = (build(configured("transformer", slowed=each, multiplier=0.0)) for each in ("localiser", "head"))
    rates = [
        [len(group["params"]) for group in each.optimizer.param_groups if group["lr"] == 0] for each in (frozen, slow)
    ]
    assert rates == [[4], [2]]


@pytest.mark.parametrize("name", TASKS)
def test_tasks_are_the_same_again(name):
    first, again, other = (list(TaskBatches(name, 8, 2, seed)) for seed in (0, 0, 1))
    for (_, target), (_, repeated) in zip(first, again, strict=True):
        assert torch.equal(target, repeated)
    assert not torch.equal(first[0][1], other[0][1])
    assert not torch.equal(first[0][1], first[1][1])
    assert 0.3 < chance(name) < 3


def test_a_run_that_breaks_is_a_failure(monkeypatch):
    monkeypatch.setitem(RATES, "sgd", 1e30)
    outcome = train(configured("selfwarp"), steps=4)
    assert outcome.loss == math.inf
    assert label_of(math.inf) == label_of(math.nan) == "fail"


def test_labels_by_hand():
    assert [label_of(each) for each in (-0.1, 0.15, 0.16, 0.5, 0.51)] == ["ok", "ok", "worse", "worse", "fail"]
    assert reference([1.0, 3.0, 2.0, 9.0], twin=5.0, chance=10.0) == (2.0, True)
    assert reference([1.0, 3.0, 2.0], twin=3.1, chance=10.0) == (3.1, False)  # loses 1.1 of 8
    assert reference([5.0], twin=0.5, chance=10.0) == (0.5, False)
    assert reference([], twin=0.5, chance=10.0) == (0.5, False)


def runs(losses):
    """Return runs of one network: losses by multiplier, a list over the seeds; the twin's is at None."""
    base = {"architecture": "a", "task": "t", "depth": 1, "zero_head": True, "optimizer": "sgd", "slowed": "all"}
    return pd.DataFrame(
        {**base, "alpha": 1.0 if multiplier else 0.0, "multiplier": multiplier or 1.0, "seed": seed, "loss": loss,
         "accuracy": math.nan, "seconds": 1.0, "chance": 2.0}
        for multiplier, values in losses.items() for seed, loss in enumerate(values)
    )  # fmt: skip


LOSSES = {None: [1.0, 1.0, 1.0], 0.01: [1.0, 0.9, 1.1], 0.1: [0.2, 0.2, 0.2], 1.0: [0.0, 0.0, 0.0],
          2.0: [0.1, 0.1, 0.1], 10.0: [1.9, 0.1, math.inf]}  # fmt: skip


def test_being_stuck_is_a_failure_where_the_warp_is_needed():
    """The three best are 0, 0.1 and 0.2: reference 0.1, and 1.0 loses 0.9/1.9."""
    table = labelled(runs(LOSSES))
    each = configurations(table).set_index("multiplier")
    assert each["label"].to_dict() == {0.01: "worse", 0.1: "ok", 1.0: "ok", 2.0: "ok", 10.0: "fail"}
    assert each["lost_share"][0.01] == pytest.approx(0.9 / 1.9)
    assert each["agreement"].tolist() == pytest.approx([2 / 3, 1, 1, 1, 2 / 3])
    assert each["lost_share_noise"][10.0] == pytest.approx(np.std([1.8 / 1.9, 0.0, 2.0], ddof=1))
    same = {**LOSSES, None: [0.2, 0.2, 0.2], 0.01: [0.2, 0.3, 0.4]}
    each = configurations(labelled(runs(same))).set_index("multiplier")
    assert not each["needs_warp"].any()
    assert each["lost_share"][0.01] == pytest.approx(0.1 / 1.8)


def test_critical_multipliers_are_bracketed_on_both_sides():
    each = configurations(labelled(runs(LOSSES)))
    found = critical_multipliers(each).set_index("side")
    assert found.loc["upper", ["ok", "bad"]].tolist() == [2.0, 10.0]
    assert found.loc["lower", ["ok", "bad"]].tolist() == [0.1, 0.01]
    # √20 and √0.001: 2 and 10 are within a factor of 3 of the first, 0.01 and 0.1 not of the second.
    assert each["multiplier"][near_critical(each)].tolist() == [2.0, 10.0]
    assert len(each[near_critical(each, 4.0)]) == 5 - 1


def test_finer_multipliers_lie_between():
    wanted = stability_development.finer(configurations(labelled(runs(LOSSES))), range(2))
    assert [(each.multiplier, each.seed) for each in wanted] == [(4.47, 0), (4.47, 1), (0.0316, 0), (0.0316, 1)]


def test_larger_multipliers_follow_one_that_is_ok():
    kept = {multiplier: losses for multiplier, losses in LOSSES.items() if multiplier is None or multiplier < 10}
    wanted = stability_development.finer(configurations(labelled(runs(kept))), range(1))
    assert [each.multiplier for each in wanted] == [20.0, 0.0316]


def test_a_run_goes_on_where_it_was(tmp_path, monkeypatch):
    """Every row makes the configuration again that it is from."""
    monkeypatch.setattr(stability_development, "CURVES", CURVES[-1:])
    settings = RunSettings(tmp_path, seeds=1, most_steps=2)
    path = stability_development.run(settings)
    table = pd.read_parquet(path)
    assert set(table["label"]) <= {"ok", "worse", "fail"}
    row = table.iloc[0]
    again = stability_development.measured(stability_development.configuration_of(row), steps=2)
    assert again["loss"] == row["loss"]
    monkeypatch.setattr(stability_development, "measured", None)  # nothing is left to be trained
    stability_development.run(settings)
    assert pd.read_parquet(path).equals(table)


def test_what_a_record_depends_on_is_plain():
    import json

    json.dumps(stability_development.configuration())


def test_a_configuration_has_a_name_of_its_own():
    names = {
        Configuration("a", "b c", 1, alpha, 1.0, zero_head=zero).name for alpha in (0.1, 1) for zero in (True, False)
    }
    assert len(names) == 4
    assert not any(set(name) & set(" /") for name in names)
