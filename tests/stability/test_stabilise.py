"""Each repair alone, against what can be computed by hand, and all of them taken back."""

import copy
import itertools
import math
import re
import statistics
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from warptheory import stability
from warptheory.core.errors import ArgumentError
from warptheory.stability.stabilising import LateGrowth

TARGET = 1 / 30
SIDE = 1e-3  # pixels


class Warped(nn.Module):
    """Samples its input at offsets, in pixels, that a convolution of a feature of their own predicts.

    Args:
        is_shared: whether the head's last row is a mask on what was sampled.
        head: standard deviation of the head.
    """

    def __init__(self, is_shared=False, head=0.3):
        super().__init__()
        self.localiser = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 3 if is_shared else 2, 3, padding=1)
        self.fc = nn.Linear(25, 3)
        nn.init.normal_(self.head.weight, std=head)
        nn.init.zeros_(self.head.bias)

    def warp(self, x):
        """Return what was sampled."""
        predicted = self.head(self.localiser(x).tanh())
        size = x.shape[2]
        row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        y, z = row + predicted[:, 0], column + predicted[:, 1]
        grid = torch.stack([(2 * z + 1) / size - 1, (2 * y + 1) / size - 1], dim=-1).to(x)
        found = functional.grid_sample(x, grid, align_corners=False)
        return found * predicted[:, 2:].sigmoid() if predicted.shape[1] > 2 else found

    def forward(self, x):
        return self.fc(self.warp(x).flatten(1))


def batches(count=4):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        yield torch.randn(8, 1, 10, 10, generator=generator)[:, :, ::2, ::2].double(), torch.arange(8) % 3


loss = functional.cross_entropy
OWN = ("localiser", "head")


def prepared(rate=0.1, own=None, **choices):
    """Return a model in double precision with an optimizer that has two groups if a rate is said for what warps."""
    torch.manual_seed(0)
    model = Warped(**choices).double()
    parts = [model.localiser, model.head] if own is None else [model.head]
    rest = [model.fc] if own is None else [model.localiser, model.fc]
    groups = [{"params": [each for part in chosen for each in part.parameters()]} for chosen in (parts, rest)]
    groups[0]["lr"] = rate if own is None else own
    return model, torch.optim.SGD(groups if own is not None else [*model.parameters()], lr=rate, momentum=0.9)


def repaired(model, optimizer, *arguments, **choices):
    choices = {"pixels": 1e-9, **choices}  # so that the ratio alone decides
    return stability.stabilise(model, batches(), loss, optimizer, *arguments, **choices)


def stepped(model, optimizer, batch, factor=1.0):
    """Take a step; return what it changed in each parameter, by name."""
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    optimizer.zero_grad()
    (factor * loss(model(batch[0]), batch[1])).backward()
    optimizer.step()
    return {name: each.detach() - before[name] for name, each in model.named_parameters()}


def gradients(model, batch, factor=1.0):
    model.zero_grad()
    (factor * loss(model(batch[0]), batch[1])).backward()
    return {name: each.grad.clone() for name, each in model.named_parameters()}


def is_own(name):
    return name.partition(".")[0] in OWN


def norm(tensors):
    return math.sqrt(sum(float(each.square().sum()) for each in tensors))


def ratio(model, optimizer):
    """Return ρ over the batches: how far the step of what warps moves the output, over how far that of the rest does.

    Steps are those of a copy; hooks of the optimizer are not copied.
    """
    found = []
    for inputs, target in batches():
        moved, copied = copy.deepcopy((model, optimizer))
        change = stepped(moved, copied, (inputs, target))
        outputs = []
        for chosen in (lambda _: False, is_own, lambda name: not is_own(name)):
            other = copy.deepcopy(model)
            with torch.no_grad():
                for name, each in other.named_parameters():
                    each += change[name] * chosen(name)
                outputs.append(other(inputs))
        found.append(float((outputs[1] - outputs[0]).norm() / (outputs[2] - outputs[0]).norm()))
    return statistics.geometric_mean(found)


def state(model, optimizer):
    """Return the bits of a model and an optimizer, and the objects that its groups hold."""
    bits = {name: each.detach().numpy().tobytes() for name, each in model.named_parameters()}
    groups = [
        {name: [id(each) for each in value] if name == "params" else value for name, value in group.items()}
        for group in optimizer.param_groups
    ]
    hooks = [len(each) for each in (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)]
    hooks += [len(each._forward_pre_hooks) + len(each._forward_hooks) for each in model.modules()]
    learned = [each.requires_grad for each in model.parameters()]
    return bits, groups, [id(group) for group in optimizer.param_groups], hooks, learned


