"""Numbers for an experiment's own symbols, out of a table for many: others are refused."""

from collections.abc import Mapping

from warptheory.montecarlo import Experiment, as_experiment
from warptheory.symbolic import MomentStatistic


def needed(experiment: Experiment | MomentStatistic, values: Mapping[str, float]) -> dict[str, float]:
    return {name: values[name] for name in sorted(as_experiment(experiment).symbols) if name in values}
