"""Monte Carlo: estimates with standard errors, and verdicts with power; knows no theorem."""

from warptheory.montecarlo._continuum import ContinuumSimulation, simulation_of
from warptheory.montecarlo._estimate import (
    Combination,
    Estimate,
    Experiment,
    NotFiniteError,
    as_experiment,
    check_device,
    estimate,
)
from warptheory.montecarlo._moments import Moments
from warptheory.montecarlo._profile import PROFILES, Profile, get_profile
from warptheory.montecarlo._simulation import Simulation
from warptheory.montecarlo._verdict import FAMILY_LEVEL, POWER, Claim, Verdict, allowed_deviation, verify

__all__ = [
    "FAMILY_LEVEL",
    "POWER",
    "PROFILES",
    "Claim",
    "Combination",
    "ContinuumSimulation",
    "Estimate",
    "Experiment",
    "Moments",
    "NotFiniteError",
    "Profile",
    "Simulation",
    "Verdict",
    "allowed_deviation",
    "as_experiment",
    "check_device",
    "estimate",
    "get_profile",
    "simulation_of",
    "verify",
]
