"""What the development set of the stability study trains: a curve of multipliers for every setting."""

from collections.abc import Iterator
from dataclasses import dataclass

from warptheory.paper.analyses._stability_configurations import Configuration

UP = (0.01, 0.1, 1.0, 10.0)
WIDE = (1e-3, 0.01, 0.1, 1.0, 10.0)
HIGH = (0.1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class MultiplierCurve:
    """A setting, and the multipliers with which it is tried first.

    Attributes:
        base: the setting; its multiplier and seed are replaced.
        multipliers: in increasing order.
    """

    base: Configuration
    multipliers: tuple[float, ...]


def _curves(
    architecture: str,
    task: str,
    depth: int,
    chosen: tuple[tuple[float, bool], ...],
    multipliers: tuple[float, ...],
    optimizer: str = "sgd",
    slowed: str = "all",
) -> Iterator[MultiplierCurve]:
    """Yield a curve for each pair of α and whether heads start at zero."""
    for alpha, zero in chosen:
        yield MultiplierCurve(
            Configuration(architecture, task, depth, alpha, 1.0, zero, optimizer, slowed), multipliers
        )


ZERO = ((1.0, True),)
BOTH = ((1.0, True), (1.0, False))
CURVES: tuple[MultiplierCurve, ...] = (
    # Tasks that need the warp: positions that hardly move are a failure too.
    *_curves("registration", "registration", 1, ((1.0, True), (1.0, False), (0.1, True)), (1e-4, *WIDE), "adam"),
    *_curves("spaced", "echoes", 1, BOTH, HIGH),
    *_curves("signal_selfwarp", "misaligned signals", 3, ((1.0, True), (2.0, False)), WIDE),
    *_curves("transformer", "displaced digits", 1, ((0.3, True), (1.0, False)), WIDE),
    *_curves("feature_localiser", "displaced digits", 1, ((0.3, True), (1.0, False)), WIDE),
    *_curves("selfwarp", "rectification", 2, ((1.0, True), (1.0, False), (0.03, True)), WIDE),
    *_curves("deformable", "rectification", 1, ((1.0, True), (2.0, False)), WIDE),
    *_curves("modulated", "echoes", 1, ((1.0, True), (2.0, False)), WIDE),
    *_curves("attention", "echoes", 1, ((3.0, True), (3.0, False)), (0.01, *HIGH), "adam"),
    *_curves("rectifier", "rectification", 1, ((1.0, True), (2.0, False)), WIDE),
    # Tasks that do not.
    *_curves("selfwarp", "photographs", 3, ((1.0, True), (3.0, False)), UP),
    *_curves("deformable", "plain digits", 2, ((1.0, True), (3.0, False)), UP),
    *_curves("modulated", "photographs", 2, ((3.0, True), (3.0, False)), UP, "adam"),
    *_curves("signal_selfwarp", "plain signals", 3, ((1.0, True), (3.0, False)), UP),
    *_curves("upsampler", "coarse photographs", 1, ((1.0, True), (3.0, False)), UP),
    # Deeper, and by other optimisers.
    *_curves("registration", "registration", 3, ((1.0, True), (3.0, False)), WIDE),
    *_curves("spaced", "echoes", 2, ZERO, HIGH),
    *_curves("signal_selfwarp", "misaligned signals", 6, ZERO, WIDE),
    *_curves("transformer", "displaced digits", 1, ZERO, WIDE, "adamw", "head"),
    *_curves("transformer", "displaced digits", 1, ((0.3, False),), (0.0, 0.01, 1.0), "sgd", "localiser"),
    *_curves("selfwarp", "photographs", 6, ZERO, UP),
    *_curves("attention", "plain digits", 2, ZERO, UP, "adamw"),
    *_curves("spaced", "photographs", 2, ZERO, HIGH),
)
