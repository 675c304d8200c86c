"""Monte Carlo: estimates with standard errors, and verdicts with power; knows no theorem."""

from warptheory.core.listing import public_names
from warptheory.montecarlo._campaign import Campaign, Job, Outcome
from warptheory.montecarlo._chunks import ChunkError, NotFiniteError
from warptheory.montecarlo._conditional import ConditionalSimulation
from warptheory.montecarlo._continuum import ContinuumSimulation, simulation_of
from warptheory.montecarlo._controls import ControlledSimulation
from warptheory.montecarlo._estimate import (
    DEFAULT_MAX_ELEMENTS,
    Estimate,
    EstimateError,
    Estimation,
    Measurement,
    Trial,
    check_device,
    estimate,
    run_here,
)
from warptheory.montecarlo._execution import Execution, ExecutionOptions
from warptheory.montecarlo._experiment import Combination, Experiment, as_experiment
from warptheory.montecarlo._moments import Moments
from warptheory.montecarlo._points import DESIGNS
from warptheory.montecarlo._profile import PROFILES, Profile, get_profile
from warptheory.montecarlo._quantiles import Quantiles
from warptheory.montecarlo._simulation import Simulation
from warptheory.montecarlo._store import ChunkStore, StoreError, chunk_store
from warptheory.montecarlo._summary import Summary, summarise
from warptheory.montecarlo._supervised import TimeLimitError
from warptheory.montecarlo._together import verify_all, what_runs
from warptheory.montecarlo._variance_reduction import reduced
from warptheory.montecarlo._verdict import (
    FAMILY_LEVEL,
    POWER,
    Claim,
    Judgement,
    Verdict,
    allowed_deviation,
    deviation,
    deviation_text,
    verify,
)
from warptheory.montecarlo._workers import TIME_LIMIT, Workers, workers

__all__ = [
    "DEFAULT_MAX_ELEMENTS",
    "DESIGNS",
    "FAMILY_LEVEL",
    "POWER",
    "PROFILES",
    "TIME_LIMIT",
    "Campaign",
    "ChunkError",
    "ChunkStore",
    "Claim",
    "Combination",
    "ConditionalSimulation",
    "ContinuumSimulation",
    "ControlledSimulation",
    "Estimate",
    "EstimateError",
    "Estimation",
    "Execution",
    "ExecutionOptions",
    "Experiment",
    "Job",
    "Judgement",
    "Measurement",
    "Moments",
    "NotFiniteError",
    "Outcome",
    "Profile",
    "Quantiles",
    "Simulation",
    "StoreError",
    "Summary",
    "TimeLimitError",
    "Trial",
    "Verdict",
    "Workers",
    "allowed_deviation",
    "as_experiment",
    "check_device",
    "chunk_store",
    "deviation",
    "deviation_text",
    "estimate",
    "get_profile",
    "reduced",
    "run_here",
    "simulation_of",
    "summarise",
    "verify",
    "verify_all",
    "what_runs",
    "workers",
]
__dir__ = public_names(__name__)
