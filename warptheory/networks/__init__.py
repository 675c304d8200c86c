"""Networks whose layers warp their own input, one family a file, each with its plain twin by the same code.

>>> from warptheory import networks
>>> networks.names()[:3]
['net1d', 'selfwarp-net1d', 'resnet20']
>>> twins = [networks.build(name, classes=10, channels_in=3) for name in ("resnet20", "selfwarp-resnet20")]
>>> [len(twin.parameter_groups()["warping"]) for twin in twins]
[0, 18]
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from warptheory.core.catalogue import Catalogue
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.listing import public_names
from warptheory.networks._network import Family, WarpedNetwork, parameter_groups
from warptheory.networks.selfwarp_net1d import SelfWarpNet1d, selfwarp_net1d
from warptheory.networks.selfwarp_resnet import ResidualBlock, SelfWarpResNet, selfwarp_resnet

__all__ = [
    "Family",
    "ResidualBlock",
    "SelfWarpNet1d",
    "SelfWarpResNet",
    "WarpedNetwork",
    "build",
    "names",
    "parameter_groups",
    "selfwarp_net1d",
    "selfwarp_resnet",
]
__dir__ = public_names(__name__)

_WARPED = "selfwarp-"


def names() -> list[str]:
    """Return the names of networks, plain and warped; residual networks of other depths 6n + 2 exist too."""
    plain = [name for family in _families() for name in family.names]
    return [prefix + name for name in plain for prefix in ("", _WARPED)]


def build(name: str, *, classes: int, channels_in: int, **options: Any) -> WarpedNetwork:
    """Build a network by its name.

    Args:
        name: a name in `names()`, or that of a residual network of another depth, such as "selfwarp-resnet26".
        classes: number of classes.
        channels_in: number of channels of an image or signal.
        options: of the network, such as width, seed, placement, or of its self-warps, such as scale, lipschitz; see
            `selfwarp_resnet`, `selfwarp_net1d` and `operators.SelfWarp`. A plain twin takes them too.

    Raises:
        UnknownNameError: no such network or option.
        ArgumentError: a depth or an option that does not fit.
    """
    plain = name.removeprefix(_WARPED) if isinstance(name, str) else ""
    for family in _families():
        arguments = family.arguments(plain)
        if arguments is not None:
            given = {"warp": plain != name, **arguments}
            taken = next((option for option in options if option in given), None)
            if taken is not None:
                expected = f"to be said by the name {name!r} alone"
                raise ArgumentError(taken, expected=expected, received=repr(options[taken]))
            decided = {**given, "classes": classes, "channels_in": channels_in}
            with _without(decided):
                return family.builder(**decided, **options)
    raise UnknownNameError("name", name, names())


@contextmanager
def _without(decided: Iterable[str]) -> Iterator[None]:
    """Let the error of an unknown option list only those that can be given beside a name."""
    try:
        yield
    except UnknownNameError as error:
        if error.argument != "option":
            raise
        raise UnknownNameError("option", error.name, set(error.known) - set(decided)) from error


def _families() -> list[Family]:
    """Return every family: the entries of this folder."""
    return Catalogue[Family](__name__, attribute="FAMILY").all()
