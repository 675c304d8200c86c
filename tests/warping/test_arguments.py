"""Bad input gets one line that names the argument and says what was expected."""

import pytest
import torch

import warptheory as wt
from warptheory.core.errors import ArgumentError, UnknownNameError

pytestmark = pytest.mark.usefixtures("as_users_call")

X = torch.zeros(2, 4, 5, 6)
E = torch.zeros(2, 2, 5, 6)

CASES = {
    "x is no tensor": (lambda: wt.warp([[1.0]], E), r"^x: expected a tensor \(B, C, \*S\), got list$"),
    "x has integers": (lambda: wt.warp(X.long(), E), r"^x: expected a floating dtype, got int64$"),
    "x of rank 2": (
        lambda: wt.warp(X[0, 0], E),
        r"^x: expected shape \(B, C, \*S\) with 1, 2 or 3 spatial axes, got shape \(5, 6\)$",
    ),
    "x of rank 6": (lambda: wt.warp(X[None, None], E), r"^x: expected shape .* got shape \(1, 1, 2, 4, 5, 6\)$"),
    "x is empty": (lambda: wt.warp(X[:, :, :0], E), r"^x: expected no empty spatial axis, got shape \(2, 4, 0, 6\)$"),
    "offsets are no tensor": (lambda: wt.warp(X, None), r"^offsets: expected a tensor .* got NoneType$"),
    "offsets of wrong rank": (
        lambda: wt.warp(X, E[0]),
        r"^offsets: expected shape \(B, 2, \*T\) or \(B, G, 2, \*T\), got shape \(2, 5, 6\)$",
    ),
    "offsets of wrong dimension": (
        lambda: wt.warp(X, torch.zeros(2, 3, 5, 6)),
        r"^offsets: expected shape .* got shape \(2, 3, 5, 6\)$",
    ),
    "offsets are integers": (
        lambda: wt.warp(X, E.long()),
        r"^offsets: expected a floating dtype \(offsets are in pixels\), got int64$",
    ),
    "offsets are empty": (
        lambda: wt.warp(X, E[..., :0]),
        r"^offsets: expected no empty spatial axis, got shape \(2, 2, 5, 0\)$",
    ),
    "no groups": (lambda: wt.warp(X, E[:, None][:, :0]), r"^offsets: expected at least one offset group, got shape"),
    "groups do not divide": (
        lambda: wt.warp(X, E[:, None].expand(2, 3, 2, 5, 6)),
        r"^offsets: expected .* divides the 4 channels of x, got 3 groups$",
    ),
    "batch differs": (lambda: wt.warp(X, E[:1]), r"^offsets: expected batch 2, as in x, got batch 1$"),
    "device differs": (lambda: wt.warp(X, E.to("meta")), r"^offsets: expected device cpu, as in x, got device meta$"),
    "unknown kernel": (
        lambda: wt.warp(X, E, kernel="linaer"),
        r"^kernel: expected one of bspline3, gauss, keys, lanczos3, linear, nearest, sinc, triangle, got 'linaer' "
        r"\(did you mean 'linear'\?\)$",
    ),
    "kernel is a number": (lambda: wt.warp(X, E, kernel=3), r"^kernel: expected a name or a Kernel, got int$"),
    "unknown boundary": (
        lambda: wt.warp(X, E, boundary="wrap"),
        r"^boundary: expected one of border, mirror, periodic, reflect, zeros, got 'wrap'",
    ),
    "gradient grid differs": (
        lambda: wt.splat(X, E[..., :4]),
        r"^offsets: expected grid \(5, 6\), as in g, got grid \(5, 4\)$",
    ),
    "size of wrong length": (lambda: wt.splat(X, E, size=(5,)), r"^size: expected 2 positive integers, got \(5,\)$"),
    "size with a zero": (lambda: wt.splat(X, E, size=(5, 0)), r"^size: expected 2 positive integers, got \(5, 0\)$"),
    "size of floats": (
        lambda: wt.warp_matrix(E, size=(5.0, 6.0)),
        r"^size: expected 2 positive integers, got \(5.0, 6.0\)$",
    ),
    "gradient of nothing": (lambda: wt.warp_gradient(X[:, :, :0], E), r"^x: expected no empty spatial axis"),
    "matrix of wrong rank": (
        lambda: wt.warp_matrix(E[0, 0]),
        r"^offsets: expected shape \(B, d, \*T\) or \(B, G, d, \*T\), got shape \(5, 6\)$",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_error_names_the_argument(name):
    call, pattern = CASES[name]
    with pytest.raises(ArgumentError, match=pattern) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_unknown_names_are_lookup_errors():
    with pytest.raises(UnknownNameError):
        wt.warp(X, E, boundary="symmetric")
    with pytest.raises(LookupError):
        wt.kernels.get("cubic")
