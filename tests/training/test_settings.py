import math

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
        ("learning_rate", 0.0, "a finite positive number"),
        ("learning_rate", math.inf, "a finite positive number"),
        ("learning_rate", math.nan, "a finite positive number"),
        ("learning_rate", "fast", "a finite positive number"),
        ("warping_multiplier", -0.1, "a finite non-negative number"),
        ("momentum", 1.0, "a finite non-negative number below 1"),
        ("weight_decay", -1e-4, "a finite non-negative number"),
        ("warm_up", 10, "an integer in 0 … 9"),
        ("clip", 0.0, "a finite positive number"),
        ("optimizer", "adam", "one of adamw, sgd"),
        ("schedule", "linear", "one of constant, cosine, step"),
        ("precision", "fp8", "one of bf16, fp16, fp32"),
        ("augment", ("mixup",), "one of crop, flip"),
        ("augment", "flip", "a tuple of names"),
        ("augment", None, "a tuple of names"),
        ("augment", ("flip", "crop", "flip"), "each name once"),
        ("seed", "one", "an integer"),
    ],
    ids=lambda value: str(value),
)
def test_bad_values_are_named(argument, value, expected):
    with pytest.raises(ArgumentError, match=f"^{argument}: expected {expected}, got "):
        TrainingSettings(**{"steps": 10, argument: value})
