import math
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from warptheory.training import TrainingStep
from warptheory.training.diagnosis import diverged, grown, loss_growth


def steps(norms):
    return [TrainingStep(n, 1.0, 0.5, 0.1, {"warping": 1.0, "rest": norm}) for n, norm in enumerate(norms)]


def test_the_group_that_grew_comes_first():
    history = steps([1.0, 1.0, 1.0, 1e6])
    last = TrainingStep(4, math.nan, 0.0, 0.1, {"warping": math.nan, "rest": math.nan})
    monitored = pd.DataFrame({"step": [0, 3, 3], "layer": ["a", "a", "b"], "fold_fraction": [0.0, 0.5, 0.25]})
    lines = str(diverged(last, history, monitored, Path("run") / "step-3")).splitlines()
    assert lines[0].startswith("loss is nan at step 4; a smaller learning_rate")
    assert lines[1] == "last finite gradient norm of 'rest': 1e+06, 1e+06 times the median of the steps before"
    assert lines[2] == "last finite gradient norm of 'warping': 1, 1 times the median of the steps before"
    assert lines[3] == "the monitor at step 3:"
    assert [line.split() for line in lines[4:7]] == [["layer", "fold_fraction"], ["a", "0.5"], ["b", "0.25"]]
    assert lines[7] == f"last good checkpoint: {Path('run') / 'step-3'}"


def test_the_first_step_has_nothing_to_compare_with():
    text = str(diverged(TrainingStep(0, math.inf, 0.0, 0.1, {"rest": math.inf}), []))
    assert text.splitlines()[1:] == ["last good checkpoint: none was written"]


def test_a_gradient_or_a_weight_is_named():
    gradient = TrainingStep(2, 1.0, 0.5, 0.1, {"warping": math.inf, "rest": 1.0})
    assert str(diverged(gradient, steps([1, 1]))).startswith(
        "norm of the gradient of 'warping' is inf (loss 1) at step 2"
    )
    assert str(diverged(steps([1])[0], [])).startswith("a weight is not finite after the update (loss 1) at step 0")


def test_the_error_crosses_processes():
    error = diverged(steps([1])[0], [], None, Path("kept"))
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.checkpoint, copy.history) == (str(error), error.checkpoint, error.history)


# ---- a loss that grows -----------------------------------------------------------------------------------------------


def noisy(levels, spread=0.3, seed=0):
    """Return losses around levels, with the multiplicative noise of batches."""
    draws = np.random.default_rng(seed).normal(scale=spread, size=len(levels))
    return (np.asarray(levels, dtype=float) * np.exp(draws)).tolist()


LEARNS = np.geomspace(2.3, 0.05, 100)
SHORT = (1, 2, 3, 4, 6, 10)
GOOD = {
    "learns": noisy(LEARNS),
    "learns nothing": noisy(np.full(100, 2.3)),
    "small batches": noisy(LEARNS, spread=2.0),
    "bad first batch": [900.0, *noisy(LEARNS)],
    "easy first batch": [1e-6, *noisy(LEARNS)],
    "single bad batches": [1e5 if step % 7 == 5 else loss for step, loss in enumerate(noisy(LEARNS))],
    "bad last batch": [*noisy(LEARNS), 1e6],
    "large at the start": noisy(np.geomspace(5e3, 40, 100)),
    "a spike that it recovers from": noisy([*LEARNS[:40], *np.geomspace(1e3, 0.5, 60)], spread=0.1),
    "warm-up": noisy([*np.linspace(2.3, 6.0, 30), *np.geomspace(6.0, 0.1, 70)]),
    "rises again": noisy([*LEARNS, *np.geomspace(0.05, 2.0, 50)], spread=0.1),
    **{f"{steps} steps": noisy(LEARNS[:steps]) for steps in SHORT},
}
GROWN = {
    "at once": [2.3, *noisy(np.full(99, 1e5))],
    "at once, and less with the learning rate": [2.3, 1e6, *noisy(np.geomspace(5e17, 280, 60))],
    "slowly": noisy(np.geomspace(2.3, 1e4, 100)),
    "late": noisy([*LEARNS, *np.full(30, 200.0)]),
    "after a bad first batch": [400.0, *noisy(LEARNS[:30]), *noisy(np.full(60, 1e4))],
    "from a large start": noisy([*np.geomspace(500, 100, 50), *np.full(50, 1e5)]),
    "with good batches between": [1.0 if step % 5 == 0 else 1e4 for step in range(100)],
    **{f"{steps} steps": [2.3, *[1e6] * (steps - 1)] for steps in SHORT[1:]},
}


@pytest.mark.parametrize("name", GOOD)
def test_good_runs_have_not_grown(name):
    assert loss_growth(GOOD[name], 10) is None


@pytest.mark.parametrize("name", GROWN)
def test_runs_whose_loss_has_grown(name):
    growth = loss_growth(GROWN[name], 10)
    assert growth.worst > 10 * growth.level >= 10 * math.log(10)
    text = str(grown(growth, [TrainingStep(0, loss, 0.1, 0.1) for loss in GROWN[name]]))
    assert text.startswith(f"loss has grown from {growth.level:.4g} to {growth.worst:.4g}, and is ")
    assert "a smaller learning_rate" in text


def test_runs_of_noise_alone_are_not_taken_for_grown():
    """Of 2000 runs none, with losses that vary by a factor of e from batch to batch."""
    assert not any(loss_growth(noisy(LEARNS, spread=1.0, seed=seed), 10) for seed in range(2000))
    assert not any(loss_growth(noisy([2.3] * 12, spread=1.0, seed=seed), 10) for seed in range(2000))
