"""Dynamic filter atoms against a loop over pixels and against the original, written out here as it computes."""

import inspect
import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import nn
from torch.nn import functional

from tests.operators.unfit_images import UNFIT_IMAGES
from warptheory import operators
from warptheory.core.errors import ArgumentError
from warptheory.core.tolerances import rounding
from warptheory.operators import DynamicFilterAtomConv2d, dynamic_filter_atom_conv2d

# At most C·M·K = 4·3·25 products, and a sum over the pixels for gradients.
ROUNDING = rounding(torch.float64, operations=1000, magnitude=30)
TANH_ENERGY = integrate.quad(lambda t: math.tanh(t) ** 2 * stats.norm.pdf(t), -12, 12)[0]


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


# ---- what the original computes


def original_table(orders=16, count=30):
    """Return its table of Bessel zeros: order, number, zero and next zero, from another library than ours."""
    rows = []
    for order in range(orders):
        zeros = [float(mpmath.besseljzero(order, n)) for n in range(1, count + 1)]
        rows += [(order, n + 1, zeros[n], zeros[n + 1]) for n in range(count - 1)]
    return np.array(rows)


TABLE = original_table(16, 8)


def original_functions(reach):
    """Return all functions (F, 2s + 1, 2s + 1) that its calculate_FB_bases makes."""
    most, margin, radius = (2 * reach + 1) ** 2 - 1, reach + 1, reach + 0.5
    factor = 2 if reach < 2 else 1.5
    xx, yy = np.meshgrid(range(-margin, margin + 1), range(-margin, margin + 1))
    xx, yy = xx / radius, yy / radius
    first, second = yy.ravel(), xx.ravel()
    distance, angle = np.sqrt(first**2 + second**2), np.arctan2(second, first)
    chosen = TABLE[(TABLE[:, 0] <= 15) & (TABLE[:, 3] <= np.pi * radius * factor)]
    found = []
    for order, _, zero, _ in chosen[np.argsort(chosen[:, 2])]:
        phi = 1.0 / np.abs(special.jv(order + 1, zero)) * special.jv(order, distance * zero)
        phi[distance >= 1] = 0
        if order == 0:
            found.append(phi)
        else:
            found.append(phi * np.cos(order * angle) * np.sqrt(2))
            found.append(phi * np.sin(order * angle) * np.sqrt(2))
    functions = np.array(found)[:most].reshape(-1, 2 * margin + 1, 2 * margin + 1)[:, 1:-1, 1:-1]
    return functions / np.sqrt((functions**2).sum((1, 2)).mean())


