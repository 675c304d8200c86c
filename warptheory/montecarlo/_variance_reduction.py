"""Which variance reduction an experiment gets: conditioning on its offsets where that is possible, else controls.

The reduced experiment estimates the same number from the same statistic with the same operator; a *plain* run leaves it
as it is.
"""

from collections.abc import Mapping
from functools import lru_cache

from warptheory.montecarlo._conditional import ConditionalSimulation
from warptheory.montecarlo._continuum import ContinuumSimulation
from warptheory.montecarlo._controls import ControlledSimulation
from warptheory.montecarlo._experiment import Experiment
from warptheory.montecarlo._simulation import Simulation


def reduced(experiment: Experiment, values: Mapping[str, float]) -> Experiment:
    """Return an experiment of smaller variance in the same time, or the experiment itself if none is known.

    A statistic of the input alone is drawn as it is: what would correct it is what it asks for.

    Args:
        experiment: the experiment.
        values: a number for every symbol, by name.
    """
    return _reduced(experiment, tuple(sorted(values.items()))) if isinstance(experiment, Simulation) else experiment


@lru_cache(maxsize=64)
def _reduced(simulation: Simulation, values: tuple[tuple[str, float], ...]) -> Experiment:
    # What draws in a way of its own, such as given the offsets, is left as it is.
    if type(simulation).sample is not Simulation.sample or not simulation.is_moving:
        return simulation
    conditional = ConditionalSimulation(simulation.statistic, simulation.inputs)
    if not isinstance(simulation, ContinuumSimulation) and conditional.is_possible(dict(values)):
        return conditional
    scatters = any(simulation.mean_and_variance(field, dict(values))[1] > 0 for field in simulation.input_fields)
    return ControlledSimulation(simulation) if scatters else simulation


def what_is_drawn(experiment: Experiment) -> str:
    """Return what an experiment draws of its fields: "everything", as it is or corrected, or the "offsets" alone."""
    if isinstance(experiment, ConditionalSimulation):
        return "offsets"
    return "everything, corrected" if isinstance(experiment, ControlledSimulation) else "everything"
