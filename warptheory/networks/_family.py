"""A family of networks: the names it answers to, and what builds them."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from warptheory.networks._network import WarpedNetwork


@dataclass(frozen=True)
class Family:
    """Networks of one builder, each with a plain twin.

    Attributes:
        pattern: regular expression of the plain networks' names; its named groups are whole-number arguments.
        names: the names that are listed; more may fit the pattern.
        builder: takes the pattern's groups, `classes`, `channels_in`, `warp` and options of its own.
    """

    pattern: str
    names: tuple[str, ...]
    builder: Callable[..., WarpedNetwork]

    def arguments(self, name: str) -> dict[str, int] | None:
        """Return the arguments that a plain network's name holds, None if it is not one of the family."""
        match = re.fullmatch(self.pattern, name, re.ASCII)
        return None if match is None else {key: int(value) for key, value in match.groupdict().items()}