# ---- heads -----------------------------------------------------------------------------------------------------------


def test_heads_start_at_zero():
    model, optimizer = prepared()
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    changes = repaired(model, optimizer).changes
    assert [each.name for each in changes] == ["heads", "multiplier", "clipping"]
    assert "head.weight" in changes[0].what
    assert not model.head.weight.any()
    others = {name: each for name, each in model.named_parameters() if name != "head.weight"}
    assert all(torch.equal(each, before[name]) for name, each in others.items())


def test_rows_of_masks_are_no_heads():
    model, optimizer = prepared(is_shared=True)
    before = model.head.weight.detach().clone()
    repaired(model, optimizer)
    assert not model.head.weight[:2].any()
    assert torch.equal(model.head.weight[2], before[2])


def test_heads_at_zero_are_no_change():
    model, optimizer = prepared(head=0.0)
    assert [each.name for each in repaired(model, optimizer, clip=False).changes] == ["multiplier"]


def test_heads_are_kept_if_wanted():
    model, optimizer = prepared()
    before = model.head.weight.detach().clone()
    assert [each.name for each in repaired(model, optimizer, zero_heads=False, clip=False).changes] == ["multiplier"]
    assert torch.equal(model.head.weight, before)


# ---- multiplier ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "target", "zero_heads"),
    [(0.1, TARGET, True), (1e-4, TARGET, False), (30.0, 0.3, True), (30.0, TARGET, False)],
)
def test_the_speed_ratio_reaches_the_target(own, target, zero_heads):
    model, optimizer = prepared(own=own)
    found = repaired(model, optimizer, target, zero_heads=zero_heads, clip=False)
    assert ratio(model, optimizer) == pytest.approx(target, rel=0.05)  # where the fixed point ends
    rates = {id(each): group["lr"] for group in optimizer.param_groups for each in group["params"]}
    fastest = max(own, 0.1)  # of head and localiser, which differ by more than tenfold, or are the same
    assert rates[id(model.head.weight)] == pytest.approx(fastest * found.multiplier, rel=1e-12)
    assert rates[id(model.fc.weight)] == 0.1
    diagnosis = stability.diagnose(model, batches(), loss, optimizer)
    assert diagnosis.rho == pytest.approx(target, rel=0.05)


def test_clipping_does_not_raise_the_speed_ratio():
    model, optimizer = prepared()
    repaired(model, optimizer)
    rho = stability.diagnose(model, batches(), loss, optimizer).rho
    assert 0.5 * TARGET < rho < 1.05 * TARGET  # gradients of some batches are longer than those of the mean


def test_groups_are_split_and_keep_what_else_they_say():
    model, optimizer = prepared()
    found = repaired(model, optimizer, clip=False)
    rest, own = optimizer.param_groups
    assert {id(each) for each in own["params"]} == {id(each) for name, each in model.named_parameters() if is_own(name)}
    assert {id(each) for each in rest["params"]} == {id(each) for each in model.fc.parameters()}
    assert own["lr"] == pytest.approx(0.1 * found.multiplier, rel=1e-12)
    assert {name: each for name, each in own.items() if name not in ("params", "lr")} == {
        name: each for name, each in rest.items() if name not in ("params", "lr")
    }
    other = torch.optim.SGD(found.parameter_groups, lr=7.0)
    assert [group["lr"] for group in other.param_groups] == [rest["lr"], own["lr"]]


def test_rows_of_a_shared_head_are_scaled_by_the_step():
    """With decay and momentum, against steps of a copy that nobody repaired."""
    model, optimizer = prepared(is_shared=True)
    optimizer.param_groups[0]["weight_decay"] = 0.01
    found = repaired(model, optimizer, clip=False)
    plain = copy.deepcopy(model)
    other = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for batch in batches(3):
        # The copy begins each step where the model is; its momentum has seen the same gradients.
        with torch.no_grad():
            for mine, each in zip(plain.parameters(), model.parameters(), strict=True):
                mine.copy_(each)
        expected, change = stepped(plain, other, batch), stepped(model, optimizer, batch)
        for name in ("head.weight", "head.bias"):
            torch.testing.assert_close(change[name][:2], found.multiplier * expected[name][:2], rtol=1e-9, atol=1e-15)
            torch.testing.assert_close(change[name][2:], expected[name][2:], rtol=1e-9, atol=1e-15)
        torch.testing.assert_close(change["fc.weight"], expected["fc.weight"], rtol=1e-9, atol=1e-15)


# ---- clipping --------------------------------------------------------------------------------------------------------


