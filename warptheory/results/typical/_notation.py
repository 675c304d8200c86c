"""What symbols stand for that results on the slopes of a stack share."""

from collections.abc import Mapping

SLOPE_FACTOR = "the factor by which a layer multiplies the slope at a position, ‖u + τg‖ for a unit vector u"
SLOPE_LOGARITHMS: Mapping[str, str] = {
    "r": SLOPE_FACTOR,
    "D": "Dawson's integral, D(x) = e^{−x²} ∫₀ˣ e^{t²} dt",
    "gamma": "Euler's constant γ = 0.5772",
}
