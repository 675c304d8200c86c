"""Checking many results in one run: every quantity in every setting, as one family."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import pandas as pd

from warptheory import montecarlo
from warptheory.montecarlo import Claim, Profile, Verdict
from warptheory.results._result import Quantity, Result, Setting


def check(
    results: Sequence[Result],
    *,
    kernels: Sequence[str | None] = (None,),
    dim: int | None = None,
    offsets: str | None = None,
    inputs: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    profile: Profile = montecarlo.PROFILES["quick"],
    on_progress: Callable[[float, str], None] | None = None,
) -> pd.DataFrame:
    """Verify every quantity of the results in every setting; the level holds for all of them together.

    Args:
        results: the results.
        kernels: names of kernels; None takes each result's default.
        dim: number of axes; None takes the result's range.
        offsets: law of the offsets; None takes the result's range.
        inputs: law of the input; None takes the result's range.
        seed: the seed.
        device: torch device on which the operator runs.
        profile: how small an error has to be seen.
        on_progress: called with the share that is done, in [0, 1], and the name of what is running.

    Returns:
        One row per claim: result, quantity, the setting, the values of the symbols (offsets in pixels), and
        the fields of its `Verdict`.

    Raises:
        UnknownNameError: an unknown kernel or law.
        ArgumentError: a dim or device that cannot be used.
    """
    montecarlo.check_device(device)
    cases = [
        (result, quantity, setting)
        for result in results
        for kernel in kernels
        for quantity in result.quantities
        for setting in result.settings(kernel, dim, offsets, inputs)
    ]
    rows = []
    for number, (result, quantity, setting) in enumerate(cases):

        def report(share: float, done: int = number, name: str = f"{result.label} {quantity.name}") -> None:
            if on_progress is not None:
                on_progress((done + share) / len(cases), name)

        report(0.0)
        claim = result.claim(quantity.name, **asdict(setting))
        claim = replace(claim, smallest_effect=claim.smallest_effect * profile.effect_scale)
        verdict = montecarlo.verify(claim, seed=seed, family=len(cases), device=device, on_progress=report)
        rows.append(_row(result, quantity, setting, claim, verdict))
    return pd.DataFrame(rows)


def _row(result: Result, quantity: Quantity, setting: Setting, claim: Claim, verdict: Verdict) -> dict[str, object]:
    chosen = asdict(setting)
    if not result.offsets:
        chosen["offsets"] = "fixed by the result"
    values = ", ".join(f"{name} = {number:g}" for name, number in claim.values.items())
    return {"result": result.label, "quantity": quantity.name, **chosen, "values": values, **asdict(verdict)}
