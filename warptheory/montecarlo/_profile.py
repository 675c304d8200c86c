"""Profiles: how small an error a run has to be able to see."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from warptheory.core.errors import UnknownNameError


@dataclass(frozen=True)
class Profile:
    """How thorough a run is.

    Attributes:
        name: the profile's name.
        effect_scale: factor on every quantity's smallest effect; the work grows as its inverse square.
    """

    name: str
    effect_scale: float


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "quick": Profile("quick", 1.0),  # 1 % for second moments
        "full": Profile("full", 0.2),  # 0.2 %
    }
)


def get_profile(name: str) -> Profile:
    """Return a profile by name.

    Raises:
        UnknownNameError: no profile of that name.
    """
    if name not in PROFILES:
        raise UnknownNameError("profile", name, PROFILES)
    return PROFILES[name]
