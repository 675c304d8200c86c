"""Registration with torch: opcheck, torch.compile, torch.export. Run by test_tracing.py in a process of its own."""

import itertools

import pytest
import torch

import warptheory as wt
import warptheory.warping  # registers the operators
from tests.warping.cases import make_case
from warptheory.operators import SelfWarp2d

RULES = [
    ("linear", "zeros", "right", "cpu"),
    ("linear", "border", "central", "reference"),
    ("keys", "reflect", "right", ""),
]


ORDERS = ([0, 0], [1, 0])
NEEDS = [(True, True), (True, False), (False, True)]


def every_case() -> list:
    """All rules, layouts, needs of gradients and derivatives; a quick run has each with each layout."""
    cases = []
    product = itertools.product(enumerate(RULES), (False, True), (False, True), ORDERS, NEEDS)
    for (number, rule), last, gradients, orders, needs in product:
        chosen = ORDERS[number % 2], NEEDS[(number + 1 if last else -number) % 3]
        is_quick = (number + last + gradients) % 2 and (orders, needs) == chosen
        marks = [] if is_quick else [pytest.mark.slow]
        cases.append(pytest.param(rule, last, gradients, orders, needs, marks=marks))
    return cases


@pytest.mark.parametrize(("rule", "channels_last", "requires_grad", "orders", "needs"), every_case(), ids=str)
def test_opcheck(rule, channels_last, requires_grad, orders, needs):
    """Torch's own checks of schema, fake kernels, autograd registration and tracing."""
    case = make_case(2, "white", channels=4, groups=2, channels_last=channels_last)
    x, offsets, g = (tensor.requires_grad_(requires_grad) for tensor in (case.x, case.offsets, case.g))
    operators = torch.ops.warptheory
    torch.library.opcheck(operators.gather.default, (x, offsets, orders, *rule))
    torch.library.opcheck(operators.scatter.default, (g, offsets, [6, 5], orders[::-1], *rule))
    torch.library.opcheck(operators.gradients.default, (g, x, offsets, *needs, *rule))


PREFILTERED = "bspline3(prefilter=True)"


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("boundary", ["reflect", "zeros"])
def test_opcheck_of_the_prefilter(boundary, adjoint):
    values = make_case(2, size=(60, 61)).x.requires_grad_()
    torch.library.opcheck(torch.ops.warptheory.prefilter.default, (values, PREFILTERED, boundary, adjoint))


@pytest.mark.parametrize(
    ("kernel", "boundary"),
    [("linear", "mirror"), ("keys", "reflect"), (PREFILTERED, "reflect"), (PREFILTERED, "zeros"), ("sinc", "periodic")],
)
def test_compile_without_a_graph_break(kernel, boundary):
    case = make_case(2)

    def step(x, offsets):
        return (wt.warp(x.sin(), offsets, kernel, boundary) * 2).square().sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    gradients = []
    for function in (step, compiled):
        x, offsets = case.x.double().requires_grad_(), case.offsets.double().requires_grad_()
        function(x, offsets).backward()
        gradients.append((x.grad, offsets.grad))
    for eager, traced in zip(*gradients, strict=True):
        torch.testing.assert_close(traced, eager, rtol=1e-12, atol=1e-12)


class Layer(torch.nn.Module):
    def forward(self, x, offsets):
        return wt.warp(x, offsets).relu()


@pytest.mark.parametrize("strict", [False, True])
def test_export_keeps_one_node(strict):
    case = make_case(2)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(
        Layer(), (case.x, case.offsets), dynamic_shapes=({0: batch}, {0: batch}), strict=strict
    )
    assert torch.ops.warptheory.gather.default in [node.target for node in program.graph.nodes]
    larger = make_case(2, batch=5, seed=1)
    torch.testing.assert_close(
        program.module()(larger.x, larger.offsets), Layer()(larger.x, larger.offsets), rtol=0, atol=0
    )


class Spline(torch.nn.Module):
    def forward(self, x, offsets):
        return wt.warp(x, offsets, PREFILTERED, "border")


def test_a_prefilter_is_exported_for_images_of_any_size():
    case, sizes = make_case(2, grid=(9, 7)), {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(Spline(), (case.x, case.offsets[:, 0]), dynamic_shapes=(sizes, sizes))
    larger = make_case(2, size=(150, 4), grid=(150, 4))
    found = program.module()(larger.x, larger.offsets[:, 0])
    assert torch.equal(found, Spline()(larger.x, larger.offsets[:, 0]))


OPTIONS = [{}, {"lipschitz": 0.5, "smoothing": 0.7, "gradient_scale": 0.3}]


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "every option"])
def test_self_warp_is_one_graph(options):
    """The head, the offsets and their warp, whose fast paths on the CPU are for eager calls alone."""
    torch.manual_seed(0)
    layer = SelfWarp2d(4, head_gain=1.0, **options)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    gradients = []
    for function in (layer, compiled):
        x = torch.randn(8, 4, 16, 20, generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = function(x)
        gradients.append((y, *torch.autograd.grad(y.square().sum(), (x, *layer.parameters()))))
    for eager, traced in zip(*gradients, strict=True):
        # Sums of some hundred products in float32, in another order.
        torch.testing.assert_close(traced, eager, rtol=1e-4, atol=1e-4)
