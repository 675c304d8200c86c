"""The one look for every figure; it stands in `core`, so that lower rooms draw in it too."""

from warptheory.core.style import BLUE, GREEN, GREY, ORANGE, VERMILION, house_style

__all__ = ["BLUE", "GREEN", "GREY", "ORANGE", "VERMILION", "house_style"]
