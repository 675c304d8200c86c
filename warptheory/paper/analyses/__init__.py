"""Analyses: each computes records. They are found by looking into this folder."""

from warptheory.core.catalogue import Catalogue
from warptheory.core.listing import public_names
from warptheory.paper.entries import Analysis

__all__ = ["get", "names"]
__dir__ = public_names(__name__)


_CATALOGUE = Catalogue[Analysis](__name__, "name", "ANALYSIS")
names, get = _CATALOGUE.names, _CATALOGUE.get
