"""Figures of the paper: each is drawn from records. They are found by looking into this folder."""

from warptheory.core.catalogue import Catalogue
from warptheory.core.listing import public_names
from warptheory.paper.entries import PaperFigure

__all__ = ["get", "names", "numbered"]
__dir__ = public_names(__name__)


_CATALOGUE = Catalogue[PaperFigure](__name__, "figure", "FIGURE")
names, get = _CATALOGUE.names, _CATALOGUE.get


def numbered(number: str) -> PaperFigure:
    """Return the figure of a number, or of a name: a script is named figure<number>_<what it shows>.

    Raises:
        UnknownNameError: no such figure; the message lists the ones that exist.
    """
    return get(next((name for name in names() if name.partition("_")[0] == f"figure{number}"), number))
