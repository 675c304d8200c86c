"""Benchmarks: ratios of times, measured in turn in one run. They are found by looking into this folder."""

from warptheory.core.catalogue import Catalogue
from warptheory.core.listing import public_names
from warptheory.paper.entries import Benchmark

__all__ = ["get", "names"]
__dir__ = public_names(__name__)


_CATALOGUE = Catalogue[Benchmark](__name__, "name", "BENCHMARK")
names, get = _CATALOGUE.names, _CATALOGUE.get
