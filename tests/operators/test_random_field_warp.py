"""Random-field warps: the offsets that were asked for, and harm to images as C6 and B7 say."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import warptheory as wt
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.streams import Stream
from warptheory.fields import (
    Exponential,
    FieldSampler,
    ImageSpectrum,
    Matern,
    SquaredExponential,
    White,
)
from warptheory.operators.random_field_warp import RandomFieldWarp, displacement_error, fold_probability
from warptheory.warping.jacobian import jacobian_determinant

Z = stats.norm.isf(0.001 / 2)  # surpassed in one run of a thousand


def images(covariance, batch, size, **options):
    return FieldSampler(covariance, size, **options).sample(batch, Stream(7, "images").generator())


def mean_and_error(values):
    """The mean over the batch, and its standard error between images."""
    per_image = values.double().flatten(1).mean(1).numpy()
    return per_image.mean(), per_image.std(ddof=1) / math.sqrt(len(per_image))


X = torch.randn(3, 2, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_offsets_are_the_fields_that_were_asked_for(dtype):
    """Deviation, covariance at two lags, and independence of the axes, within standard errors between 1,500 fields."""
    warp = RandomFieldWarp(1.5, Matern(length=3, nu="5/2", variance=4))
    offsets = warp.offsets(torch.zeros(1500, 1, 10, 8, dtype=dtype))
    assert offsets.dtype == dtype
    assert offsets.shape == (1500, 2, 10, 8)
    rho = Matern(length=3, nu="5/2")
    pairs = {
        "variance": (offsets**2, 1.0),
        "down": (offsets[:, :, 2:] * offsets[:, :, :-2], float(rho(2.0))),
        "right": (offsets[..., 3:] * offsets[..., :-3], float(rho(3.0))),
        "axes": (offsets[:, 0] * offsets[:, 1], 0.0),
        "images": (offsets[1:] * offsets[:-1], 0.0),
    }
    for name, (products, wanted) in pairs.items():
        mean, error = mean_and_error(products)
        assert abs(mean - 1.5**2 * wanted) < (Z + 1) * error, name


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("kernel", ["linear", "keys"])
def test_no_spread_is_the_identity(dim, kernel):
    x = X.flatten()[: 2 * 4**dim].reshape(1, 2, *[4] * dim)
    assert torch.equal(RandomFieldWarp(0.0, dim=dim, kernel=kernel)(x), x)


@pytest.mark.parametrize("boundary", ["reflect", "mirror"])
def test_it_is_the_warp_by_its_offsets(boundary):
    """The same seed draws the offsets that a second module warps by; both kernel and boundary are handed on."""
    options = {"kernel": "keys", "boundary": boundary}
    offsets = RandomFieldWarp(2.0, 3.0, seed=4).offsets(X)
    found = RandomFieldWarp(2.0, 3.0, seed=4, **options)(X)
    torch.testing.assert_close(found, wt.warp(X, offsets, **options), rtol=0, atol=0)


def test_numbers_depend_on_seed_and_call_alone():
    first, second, other = (RandomFieldWarp(1.0, 3.0, seed=seed) for seed in (1, 1, 2))
    calls = [first.offsets(X) for _ in range(3)]
    assert torch.equal(second.offsets(X), calls[0])
    assert torch.equal(second.offsets(X), calls[1])
    assert not torch.equal(calls[0], calls[1])
    assert not torch.equal(other.offsets(X), calls[0])
    restarted = RandomFieldWarp(1.0, 3.0, seed=1)
    restarted.load_state_dict(second.state_dict())
    assert torch.equal(restarted.offsets(X), calls[2])


def test_it_is_among_the_operators():
    assert wt.operators.RandomFieldWarp is RandomFieldWarp
    assert isinstance(RandomFieldWarp().strength(Matern()), wt.operators.WarpStrength)
    assert {"RandomFieldWarp", "WarpStrength"} <= set(wt.operators.__all__)


def test_the_embedding_is_kept_for_a_size():
    warp = RandomFieldWarp(1.0, 3.0)
    for x in (X, X, X[..., :5]):
        warp.offsets(x)
    assert list(warp._samplers) == [(9, 8), (9, 5)]


def test_gradients_flow_to_the_images():
    """⟨g, Wv⟩ = ⟨∂⟨g, Wx⟩/∂x, v⟩: the warp is linear in the images."""
    x, v, g = X.clone().requires_grad_(), X.flip(0), X.flip(2)
    (RandomFieldWarp(1.0, 3.0)(x) * g).sum().backward()
    moved = (RandomFieldWarp(1.0, 3.0)(v) * g).sum()
    torch.testing.assert_close((x.grad * v).sum(), moved, rtol=1e-12, atol=1e-12)
    assert x.grad.abs().max() > 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_images_keep_their_dtype(dtype):
    assert RandomFieldWarp(1.0, 3.0)(X.to(dtype)).dtype == dtype


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("spread", [0.2, 1.0, 6.0])
def test_displacement_error_of_smooth_fields_has_a_closed_form(dim, spread):
    """2σ²(1 − ∏(1 + s²/ℓᵢ²)^−½), with another length along the last axis as well."""
    for last in (1, 3):
        matrix = np.diag([*[1] * (dim - 1), last]).tolist()
        image = SquaredExponential(length=3, variance=2, dim=dim, anisotropy=matrix)
        squares = spread**2 * np.array([*[1] * (dim - 1), last**2]) / 9
        exact = 2 * 2 * (1 - np.prod(1 + squares) ** -0.5)
        assert displacement_error(image, spread) == pytest.approx(exact, abs=1e-9)
        if last == 1:
            round_image = SquaredExponential(length=3, variance=2, dim=dim)
            assert displacement_error(round_image, spread) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("image", [Matern(length=4, nu="3/2"), Exponential(length=4, variance=3)], ids=repr)
@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_displacement_error_by_the_spectrum(image, spread):
    """C6 as it is written, by SciPy's quadrature of the closed density times exp(−k²s²/2)."""

    def integrand(k):
        return float(image.spectral_density(k)) * math.exp(-((k * spread) ** 2) / 2) * k / (2 * math.pi)

    total = integrate.quad(integrand, 0, 10 / spread, epsrel=1e-10, limit=200)[0]
    exact = 2 * (float(image.variance) - total)
    assert displacement_error(image, spread) == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("spread", [0.3, 1.0, 20.0])