def bound_of(changes):
    (change,) = (each for each in changes if each.name == "clipping")
    return float(re.search("clipped at ([-+0-9.e]+)", change.what)[1])


@pytest.mark.parametrize("is_shared", [False, True])
def test_the_gradient_is_clipped_at_its_norm_at_the_start(is_shared):
    model, optimizer = prepared(is_shared=is_shared)
    found = repaired(model, optimizer)

    def parts(gradient):
        """Return the gradients of what only moves samples, and of what does not."""
        rows = slice(0, 2) if is_shared else slice(None)
        # With a mask the localiser reaches the loss without sampling, too.
        own = [each[rows] for name, each in gradient.items() if name.startswith("head")]
        rest = [each[2:] for name, each in gradient.items() if name.startswith("head")]
        for name, each in gradient.items():
            if not name.startswith("head"):
                (rest if is_shared or not is_own(name) else own).append(each)
        return own, rest

    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    bound = statistics.geometric_mean(norm(parts(gradients(model, batch))[0]) for batch in batches())
    assert bound_of(found.changes) == pytest.approx(bound, rel=6e-3)  # three digits are told
    for factor in (1e3, 1e-3):
        batch = next(batches())
        plain = gradients(model, batch, factor)
        stepped(model, optimizer, batch, factor)
        own, rest = parts({name: each.grad for name, each in model.named_parameters()})
        plain_own, plain_rest = parts(plain)
        shrunk = min(1.0, bound / norm(plain_own))
        torch.testing.assert_close(own, [shrunk * each for each in plain_own], rtol=1e-9, atol=1e-15)
        torch.testing.assert_close(rest, plain_rest, rtol=0, atol=0)
        with torch.no_grad():
            for name, each in model.named_parameters():
                each.copy_(before[name])


# ---- frozen parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_held", [True, False])
def test_a_frozen_localiser_is_trained_again(is_held):
    model, _ = prepared()
    held = [each for name, each in model.named_parameters() if is_held or not is_own(name)]
    optimizer = torch.optim.SGD(held, lr=0.1)
    for part in (model.localiser, model.head):
        part.requires_grad_(False)
    before = state(model, optimizer)
    found = repaired(model, optimizer, clip=False)
    assert [each.name for each in found.changes] == ["trained", "heads", "multiplier"]
    assert ratio(model, optimizer) == pytest.approx(TARGET, rel=0.05)
    assert stepped(*copy.deepcopy((model, optimizer)), next(batches()))["head.weight"].any()
    found.undo()
    assert state(model, optimizer) == before


def test_a_rate_of_zero_is_as_good_as_frozen():
    model, optimizer = prepared(own=0.0)
    model.localiser.requires_grad_(False)
    before = state(model, optimizer)
    found = repaired(model, optimizer, clip=False)
    assert ratio(model, optimizer) == pytest.approx(TARGET, rel=0.05)
    found.undo()
    assert state(model, optimizer) == before


@pytest.mark.parametrize("slowed", [0.0, 1e-3])
def test_rates_that_differ_widely_become_equal_first(slowed):
    """One factor that suits a slowed head would make its localiser, at the full rate, run away."""
    model, optimizer = prepared(own=0.1 * slowed)  # the head alone is slowed
    before = state(model, optimizer)
    found = repaired(model, optimizer)
    rates = {id(each): group["lr"] for group in optimizer.param_groups for each in group["params"]}
    own = [rates[id(each)] for name, each in model.named_parameters() if is_own(name)]
    assert len(own) == 4
    assert own == pytest.approx([0.1 * found.multiplier] * 4)
    assert rates[id(model.fc.weight)] == 0.1
    assert ratio(model, optimizer) == pytest.approx(TARGET, rel=0.05)
    names = [each.name for each in found.changes]
    assert names.index("rates") < names.index("multiplier")
    found.undo()
    assert state(model, optimizer) == before


def test_rates_that_differ_a_little_are_kept():
    model, optimizer = prepared(own=0.1 / 9)
    found = repaired(model, optimizer)
    assert "rates" not in [each.name for each in found.changes]
    rates = {id(each): group["lr"] for group in optimizer.param_groups for each in group["params"]}
    assert rates[id(model.head.weight)] == pytest.approx(rates[id(model.localiser.weight)] / 9)


class Registered(Warped):
    """Returns its offsets, too, so that a loss may smooth them: then no parameter moves samples alone."""

    def forward(self, x):
        return self.fc(self.warp(x).flatten(1)), self.head(self.localiser(x).tanh())


