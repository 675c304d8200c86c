"""Short trainings: what they depend on, the speed ratio, brackets of critical multipliers, and mechanisms."""

import math
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from warptheory import stability
from warptheory.paper.analyses import _stability_phase_plots as phase
from warptheory.paper.analyses import stability_phase_diagram as diagram
from warptheory.paper.analyses._stability_mechanism_plots import losses_at_end
from warptheory.paper.analyses._stability_mechanisms import MeanOfSides, knowing_upright_digits
from warptheory.paper.analyses._stability_networks import FAMILIES, Heads, offset_parameters
from warptheory.paper.analyses._stability_trainings import (
    BATCH,
    ShortTraining,
    computed,
    optimiser_of,
    settings_of_trainings,
    speed_ratio,
    task_of,
)

NAMES = list(FAMILIES)


def network(name, scale=1.0, gain=0.0, seed=0):
    return FAMILIES[name].network(FAMILIES[name].layers[0], 4, Heads(scale, gain), 12, seed)


def batch():
    return next(iter(task_of("affine digits").batches(0, 1)))


@pytest.mark.parametrize("name", NAMES)
def test_offset_parameters_act_through_positions_alone(name):
    """With α = 0 nothing of what they do arrives; with α = 1 the diagnosis finds the same."""
    images, labels = batch().images, batch().labels
    plain = network(name, scale=0.0, gain=1.0)
    torch.autograd.backward(functional.cross_entropy(plain(images), labels))
    assert all(one.grad is None or not one.grad.any() for one in offset_parameters(plain))
    warped = network(name, gain=1.0)
    found = stability.diagnose(warped, [(images, labels)], functional.cross_entropy, optimiser_of(warped, 0.1), count=1)
    chosen = {id(one) for one in offset_parameters(warped)}
    assert set(found.offset_only) == {name for name, one in warped.named_parameters() if id(one) in chosen}


@pytest.mark.parametrize("name", NAMES)
def test_heads_of_zero_leave_the_twin(name):
    """Reading positions that are pixels gives the values of the pixels, to the rounding of float32."""
    images = batch().images
    torch.testing.assert_close(network(name)(images), network(name, scale=0.0)(images), rtol=1e-4, atol=1e-5)


def test_speed_ratio_is_that_of_the_diagnosis():
    """Ours in double precision and by a copy; theirs in single precision, by the optimiser's step on the model."""
    model, drawn = network("pointwise chain", gain=1.0), batch()
    optimiser = optimiser_of(model, 0.1)
    given = [(drawn.images, drawn.labels)]
    theirs = stability.diagnose(model, given, functional.cross_entropy, optimiser, count=1).rho
    assert speed_ratio(model, drawn, 0.1) == pytest.approx(theirs, rel=1e-2)


def test_speed_ratio_goes_with_the_square_of_the_scale_and_with_the_multiplier():
    """With heads of zero, where steps are small: what is quadratic in them is a thousandth."""
    drawn, name = batch(), "1-D residual"
    first = speed_ratio(network(name), drawn, 1e-3)
    assert speed_ratio(network(name), drawn, 2e-3) == pytest.approx(2 * first, rel=5e-3)
    assert speed_ratio(network(name, scale=2.0), drawn, 1e-3) == pytest.approx(4 * first, rel=5e-3)


def test_scale_and_multiplier_are_one_number_with_heads_of_zero():
    """Gradient descent moves offsets by α²m: two networks of one α²m have the same scores after steps."""
    drawn, scores = batch(), []
    for scale, multiplier in ((1.0, 0.04), (2.0, 0.01)):
        model = network("spatial transformers", scale=scale).double()
        optimiser = optimiser_of(model, multiplier)
        for _ in range(2):  # the second moves what is before the head too, which is not of α²m alone
            optimiser.zero_grad()
            torch.autograd.backward(functional.cross_entropy(model(drawn.images.double()), drawn.labels))
            for module in model.modules():
                if hasattr(module, "localiser"):
                    module.localiser.zero_grad()
            optimiser.step()
        scores.append(model(drawn.images.double()).detach())
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-9, atol=1e-9)


