"""One chunk alone: what a run that failed there saw."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from warptheory import montecarlo
from warptheory.core.checks import check_integer
from warptheory.montecarlo import Estimation
from warptheory.results._catalogue import ResultOrLabel
from warptheory.results._claims import Case, ClaimPlan, Prepared, cases_of


def replay(
    chosen: ResultOrLabel | Sequence[ResultOrLabel],
    chunk: int,
    *,
    kernel: str | None = None,
    dim: int | None = None,
    offsets: str | None = None,
    inputs: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    plain: bool = False,
    again: bool = False,
) -> pd.DataFrame:
    """Run one chunk of each claim alone, to see what a run that failed there saw.

    Args:
        chosen: the results, or their labels.
        chunk: number of the chunk.
        kernel: name of the kernel; None takes each result's range.
        dim: number of axes; None takes the result's range.
        offsets: law of the offsets; None takes the result's range.
        inputs: law of the input; None takes the result's range.
        seed: the seed.
        device: torch device on which the operator runs.
        plain: whether that run was plain.
        again: whether to run it of the second stream, which is drawn where the first one disagrees.

    Returns:
        A row for each claim and column of its experiment: result, quantity, setting, the label of the stream, chunk,
        column, rows, mean and deviation; or the failure.

    Raises:
        ArgumentError: a chunk that is not a number ≥ 0, and as `check`.
    """
    number = check_chunk(chunk)
    cases = cases_of(chosen, (kernel, dim, offsets, inputs), ClaimPlan(0, seed, device, 1.0, plain))
    return pd.DataFrame([row for case in cases for row in _replayed(case, number, again=again)])


def check_chunk(chunk: int) -> int:
    """Return the number of a chunk.

    Raises:
        ArgumentError: not an integer in [0, 2⁶⁴).
    """
    return check_integer("chunk", chunk, least=0, most=2**64 - 1)


def replayed_rows(estimation: Estimation, chunk: int, where: dict[str, Any]) -> list[dict[str, object]]:
    """Return a row for each column of an experiment, or one with the failure.

    Args:
        estimation: the estimate that asked for the chunk.
        chunk: number of the chunk.
        where: what the rows begin with.
    """
    rows = {**where, "label": estimation.label, "chunk": chunk}
    try:
        (moments,) = estimation.batch(range(chunk, chunk + 1)).run()
    except montecarlo.ChunkError as error:
        return [{**rows, "failure": error.cause}]
    deviations = np.sqrt(np.diag(moments.covariance))
    return [
        {**rows, "column": column, "rows": moments.n, "mean": mean, "deviation": deviation, "failure": ""}
        for column, (mean, deviation) in enumerate(zip(moments.mean.tolist(), deviations.tolist(), strict=True))
    ]


def _replayed(case: Case, chunk: int, *, again: bool) -> list[dict[str, object]]:
    claim, plan = case.claim(case.prepare() if case.point else Prepared(0.0, {})), case.plan
    label = f"{claim.label}/again" if again else claim.label
    estimation = Estimation(case.experiment(), claim.values, 0.0, 1.0, plan.seed, label, plan.device, plain=case.plain)
    return replayed_rows(estimation, chunk, {"result": case.result, "quantity": case.quantity, **asdict(case.setting)})
