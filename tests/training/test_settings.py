import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from warptheory.core.errors import ArgumentError
from warptheory.training import TrainingSettings

pytestmark = pytest.mark.usefixtures("as_users_call")


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        ("steps", 0, "a positive integer"),
        ("steps", 2.5, "a positive integer"),
        ("batch", -1, "a positive integer"),
        ("learning_rate", 0.0, "a finite number > 0"),
        ("learning_rate", math.inf, "a finite number > 0"),
        ("learning_rate", math.nan, "a finite number > 0"),
        ("learning_rate", "fast", "a finite number > 0"),
        ("warping_multiplier", -0.1, "a finite number ≥ 0"),
        ("momentum", 1.0, "a finite number ≥ 0 and < 1"),
        ("weight_decay", -1e-4, "a finite number ≥ 0"),
        ("warm_up", 10, "an integer in 0 … 9"),
        ("clip", 0.0, "a finite number > 0"),
        ("optimizer", "adam", "one of adamw, sgd"),
        ("schedule", "linear", "one of constant, cosine, step"),
        ("precision", "fp8", "one of bf16, fp16, fp32"),
        ("augment", ("mixup",), "one of crop, flip"),
        ("augment", "flip", "a tuple of names"),
        ("augment", None, "a tuple of names"),
        ("augment", ("flip", "crop", "flip"), "each name once"),
        ("seed", "one", "an integer"),
        ("seed", True, "an integer"),
        ("steps", True, "a positive integer"),
        ("clip", True, "a finite number > 0"),
    ],
    ids=lambda value: str(value),
)
def test_bad_values_are_named(argument, value, expected):
    with pytest.raises(ArgumentError, match=f"^{argument}: expected {expected}, got "):
        TrainingSettings(**{"steps": 10, argument: value})


def test_numbers_of_numpy_and_lists_are_taken():
    found = TrainingSettings(steps=np.int64(10), learning_rate=np.float32(0.5), augment=["flip"])
    assert found == TrainingSettings(steps=10, learning_rate=0.5, augment=("flip",))
    assert json.dumps(asdict(found))
