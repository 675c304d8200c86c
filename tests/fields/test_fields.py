import numpy as np
import pytest
import torch

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.fields import IID, Matern, laws, photographs

pytestmark = pytest.mark.usefixtures("as_users_call")


def test_photographs_are_real_images():
    names = photographs.names()
    assert len(names) >= 10
    for name in names:
        image = photographs.load(name)
        assert image.ndim == 3
        assert image.shape[0] in (1, 3)
        assert 0 <= image.min() < image.max() <= 1
        # Neighbouring pixels of a photograph are alike; of noise they are not.
        x = image - image.mean((1, 2), keepdim=True)
        assert (x[..., 1:] * x[..., :-1]).mean() > 0.5 * (x * x).mean(), name


def test_grey_is_the_luminance():
    colour, grey = photographs.load("chelsea"), photographs.load("chelsea", grey=True)
    weights = torch.tensor([0.2125, 0.7154, 0.0721], dtype=torch.float64)
    torch.testing.assert_close(grey[0], torch.einsum("c,chw->hw", weights, colour), rtol=0, atol=1e-12)


def test_unknown_photograph():
    with pytest.raises(UnknownNameError, match="^name: expected one of .*, got 'lena'"):
        photographs.load("lena")


def test_fields_depend_on_the_generator_alone():
    first, second = (IID("laplace").sample(3, (4, 5), np.random.default_rng(2), channels=2) for _ in range(2))
    assert first.shape == (3, 2, 4, 5)
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: IID("gauss").sample(1, (2,), np.random.default_rng()), "^law: expected one of .*, got 'gauss'"),
        (lambda: IID("normal").sample(-1, (2,), np.random.default_rng()), "^batch: expected an integer ≥ 0, got -1$"),
        (lambda: IID("normal").sample(1, (), np.random.default_rng()), r"^size: expected positive integers, got \(\)$"),
        (
            lambda: IID("normal").sample(1, (2, 0), np.random.default_rng()),
            r"^size: expected positive integers, got \(2, 0\)$",
        ),
        (
            lambda: laws.get("normal").sample(np.random.default_rng(), (2,)),
            "^scale: expected a number for the scale of normal, got the symbol s$",
        ),
        (lambda: laws.get("normal").cumulant(0), "^order: expected a positive integer, got 0$"),
        (lambda: laws.get("normal").at(scale=-1), "^scale: expected a finite scale ≥ 0 for normal, got -1$"),
        (lambda: laws.get("normal").at(scale=float("nan")), "^scale: expected a finite scale"),
        (
            lambda: laws.get("normal").at(location=float("inf")),
            "^location: expected a finite location for normal, got inf$",
        ),
        (lambda: laws.get(3), "^law: expected a name or a Law, got int$"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.5, (2,)), "^batch: expected an integer ≥ 0, got 1.5"),
        ((10**12, (8,)), "^size: expected a size that fits into "),
        ((1, (10**9, 10**9)), "^size: expected a size that fits into "),
        ((1, 3), "^size: expected positive integers, got 3"),
        ((1, (2.0,)), "^size: expected positive integers, got "),
    ],
)
def test_sizes_of_samples(arguments, message, as_users_call):
    with pytest.raises(ArgumentError, match=message):
        IID("normal").sample(*arguments, np.random.default_rng(0))


@pytest.mark.parametrize("spread", [10**400, True, "1", -1, None], ids=str)
def test_spreads_that_are_none(spread, as_users_call):
    with pytest.raises(ArgumentError, match="^spread: expected a finite deviation"):
        Matern(dim=1).mean_over_offsets(spread)


def test_a_share_is_a_number(as_users_call):
    with pytest.raises(ArgumentError, match="^share: expected a finite number ≥ 0"):
        Matern(dim=1).range(float("nan"))
