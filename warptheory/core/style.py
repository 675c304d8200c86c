"""One look for every figure: readable sizes, and colours that survive colour blindness and grey print."""

from contextlib import AbstractContextManager
from pathlib import Path

from matplotlib import style

# Okabe and Ito, "Color Universal Design", 2008: distinguishable with any form of colour blindness.
BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6F6F6F"


def house_style() -> AbstractContextManager[None]:
    """Return a context in which Matplotlib draws in the project's style."""
    return style.context(Path(__file__).with_name("house.mplstyle"))