def test_displacement_error_of_a_measured_spectrum(spread):
    """Against the midpoint rule on the square |ωᵢ| ≤ π, 1500² frequencies, whose kinks it takes to (π/1500)²."""
    image = ImageSpectrum(np.array([0.3, 1.2, 3.3, 4.2]), np.array([[4.0, 1.0, 0.5, 0.2]]))
    omega = (np.arange(1500) + 0.5) * math.pi / 1500
    square = omega[:, None] ** 2 + omega**2
    density = np.exp(np.interp(np.log(square) / 2, np.log(image.wavenumbers), np.log(image.density[:])))
    exact = 2 * (density * (1 - np.exp(-square * spread**2 / 2))).mean()
    assert displacement_error(image, spread) == pytest.approx(exact, rel=1e-5)


def test_displacement_error_of_white_noise_and_none():
    assert displacement_error(White(variance=3), 0.1) == 6
    assert displacement_error(White(variance=3), 0.0) == 0


@pytest.mark.parametrize("spread", [0.4, 1.5])
def test_measured_displacement_error(spread):
    """Within five standard errors of C6, 350 images: no other error is left.

    The sinc kernel is exact for periodic fields whose spectrum ends below π: ℓ = 2 leaves exp(−2π²) of it beyond.
    """
    image = SquaredExponential(length=2, variance=3)
    x = images(image, 350, (20, 20), periodic=True)
    warp = RandomFieldWarp(spread, 5.0, kernel="sinc", boundary="periodic")
    mean, error = mean_and_error((warp(x) - x) ** 2)
    strength = warp.strength(image)
    assert abs(mean - strength.displacement_error) < 5 * error
    assert strength.relative_error == pytest.approx(strength.displacement_error / 6, rel=1e-14)
    assert error < 0.03 * strength.displacement_error


def test_measured_displacement_error_of_the_linear_kernel():
    """Five standard errors of C6, and the error of interpolation: along an axis at most |x″|/8, in mean square √λ₄/8.

    With both axes √D = √λ₄/4, so that the root of the error changes by no more than that.
    """
    image = SquaredExponential(length=5)
    x = images(image, 400, (32, 32), periodic=True)
    warp = RandomFieldWarp(1.5, 6.0, boundary="periodic")
    mean, error = mean_and_error((warp(x) - x) ** 2)
    wanted, interpolation = warp.strength(image).displacement_error, math.sqrt(float(image.fourth_moment())) / 4
    assert interpolation < 0.05 * math.sqrt(wanted) * 2
    assert abs(math.sqrt(mean) - math.sqrt(wanted)) < 5 * error / (2 * math.sqrt(wanted)) + interpolation


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("tau", [0.35, 0.6, 1.0])
def test_fold_probability_is_the_result(dim, tau):
    """The closed forms of B7, which the results room derives."""
    exact = wt.results.get("B7").evaluate("fold probability", dim=dim, tau=tau, standard=True)
    assert fold_probability(tau, dim) == pytest.approx(exact, rel=1e-10)


