"""Bad input gets one line that names the argument and says what was expected."""

import numpy as np
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
    "size of bytes": (lambda: wt.splat(X, E, size=b"ab"), r"^size: expected 2 positive integers, got b'ab'$"),
    "size of truth values": (
        lambda: wt.splat(X, E, size=(True, 5)),
        r"^size: expected 2 positive integers, got \(True, 5\)$",
    ),
    "size below zero": (lambda: wt.splat(X, E, size=(-5, 6)), r"^size: expected 2 positive integers, got \(-5, 6\)$"),
    "size of an absurd image": (
        lambda: wt.splat(X, E, size=(10**6, 10**6)),
        r"^size: expected what fits the [\d.]+ GiB of memory of cpu, "
        r"got \(2, 4\) images of \(1000000, 1000000\), for which 2.98e\+04 GiB are needed$",
    ),
    "size beyond 64 bits": (lambda: wt.splat(X, E, size=(10**30, 2)), r"^size: expected what fits .* memory of cpu"),
    "matrix beyond 64 bits": (
        lambda: wt.warp_matrix(E, size=(10**30, 2)),
        r"^size: expected fewer than 2⁶³ places in all matrices together, got 2 matrices of 30 rows and 2",
    ),
    "matrix with a prefilter": (
        lambda: wt.warp_matrix(E, size=(10**4, 10**4), kernel="bspline3(prefilter=True)"),
        r"^size: expected what fits .* got 2 matrices of 30 rows and 100000000 columns, for which",
    ),
    "matrix of a kernel that reads all": (
        lambda: wt.warp_matrix(E, size=(10**5, 10**6), kernel="sinc", boundary="periodic"),
        r"^offsets: expected what fits .* got 2 matrices of 30 rows and 100000000000 columns, for which",
    ),
    "an absurd grid": (
        lambda: wt.warp(X, E[..., :1].expand(2, 2, 5, 10**12)),
        r"^offsets: expected what fits .* got a grid of \(5, 1000000000000\), for which",
    ),
    "an absurd grid of derivatives": (
        lambda: wt.warp_gradient(X, E[..., :1].expand(2, 2, 5, 10**12)),
        r"^offsets: expected what fits .* got a grid of",
    ),
    "an absurd grid of a matrix": (
        lambda: wt.warp_matrix(E[..., :1].expand(2, 2, 5, 10**12), size=(2, 2)),
        r"^offsets: expected what fits .* got 2 matrices of 5000000000000 rows and 4 columns",
    ),
    "counts of an absurd image": (
        lambda: wt.warping.hit_counts(E, (10**6, 10**6)),
        r"^size: expected what fits .* got \(2, 1\) images of",
    ),
    "x is sparse": (lambda: wt.warp(X.to_sparse(), E), r"^x: expected a dense tensor, got sparse_coo$"),
    "g is sparse": (lambda: wt.splat(X.to_sparse(), E), r"^g: expected a dense tensor, got sparse_coo$"),
    "offsets are sparse": (lambda: wt.warp(X, E.to_sparse()), r"^offsets: expected a dense tensor, got sparse_coo$"),
    "x in rows": (
        lambda: wt.warp(X[0, 0].to_sparse_csr(), E),
        r"^x: expected a dense tensor, got sparse_csr$",
    ),
    "x of another library": (lambda: wt.warp(X.to_mkldnn(), E), r"^x: expected a dense tensor, got _mkldnn$"),
    "x is nested": (
        lambda: wt.warp(torch.nested.nested_tensor([X[0], X[1]]), E),
        r"^x: expected a dense tensor, got a nested tensor$",
    ),
    "gradient of nothing": (lambda: wt.warp_gradient(X[:, :, :0], E), r"^x: expected no empty spatial axis"),
    "matrix of wrong rank": (
        lambda: wt.warp_matrix(E[0, 0]),
        r"^offsets: expected shape \(B, d, \*T\) or \(B, G, d, \*T\), got shape \(5, 6\)$",
    ),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of layouts in beta state
@pytest.mark.parametrize("name", CASES)
def test_error_names_the_argument(name):
    call, pattern = CASES[name]
    with pytest.raises(ArgumentError, match=pattern) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_are_numbers():
    size = (np.int64(5), np.int32(6))
    assert wt.splat(X, E, size, backend="reference").shape == X.shape
    assert wt.warp_matrix(E, size).shape == (2, 30, 30)


def test_aliases_mean_the_same():
    """In calls, in layers and in settings; a file of an entry declares its own."""
    y = wt.warp(X, E, kernel="linear", boundary="reflect")
    assert torch.equal(wt.warp(X, E, kernel="bilinear", boundary="reflection"), y)
    assert wt.warping.boundaries.get("circular") is wt.warping.boundaries.get("periodic")
    layer = wt.operators.SelfWarp2d(4, kernel="bicubic", boundary="replicate")
    assert (layer.kernel, layer.boundary) == ("keys(-0.75)", "border")
    assert wt.results.get("a3").setting(kernel="bilinear") == wt.results.get("A3").setting(kernel="linear")
    sinc = wt.warp(X, E, kernel="sinc", boundary="circular")
    assert torch.equal(sinc, wt.warp(X, E, kernel="sinc", boundary="periodic"))


def test_unknown_names_are_lookup_errors():
    with pytest.raises(UnknownNameError):
        wt.warp(X, E, boundary="symmetrical")
    with pytest.raises(LookupError):
        wt.kernels.get("cubic")
