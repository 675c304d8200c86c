"""The monitor against autograd, dense matrices and `fold_fraction`; it changes nothing and keeps nothing."""

import copy
import dataclasses
import gc
import io
import math
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

import warptheory as wt
from tests.stability import stand_ins
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.networks import selfwarp_resnet
from warptheory.operators import SelfWarp2d, _thin_convolution
from warptheory.stability._layer_statistics import LayerRow


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def wavy(depth=8, width=4):
    """Return a self-warp network whose offsets are about a pixel."""
    model = selfwarp_resnet(depth, width=width)
    for module in model.modules():
        if isinstance(module, SelfWarp2d):
            nn.init.normal_(module.head.weight, std=0.2)
    return model


def train(model, steps, watch=None):
    """Return the losses and the final weights of a short training."""
    images, labels = normal(8, 3, 8, 8).float(), torch.arange(8) % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(steps):
        loss = functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, torch.cat([p.detach().flatten() for p in model.parameters()])


class Sampler(nn.Module):
    """Samples by grid_sample at positions that a module computes."""

    def __init__(self, align_corners, mode="bilinear", padding="zeros"):
        super().__init__()
        self.choices = {"mode": mode, "padding_mode": padding, "align_corners": align_corners}
        self.grid = nn.Parameter(normal(2, 5, 6, 2).mul(0.5))

    def forward(self, x):
        return functional.grid_sample(x, self.grid, **self.choices)


# ---- it changes nothing, and keeps nothing ------------------------------------------------------


@pytest.mark.parametrize("by_compiled_loops", [False, True])
def test_losses_and_weights_are_the_same_to_the_last_bit(by_compiled_loops, monkeypatch):
    """Watched layers are not fused with their heads, and sum in the same order nevertheless."""
    if by_compiled_loops:
        monkeypatch.setattr(_thin_convolution, "_FEW_PRODUCTS", 1)
    plain = train(wavy(), 5)
    torch.manual_seed(0)
    model = wavy()
    with wt.stability.monitor(model, interval=2) as m:
        watched = train(model, 5)
    assert watched[0] == plain[0]
    assert torch.equal(watched[1], plain[1])
    assert [(row.step, row.depth) for row in m.rows()] == [(step, depth) for step in (0, 2, 4) for depth in range(3)]


def test_random_numbers_are_left_alone():
    model, state = wavy(), torch.get_rng_state()
    with wt.stability.monitor(model, interval=1):
        model(torch.zeros(2, 3, 8, 8)).sum().backward()
    assert torch.equal(torch.get_rng_state(), state)


def hooks_of(model):
    module_hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    return module_hooks, sum(len(p._backward_hooks or ()) for p in model.parameters())


def test_everything_is_taken_back():
    model = wavy()
    with wt.stability.monitor(model, interval=1):
        model(torch.zeros(2, 3, 8, 8)).sum().backward()
        assert hooks_of(model) == (2, 0)  # between steps: the counter alone
        model(torch.zeros(2, 3, 8, 8))  # a graph without a backward pass
    assert hooks_of(model) == (0, 0)
    assert torch._C._len_torch_function_stack() == 0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_everything_is_taken_back_when_the_model_fails(error):
    class Failing(nn.Module):
        def forward(self, x):
            raise error

    model = nn.Sequential(SelfWarp2d(2), Failing())
    with stand_ins.mmcv():
        original = stand_ins.DeformConv2dFunction.__dict__["forward"]
        with pytest.raises(error), wt.stability.monitor(model, interval=1):
            model(torch.zeros(1, 2, 4, 4))
        assert stand_ins.DeformConv2dFunction.__dict__["forward"] is original
    assert hooks_of(model) == (0, 0)
    assert torch._C._len_torch_function_stack() == 0


def test_a_failure_inside_is_attributed_as_if_it_had_not_been():
    class Failing(nn.Module):
        def forward(self, x):
            raise ValueError

    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.failing, self.warp = Failing(), SelfWarp2d(2)

        def forward(self, x):
            with pytest.raises(ValueError):  # noqa: PT011
                self.failing(x)
            return wt.warp(self.warp(x), torch.zeros(1, 2, 4, 4))

    model = Careful()
    with wt.stability.monitor(model, interval=1) as m:
        model(torch.zeros(1, 2, 4, 4))
    assert [row.layer for row in m.rows()] == ["warp", ""]