def original_bases(taps, count):
    """Return its bases (F, K²), float32."""
    found = []
    for reach in range(1, taps // 2 + 1):
        pad = taps // 2 - reach
        functions = torch.tensor(original_functions(reach).astype(np.float32)[:count])
        found.append(functional.pad(functions, (pad, pad, pad, pad)).reshape(count, -1))
    return torch.cat(found)


class Original(nn.Module):
    """The original's parameters by their names, with what it computes of them; dropouts of rate 0 are left out."""

    def __init__(
        self, in_channels, out_channels, kernel_size, inter_kernel_size=5, stride=1, padding=0, num_bases=6,
        bias=True, bases_grad=True, dilation=1, groups=1, mode="mode1", bases_drop=None,
    ):  # fmt: skip
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding, self.num_bases = kernel_size, stride, padding, num_bases
        self.register_buffer("bases", original_bases(kernel_size, num_bases))
        self.tem_size = len(self.bases)
        size = num_bases * self.tem_size
        inter = max(64, size // 2)
        self.bases_net = nn.Sequential(
            nn.Conv2d(in_channels, inter, kernel_size=3, padding=1, stride=stride),
            nn.BatchNorm2d(inter),
            nn.Tanh(),
            nn.Conv2d(inter, size, kernel_size=3, padding=1),
            nn.BatchNorm2d(size),
            nn.Tanh(),
        )
        self.coef = nn.Parameter(torch.empty(out_channels, in_channels * num_bases, 1, 1))
        nn.init.kaiming_normal_(self.coef, mode="fan_out", nonlinearity="relu")
        self.register_parameter("bias", nn.Parameter(torch.zeros(out_channels)) if bias else None)

    def forward(self, x):
        batch, height, width = len(x), x.shape[2] // self.stride, x.shape[3] // self.stride
        numbers = self.bases_net(x).view(batch, self.num_bases, self.tem_size, height, width)
        bases = torch.einsum("bmkhw, kl->bmlhw", numbers, self.bases)
        columns = functional.unfold(x, kernel_size=self.kernel_size, stride=self.stride, padding=self.padding)
        columns = columns.view(batch, self.in_channels, self.kernel_size**2, height, width)
        found = torch.einsum("bmlhw,bclhw->bcmhw", bases, columns).reshape(batch, -1, height, width)
        return functional.conv2d(found, self.coef, self.bias)


# ---- the bases


# Of the table that comes with the original: order, number of the zero, zero, next zero.
PUBLISHED = [(0, 1, 2.40482556, 5.52007811), (0, 5, 14.93091771, 18.07106397), (1, 1, 3.83170597, 7.01558667)]


def test_the_table_of_zeros_is_that_of_the_original():
    """To its eight printed digits where it is quoted."""
    for order, number, zero, after in PUBLISHED:
        row = TABLE[(TABLE[:, 0] == order) & (TABLE[:, 1] == number)][0]
        assert row[2:] == pytest.approx([zero, after], abs=5e-9)


@pytest.mark.parametrize(("taps", "count"), [(3, 6), (5, 6), (7, 4), (9, 1)])
def test_bases_are_those_of_the_original(taps, count):
    bases = DynamicFilterAtomConv2d(2, 2, taps, num_bases=count).bases
    # Functions of size 1 whose zeros are rounded to float64, kept in float32.
    torch.testing.assert_close(bases, original_bases(taps, count), rtol=1e-6, atol=1e-7)


def test_norms_of_bases_have_a_mean_square_of_one():
    """Of all functions of a grid: the six of the smallest are all, and are far from orthonormal."""
    bases = DynamicFilterAtomConv2d(2, 2, 5).bases.double()
    norms = bases.square().sum(1)
    assert float(norms[:6].sum()) == pytest.approx(6, abs=1e-6)
    assert float(norms[6:].sum()) == pytest.approx(5.97357, abs=1e-5)
    assert float(norms[:6].sqrt().min()) == pytest.approx(0.30, abs=0.01)


# ---- the operator


def loop(x, atoms, coefficients, bias, options):
    """Return the outcome, pixel by pixel: the filter of a pixel is composed, and applied."""
    stride, padding, dilation, groups = options
    batch, count, rows, columns, height, width = atoms.shape
    padded = functional.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    by_atom = coefficients.reshape(len(coefficients), -1, count)
    pixels = []
    for b, i, j in np.ndindex(batch, height, width):
        filters = torch.einsum("dim,mkl->dikl", by_atom, atoms[b, :, :, :, i, j])
        top, left = stride[0] * i, stride[1] * j
        bottom, right = top + dilation[0] * (rows - 1) + 1, left + dilation[1] * (columns - 1) + 1
        window = padded[b, :, top : bottom : dilation[0], left : right : dilation[1]]
        by_group = filters.unflatten(0, (groups, -1)), window.unflatten(0, (groups, -1))
        pixels.append(torch.einsum("gdikl,gikl->gd", *by_group).flatten() + bias)
    return torch.stack(pixels).reshape(batch, height, width, -1).movedim(3, 1)


@pytest.mark.parametrize("seed", range(52))
def test_equals_a_loop_over_pixels(seed):
    """Values and all gradients."""
    generator = torch.Generator().manual_seed(seed)

    def pick(low, high):
        return int(torch.randint(low, high, (1,), generator=generator))

    groups, count, batch = pick(1, 3), pick(1, 4), pick(1, 3)
    options = [(pick(low, 3), pick(low, 3)) for low in (1, 0, 1)]
    stride, padding, dilation = options
    kernel_size, size = (pick(1, 4), pick(1, 4)), (pick(5, 8), pick(5, 8))
    grid = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation, strict=True)
    ]
    inputs, outputs = groups * pick(1, 3), groups * pick(1, 3)
    shapes = (
        (batch, inputs, *size),
        (batch, count, *kernel_size, *grid),
        (outputs, inputs // groups * count, 1, 1),
        (outputs,),
    )
    x, atoms, coefficients, bias = leaves = [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes
    ]
    expected = loop(x, atoms, coefficients, bias, (*options, groups))
    found = dynamic_filter_atom_conv2d(x, atoms, coefficients, bias, *options, groups)
    close(found, expected)
    g = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    for ours, theirs in zip(*(torch.autograd.grad(y, leaves, g) for y in (found, expected)), strict=True):
        close(ours, theirs)


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_original(seed):
    """Where it works: even sizes or stride 1, padding k // 2. Values and gradients of all parameters."""
    torch.manual_seed(seed)
    taps, stride = (3, 5)[seed % 2], 1 + seed // 2 % 2
    original = Original(3, 4, taps, stride=stride, padding=taps // 2, bias=seed > 3).double()
    (counterpart,) = operators.get("dynamic_filter_atom").counterparts
    ours = counterpart.to_ours(original).double()
    ours.load_state_dict(original.state_dict())
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64, requires_grad=True)
    found, expected = ours(x), original(x)
    close(found, expected)
    g = torch.randn_like(found)
    gradients = [
        torch.autograd.grad(y, (x, *each.parameters()), g) for y, each in ((found, ours), (expected, original))
    ]
    for mine, theirs in zip(*gradients, strict=True):
        close(mine, theirs)
    back = counterpart.to_original(ours, Original).double()
    back.load_state_dict(ours.state_dict())
    close(back(x), original(x))


# ---- defects of the original


def interior_gain(layer, x, taps):
    """Return the energies of outcome and of the predicted numbers away from borders, for white images of variance 1."""
    numbers = []
    handle = layer.bases_net.register_forward_hook(lambda _, __, found: numbers.append(found))
    with torch.no_grad():
        y = layer(x)
    handle.remove()
    inside = (..., slice(taps, -taps), slice(taps, -taps))
    return [float(each[inside].square().mean()) for each in (y, numbers[0])] + [float(y.square().mean())]


@pytest.mark.parametrize(("taps", "published", "energy"), [(3, 28.4, 6), (5, 56.7, 11.97357)])
def test_gain_of_a_new_layer(taps, published, energy):
    """(C/D)·2·M·E η²·‖ψ‖², within four standard errors over layers drawn anew; E η² is nearly E tanh² of normal ones.

    Away from borders η is larger than its mean over all pixels, which the norm fixes: near borders what predicts reads
    zeros. The outcome there is smaller too, so that the gain of whole images lies below the formula.
    """
    layers, channels, size = 24, 24, 24
    found = {}
    for build, expected in (
        (lambda: Original(channels, channels, taps, padding=taps // 2), 12 * energy),
        (lambda: DynamicFilterAtomConv2d(channels, channels, taps, padding=taps // 2), 1 / TANH_ENERGY),
    ):
        rows = []
        with torch.random.fork_rng():
            for seed in range(layers):
                torch.manual_seed(seed)
                layer, x = build(), torch.randn(2, channels, size, size)
                assert float(layer.bases.square().sum()) == pytest.approx(energy, abs=1e-5)
                rows.append(interior_gain(layer, x, taps))
        inside, numbers, whole = np.array(rows).T
        ratio = inside / (expected * numbers)
        error = ratio.std(ddof=1) / math.sqrt(layers)
        assert abs(ratio.mean() - 1) < 4 * error < 0.05
        # Pixels beside a border are 2/size of a side: so much at most, and the standard error, parts them.
        assert abs(numbers.mean() / TANH_ENERGY - 1) < 4 / size
        found[expected] = whole.mean()
    original, ours = found.values()
    assert original == pytest.approx(published, rel=0.1)
    assert ours == pytest.approx(1, rel=0.1)
    assert 12 * energy * TANH_ENERGY == pytest.approx(published, abs=0.06)


def test_odd_sizes_and_any_padding():
    x = torch.randn(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    for layer in (Original(3, 4, 3, stride=2, padding=1), Original(3, 4, 3, padding=0)):
        with pytest.raises(RuntimeError):
            layer(x)
    assert DynamicFilterAtomConv2d(3, 4, 3, stride=2, padding=1)(x).shape == (2, 4, 4, 5)
    # Less padding leaves pixels out, and changes no other; what predicts is in eval mode, as norms see all pixels.
    torch.manual_seed(0)
    whole = DynamicFilterAtomConv2d(3, 4, 5, padding=2).double().eval()
    for padding in (0, 1, 4):
        cut = DynamicFilterAtomConv2d(3, 4, 5, padding=padding).double().eval()
        cut.load_state_dict(whole.state_dict())
        found, expected = cut(x.double()), whole(x.double())
        if padding < 2:
            margin = 2 - padding
            inside = (..., slice(margin, -margin), slice(margin, -margin))
            # The second convolution that predicts pads with zeros, one pixel further in.
            close(found[..., 1:-1, 1:-1], expected[inside][..., 1:-1, 1:-1])
        else:
            close(found[..., 3:-3, 3:-3], expected[..., 1:-1, 1:-1])
    assert whole(x.double()[..., :5, :5]).shape == (2, 4, 5, 5)


def test_no_argument_is_without_effect():
    """Each of the original's leaves its outcome as it is; each of ours changes it."""
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    def outcome(kind, **options):
        torch.manual_seed(0)
        layer = kind(4, 4, 3, padding=1, **options)
        return layer(x), sum(each.numel() for each in layer.parameters())

    changed = {
        "inter_kernel_size": 7,
        "bases_grad": False,
        "dilation": 2,
        "groups": 2,
        "mode": "mode0",
        "bases_drop": 0.5,
    }
    for name, value in changed.items():
        plain, other = outcome(Original), outcome(Original, **{name: value})
        assert torch.equal(plain[0], other[0])
        assert plain[1] == other[1]
    arguments = inspect.signature(DynamicFilterAtomConv2d).parameters
    assert set(changed) - set(arguments) == {"mode", "bases_drop"}
    changed["bases_grad"] = True
    for name in set(changed) & set(arguments):
        plain, other = outcome(DynamicFilterAtomConv2d), outcome(DynamicFilterAtomConv2d, **{name: changed[name]})
        assert plain[1] != other[1] or plain[0].shape != other[0].shape


# ---- what is refused

IMAGE, ATOMS, COEFFICIENTS = torch.zeros(2, 4, 5, 5), torch.zeros(2, 2, 3, 3, 3, 3), torch.zeros(4, 8, 1, 1)
# Past the checks of shapes that tests run with.
unchecked = inspect.unwrap(dynamic_filter_atom_conv2d)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("kernel_size", lambda: DynamicFilterAtomConv2d(4, 4, 4)),
        ("kernel_size", lambda: DynamicFilterAtomConv2d(4, 4, 1)),
        ("inter_kernel_size", lambda: DynamicFilterAtomConv2d(4, 4, 3, 2)),
        ("num_bases", lambda: DynamicFilterAtomConv2d(4, 4, 3, num_bases=7)),
        ("groups", lambda: DynamicFilterAtomConv2d(4, 4, 3, groups=3)),
        ("bases_grad", lambda: DynamicFilterAtomConv2d(4, 4, 3, bases_grad=1)),
        ("initial_gain", lambda: DynamicFilterAtomConv2d(4, 4, 3, initial_gain=0)),
        ("padding", lambda: DynamicFilterAtomConv2d(4, 4, 3, padding=-1)),
        ("input", lambda: DynamicFilterAtomConv2d(3, 4, 3)(IMAGE)),
        ("input", lambda: DynamicFilterAtomConv2d(4, 4, 7)(IMAGE)),
        ("input", lambda: unchecked(IMAGE, ATOMS, COEFFICIENTS, groups=3)),
        ("atoms", lambda: unchecked(IMAGE, ATOMS, COEFFICIENTS, padding=1)),
        ("atoms", lambda: unchecked(IMAGE, ATOMS[0], COEFFICIENTS)),
        ("coefficients", lambda: unchecked(IMAGE, ATOMS, COEFFICIENTS[:, 1:])),
        ("coefficients", lambda: unchecked(IMAGE, ATOMS, COEFFICIENTS[:3, :4], groups=2)),
    ],
)
def test_errors_name_the_argument(name, call):
    with pytest.raises(ArgumentError) as raised:
        call()
    assert raised.value.argument == name


def test_the_original_has_no_such_option():
    (counterpart,) = operators.get("dynamic_filter_atom").counterparts
    with pytest.raises(ArgumentError, match="^model: expected inter_kernel_size, dilation and groups"):
        counterpart.to_original(DynamicFilterAtomConv2d(4, 4, 3, groups=2), Original)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(("x", "message"), UNFIT_IMAGES)
def test_what_does_not_fit_a_layer(x, message):
    with pytest.raises(ArgumentError, match=message):
        DynamicFilterAtomConv2d(4, 6, 3)(x)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": [1.0]}, r"^input: expected a tensor.*, got list$"),
        ({"atoms": [1.0]}, r"^atoms: expected a tensor.*, got list$"),
        ({"coefficients": [1.0]}, r"^coefficients: expected a tensor.*, got list$"),
        ({"bias": [1.0]}, r"^bias: expected a tensor.*, got list$"),
        ({"atoms": torch.zeros(1, 2, 3, 3, 3, 3).double()}, r"^atoms: expected dtype torch.float32, as input has"),
        (
            {"coefficients": torch.zeros(4, 8, 1, 1).double()},
            r"^coefficients: expected dtype torch.float32, as input has",
        ),
    ],
)
def test_arguments_that_are_no_tensors_of_the_dtype(change, message):
    good = {
        "input": torch.zeros(1, 4, 5, 5),
        "atoms": torch.zeros(1, 2, 3, 3, 3, 3),
        "coefficients": torch.zeros(4, 8, 1, 1),
    }
    with pytest.raises(ArgumentError, match=message):
        dynamic_filter_atom_conv2d(**good | change)
