"""The gradient of a parameter, as backward passes bring it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from warptheory.stability._sampling._gradients import BackwardPasses, listen
from warptheory.stability._sampling._statistics import moments


@dataclass(frozen=True)
class GradientMoments:
    """Of the entries of a gradient: how many, their mean and their variance."""

    count: int
    mean: float
    variance: float


class ParameterGradient:
    """The gradient of one parameter in one step, kept as moments, by the number of the backward pass.

    Autograd hands over the sum over all uses of the parameter in a pass. Only passes that run inside others bring it in
    parts, which are added up: of these the sum is kept until the outer pass ends.

    Attributes:
        found: moments, by the number of the pass.
        is_listening: whether anybody waits for it, or nobody has begun to.
    """

    def __init__(self, parameter: Tensor, passes: BackwardPasses) -> None:
        self.found: dict[int, GradientMoments] = {}
        self.is_listening = True
        self._passes = passes
        self._sums: dict[int, Tensor] = {}
        self._users = 0
        self._handle = listen(parameter, self._receive)

    def enter(self) -> None:
        """Count one who waits for it."""
        self._users += 1

    def leave(self) -> None:
        """Listen no longer if nobody waits any more."""
        self._users -= 1
        if self._users == 0:
            self.is_listening = False
            self._handle.remove()

    def _receive(self, gradient: Tensor) -> bool:
        current = self._passes.current()
        number = current.number
        if self._passes.may_nest:
            part = self._sums.get(number)
            gradient = gradient.clone() if part is None else part + gradient
            self._sums = {number: gradient}
            current.at_end(self, self._sums.clear)
        # A complex number counts as two.
        entries = torch.view_as_real(gradient.resolve_conj()) if gradient.is_complex() else gradient
        mean, variance = torch.stack(moments(entries)).tolist()
        self.found[number] = GradientMoments(entries.numel(), mean, variance)
        return False
