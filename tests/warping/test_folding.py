import math

import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.stability import fold_fraction, jacobian_determinant, offset_jacobian, slope_deviation


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_affine_offsets_have_a_known_jacobian(dim):
    slopes = torch.randn(dim, dim, generator=torch.Generator().manual_seed(dim), dtype=torch.float64)
    lattice = torch.stack(torch.meshgrid(*[torch.arange(5.0, dtype=torch.float64)] * dim, indexing="ij"))
    offsets = torch.einsum("ij,j...->i...", slopes, lattice)[None]
    found = offset_jacobian(offsets)
    assert found.shape == (1, dim, dim, *[4] * dim)
    expected = slopes.reshape(1, dim, dim, *[1] * dim).expand_as(found)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    determinant = torch.linalg.det(torch.eye(dim, dtype=torch.float64) + slopes)
    torch.testing.assert_close(jacobian_determinant(offsets), determinant.expand(1, *[4] * dim), rtol=1e-12, atol=1e-12)
    assert slope_deviation(offsets).item() == pytest.approx(slopes.square().mean().sqrt().item())


def test_slopes_are_per_pixel_of_the_image():
    """Offsets of every second row and third column: an affine map has the slopes that it has on all pixels."""
    slopes = torch.tensor([[0.2, -1.1], [0.4, 0.3]], dtype=torch.float64)
    lattice = torch.stack(torch.meshgrid(*[torch.arange(12.0, dtype=torch.float64)] * 2, indexing="ij"))
    offsets = torch.einsum("ij,j...->i...", slopes, lattice)[None]
    found = jacobian_determinant(offsets[:, :, ::2, ::3], (2.0, 3.0))
    # Differences of numbers below 16, over a step.
    torch.testing.assert_close(found, torch.linalg.det(torch.eye(2) + slopes).expand(1, 5, 3), rtol=0, atol=1e-14)
    assert slope_deviation(offsets[:, :, ::2, ::3], (2.0, 3.0)).item() == pytest.approx(slope_deviation(offsets).item())


def test_a_sine_folds_where_its_slope_is_below_minus_one():
    """ε = τ·L/2π·sin(2πt/L) folds on a share arccos(1/τ)/π of a period."""
    length, tau = 10_000, 1.5
    t = torch.arange(length + 1, dtype=torch.float64)
    offsets = (tau * length / (2 * math.pi) * torch.sin(2 * math.pi * t / length))[None, None]
    # Forward differences on 10⁴ cells place each edge of the fold to within a cell.
    assert fold_fraction(offsets).item() == pytest.approx(math.acos(1 / tau) / math.pi, abs=2 / length)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    "offsets", [torch.zeros(1, 2, 5), torch.zeros(1, 1, 1), torch.zeros(1, 1, 5, dtype=torch.int64)]
)
def test_bad_input(offsets):
    with pytest.raises(ArgumentError, match="^offsets: expected a floating tensor"):
        fold_fraction(offsets)


def test_offsets_that_are_no_numbers_have_no_share():
    offsets = torch.zeros(1, 2, 4, 4)
    offsets[0, 0, 1, 1] = torch.nan
    assert torch.isnan(fold_fraction(offsets))
