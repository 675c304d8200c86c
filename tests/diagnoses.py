"""Diagnoses that are made up, for tests of how they are shown: nothing in them was measured."""

import math

from warptheory.stability.diagnosis import Condition, Diagnosis, LayerDiagnosis, StepProfile

HOSTILE = '<script>alert("1")</script>\x1b[2J'


def layer(name: str, call: int = 0, factor: float = 1.0) -> LayerDiagnosis:
    """Return what was found at an operation; its numbers grow with a factor."""
    offsets = (0.25 * factor, 0.031 * factor, 0.31 * factor, 0.12 * factor, 0.001, 0.02, 0.05)
    return LayerDiagnosis(name, call, "grid_sample", *offsets, 0.82, 0.8, 1.31 * factor, 1.2, 0.07)


def made_up(name: str = "blocks.0.warp", layers: int = 3) -> Diagnosis:
    """Return a diagnosis of a model that runs away, with all that one may hold.

    Args:
        name: of its first layer, its model, and in all sentences.
        layers: number of its sampling operations.
    """
    conditions = (
        Condition("speed ratio", "G5", 2.34, 0.21, "", 1 / 3, 1.0, False, "runaway", f"Moved by {name}.", "97 of 100"),
        Condition("mobility", "G5", 2.34, 0.21, "", 1e-4, None, True, "stuck", "The same ratio."),
        Condition("explosion", "G2", 12.5, worse=10.0, fail=50.0, reason="explosion", evidence="Of the rest."),
        Condition("samples off the image", "B4", 0.0, math.nan, "share of samples", 0.5, 0.9, reason="off the image"),
        Condition("displacement", "G5", 3.1, 0.4, "pixels", evidence="At the fastest layer."),
        Condition("folds", "G1", math.nan, unit="share of pixels"),
    )
    found = (layer(name), *(layer(f"blocks.{number}.warp", number % 2, 1 + number) for number in range(1, layers)))
    return Diagnosis(
        "fail",
        "runaway",
        2.34,
        0.21,
        12.5,
        conditions,
        (f"Multiply the learning rate of {name} by 0.014: it takes the speed ratio from 2.34 to 0.033.", "Clip."),
        found[:layers],
        tuple(f"{name}.head.{number}" for number in range(15)),
        (f"The multiplier of the group of {name} reaches no such parameter.",),
        (f"{name}.scripted",),
        StepProfile((0.0, 0.25, 0.5, 1.0, 2.0, 4.0), (2.3, 2.29, 2.28, 2.31, 2.5, 3.4), 0.21, 0.05),
        name,
        4,
    )


def nothing_known() -> Diagnosis:
    """Return a diagnosis of a model of which nothing could be measured."""
    conditions = (Condition("explosion", "G2", math.nan, worse=10.0, fail=50.0, reason="explosion"),)
    return Diagnosis("ok", None, math.nan, math.nan, math.inf, conditions)
