"""One case, a pure function of (seed, number)."""

import contextlib
from collections.abc import Callable, Iterator

import torch

from tests.fuzz import layers, operators, wrong
from tests.fuzz.draws import Draws
from warptheory.operators import _thin_convolution
from warptheory.warping.engines.machine import threads

torch.set_num_threads(1)  # others run beside it

KINDS: dict[str, tuple[Callable[[Draws], None], float]] = {
    "operators": (operators.operator_case, 0.55),
    "matrix": (operators.matrix_case, 0.04),
    "jacobian": (operators.jacobian_case, 0.03),
    "wrong calls": (wrong.wrong_case, 0.1),
    "convolutions": (layers.convolution_case, 0.14),
    "self-warps": (layers.self_warp_case, 0.14),
}


def kind_of(seed: int, number: int) -> str:
    """Return what a case is about."""
    return _kind(Draws(seed, number))


def _kind(draws: Draws) -> str:
    kind: str = draws.choice(tuple(KINDS), [share for _, share in KINDS.values()])
    return kind


def run_case(seed: int, number: int) -> None:
    """Run a case.

    Raises:
        MismatchError: a result, or a refusal, that is not what it should be. Anything else is a fault as well.
    """
    draws = Draws(seed, number)
    call, _ = KINDS[_kind(draws)]
    with _small_calls_take(draws.choice((1, 2, 3), (48, 1, 1))):
        call(draws)


@contextlib.contextmanager
def _small_calls_take(count: int) -> Iterator[None]:
    """Let calls that are too small for it take the compiled loops of thin convolutions, and some several threads."""
    before = _thin_convolution._FEW_PRODUCTS, threads.worth
    _thin_convolution._FEW_PRODUCTS = 1
    threads.worth = lambda seconds: count
    try:
        yield
    finally:
        _thin_convolution._FEW_PRODUCTS, threads.worth = before
