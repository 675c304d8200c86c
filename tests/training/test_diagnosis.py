import math
import pickle
from pathlib import Path

import pandas as pd

from warptheory.training import TrainingStep
from warptheory.training.diagnosis import diverged


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
