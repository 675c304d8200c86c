"""Calls that cannot be right: each has to be refused in one line that names the argument."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.fuzz.draws import Draws
from tests.fuzz.operators import MismatchError
from warptheory import warping
from warptheory.core.errors import WarpTheoryError

_NAMES = ("", " ", "linaer", "LINEAR", "linear(", "gauss(-1)", "gauss(nan)", "gauss(0)", "gauss(1e400)", "\0", "né")
_CODE = "__import__('os').abort()"
_NO_SIZES = (0, -1, -(2**40), True, 1.5, "3", None, 10**12, 2**63, 10**30, math.nan, np.float64(3), 2**31 * 10**4)


def wrong_case(draws: Draws) -> None:
    """Draw a valid call, spoil one argument, and expect to be told which."""
    dim = draws.integer(1, 3)
    batch, groups = draws.integer(1, 3), draws.integer(1, 2)
    channels = 2 * groups
    size, grid = (tuple(draws.integer(1, 4) for _ in range(dim)) for _ in range(2))
    call: dict[str, Any] = {
        "x": torch.from_numpy(draws.normal((batch, channels, *size))),
        "offsets": torch.from_numpy(draws.normal((batch, groups, dim, *grid))),
        "kernel": "linear",
        "boundary": "zeros",
        "knot": "right",
        "backend": None,
        "size": size,
    }
    argument = draws.choice(tuple(call))
    call[argument] = draws.choice(_SPOILED[argument])(draws, call)
    name = "splat" if argument == "size" else draws.choice(("warp", "warp_gradient", "splat", "warp_matrix"))
    if name == "splat":
        call["g"] = call.pop("x")
        if argument != "x":
            call["g"] = torch.from_numpy(draws.normal((batch, channels, *grid)))
    elif name == "warp_matrix":
        if argument in ("x", "knot", "backend") or (argument == "offsets" and _is_of_x(call)):
            name = "warp"
        else:
            call = {key: call[key] for key in ("offsets", "size", "kernel", "boundary")}
    if name in ("warp", "warp_gradient"):
        del call["size"]
    try:
        getattr(warping, name)(**call)
    except WarpTheoryError as error:
        if "\n" in str(error) or len(str(error)) > 500:
            raise MismatchError(
                f"{name}: a message of several lines, or too long a one: {str(error)[:200]!r}"
            ) from error
        return
    except Exception as error:
        raise MismatchError(
            f"{name}, wrong {argument} {_told(call, argument)}: {type(error).__name__}: {error}"
        ) from error
    raise MismatchError(f"{name}: a wrong {argument} was taken, {_told(call, argument)}")


def _told(call: dict[str, Any], argument: str) -> str:
    value = call.get(argument, call.get("g"))
    return f"{tuple(value.shape)} {value.dtype}" if isinstance(value, torch.Tensor) else repr(value)


def _is_of_x(call: dict[str, Any]) -> bool:
    """Return whether offsets would do if there were no image that they have to fit."""
    offsets = call["offsets"]
    return isinstance(offsets, torch.Tensor) and offsets.is_floating_point() and offsets.ndim >= 3


Spoiler = Callable[[Draws, dict[str, Any]], Any]

_NO_TENSORS: tuple[Spoiler, ...] = (
    lambda draws, call: None,
    lambda draws, call: 3.0,
    lambda draws, call: _CODE,
    lambda draws, call: [[1.0]],
    lambda draws, call: np.zeros((2, 2, 2)),
)


def _spoilers(key: str) -> tuple[Spoiler, ...]:
    def of(change: Callable[[torch.Tensor], Any]) -> Spoiler:
        return lambda draws, call: change(call[key])

    return (
        *_NO_TENSORS,
        of(lambda values: values.long()),
        of(lambda values: values > 0),
        of(lambda values: values.to(torch.complex64)),
        of(lambda values: values[0, 0]),
        of(lambda values: values[None, None, None]),
        of(lambda values: values[..., :0]),
        of(lambda values: torch.cat([values, values])),
        of(lambda values: values.to("meta")),
        of(lambda values: values.to_sparse()),
    )


_SPOILED: dict[str, tuple[Spoiler, ...]] = {
    "x": (*_spoilers("x"), lambda draws, call: call["x"][:, :1] if call["offsets"].shape[1] > 1 else None),
    "offsets": (
        *_spoilers("offsets"),
        lambda draws, call: call["offsets"][:, :0],
        lambda draws, call: call["offsets"][:, :, :0],
        lambda draws, call: torch.cat([call["offsets"]] * 2, 2),
        lambda draws, call: call["offsets"][:, :1].expand(-1, 5, *call["offsets"].shape[2:]),
        lambda draws, call: call["offsets"][..., :1].expand(*call["offsets"].shape[:-1], 10**13),
    ),
    "kernel": (
        lambda draws, call: draws.choice(_NAMES),
        lambda draws, call: draws.choice((None, 3, 1.5, b"linear", [], {}, ("linear",), object())),
        lambda draws, call: draws.choice(("{}", "gauss({})", "keys(a={})", "triangle({})")).format(_CODE),
        lambda draws, call: "sinc",
    ),
    "boundary": (
        lambda draws, call: draws.choice(("", "wrap", "ZEROS", _CODE, "zeros ")),
        lambda draws, call: draws.choice((None, 0, [], {}, b"zeros", ("zeros",))),
    ),
    "knot": (lambda draws, call: draws.choice(("", "left", "RIGHT", None, 0, [], {}, _CODE, b"right")),),
    "backend": (lambda draws, call: draws.choice(("", "gpu", "CPU", 0, [], {}, _CODE, b"cpu", True)),),
    "size": (
        lambda draws, call: (*call["size"][:-1], draws.choice(_NO_SIZES)),
        lambda draws, call: (*call["size"], 2),
        lambda draws, call: draws.choice((3, "ab", b"ab", {}, {1, 2}, 2.5, (), [])),
    ),
}
