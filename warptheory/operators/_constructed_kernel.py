"""A dense kernel of few weights at learned positions, by products along the axes wherever they separate."""

import functools
import operator
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from warptheory.core.checks import check_known
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import check_tensor, check_tensors
from warptheory.operators._convolution import PerAxis, per_axis
from warptheory.operators._spacing_version import Place, SpacingVersion
from warptheory.operators._spacing_versions import VERSIONS

_ELEMENTS = 2**20


def construct_kernel(
    weight: Float[Tensor, "O I K"],
    P: Float[Tensor, "d O I K"],  # noqa: N803
    SIG: Float[Tensor, "r O I K"] | None,  # noqa: N803
    dilated_kernel_size: PerAxis,
    version: str = "gauss",
) -> Float[Tensor, "O I *N"]:
    """Return the dense kernel K[i] = Σ_k w_k g(i − p_k), where the weights g on the taps i sum to one.

    Args:
        weight: w, shape (O, I, K).
        P: positions from the central tap ⌊size/2⌋, in taps, shape (d, O, I, K); row r belongs to axis d − 1 − r, so
            that row 0 is the last axis. A position outside of the kernel is read at its edge.
        SIG: what a version needs for its widths, shape (R, O, I, K); see `LearnableSpacingConv2d`.
        dilated_kernel_size: size N of the kernel, along all axes or each.
        version: how a weight is spread over the taps.

    Returns:
        The kernel (O, I, *N), differentiable to any order. At the edge of the kernel the derivative in the position
        is the one from inside.

    Raises:
        ArgumentError: shapes that do not fit, or a version that needs more axes.
        UnknownNameError: no such version.

    Source: I. Khalfaoui-Hassani et al., arXiv 2112.03740 ("v0", "v1") and arXiv 2306.00817 ("max", "gauss").
    """
    check_tensor("weight", weight, 3, "(O, I, K)")
    check_tensor("P", P, 4, "(d, O, I, K)")
    check_tensors(SIG=SIG)
    dim = len(P)
    check_version(version, dim)
    size = per_axis("dilated_kernel_size", dilated_kernel_size, dim)
    _check_shapes(weight, P, SIG, version)
    synapses = weight.shape[0] * weight.shape[1]
    # Tensors beyond this size come from the system at each call, and their pages cost as much as what is computed.
    portion = max(1, _ELEMENTS // max(1, weight.shape[2] * max(size)))
    widths = weight.new_empty(0, *weight.shape) if SIG is None else SIG
    parts = [
        _constructed(*part, size, VERSIONS[version])
        for part in zip(
            torch.split(weight.flatten(0, 1), portion),
            torch.split(P.flatten(1, 2), portion, 1),
            torch.split(widths.flatten(1, 2), portion, 1),
            strict=True,
        )
    ]
    found = parts[0] if synapses <= portion else torch.cat(parts)
    return found.reshape(*weight.shape[:2], *size)


def _constructed(
    weight: Float[Tensor, "S K"],
    P: Float[Tensor, "d S K"],  # noqa: N803
    SIG: Float[Tensor, "r S K"],  # noqa: N803
    size: tuple[int, ...],
    version: SpacingVersion,
) -> Float[Tensor, "S M"]:
    """Return the kernels of S synapses."""
    places = [Place(_held(row + n // 2, n), n) for row, n in zip(reversed(P.unbind()), size, strict=True)]
    factors = version.factors(places, SIG.unbind())
    if not version.sums_to_one:
        weight = weight / functools.reduce(operator.mul, [factor.sum(-1) for factor in factors])
    return _combined(weight, factors)


def check_version(version: str, dim: int) -> None:
    """Check that there is a version, and that it is made for d axes.

    Raises:
        UnknownNameError: there is none.
        ArgumentError: it needs more axes.
    """
    check_known("version", version, VERSIONS)
    if dim not in VERSIONS[version].dims:
        raise ArgumentError("version", expected=f"one for {dim} axes", received=repr(version))


def _combined(weight: Float[Tensor, "S K"], factors: Sequence[Tensor]) -> Float[Tensor, "S M"]:
    """Return Σ_k w_k f_k ⊗ g_k ⊗ …, by one matrix product for each synapse."""
    first = factors[0] * weight.unsqueeze(-1)
    if len(factors) == 1:
        return first.sum(1)
    for factor in factors[1:-1]:
        first = (first.unsqueeze(-1) * factor.unsqueeze(-2)).flatten(2)
    return (first.transpose(1, 2) @ factors[-1]).flatten(1)


def _held(position: Float[Tensor, "S K"], size: int) -> Float[Tensor, "S K"]:
    """Return positions inside of the kernel; one outside keeps its gradient, by which it can come back."""
    still = position.detach()
    return still.clamp(0, size - 1) + (position - still)


def _check_shapes(weight: Tensor, P: Tensor, SIG: Tensor | None, version: str) -> None:  # noqa: N803
    shape, rows = tuple(weight.shape), len(VERSIONS[version].start(len(P)))
    if tuple(P.shape[1:]) != shape:
        raise ArgumentError("P", expected=f"shape (d, *{shape}), as weight has", received=tuple(P.shape))
    received = None if SIG is None else tuple(SIG.shape)
    if received != ((rows, *shape) if rows else None):
        expected = f"shape {(rows, *shape)} for version {version!r}" if rows else f"None for version {version!r}"
        raise ArgumentError("SIG", expected=expected, received=received)
