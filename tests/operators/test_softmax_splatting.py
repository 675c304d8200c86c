"""Softmax splatting is a loop that scatters pixels, in every mode of the original, and finite where that is not."""

import itertools
import math

import pytest
import torch

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.tolerances import rounding
from warptheory.operators import SoftmaxSplatting, softmax_splat

ROUNDING = rounding(torch.float64, operations=100, magnitude=100)
ENDINGS = ("", "-addeps", "-zeroeps", "-clipeps")
MODES = ("sum", *("".join(each) for each in itertools.product(("avg", "linear", "soft"), ENDINGS)))


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=ROUNDING.relative, atol=ROUNDING.absolute)


def scattered(x, flow):
    """Push every pixel of images (B, C, H, W) to the four around where it goes, x before y."""
    batch, _, height, width = x.shape
    total = [[[0.0 * x[b, :, 0, 0] for _ in range(width)] for _ in range(height)] for b in range(batch)]
    for b, row, column in itertools.product(range(batch), range(height), range(width)):
        across, down = column + flow[b, 0, row, column], row + flow[b, 1, row, column]
        if not (across.isfinite() and down.isfinite()):
            continue
        west, north = math.floor(across.item()), math.floor(down.item())
        for j, i in itertools.product((north, north + 1), (west, west + 1)):
            if 0 <= i < width and 0 <= j < height:
                share = (1 - (across - i).abs()) * (1 - (down - j).abs())
                total[b][j][i] = total[b][j][i] + share * x[b, :, row, column]
    return torch.stack([torch.stack([torch.stack(row, -1) for row in image], -2) for image in total])


def original(x, flow, metric, mode):
    """What the original computes, by that loop."""
    kind, _, rule = mode.partition("-")
    if mode == "avg":
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    elif kind == "linear":
        x = torch.cat([x * metric, metric], 1)
    elif kind == "soft":
        x = torch.cat([x * metric.exp(), metric.exp()], 1)
    y = scattered(x, flow)
    if kind == "sum":
        return y
    divisor = y[:, -1:]
    if rule in ("", "addeps"):
        divisor = divisor + 1e-7
    elif rule == "zeroeps":
        divisor = torch.where(divisor == 0, 1.0, divisor)
    else:
        divisor = divisor.clip(1e-7, None)
    return y[:, :-1] / divisor


def call(seed, mode):
    generator = torch.Generator().manual_seed(seed)

    def number(least, most):
        return int(torch.randint(least, most + 1, (), generator=generator))

    shape = (number(1, 2), number(1, 3), number(1, 4), number(1, 4))
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    flow = 2 * torch.randn(shape[0], 2, *shape[2:], generator=generator, dtype=torch.float64)
    if mode in ("sum", "avg") or mode.startswith("avg"):
        return x, flow, None
    metric = torch.rand(shape[0], 1, *shape[2:], generator=generator, dtype=torch.float64)
    return x, flow, 6 * metric - 3 if mode.startswith("soft") else metric + 0.1


@pytest.mark.parametrize("mode", ["sum", "avg", *(mode for mode in MODES if mode.startswith(("linear", "soft")))])
def test_it_is_the_loop(mode):
    """Values and gradients, six random calls of each of ten modes; a metric's gradient is divided by small sums."""
    for seed in range(6):
        leaves = [None if each is None else each.requires_grad_() for each in call(seed, mode)]
        wanted = [each for each in leaves if each is not None]
        found, expected = softmax_splat(*leaves, mode), original(*leaves, mode)
        close(found.detach(), expected.detach())
        g = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=found.dtype)
        for each, other in zip(
            torch.autograd.grad(found, wanted, g),
            torch.autograd.grad(expected, wanted, g, materialize_grads=True),
            strict=True,
        ):
            torch.testing.assert_close(each, other, rtol=1e-9, atol=1e-11)


def test_a_pixel_without_a_finite_flow_goes_nowhere():
    x, flow, metric = call(4, "soft")
    for bad in (math.nan, math.inf):
        flow[0, 1, 0, 0] = bad
        close(softmax_splat(x, flow, metric), original(x, flow, metric, "soft"))


def test_large_metrics_do_not_overflow():
    """In single precision, where e^89 is infinite; the quotient does not change with the metric's zero."""
    x, flow, metric = (each.float() for each in call(7, "soft"))
    raised = metric + 100
    assert original(x, flow, raised, "soft").isnan().any()
    # The sums differ by the rounding of metrics near 100, and by the ϵ, which counts for less.
    torch.testing.assert_close(
        softmax_splat(x, flow, raised),
        original(x.double(), flow.double(), raised.double(), "soft").float(),
        rtol=1e-4,
        atol=1e-5,
    )
    far = torch.full_like(flow, 100.0)
    assert softmax_splat(x, far, raised).eq(0).all()
    assert softmax_splat(x, flow, metric - 200, "soft-zeroeps").isfinite().all()


