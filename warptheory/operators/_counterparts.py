"""What conversions to and from layers of other libraries share."""

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from warptheory.core.errors import ArgumentError

_Layer = TypeVar("_Layer", bound=nn.Module)


def loaded(layer: _Layer, state: Mapping[str, Tensor]) -> _Layer:
    """Return a layer with copies of parameters and buffers, each in its own dtype, so that no digit is lost."""
    layer.load_state_dict({name: each.clone() for name, each in state.items()}, assign=True)
    return layer


def check_published(layer: nn.Module, **published: Any) -> None:
    """Check that a layer has no options that the original has not.

    Raises:
        ArgumentError: it has.
    """
    for name, value in published.items():
        if getattr(layer, name) != value:
            expected = f"a layer with {name}={value!r}, as the original"
            raise ArgumentError("model", expected=expected, received=getattr(layer, name))
