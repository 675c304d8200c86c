"""How few positions hold the energy of a field: the Lorenz curve, read from its upper end."""

import torch
from jaxtyping import Float, Real
from torch import Tensor

from warptheory.core.checks import check_number
from warptheory.core.errors import ArgumentError


def share_of_positions(energy: Real[Tensor, "B *S"], held: float = 0.5) -> Float[Tensor, "B"]:
    """Return the smallest share of the positions that together hold a share of the energy of each map.

    The positions with the most energy are taken first, the last of them in part, so that an energy that is the same
    everywhere gives `held` itself. N positions resolve no share below `held`/N.

    Args:
        energy: a map of energies, none negative, such as the squared gradient summed over channels; shape (B, *S).
            A map over a batch as a whole is `energy.flatten()[None]`.
        held: the share of the energy, above 0 and at most 1.

    Returns:
        A share in (0, 1] of the positions for each map, shape (B,); NaN for a map that has no energy at all.

    Raises:
        ArgumentError: no dense real tensor; a map without positions, or not finite, or somewhere negative; or a share
            out of range.

    Source: M. O. Lorenz, Publications of the American Statistical Association 9(70), 1905.
    """
    _check_energy(energy)
    if check_number("held", held, above=0) > 1:
        raise ArgumentError("held", expected="a share, above 0 and at most 1", received=held)
    ranked = energy.detach().flatten(1).double().sort(dim=1, descending=True).values
    largest = ranked[:, :1]
    up_to = torch.cumsum(ranked / largest, dim=1)  # relative to the largest, whose sum cannot overflow
    wanted = held * up_to[:, -1:]
    number = torch.searchsorted(up_to, wanted).clamp(max=ranked.shape[1] - 1)  # positions that are taken whole
    last = ranked.gather(1, number) / largest
    part = 1 - (up_to.gather(1, number) - wanted) / last
    share = (number + part.clamp(0, 1)).squeeze(1) / ranked.shape[1]
    return torch.where(largest.squeeze(1) > 0, share, torch.nan)


def _check_energy(energy: Tensor) -> None:
    if not isinstance(energy, Tensor):
        raise ArgumentError("energy", expected="a tensor (B, *S)", received=type(energy).__name__)
    if energy.layout != torch.strided or energy.is_complex():
        received = f"{energy.dtype}, {energy.layout}"
        raise ArgumentError("energy", expected="a dense tensor of real numbers", received=received)
    if energy.ndim < 2 or 0 in energy.shape[1:]:
        raise ArgumentError("energy", expected="a tensor (B, *S) with positions", received=tuple(energy.shape))
    if not bool(torch.isfinite(energy).all()) or bool((energy < 0).any()):
        low, high = (float(each) for each in torch.aminmax(energy))
        raise ArgumentError("energy", expected="finite energies, none negative", received=f"{low:g} to {high:g}")
