"""What `torch.compile` and `torch.export` should take as given instead of following it."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Outcome = TypeVar("Outcome")


def constant_when_traced(function: Callable[Parameters, Outcome]) -> Callable[Parameters, Outcome]:
    """Mark a function whose outcome a trace records as a constant, as `torch.compiler.assume_constant_result` does.

    That one imports all of torch's compiler, a second and a half, for everybody who imports this library;
    a test holds the two to the same mark.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function