def test_folds_of_flat_and_rough_offsets():
    image = SquaredExponential(length=4)
    assert RandomFieldWarp(0.0).strength(image).fold_probability == 0
    rough = RandomFieldWarp(0.1, Exponential(length=30)).strength(image)
    assert (rough.slope_deviation, rough.fold_probability) == (math.inf, 0.5)
    smooth = RandomFieldWarp(2.0, Matern(length=8, nu="5/2", variance=9)).strength(image)
    assert smooth.slope_deviation == pytest.approx(2 * math.sqrt(5 / 3) / 8, rel=1e-12)


@pytest.mark.parametrize(("dim", "size", "batch"), [(1, (40,), 2000), (2, (14, 14), 800), (3, (8, 8, 8), 200)])
def test_measured_folds(dim, size, batch):
    """Central differences (ε(t + eⱼ) − ε(t − eⱼ))/2 of an isotropic field are independent, of variance (K(0) − K(2))/2.

    B7 at that τ has no error of discretisation: what is left is the standard error between fields.
    """
    warp = RandomFieldWarp(1.1, 1.5, dim=dim)
    offsets = warp.offsets(torch.zeros(batch, 1, *size, dtype=torch.float64))
    inner = tuple(slice(1, -1) for _ in size)
    slopes = torch.stack(
        [((offsets.roll(-1, 2 + j) - offsets.roll(1, 2 + j)) / 2)[(..., *inner)] for j in range(dim)], dim=2
    )
    matrices = slopes.movedim((1, 2), (-2, -1)) + torch.eye(dim, dtype=torch.float64)
    mean, error = mean_and_error(torch.linalg.det(matrices) < 0)
    tau = 1.1 * math.sqrt((1 - math.exp(-(2**2) / (2 * 1.5**2))) / 2)
    exact = fold_probability(tau, dim)
    assert abs(mean - exact) < Z * error
    assert error < 0.06 * exact


def test_measured_folds_of_the_strength():
    """Forward differences as networks are diagnosed by, against the continuum's number, ℓ = 8.

    They have τ² smaller by a share 1/4ℓ², and P = ½exp(−1/2τ²) with it by 1/2τ² times that; the correlation of both
    slopes of a component, 1/4ℓ², counts to second order, because mirroring an axis turns its sign.
    """
    warp = RandomFieldWarp(4.0, 8.0)
    strength = warp.strength(SquaredExponential(length=3))
    assert strength.slope_deviation == pytest.approx(0.5, rel=1e-12)
    offsets = warp.offsets(torch.zeros(1500, 1, 20, 20, dtype=torch.float64))
    mean, error = mean_and_error(jacobian_determinant(offsets) < 0)
    bias = strength.fold_probability / (2 * 0.5**2) / (4 * 8**2)
    assert abs(mean - strength.fold_probability) < Z * error + 2 * bias
    assert error < 0.05 * strength.fold_probability


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("tau", [0.35, 0.6, 1.0])
def test_fold_probability_of_gradients_is_the_result(dim, tau):
    """The closed forms of B13; on a line a gradient is as good as any field (B7)."""
    exact = wt.results.get("B13").evaluate("fold probability", dim=dim, tau=tau)
    assert fold_probability(tau, dim, potential=True) == pytest.approx(exact, rel=1e-10)
    assert fold_probability(tau, 1, potential=True) == pytest.approx(fold_probability(tau, 1), rel=1e-12)