def test_heads_start_at_zero_where_the_loss_sees_offsets_besides():
    torch.manual_seed(0)
    model = Registered(head=3.0).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def smoothed(output, target):
        return loss(output[0], target) + 0.1 * output[1].diff(dim=-1).square().mean()

    weight = model.head.weight.detach().clone()
    assert stability.diagnose(model, batches(), smoothed, optimizer).offset_only == ()
    found = stability.stabilise(model, batches(), smoothed, optimizer)
    assert found.changes[0].name == "heads"
    assert not model.head.weight.any()
    assert model.localiser.weight.any()
    found.undo()
    assert torch.equal(model.head.weight, weight)


# ---- later -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "pixels", "factor"), [(10.0, 0.0, 0.05), (math.nan, 4.0, 0.25), (0.0, 8.0, 0.125)])
def test_the_callback_lowers_what_is_known_to_be_too_fast(ratio, pixels, factor):
    factors = []
    callback = LateGrowth(lambda: (ratio, pixels), SimpleNamespace(multiply=factors.append))
    callback(10)
    assert factors == pytest.approx([factor])


def test_the_callback_lowers_the_rate_when_samples_run_away():
    model, optimizer = prepared()
    found = repaired(model, optimizer, clip=False)
    first = optimizer.param_groups[1]["lr"]
    found.callback(10)
    assert len(found.callback.told) == 1
    assert "learning rates" not in found.callback.told[0]
    assert optimizer.param_groups[1]["lr"] == first
    nn.init.normal_(model.head.weight, std=10.0)  # the localiser moves samples now
    said = {each.name: each for each in stability.diagnose(model, batches(), loss, optimizer).conditions}
    ratio_now, moved = said["speed ratio"].value, said["displacement"].value
    assert ratio_now > 3 or moved > 2
    factor = min(0.5 / ratio_now, 1.0 / moved)
    before = state(model, optimizer)
    found.callback(11)  # nobody asked then
    assert state(model, optimizer) == before
    found.callback(20)
    assert "after 20 steps" in found.callback.told[1]
    assert optimizer.param_groups[1]["lr"] == pytest.approx(first * factor, rel=1e-3)
    assert optimizer.param_groups[0]["lr"] == 0.1
    after = state(model, optimizer)
    assert after[0] == before[0]
    assert after[2:] == before[2:]


# ---- positions -------------------------------------------------------------------------------------------------------


def ramps(size=12):
    """Return images of the rows' and of the columns' numbers: bilinear samples of them are positions."""
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([row, column]).double()


class OfRamps(Warped):
    """Also samples ramps at its positions, so that these can be read."""

    def warp(self, x):
        size = x.shape[2]
        predicted = self.head(self.localiser(x).tanh())
        places = (ramps(size) + predicted).flip(1).movedim(1, -1)
        together = torch.cat([x, ramps(size).expand(len(x), -1, -1, -1)], dim=1)
        found = functional.grid_sample(together, (2 * places + 1) / size - 1, align_corners=False)
        self.read = found[:, 1:].detach()
        return found[:, :1]


def of_ramps(head=0.05):
    torch.manual_seed(0)
    model = OfRamps(head=head).double()
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def moved(model, inputs):
    """Return the offsets (B, 2, 3, 3) at which a model really samples, in the middle, where no boundary matters."""
    model(inputs)
    return (model.read - ramps(inputs.shape[2]))[..., 1:4, 1:4]


def of_head(model, inputs):
    """Return the offsets (B, 2, 5, 5) that the head predicts."""
    return model.head(model.localiser(inputs).tanh()).detach()


def test_slopes_are_bounded_by_a_factor():
    model, optimizer = of_ramps()
    inputs, target = next(batches())
    offsets = of_head(model, inputs)
    slope = float(torch.cat([offsets.diff(dim=k).flatten() for k in (2, 3)]).square().mean().sqrt())
    found = repaired(model, optimizer, zero_heads=False, clip=False, slope_bound=slope / 4)
    assert [each.name for each in found.changes] == ["multiplier", "slopes"]
    factor = statistics.median((moved(model, inputs) / offsets[..., 1:4, 1:4]).flatten().tolist())
    torch.testing.assert_close(moved(model, inputs), factor * offsets[..., 1:4, 1:4])
    assert factor == pytest.approx(1 / 4, rel=0.3)  # slopes are central differences there, and differences here
    found.undo()
    torch.testing.assert_close(moved(model, inputs), offsets[..., 1:4, 1:4])
    # The gradient is that of smaller offsets: a model whose head is so much smaller has the same for its bias.
    again = repaired(model, optimizer, zero_heads=False, clip=False, slope_bound=slope / 4)
    bounded = gradients(model, (inputs, target))["head.bias"]
    again.undo()
    with torch.no_grad():
        model.head.weight.mul_(factor)
    torch.testing.assert_close(bounded, gradients(model, (inputs, target))["head.bias"])


