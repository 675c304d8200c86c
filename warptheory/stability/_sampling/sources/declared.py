"""Functions that sample by hand and are declared by `stability.sampling`: all are called by one function."""

from warptheory.stability._sampling._call import FunctionSource
from warptheory.stability.declared import read_declared, run_declared


def sources() -> list[FunctionSource]:
    """Return the one function."""
    return [FunctionSource(run_declared, read_declared)]