@pytest.mark.parametrize(("dim", "size", "batch"), [(1, (300,), 60), (2, (40, 40), 60), (3, (16, 16, 16), 40)])
def test_gradients_have_the_spread_the_slopes_and_the_folds_that_are_told(dim, size, batch):
    """Slopes along an axis pass through its forward differences, which take a share ω²/12 off: 3 % at ℓ = 4."""
    warp = RandomFieldWarp(1.6, 4.0, dim=dim, potential=True)
    strength = warp.strength(SquaredExponential(length=3, dim=dim))
    offsets = warp.offsets(torch.zeros(batch, 1, *size, dtype=torch.float64))
    mean, error = mean_and_error(offsets.square())
    assert abs(mean - 1.6**2) < Z * error
    # E(∂ᵢ²Ψ)² = 3/ℓ⁴, (∂ᵢ∂ⱼΨ)² = 1/ℓ⁴, against E(∂ᵢΨ)² = 1/ℓ².
    assert strength.slope_deviation == pytest.approx(1.6 / 4 * math.sqrt((dim + 2) / dim), rel=1e-12)
    mean, error = mean_and_error(jacobian_determinant(offsets) < 0)
    tau = strength.slope_deviation
    smoother, wanted = fold_probability(tau * (1 - 0.03), dim, potential=True), strength.fold_probability
    assert abs(mean - wanted) < Z * error + 1.2 * abs(wanted - smoother)


@pytest.mark.parametrize(("length", "size", "batch"), [(0.95, (16, 16), 400), (1.0, (9, 8), 800), (64.0, (64,), 6000)])
def test_potentials_of_any_length_that_is_drawn_have_their_spread(length, size, batch):
    warp = RandomFieldWarp(1.0, length, dim=len(size), potential=True)
    offsets = warp.offsets(torch.zeros(batch, 1, *size, dtype=torch.float64))
    mean, error = mean_and_error(offsets.square())
    assert abs(mean - 1) < Z * error
    assert error < 0.03
    if length > 16:  # slopes between neighbours are those of the continuum
        mean, error = mean_and_error(offsets.diff(dim=2).square())
        assert abs(mean - warp.strength(SquaredExponential(dim=1)).slope_deviation ** 2) < Z * error


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("length", "size", "named"),
    [
        (0.3, (16, 16), "of a greater length"),
        (1e4, (16,), "of a smaller length"),
        (1e4, (16, 16), "of a smaller length"),
        (128.0, (64,), None),
        (2.0, (1, 8), "two pixels or more"),
    ],
)
def test_potentials_that_the_grid_does_not_hold_are_refused(length, size, named):
    warp = RandomFieldWarp(1.0, length, dim=len(size), potential=True)
    x = torch.zeros(2, 1, *size)
    if named is None:
        assert warp.offsets(x).shape == (2, 1, 64)
    else:
        with pytest.raises(ArgumentError, match=f"correlation: expected a potential that a grid .*{named}"):
            warp.offsets(x)


SHEARED = SquaredExponential(length=3, anisotropy=((1, "1/2"), (0, 1)))
BAD = {
    "spread": (lambda: RandomFieldWarp(-1), "^spread: expected a finite deviation"),
    "nan": (lambda: RandomFieldWarp(math.nan), "^spread: expected a finite deviation"),
    "length": (lambda: RandomFieldWarp(1, 0), "^correlation: expected a length > 0"),
    "text": (lambda: RandomFieldWarp(1, "matern"), "^correlation: expected a length > 0"),
    "dim": (lambda: RandomFieldWarp(1, Matern(), dim=3), "^dim: expected 2, as the covariance has"),
    "four axes": (lambda: RandomFieldWarp(1, dim=4), "^dim: expected 1, 2 or 3"),
    "kernel": (lambda: RandomFieldWarp(kernel="cubic"), "^kernel: expected one of"),
    "boundary": (lambda: RandomFieldWarp(boundary="wrap"), "^boundary: expected one of"),
    "pair": (lambda: RandomFieldWarp(kernel="sinc"), "^boundary: expected 'periodic'"),
    "axes": (lambda: RandomFieldWarp()(X[..., 0]), "^x: expected 2 spatial axes"),
    "integers": (lambda: RandomFieldWarp()(X.int()), "^x: expected a floating dtype"),
    "image": (lambda: RandomFieldWarp(dim=1).strength(Matern()), "^image: expected a covariance on 1 axes"),
    "slopes": (lambda: RandomFieldWarp(1, SHEARED).strength(Matern()), "^correlation: expected slopes alike"),
    "rough potential": (
        lambda: RandomFieldWarp(1, Exponential(length=3), potential=True),
        "^correlation: expected a differentiable isotropic field",
    ),
    "potential": (lambda: RandomFieldWarp(1, potential="yes"), "^potential: expected"),
    "error": (lambda: displacement_error(Matern(), -1.0), "^spread: expected a finite deviation"),
}


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, message = BAD[case]
    with pytest.raises((ArgumentError, UnknownNameError), match=message):
        call()