def test_no_tensor_is_kept():
    model, seen = wavy(), []

    class Witness(nn.Module):
        def forward(self, x):
            seen.append(weakref.ref(x))
            return x

    model.blocks.insert(2, Witness())
    with wt.stability.monitor(model, interval=1) as m:
        for backward in (True, False):
            scores = model(normal(4, 3, 8, 8).float())
            seen.append(weakref.ref(scores))
            if backward:
                scores.sum().backward()
            del scores
            gc.collect()
            assert all(reference() is None for reference in seen)
    assert len(m.rows()) == 6


def test_monitors_nest():
    model = wavy()
    images = normal(4, 3, 8, 8).float()
    with wt.stability.monitor(model, interval=1) as outer, wt.stability.monitor(model.blocks[1], interval=2) as inner:
        for _ in range(3):
            model(images).square().sum().backward()
    assert [row.layer for row in inner.rows()] == ["warp"] * 2
    matching = [row for row in outer.rows() if row.layer == "blocks.1.warp"]
    assert [row.slope_deviation for row in inner.rows()] == [matching[0].slope_deviation, matching[2].slope_deviation]
    assert inner.rows()[0].input_gradient_variance == matching[0].input_gradient_variance


# ---- copies of the model, and torch's other ways of calling it ----------------------------------


def saved_and_loaded(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "average": lambda model: torch.optim.swa_utils.AveragedModel(model).module,
    "pickle": saved_and_loaded,
}


@pytest.mark.parametrize("within_a_step", [False, True])
@pytest.mark.parametrize("how", COPIES)
def test_copies_are_not_watched(how, within_a_step):
    made = []

    class Copying(nn.Identity):
        def forward(self, x):
            if within_a_step and not made:
                made.append(None)
                made[0] = COPIES[how](model)
            return x

    Copying.__reduce__ = lambda self: (nn.Identity, ())  # a local class cannot be pickled
    model = nn.Sequential(SelfWarp2d(2), Copying(), SelfWarp2d(2))
    with wt.stability.monitor(model, interval=1) as m:
        model(torch.zeros(1, 2, 4, 4))
        replica = made[0] if within_a_step else COPIES[how](model)
        recorded, steps = len(m.rows()), dict(m._next_number)
        replica(torch.zeros(1, 2, 4, 4))
        assert (len(m.rows()), m._next_number) == (recorded, steps) == (2, {True: 1, False: 0})
    assert hooks_of(model) == (0, 0)
    hooks = [
        h for each in replica.modules() for h in (*each._forward_hooks.values(), *each._forward_pre_hooks.values())
    ]
    assert all(vars(hook) == {"_function": None} for hook in hooks)