def test_finished_trainings_are_not_computed_again(tmp_path):
    calls = []

    def work(training):
        calls.append(training)
        return torch.tensor([[float(training.seed), 1.0]])

    plan = [ShortTraining("affine digits", "pointwise chain", 3, seed=seed) for seed in (0, 1)]
    for _ in range(2):
        found = computed(work, plan, tmp_path, 1, lambda share, name: None)
        assert [found[one].mean.tolist() for one in plan] == [[0.0, 1.0], [1.0, 1.0]]
    assert calls == plan
    assert settings_of_trainings()["batch"] == BATCH


def record(lost, *, twin=0.4):
    """A cell whose best loss is 0.4 and in which chance is 1.4, with these lost shares by multiplier."""
    rows = [{"scale": 1.0, "multiplier": each, "loss": 0.4 + share} for each, share in lost.items()]
    rows.append({"scale": 0.0, "multiplier": 0.0, "loss": twin})
    common = {"task": "affine digits", "family": "f", "layers": 3, "gain": 0.0, "seed": 0}
    return pd.DataFrame([{**common, **row} for row in rows])


def told(critical):
    common = {"task": "affine digits", "family": "f", "layers": 3, "scale": 1.0, "gain": 0.0}
    return pd.DataFrame([{**common, "critical": critical, "error": 0.1, "later_critical": critical / 10}])


@pytest.mark.parametrize(
    ("lost", "bracket"),
    [
        ({0.01: 0.0, 0.1: 0.1, 1.0: 0.5}, (0.1, 1.0)),
        ({0.01: 0.3, 0.1: 0.1, 1.0: 0.5}, (0.1, 1.0)),  # too slow below
        ({0.01: 0.0, 0.1: 0.1, 1.0: 0.1}, (1.0, math.inf)),
        ({0.01: 0.3, 0.1: 0.4, 1.0: 0.5}, (0.0, 0.01)),
        ({0.01: 0.0, 0.1: 0.3, 1.0: 0.1}, (0.01, 0.1)),  # trains again: chance
    ],
)
def test_brackets_by_hand(lost, bracket):
    (found,) = phase.brackets(record(lost), told(0.3), 1.4).to_dict("records")
    assert (found["largest_ok"], found["smallest_bad"]) == bracket
    assert found["inside"] == (bracket[0] <= 0.3 <= bracket[1])
    assert found["later_inside"] == (bracket[0] <= 0.03 <= bracket[1])
    assert found["gain"] == pytest.approx(0, abs=1e-9)


def test_nothing_is_measured_where_nothing_is_learnt():
    (found,) = phase.brackets(record({0.1: 0.95, 1.0: 0.99}, twin=1.35), told(0.3), 1.4).to_dict("records")
    assert not found["learns"]
    assert not found["inside"]


def test_grids_lie_about_the_prediction():
    found = diagram.multipliers(0.02)
    assert len(found) == diagram.BELOW + diagram.ABOVE + 1
    assert found[diagram.BELOW] == pytest.approx(0.02, rel=0.8)
    np.testing.assert_allclose(np.diff(np.log(found)), math.log(10) / 2)


def test_mean_of_sides_is_the_network_with_the_mean_derivative():
    """On knots the central derivative of linear interpolation is half the difference of the neighbours."""
    model, drawn = knowing_upright_digits(0), batch()
    sides = MeanOfSides(deepcopy(model))
    torch.testing.assert_close(sides(drawn.images), model(drawn.images), rtol=1e-2, atol=1e-2)
    assert len([one for one in model.parameters() if one.requires_grad]) == len(offset_parameters(model))


def test_lost_shares_of_mechanisms():
    rows = [
        {"mechanism": "stuck", "role": role, "seed": seed, "step": step, "loss": loss}
        for role, loss in (("violated", 0.9), ("repaired", 0.4), ("twin", 0.5))
        for seed in (0, 1)
        for step in range(30)
    ]
    (found,) = losses_at_end(pd.DataFrame(rows), 1.4).to_dict("records")
    assert found["lost"] == pytest.approx(0.5)
    assert found["repaired_lost"] == pytest.approx(-1 / 9)


def test_a_training_is_named_by_all_it_depends_on():
    one = ShortTraining("affine digits", "pointwise chain", 3)
    others = [replace(one, scale=2.0), replace(one, gain=1.0), replace(one, multiplier=0.1), replace(one, layers=6)]
    assert len({each.name for each in (one, *others)}) == 5