def test_slopes_within_the_bound_and_evaluation_are_left_alone():
    model, optimizer = of_ramps()
    inputs, _ = next(batches())
    offsets = of_head(model, inputs)[..., 1:4, 1:4]
    found = repaired(model, optimizer, zero_heads=False, clip=False, slope_bound=100.0)
    torch.testing.assert_close(moved(model, inputs), offsets)
    found.undo()
    repaired(model, optimizer, zero_heads=False, clip=False, slope_bound=1e-3)
    assert moved(model, inputs).std() < 0.1 * offsets.std()
    torch.testing.assert_close(moved(model.eval(), inputs), offsets)
    with torch.no_grad():
        torch.testing.assert_close(moved(model.train(), inputs), offsets)


def test_derivatives_at_knots_are_central_on_average():
    model, optimizer = of_ramps(head=0.0)
    batch = next(batches())
    found = repaired(model, optimizer, clip=False, central=True)
    assert [each.name for each in found.changes] == ["multiplier", "derivative"]
    seen = {}
    torch.manual_seed(0)
    for _ in range(40):  # all four sides but once in 25 000 seeds
        gradient = gradients(model, batch)["head.bias"]
        offsets = (model.read - ramps(5))[..., 1:4, 1:4]
        sides = tuple(offsets.mean((0, 2, 3)).div(SIDE).round().int().tolist())
        expected = torch.tensor(sides).double().reshape(2, 1, 1) * SIDE
        torch.testing.assert_close(offsets, expected.expand_as(offsets), rtol=1e-6, atol=1e-12)
        seen[sides] = gradient
    assert set(seen) == set(itertools.product((-1, 1), repeat=2))
    found.undo()
    one_sided = {}
    for sides in seen:
        model.head.bias.data = SIDE * torch.tensor(sides).double()
        one_sided[sides] = gradients(model, batch)["head.bias"]
        torch.testing.assert_close(seen[sides], one_sided[sides], rtol=1e-6, atol=1e-10)
    mean = torch.stack([*seen.values()]).mean(0)
    torch.testing.assert_close(mean, torch.stack([*one_sided.values()]).mean(0))
    model.head.bias.data = torch.zeros(2).double()
    assert (gradients(model, batch)["head.bias"] - mean).norm() > 0.01 * mean.norm()  # which torch's own is not


# ---- all of it taken back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_shared", [False, True])
def test_everything_is_taken_back(is_shared):
    model, optimizer = prepared(is_shared=is_shared)
    before, drawn = state(model, optimizer), torch.get_rng_state()
    inputs, target = next(batches())
    expected = gradients(model, (inputs, target))
    model.zero_grad()
    found = repaired(model, optimizer, central=True, slope_bound=0.01)
    assert [each.name for each in found.changes] == ["heads", "multiplier", "clipping", "slopes", "derivative"]
    assert state(model, optimizer) != before
    found.undo()
    assert state(model, optimizer) == before
    assert torch.equal(torch.get_rng_state(), drawn)
    after = gradients(model, (inputs, target))
    assert all(torch.equal(after[name], each) for name, each in expected.items())


# ---- bad arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "choices"),
    [
        ("target", {"target": 0.0}),
        ("target", {"target": -1.0}),
        ("target", {"target": math.nan}),
        ("slope_bound", {"slope_bound": 0.0}),
        ("count", {"count": 0}),
        ("model", {"model": "Warped"}),
        ("model", {"model": nn.Sequential(nn.Flatten(), nn.Linear(25, 3)).double()}),
        ("optimizer", {"optimizer": None}),
        ("batches", {"batches": []}),
        ("loss", {"loss": lambda output, target: output}),
    ],
)
def test_bad_arguments_change_nothing(argument, choices):
    model, optimizer = prepared()
    before = state(model, optimizer)
    given = {"model": model, "batches": batches(), "loss": loss, "optimizer": optimizer} | choices
    with pytest.raises(ArgumentError, match=f"^{argument}: ") as error:
        stability.stabilise(**given)
    assert "\n" not in str(error.value)
    assert state(model, optimizer) == before


def test_samples_move_visibly_where_the_ratio_allows():
    """A displacement of `pixels` is wanted at least; but never a ratio of ten targets."""
    model, optimizer = prepared()
    repaired(model, optimizer, pixels=1e6)
    assert ratio(model, optimizer) == pytest.approx(10 * TARGET, rel=0.05)  # the fixed point's own tolerance
