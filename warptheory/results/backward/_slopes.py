"""What experiments on offsets of a slope τ have in common."""

from collections.abc import Set
from typing import ClassVar

from warptheory.results._experiment import DerivedExperiment
from warptheory.results._setting import TAU


class SlopeExperiment(DerivedExperiment):
    """An experiment on offsets of a slope τ; a subclass derives and draws it.

    Attributes:
        setting: the setting.
        text: what it is the expectation of, in plain text, but for the number of axes.
    """

    text: ClassVar[str]

    @property
    def symbols(self) -> Set[str]:
        """The slope."""
        return {TAU.name}

    def __str__(self) -> str:
        return f"{self.text}, d = {self.setting.dim}"