def per_sample_gradients(model, x):
    def loss(parameters, image):
        return torch.func.functional_call(model, parameters, (image[None],)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(dict(model.named_parameters()), x)
    return torch.cat([each.flatten() for each in found.values()])


def gradient_of_a_batched_call(model, x):
    def loss(parameters):
        def one(image):
            return torch.func.functional_call(model, parameters, (image[None],))

        return torch.func.vmap(one)(x).square().sum()

    return torch.cat([each.flatten() for each in torch.func.grad(loss)(dict(model.named_parameters())).values()])


def fake_output(model, x):
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        shape = model(mode.from_tensor(x)).shape
    return torch.zeros(shape)


WAYS = {
    "vmap of grad": per_sample_gradients,
    "grad of vmap": gradient_of_a_batched_call,
    "fake tensors": fake_output,
    "meta device": lambda model, x: torch.zeros(model.to("meta")(x.to("meta")).shape),
    "jit.trace": lambda model, x: torch.jit.trace(model, x, check_trace=False)(x),
    "make_fx": lambda model, x: make_fx(model)(x)(x),
    "export": lambda model, x: torch.export.export(model, (x,)).module()(x),
    "strict export": lambda model, x: torch.export.export(model, (x,), strict=True).module()(x),
}


class Gridded(nn.Module):
    """A convolution computes the grid of grid_sample."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x):
        return functional.grid_sample(x, self.head(x).movedim(1, -1), align_corners=False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
def test_calls_without_numbers_run_and_are_not_recorded(way):
    model, x = Gridded(), normal(3, 1, 6, 6).float()
    plain = WAYS[way](copy.deepcopy(model), x)
    with wt.stability.monitor(model, interval=1) as m:
        watched = WAYS[way](model, x)
    assert torch.equal(watched, plain)
    assert m.rows() == []


def test_what_is_watched_does_not_become_part_of_a_program():
    model, x = Gridded(), normal(3, 1, 6, 6).float()
    with wt.stability.monitor(model, interval=1):
        watched = make_fx(model)(x)
    assert len(watched.graph.nodes) == len(make_fx(model)(x).graph.nodes)


def test_func_grad_is_recorded():
    model, x = Gridded(), normal(3, 1, 6, 6).float()
    with wt.stability.monitor(model, interval=1) as m:
        torch.func.grad(lambda x: model(x).square().sum())(x)
    (row,) = m.rows()
    plain = torch.func.grad(lambda x: model(x).square().sum())(x).detach()
    assert row.input_gradient_variance == pytest.approx(float(plain.var(correction=0)), rel=1e-5)


def test_a_batch_of_gradients_is_not_the_gradient():
    model, x = Gridded(), normal(3, 1, 6, 6).float().requires_grad_()
    with wt.stability.monitor(model, interval=1) as m:
        y = model(x)
        torch.autograd.grad(y, x, torch.eye(y.numel()).reshape(-1, *y.shape), is_grads_batched=True, retain_graph=True)
        assert m.table().filter(like="gradient").isna().all(axis=None)
        y.square().sum().backward()
    assert m.table().filter(like="gradient").notna().all(axis=None)


def failing_call(model):
    with pytest.raises(ArgumentError):
        model(torch.zeros(1, 7, 4, 4))


@pytest.mark.parametrize(
    ("model", "call"),
    [
        (nn.Sequential(SelfWarp2d(2)), lambda model: model(torch.zeros(1, 2, 4, 4))),
        (nn.Sequential(nn.Conv2d(2, 2, 1)), lambda model: None),
        (nn.Sequential(SelfWarp2d(2)), failing_call),
        (nn.Sequential(SelfWarp2d(2)), lambda model: fake_output(model, torch.zeros(1, 2, 4, 4))),
        (nn.Sequential(SelfWarp2d(2)), lambda model: torch.export.export(model, (torch.zeros(1, 2, 4, 4),))),
    ],
    ids=["operators", "no call", "failure", "fake tensors", "export"],
)
def test_nothing_is_told_where_nothing_was_missed(model, call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with wt.stability.monitor(model, interval=1):
            call(model)


def test_a_monitor_is_entered_once():
    model = wavy()
    m = wt.stability.monitor(model, interval=1)
    with m:
        with pytest.raises(ArgumentError, match="^monitor: expected one that is not entered"), m:
            pass
        assert hooks_of(model) == (2, 0)
    assert hooks_of(model) == (0, 0)
    with m:  # after it was left, it goes on
        model(torch.zeros(2, 3, 8, 8))
    assert len(m.rows()) == 3


# ---- its table ----------------------------------------------------------------------------------


@pytest.fixture
def finished(monkeypatch):
    """The rows that were finished, in order, each as often as that happened."""
    made, finish = [], LayerRow.finished

    def counted(row):
        made.append((row.step, row.site.depth))
        return finish(row)

    monkeypatch.setattr(LayerRow, "finished", counted)
    return made


def test_settled_rows_are_finished_once(finished):
    model, x = wavy(), normal(2, 3, 8, 8).float()
    with wt.stability.monitor(model, interval=1) as m:
        for _ in range(3):
            model(x).sum().backward()
            m.table()
    wanted = m.table()
    assert finished == [(step, depth) for step in range(3) for depth in range(3)]
    assert wanted.equals(m.table())
    assert list(zip(wanted["step"], wanted["depth"], strict=True)) == finished


def test_rows_that_wait_for_a_gradient_are_taken_as_they_are(finished):
    """An open row holds back those behind it, so that the order stays; a late backward pass still reaches it."""
    model, x = wavy(), normal(2, 3, 8, 8).float()
    with wt.stability.monitor(model, interval=1) as m:
        late = model(x)
        model(x).sum().backward()
        early = m.table()
        late.sum().backward()
        found = m.table()
        assert list(found["step"]) == [0] * 3 + [1] * 3
    assert early["output_gradient_variance"].isna().tolist() == [True] * 3 + [False] * 3
    assert found["output_gradient_variance"].notna().all()
    assert early.iloc[3:].equals(found.iloc[3:])
    assert len(finished) == 12
    m.table()
    assert len(finished) == 12


def test_rows_without_gradients_are_settled_at_once(finished):
    model, x = wavy().eval(), normal(2, 3, 8, 8).float()
    with wt.stability.monitor(model, interval=2) as m:
        with torch.no_grad():
            model(x)
        first = m.table()
        model(x).sum().backward()  # not recorded, and not the gradient of the other call
        assert m.table().equals(first)
    assert len(finished) == 3


def test_changing_a_table_changes_no_other():
    model, x = wavy(), normal(2, 3, 8, 8).float()
    with wt.stability.monitor(model, interval=1) as m:
        model(x).sum().backward()
    changed = m.table()
    changed.loc[:, "fold_fraction"] = 7.0
    assert m.table()["fold_fraction"].lt(1).all()


# ---- what it finds ------------------------------------------------------------------------------


def test_calls_are_named_and_numbered():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = SelfWarp2d(2), nn.Sequential(SelfWarp2d(2))

        def forward(self, x):
            x = self.first(self.second(self.first(x)))
            return functional.grid_sample(x, torch.zeros(1, 4, 4, 2), align_corners=False)

    model = Twice()
    with wt.stability.monitor(model, interval=1) as m:
        model(torch.zeros(1, 2, 4, 4))
    assert [(row.layer, row.call, row.depth) for row in m.rows()] == [
        ("first", 0, 0),
        ("second.0", 0, 1),
        ("first", 1, 2),
        ("", 0, 3),
    ]
    assert [row.operator for row in m.rows()] == ["warp"] * 3 + ["grid_sample"]


def test_the_input_gradient_is_that_of_all_that_reads_it():
    """Of the head, the warp and whatever else, as autograd's."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.warp = SelfWarp2d(3, head_gain=0.5)

        def forward(self, x):
            return self.warp(x) + 2 * x

    block, x = Block(), normal(2, 3, 6, 7).float().requires_grad_()
    with wt.stability.monitor(block, interval=1) as m:
        block(x * 1).square().sum().backward()
    # x is a leaf; what the layer read has the same gradient.
    assert m.rows()[0].input_gradient_variance == pytest.approx(float(x.grad.var(correction=0)), rel=1e-5)


def test_training_and_evaluation_are_counted_apart():
    model = wavy()
    images = torch.zeros(2, 3, 8, 8)
    with wt.stability.monitor(model, interval=2, first_step=5) as m:
        for number in range(3):
            model.train()
            model(images)
            if number == 1:
                model.eval()
                with torch.no_grad():
                    model(images)
    table = m.table().query("depth == 0")
    assert list(zip(table["step"], table["training"], strict=True)) == [(6, True), (0, False)]


def test_nothing_is_recorded_outside_the_block():
    model = wavy()
    m = wt.stability.monitor(model, interval=1)
    model(torch.zeros(2, 3, 8, 8))
    with m:
        pass
    model(torch.zeros(2, 3, 8, 8))
    assert m.rows() == []
    assert list(m.table().columns)[:4] == ["step", "training", "layer", "call"]


# ---- what it measures ---------------------------------------------------------------------------


def test_statistics_of_a_warp_against_folding_and_the_dense_matrix():
    x, offsets = normal(3, 4, 6, 5), 4 * normal(3, 2, 2, 6, 5, seed=1)

    class Warp(nn.Module):
        def forward(self, x):
            return wt.warp(x, offsets, "linear", "border")

    with wt.stability.monitor(Warp(), interval=1, images=None) as m:
        m._model(x)
    (row,) = m.rows()
    matrix = wt.warp_matrix(offsets, size=(6, 5), boundary="border").to_dense()
    assert row.dead_fraction == float((matrix == 0).all(2).double().mean())
    assert 0.1 < row.dead_fraction < 0.9
    assert row.fold_fraction == float(wt.stability.fold_fraction(offsets.flatten(0, 1)))
    assert row.slope_deviation == float(wt.stability.slope_deviation(offsets.flatten(0, 1)))
    assert row.offset_mean == pytest.approx(float(offsets.mean()), rel=1e-12)
    assert row.offset_deviation == pytest.approx(float(offsets.std(correction=0)), rel=1e-12)
    assert row.variance_in == pytest.approx(float(x.var(correction=0)), rel=1e-12)
    assert row.variance_out == pytest.approx(float(m._model(x).var(correction=0)), rel=1e-12)
    assert math.isnan(row.input_gradient_variance)
    assert math.isnan(row.parameter_gradient_variance)


@pytest.mark.parametrize("kernel", ["nearest", "keys", "lanczos3"])
@pytest.mark.parametrize("boundary", ["zeros", "reflect", "mirror", "periodic"])
def test_dead_inputs_of_any_kernel(kernel, boundary):
    x, offsets = normal(2, 1, 7, 6), 3 * normal(2, 2, 7, 6, seed=1)

    class Warp(nn.Module):
        def forward(self, x):
            return wt.warp(x, offsets, kernel, boundary)

    with wt.stability.monitor(Warp(), interval=1) as m:
        m._model(x)
    matrix = wt.warp_matrix(offsets, size=(7, 6), kernel=kernel, boundary=boundary).to_dense()
    assert m.rows()[0].dead_fraction == float((matrix == 0).all(1).double().mean())


def test_gradients_against_autograd():
    torch.set_default_dtype(torch.float64)
    try:
        head, layer = nn.Conv2d(2, 4, 3, padding=1), SelfWarp2d(4, groups=2)
    finally:
        torch.set_default_dtype(torch.float32)
    nn.init.normal_(layer.head.weight, std=0.3)
    model, x = nn.Sequential(head, layer), normal(3, 2, 6, 5)
    with wt.stability.monitor(model, interval=1, images=None) as m:
        model(x).pow(3).sum().backward()
    (row,) = m.rows()

    features = head(x)
    offsets = layer.offsets(features)
    outcome = wt.warp(features, offsets, boundary="border")
    wanted = torch.autograd.grad(outcome.pow(3).sum(), [outcome, features, offsets, *layer.parameters()])
    parameters = torch.cat([each.flatten() for each in wanted[3:]])
    # The two sums run in another order: rounding of float64 over 360 terms.
    for found, gradient in zip(("output", "input", "offset", "parameter"), (*wanted[:3], parameters), strict=True):
        value = getattr(row, f"{found}_gradient_variance")
        assert value == pytest.approx(float(gradient.var(correction=0)), rel=1e-10), found


def test_statistics_are_of_the_first_images():
    model, x = wavy(), normal(6, 3, 8, 8).float()
    model.eval()  # batch statistics couple the images
    with wt.stability.monitor(model, interval=1, images=2) as few, wt.stability.monitor(model, 1, images=None) as every:
        model(x)
        model(x[:2])
    assert few.rows()[0].offset_deviation == pytest.approx(every.rows()[3].offset_deviation, rel=1e-5)
    assert few.rows()[0].offset_deviation != every.rows()[0].offset_deviation


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample_in_pixels(align_corners, padding, mode):
    """A warp by the offsets that were found is what torch computed, and inputs without a gradient are the dead ones."""
    model, x = Sampler(align_corners, mode, padding), normal(2, 1, 7, 6).requires_grad_()
    with wt.stability.monitor(model, interval=1, images=None) as m:
        y = model(x)
        weights = normal(*y.shape, seed=2)
        (y * weights).sum().backward()
    (row,) = m.rows()
    size = torch.tensor([7.0, 6.0], dtype=torch.float64)
    flipped = model.grid.detach().flip(-1)
    positions = (flipped + 1) / 2 * (size - 1) if align_corners else ((flipped + 1) * size - 1) / 2
    identity = functional.affine_grid(torch.eye(2, 3, dtype=torch.float64)[None], (1, 1, 5, 6), align_corners).flip(-1)
    rest = (identity + 1) / 2 * (size - 1) if align_corners else ((identity + 1) * size - 1) / 2
    offsets = positions - rest
    assert row.offset_mean == pytest.approx(float(offsets.mean()), abs=1e-12)
    assert row.offset_deviation == pytest.approx(float(offsets.std(correction=0)), rel=1e-12)
    # Where weights are generic, an input that is read has a gradient.
    assert row.dead_fraction == float((x.grad == 0).double().mean())
    per_pixel = 2 / (size - 1) if align_corners else 2 / size
    wanted = (model.grid.grad.flip(-1) * per_pixel).var(correction=0)
    assert row.offset_gradient_variance == pytest.approx(float(wanted), rel=1e-9, abs=1e-30)
    spacing = ((size - 1) / torch.tensor([4, 5]) if align_corners else size / torch.tensor([5, 6])).tolist()
    field = offsets.movedim(-1, 1)
    assert row.slope_deviation == pytest.approx(float(wt.stability.slope_deviation(field, spacing)), rel=1e-9)
    assert row.fold_fraction == float(wt.stability.fold_fraction(field, spacing))


def test_grid_sampler_is_found_without_torch_nn():
    class Direct(nn.Module):
        def forward(self, x):
            return torch.grid_sampler(x, torch.full((1, 3, 3, 2), 0.1), 0, 1, True)

    with wt.stability.monitor(Direct(), interval=1) as m:
        m._model(torch.zeros(1, 1, 5, 5))
    # The identity grid is symmetric: every position 0.1 · (5 − 1)/2 beside the centre, on average.
    assert m.rows()[0].offset_mean == pytest.approx(0.2, rel=1e-6)


@pytest.mark.parametrize("library", ["torchvision", "mmcv", "warptheory"])
@pytest.mark.parametrize(("groups", "masked"), [(1, False), (2, False), (2, True)])
def test_deformable_convolutions(library, groups, masked):
    layer = stand_ins.DeformableLayer(library, 4, groups=groups, masked=masked).double()
    nn.init.normal_(layer.conv_offset.weight, std=0.3)
    model, x = nn.Sequential(nn.Conv2d(1, 4, 1).double(), layer), normal(2, 1, 9, 8)
    kept = {}
    layer.conv_offset.register_forward_hook(lambda module, inputs, output: kept.update(offset=output))
    with getattr(stand_ins, library)():
        plain = model(x)
        with wt.stability.monitor(model, interval=1, images=None) as m:
            watched = model(x)
            (gradient,) = torch.autograd.grad(watched.pow(3).sum(), kept["offset"], retain_graph=True)
            again = torch.autograd.grad(watched.pow(3).sum(), [*layer.parameters()])
    assert torch.equal(plain, watched)
    (row,) = m.rows()
    assert row.layer == "1"
    assert row.operator.startswith("mmcv") == (library == "mmcv")
    assert (row.operator == "sample") == (library == "warptheory")
    raw = kept["offset"].detach()[:, : 18 * groups]
    fields = raw.reshape(2, 9 * groups, 2, *raw.shape[2:]).flatten(0, 1)
    assert row.offset_deviation == pytest.approx(float(raw.std(correction=0)), rel=1e-12)
    assert row.slope_deviation == pytest.approx(float(wt.stability.slope_deviation(fields, (2.0, 2.0))), rel=1e-12)
    offset_gradient = gradient[:, : 18 * groups]
    assert row.offset_gradient_variance == pytest.approx(float(offset_gradient.var(correction=0)), rel=1e-10)
    assert len(again) == 3


def test_order_of_channels_is_rows_first():
    """Dy of every tap is 1, dx is 0.25: rows move by whole pixels, and the first row alone is dead."""
    layer = stand_ins.DeformableLayer("torchvision", 1, stride=1)
    nn.init.zeros_(layer.conv_offset.weight)
    layer.conv_offset.bias.data = torch.tensor([1.0, 0.25] * 9)
    with stand_ins.torchvision(), wt.stability.monitor(nn.Sequential(layer), interval=1) as m:
        m._model(torch.zeros(1, 1, 6, 5))
    assert m.rows()[0].offset_mean == pytest.approx(0.625)
    assert m.rows()[0].dead_fraction == 0  # taps at −1, 0, 1 and a step of 1: rows 0 … 7
    layer.conv_offset.bias.data = torch.tensor([2.0, 0.25] * 9)
    with stand_ins.torchvision(), wt.stability.monitor(nn.Sequential(layer), interval=1) as m:
        m._model(torch.zeros(1, 1, 6, 5))
    assert m.rows()[0].dead_fraction == pytest.approx(1 / 6)


def test_a_masked_tap_reads_nothing():
    layer = stand_ins.DeformableLayer("torchvision", 1, stride=1, masked=True)
    nn.init.zeros_(layer.conv_offset.weight)
    layer.conv_offset.bias.data = torch.cat([torch.zeros(18), torch.full((9,), -math.inf)])
    with stand_ins.torchvision(), wt.stability.monitor(nn.Sequential(layer), interval=1) as m:
        m._model(torch.zeros(1, 1, 6, 5))
    assert m.rows()[0].dead_fraction == 1


@pytest.mark.parametrize(
    ("layout", "arrange"),
    [
        (wt.stability.OffsetOutput(), lambda pairs: pairs.flatten(1, 2)),
        (wt.stability.OffsetOutput(last_axis_first=True), lambda pairs: pairs.flip(2).flatten(1, 2)),
        (wt.stability.OffsetOutput("planes"), lambda pairs: pairs.transpose(1, 2).flatten(1, 2)),
        (wt.stability.OffsetOutput(channels_last=True), lambda pairs: pairs.flatten(1, 2).movedim(1, -1)),
        (
            wt.stability.OffsetOutput(channels=(1, 7)),
            lambda pairs: functional.pad(pairs.flatten(1, 2), (0, 0, 0, 0, 1, 2)),
        ),
        (wt.stability.OffsetOutput(scale=0.5), lambda pairs: 2 * pairs.flatten(1, 2)),
    ],
    ids=["pairs", "last axis first", "planes", "channels last", "channels", "scale"],
)
def test_modules_that_the_user_names(layout, arrange):
    pairs = normal(2, 3, 2, 5, 4)
    pairs[:, :, 1] *= 3  # axes differ, so that an exchange shows in the slopes' determinant
    raw = arrange(pairs).requires_grad_()

    class Head(nn.Module):
        def forward(self, x):
            return raw * x

    model = nn.Sequential(nn.ModuleDict({"head": Head()})["head"])
    with wt.stability.monitor(model, interval=1, modules={"0": layout}) as m:
        (model(torch.ones(())) ** 2).sum().backward()
    (row,) = m.rows()
    fields = pairs.flatten(0, 1)
    assert (row.layer, row.operator) == ("0", "module output")
    assert row.fold_fraction == float(wt.stability.fold_fraction(fields))
    assert row.offset_deviation == pytest.approx(float(pairs.std(correction=0)), rel=1e-12)
    # L = Σ raw², so that ∂L/∂ε = 2 raw/scale = 2ε/scale².
    wanted = (2 * pairs / layout.scale**2).var(correction=0)
    assert row.offset_gradient_variance == pytest.approx(float(wanted), rel=1e-12)
    assert math.isnan(row.dead_fraction)
    assert math.isnan(row.variance_in)


# ---- unusual circumstances ----------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_recorded(value):
    layer = SelfWarp2d(2)
    layer.head.bias.data.fill_(value)
    model = nn.Sequential(layer)
    with pytest.warns(UserWarning, match="not finite"), wt.stability.monitor(model, interval=1) as m:
        model(normal(1, 2, 5, 5).float()).sum().backward()
    (row,) = m.rows()
    assert not math.isfinite(row.offset_mean)
    assert math.isnan(row.offset_deviation)
    assert row.variance_in > 0


def test_without_gradients():
    model = wavy().eval()
    with wt.stability.monitor(model, interval=1) as m, torch.no_grad():
        model(normal(2, 3, 8, 8).float())
    gradients = m.table().filter(like="gradient")
    assert len(gradients) == 3
    assert gradients.isna().all(axis=None)
    assert m.table()["variance_out"].gt(0).all()


def test_a_graph_that_was_thrown_away_gets_no_gradients():
    model, x = wavy(), normal(2, 3, 8, 8).float()
    with wt.stability.monitor(model, interval=2) as m:
        model(x)
        model(x).sum().backward()
    assert m.table().filter(like="gradient").isna().all(axis=None)


def test_two_calls_before_one_backward_pass():
    model, x = wavy(), normal(2, 3, 8, 8).float()
    with wt.stability.monitor(model, interval=2) as m:
        first = model(x)
        (first.sum() + model(2 * x).sum()).backward()
    assert m.table().filter(like="gradient").notna().all(axis=None)


def test_an_empty_batch_has_no_statistics():
    model = selfwarp_resnet(8, width=4, head_gain=1.0)
    with wt.stability.monitor(model, interval=1) as m:
        model(torch.zeros(0, 3, 8, 8))
    assert m.table()[["offset_mean", "fold_fraction", "dead_fraction", "variance_out"]].isna().all(axis=None)


def test_autocast():
    model, x = wavy(), normal(2, 3, 8, 8).float()
    with wt.stability.monitor(model, interval=1) as m, torch.autocast("cpu", dtype=torch.bfloat16):
        model(x).sum().backward()
    assert m.table().select_dtypes("number").notna().all(axis=None)


def test_grid_of_one_pixel_has_no_slopes():
    class Point(nn.Module):
        def forward(self, x):
            return functional.grid_sample(x, torch.zeros(2, 1, 1, 2), align_corners=True)

    with wt.stability.monitor(Point(), interval=1) as m:
        m._model(normal(2, 1, 5, 5).float())
    (row,) = m.rows()
    assert math.isnan(row.slope_deviation)
    assert row.offset_mean == 0
    assert row.dead_fraction == 24 / 25


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wt.stability.monitor(torch.zeros(1)), "^model: expected a torch module"),
        (
            lambda: wt.stability.monitor(nn.Identity(), interval=0),
            "^interval: expected a positive integer, got 0",
        ),
        (lambda: wt.stability.monitor(nn.Identity(), images=0), "^images: expected"),
        (lambda: wt.stability.monitor(nn.Identity(), first_step=-1), "^first_step: expected"),
        (lambda: wt.stability.OffsetOutput("triples"), "^order: expected 'pairs' or 'planes'"),
        (lambda: wt.stability.OffsetOutput(scale=0.0), "^scale: expected a finite number other than zero"),
        (lambda: wt.stability.fold_fraction(torch.zeros(1, 2, 3, 3), (1.0,)), "^spacing: expected 2 positive numbers"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


@pytest.mark.parametrize("modules", [["0"], "0", {"0": 3}, {"0": None}], ids=str)
def test_modules_are_a_mapping_to_layouts(modules, as_users_call):
    with pytest.raises(ArgumentError, match="^modules: expected an OffsetOutput "):
        wt.stability.monitor(nn.Sequential(nn.Identity()), modules=modules)


def test_unknown_modules_are_named():
    with pytest.raises(UnknownNameError, match="did you mean 'blocks.1.warp.head'"):
        wt.stability.monitor(wavy(), modules={"blocks.1.warp.heat": wt.stability.OffsetOutput()})


def test_our_operators_are_read_as_the_originals_are():
    """One set of numbers, whether the monitor rebuilds a pattern or is given it."""
    rows = []
    for library in ("torchvision", "warptheory"):
        torch.manual_seed(7)
        layer = stand_ins.DeformableLayer(library, 4, groups=2, masked=True).double()
        model, x = nn.Sequential(nn.Conv2d(1, 4, 1).double(), layer), normal(2, 1, 9, 8)
        with getattr(stand_ins, library)(), wt.stability.monitor(model, interval=1, images=None) as m:
            model(x).pow(3).sum().backward()
        (row,) = m.rows()
        rows.append({name: value for name, value in dataclasses.asdict(row).items() if isinstance(value, float)})
    theirs, ours = rows
    assert len(ours) > 10
    assert ours == pytest.approx(theirs, rel=1e-9)