def test_large_metrics_leave_distant_pixels_alone():
    """Metrics up to 88, within the original's range in single precision: all pixels keep their value."""
    x, flow, metric = torch.ones(1, 1, 1, 8), torch.zeros(1, 2, 1, 8), torch.zeros(1, 1, 1, 8)
    for largest in (50.0, 79.0, 88.0):
        metric[..., -1] = largest
        for mode in ("soft", "soft-zeroeps", "soft-clipeps"):
            found = softmax_splat(x, flow, metric, mode)
            torch.testing.assert_close(found, original(x, flow, metric, mode), rtol=1e-6, atol=0)
            assert (found - 1).abs().max() < 1e-6


def test_a_metric_that_is_not_finite_spoils_what_it_reaches():
    x, flow, metric = torch.ones(2, 1, 3, 8), torch.zeros(2, 2, 3, 8), torch.zeros(2, 1, 3, 8)
    for bad in (math.nan, math.inf):
        metric[0, :, 1, 4] = bad
        found, expected = softmax_splat(x, flow, metric), original(x, flow, metric, "soft")
        assert found[0, 0, 1, 4].isnan()
        assert torch.equal(found.isnan(), expected.isnan())
        assert (found[:, :, 0] - 1).abs().max() < 1e-6


def test_a_channel_that_is_not_finite_spoils_no_other():
    """Nor does an average need a channel."""
    x, flow, _ = call(2, "avg")
    expected = softmax_splat(x, flow, None, "avg")
    for bad in (math.nan, math.inf):
        spoilt = torch.cat([torch.full_like(x[:, :1], bad), x], 1)
        assert torch.equal(softmax_splat(spoilt, flow, None, "avg")[:, 1:], expected)
    assert softmax_splat(x[:, :0], flow, None, "avg").shape == x[:, :0].shape


def test_small_metrics_lose_against_the_epsilon():
    """As in the original; without the ϵ they do not."""
    x = torch.ones(1, 1, 1, 2, dtype=torch.float64)
    flow, metric = torch.zeros(1, 2, 1, 2, dtype=torch.float64), torch.tensor([[[[0.0, -20.0]]]]).double()
    expected = math.exp(-20) / (math.exp(-20) + 1e-7)
    assert expected == pytest.approx(0.0202, abs=1e-4)
    for found in (softmax_splat(x, flow, metric), original(x, flow, metric, "soft")):
        assert float(found[0, 0, 0, 1]) == pytest.approx(expected)
    close(softmax_splat(x, flow, metric, "soft-zeroeps"), x)


@pytest.mark.parametrize("mode", ["avg-addeps", "avg-zeroeps", "avg-clipeps"])
def test_averages_with_an_ending_are_averages(mode):
    x, flow, _ = call(2, "avg")
    flow = flow * 0
    theirs, ours = original(x, flow, None, mode), softmax_splat(x, flow, None, mode)
    assert theirs.shape[1] == x.shape[1] - 1
    torch.testing.assert_close(theirs * x[:, -1:], x[:, :-1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours, x, rtol=2e-7, atol=0)


def test_half_precision_comes_back_in_single_precision():
    """As the original casts."""
    x, flow, metric = (each.half() for each in call(3, "soft"))
    found = softmax_splat(x, flow, metric)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), original(x.double(), flow.double(), metric.double(), "soft"), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 3)])
def test_whole_flows_move_images(shape):
    """In 1, 2 and 3 dimensions, the last axis first."""
    x = torch.randn(1, 2, *shape, dtype=torch.float64)
    flow = torch.zeros(1, len(shape), *shape, dtype=torch.float64)
    flow[:, 0] = 1
    found = softmax_splat(x, flow, None, "sum")
    assert torch.equal(found[..., 1:], x[..., :-1])
    assert found[..., 0].eq(0).all()


@pytest.mark.usefixtures("as_users_call")
def test_errors_name_the_argument():
    x, flow, metric = torch.zeros(2, 3, 4, 5), torch.zeros(2, 2, 4, 5), torch.zeros(2, 1, 4, 5)
    for wrong, name in (
        ((x, flow[:, :1], metric), "flow"),
        ((x, flow[..., 1:], metric), "flow"),
        ((x, flow, metric.expand(2, 3, 4, 5)), "metric"),
        ((x, flow), "metric"),
        ((x, flow, metric, "avg"), "metric"),
        ((x, 1.0, metric), "flow"),
        ((x, flow, 1.0), "metric"),
        ((x, flow.long(), metric), "flow"),
        ((x[0, 0], flow, metric), "input"),
    ):
        with pytest.raises(ArgumentError, match=f"^{name}"):
            softmax_splat(*wrong)
    with pytest.raises(UnknownNameError, match="mode"):
        SoftmaxSplatting("sum-addeps")
