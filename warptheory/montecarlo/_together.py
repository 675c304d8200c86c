"""Many claims in one run, of any experiments: by workers, with finished chunks kept, and one level for all of them."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Unpack

from warptheory.core import records
from warptheory.core.cache import DERIVATION_ROOMS, source_digest
from warptheory.core.checks import check_flag, check_integer
from warptheory.core.definition import definition
from warptheory.core.errors import ArgumentError
from warptheory.core.text import shown
from warptheory.montecarlo._campaign import Outcome
from warptheory.montecarlo._chunks import text_of
from warptheory.montecarlo._estimate import DEFAULT_MAX_ELEMENTS, check_device
from warptheory.montecarlo._execution import Execution, ExecutionOptions
from warptheory.montecarlo._verdict import FAMILY_LEVEL, Claim, Judgement, Verdict, allowed_deviation


@dataclass(frozen=True)
class _ClaimJob:
    """A claim to be judged."""

    claim: Claim
    seed: int
    z: float
    device: str
    max_elements: int
    plain: bool

    def prepare(self) -> None:
        """Do nothing: the claim is there."""

    def trial(self, prepared: None) -> Judgement:
        """Return the judgement, whose chunks workers run."""
        return Judgement(self.claim, self.seed, self.z, self.device, self.max_elements, plain=self.plain)


def verify_all(
    claims: Iterable[Claim],
    *,
    seed: int = 0,
    level: float = FAMILY_LEVEL,
    device: str = "cpu",
    max_elements: int = DEFAULT_MAX_ELEMENTS,
    plain: bool = False,
    on_progress: Callable[[float], None] | None = None,
    **execution: Unpack[ExecutionOptions],
) -> list[Verdict]:
    """Judge claims of one's own, with one level for all of them together.

    The verdicts do not depend on who works. A claim whose experiment fails is undecided, and says why; the others go
    on. That holds for every error, for an end of the program by `sys.exit`, and with processes or Dask also for one by
    `os._exit` or a signal. Experiments that other processes run have to be importable there: classes of a module, or
    of a script whose calls stand below `if __name__ == "__main__":`.

    Args:
        claims: the claims, each with a label of its own.
        seed: the seed.
        level: family-wise level.
        device: torch device on which the operator runs.
        max_elements: limit on the number of pixels drawn, per simulation.
        plain: whether to simulate without any reduction of the variance, as in `estimate`.
        on_progress: called with the share of the work that is done, in [0, 1].
        **execution: workers, scheduler, out, fresh and time_limit, as in `Execution`.

    Raises:
        ArgumentError: no claims, two of one label, a number that cannot be used, an unknown device or scheduler, or
            a folder that is in use or belongs to another run.
    """
    chosen = list(claims) if isinstance(claims, Iterable) else []
    if not chosen or not all(isinstance(claim, Claim) for claim in chosen):
        raise ArgumentError("claims", expected="one Claim or several", received=shown(claims))
    check_integer("seed", seed, least=None)
    check_flag("plain", plain)
    labels = [claim.label for claim in chosen]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ArgumentError("claims", expected="claims with different labels", received=f"{twice!r} twice")
    check_device(device)
    z = allowed_deviation(len(chosen), level)
    jobs = [_ClaimJob(claim, seed, z, device, max_elements, plain) for claim in chosen]
    report = None if on_progress is None else lambda campaign, number, trial: on_progress(campaign.share)
    configuration = {
        "claims": [text_of(definition(job)) for job in jobs],
        **what_runs(type(claim.experiment) for claim in chosen),
    }
    outcomes = Execution(**execution).run(jobs, configuration, report)
    return [_verdict(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]


def what_runs(kinds: Iterable[type] = ()) -> dict[str, Any]:
    """Return the sources and versions that chunks depend on.

    Args:
        kinds: classes of experiments, whose files are read as well where there are any.
    """
    sources = source_digest(DERIVATION_ROOMS, Path(__file__).parents[1])
    files = sorted({path for path in map(_source_file, kinds) if path is not None})
    own = sha256(b"".join(sha256(path.read_bytes()).digest() for path in files)).hexdigest()
    return {"sources": sources, "experiments": own, "versions": records.installed_versions()}


def _source_file(kind: type) -> Path | None:
    """Return the file of a class, None for one that was typed in."""
    try:
        found = Path(inspect.getfile(kind))
    except (TypeError, OSError):
        return None
    return found if found.is_file() else None


def _verdict(job: _ClaimJob, outcome: Outcome) -> Verdict:
    if isinstance(outcome.trial, Judgement):
        return Verdict.of(outcome.trial, outcome.reason)
    claim = job.claim
    return Verdict.undecided(
        outcome.reason,
        label=claim.label,
        theory=claim.theory,
        z=job.z,
        effect=claim.absolute_effect,
        seed=job.seed,
    )
