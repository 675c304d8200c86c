"""The variance of parameter gradients against autograd.grad, in all orders and ways in which autograd brings them."""

import copy
import threading
import warnings
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import warptheory as wt
from warptheory.operators import SelfWarp2d


@pytest.fixture(autouse=True)
def _float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def truth(model, loss, module=None):
    """Return the variance of all entries of the gradients that autograd.grad computes, on a copy without hooks."""
    parameters = [each for each in (module or model).parameters() if each.requires_grad]
    found = torch.autograd.grad(loss(), parameters, allow_unused=True)
    return float(torch.cat([each.flatten() for each in found if each is not None]).var(correction=0))


def approx(value):
    # Means of a few hundred entries in float64, in another order.
    return pytest.approx(value, rel=1e-10)


class Sandwich(nn.Module):
    """Computes offsets, samples and convolves: parameters behind the outcome and before it."""

    def __init__(self):
        super().__init__()
        self.head, self.after = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 3, 3)
        self.scale = nn.Parameter(torch.randn(3, 1, 1))

    def sample(self, x):
        return wt.warp(x, self.head(x))

    def forward(self, x):
        return self.scale * self.after(self.sample(x).square()).tanh()


class Tied(Sandwich):
    """The same filters compute offsets and read the outcome."""

    def forward(self, x):
        return self.scale * self.head(self.sample(x).square()).mean(1, keepdim=True).tanh()


class Fixed(nn.Module):
    """Samples an image that needs no gradient at offsets that have none."""

    def __init__(self):
        super().__init__()
        self.after = nn.Conv2d(2, 3, 3)

    def forward(self, x):
        return self.after(wt.warp(x, torch.full((2, 2, 6, 5), 0.3)))


def image(seed=0):
    return torch.randn(2, 2, 6, 5, generator=torch.Generator().manual_seed(seed))


def loss_of(model, x):
    return model(x).pow(3).sum()


@pytest.mark.parametrize("kind", [Sandwich, Tied, Fixed])
@pytest.mark.parametrize("x_has_gradient", [False, True])
def test_of_all_parameters(kind, x_has_gradient):
    model, x = kind(), image().requires_grad_(x_has_gradient)
    wanted = truth(model, lambda: loss_of(model, x))
    with wt.stability.monitor(model, interval=1) as m:
        loss_of(model, x).backward()
        assert m.rows()[0].parameter_gradient_variance == approx(wanted)
    assert not any(each._backward_hooks for each in model.parameters())


def test_of_old_gradients_nothing_counts():
    """Gradients that accumulate, with zero_grad(set_to_none=False) between some."""
    model, optimizer = Sandwich(), None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wanted = []
    with wt.stability.monitor(model, interval=1) as m:
        for step in range(6):
            twin = copy.deepcopy(model)
            wanted.append(truth(twin, partial(loss_of, twin, image(step))))
            loss_of(model, image(step)).backward()
            if step % 2:
                optimizer.step()
                optimizer.zero_grad(set_to_none=False)
    assert m.table()["parameter_gradient_variance"].tolist() == [approx(value) for value in wanted]


def test_two_steps_before_one_backward_pass():
    """As of contrastive losses; each step has the gradient of the sum."""
    model = Sandwich()

    def loss():
        return (model(image(0)) * model(image(1))).sum()

    wanted = truth(model, loss)
    with wt.stability.monitor(model, interval=1) as m:
        loss().backward()
    assert m.table()["parameter_gradient_variance"].tolist() == [approx(wanted)] * 2


def test_the_first_of_several_backward_passes():
    model, x = Sandwich(), image()
    wanted = truth(model, lambda: loss_of(model, x))
    with wt.stability.monitor(model, interval=1) as m:
        y = model(x)
        y.pow(3).sum().backward(retain_graph=True)
        (7 * y).sum().backward()
    assert m.rows()[0].parameter_gradient_variance == approx(wanted)


def test_a_pass_for_other_gradients_leaves_parameters_to_the_next():
    """As a penalty on the gradient of the input, whose own graph is part of the loss."""
    model, x = Sandwich(), image().requires_grad_()

    def loss():
        y = model(x)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return y.pow(3).sum() + slope.square().sum()

    wanted = truth(model, loss)
    with wt.stability.monitor(model, interval=1) as m:
        loss().backward()
    assert m.rows()[0].parameter_gradient_variance == approx(wanted)


@pytest.mark.parametrize("kind", [Sandwich, Fixed])
def test_a_graph_that_was_thrown_away(kind):
    """Other passes, of steps that are not recorded, and of the parameters alone, are not its own."""
    model = kind()
    with wt.stability.monitor(model, interval=2) as m:
        loss_of(model, image())
        loss_of(model, image()).backward()
        sum(each.square().sum() for each in model.parameters()).backward()
        assert m.table().filter(like="gradient").isna().all(axis=None)
        assert not any(each._backward_hooks for each in model.parameters())


def test_a_pass_that_reaches_another_branch_first():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.branch = nn.Conv2d(2, 2, 1), Sandwich()

        def forward(self, x):
            x = self.stem(x)
            return x, self.branch(x)

    model = Branches()
    wanted = truth(model, lambda: model(image())[1].pow(3).sum(), model.branch)
    with wt.stability.monitor(model, interval=1) as m:
        first, second = model(image())
        first.sum().backward(retain_graph=True)
        second.pow(3).sum().backward()
    (row,) = m.rows()
    assert row.parameter_gradient_variance == approx(wanted)
    x = model.stem(image()).detach().requires_grad_()
    (wanted,) = torch.autograd.grad(model.branch(x).pow(3).sum(), x)
    assert row.input_gradient_variance == approx(float(wanted.var(correction=0)))


def test_hooks_that_others_registered():
    """Of a parameter: one that was there before has changed the gradient; the layer's own do not matter."""
    model = Sandwich()
    handles = [each.register_hook(lambda gradient: 2 * gradient) for each in model.parameters()]
    wanted = truth(model, partial(loss_of, model, image()))
    model.register_full_backward_hook(lambda *_: None)
    for each in model.parameters():
        each.register_post_accumulate_grad_hook(lambda each: setattr(each, "grad", None))
    with wt.stability.monitor(model, interval=1) as m:
        loss_of(model, image()).backward()
    assert m.rows()[0].parameter_gradient_variance == approx(wanted)
    assert len(handles) == 3 + 2


def test_a_backward_pass_that_fails_and_is_repeated():
    model, failures = Sandwich(), [True]

    def fail(_):
        if failures and failures.pop():
            raise ValueError("once")

    wanted = truth(model, partial(loss_of, model, image()))
    with wt.stability.monitor(model, interval=1) as m:
        y = model(image())
        y.register_hook(fail)
        with pytest.raises(ValueError, match="once"):
            y.pow(3).sum().backward(retain_graph=True)
        y.pow(3).sum().backward()
    assert m.rows()[0].parameter_gradient_variance == approx(wanted)


def test_complex_parameters_count_as_two():
    class Spectral(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.head = nn.Parameter(torch.randn(6, 3, dtype=torch.complex128)), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            y = wt.warp(x, self.head(x))
            return torch.fft.irfft2(torch.fft.rfft2(y) * self.weight, s=y.shape[2:])

    model = Spectral()
    found = torch.autograd.grad(loss_of(model, image()), [*model.parameters()])
    entries = [torch.view_as_real(each) if each.is_complex() else each for each in found]
    wanted = float(torch.cat([each.flatten() for each in entries]).var(correction=0))
    with wt.stability.monitor(model, interval=1) as m:
        loss_of(model, image()).backward()
    assert m.rows()[0].parameter_gradient_variance == approx(wanted)


def test_torch_func_grad():
    model = Sandwich()
    wanted = truth(model, partial(loss_of, model, image()))
    with wt.stability.monitor(model, interval=1) as m:

        def loss(parameters):
            return torch.func.functional_call(model, parameters, (image(),)).pow(3).sum()

        torch.func.grad(loss)(dict(model.named_parameters()))
    assert m.rows()[0].parameter_gradient_variance == approx(wanted)


# ---- what is computed anew in the backward pass ----------------------------------------------------------------------


def blocks():
    layers = []
    for _ in range(3):
        warp = SelfWarp2d(2)
        nn.init.normal_(warp.head.weight, std=0.3)
        layers += [nn.Conv2d(2, 2, 3, padding=1), warp]
    return nn.Sequential(*layers)


class Checkpointed(nn.Module):
    """A part of the layers is computed anew, in one of several ways."""

    def __init__(self, way, reentrant):
        super().__init__()
        self.layers, self.way, self.reentrant = blocks(), way, reentrant

    def again(self, run, x):
        return checkpoint(run, x, use_reentrant=self.reentrant)

    def forward(self, x):
        first, rest = self.layers[:2], self.layers[2:]
        if self.way == "one":
            return self.again(rest, first(x))
        if self.way == "several":
            return checkpoint_sequential(self.layers, 3, x, use_reentrant=self.reentrant)
        if self.way == "nested":
            return self.again(lambda x: self.again(rest[2:], rest[:2](x)), first(x))
        if self.way == "nested twice":
            return self.again(lambda x: self.again(lambda x: self.again(rest[3:], rest[2:3](x)), rest[:2](x)), first(x))
        if self.way == "shared":
            # The same parameters within and without: their gradient comes in parts.
            return rest(self.again(rest, first(x))) + first(x)
        assert self.way == "shortcut"
        x = first(x)
        return self.again(rest, x) + 2 * x


WAYS = ("one", "several", "nested", "nested twice", "shared", "shortcut")


def without_checkpoints(model):
    """Return a copy whose layers run once."""
    plain = copy.deepcopy(model)
    plain.again = lambda run, x: run(x)
    if model.way == "several":
        plain.way, plain.forward = "", lambda x: plain.layers(x)
    return plain


def assert_alike(found, wanted):
    for name in [name for name in found if found[name].dtype == float]:
        assert found[name].tolist() == [pytest.approx(value, rel=1e-9, nan_ok=True) for value in wanted[name]], name


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("error", "ignore:None of the inputs have requires_grad")  # torch's own, of nested ones
def test_checkpoints_have_the_gradients_of_the_same_without(way, reentrant):
    model, x = Checkpointed(way, reentrant), image().requires_grad_()
    plain = without_checkpoints(model)
    with wt.stability.monitor(plain, interval=1) as wanted:
        loss_of(plain, x).backward()
    for parts in (model, copy.deepcopy(model)):
        with wt.stability.monitor(parts, interval=1) if parts is model else nullcontext() as m:
            for _ in range(2):
                parts.zero_grad()
                loss_of(parts, image().requires_grad_()).backward()
        found = m.table() if parts is model else found
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(model.parameters(), parts.parameters(), strict=True))
    for step in range(2):
        assert_alike(found[found["step"] == step].reset_index(drop=True), wanted.table())
    assert found.filter(like="gradient").notna().all(axis=None)
    assert not any(each._backward_hooks for each in model.parameters())


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.filterwarnings("error")
def test_a_checkpoint_of_the_whole_model(reentrant):
    """Two calls, each computed anew, are two steps."""
    model = blocks()
    with wt.stability.monitor(model, interval=1) as wanted:
        for seed in range(2):
            loss_of(model, image(seed).requires_grad_()).backward()
    model.zero_grad()

    def run(x):
        return checkpoint(model, x, use_reentrant=reentrant)

    with wt.stability.monitor(model, interval=1) as m:
        losses = [loss_of(run, image(seed).requires_grad_()) for seed in range(2)]
        for loss in losses:
            loss.backward()
        assert m._next_number[True] == 2
    assert_alike(m.table(), wanted.table())
    assert m.table()["step"].tolist() == [0] * 3 + [1] * 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("error", "ignore:None of the inputs have requires_grad")
def test_a_checkpoint_of_the_whole_model_with_others_inside(way):
    """Of re-entrant checkpoints inside each other the outermost has the graph."""
    model = Checkpointed(way, reentrant=True)
    plain = without_checkpoints(model)
    with wt.stability.monitor(plain, interval=1) as wanted:
        loss_of(plain, image().requires_grad_()).backward()
    with wt.stability.monitor(model, interval=1) as m:
        loss_of(lambda x: checkpoint(model, x, use_reentrant=True), image().requires_grad_()).backward()
    assert_alike(m.table(), wanted.table())
    assert m.table().filter(like="gradient").notna().all(axis=None)


class Foreign(torch.autograd.Function):
    """A re-entrant checkpoint of somebody else."""

    @staticmethod
    def forward(ctx, run, x):
        ctx.run = run
        ctx.save_for_backward(x)
        with torch.no_grad():
            return run(x)

    @staticmethod
    def backward(ctx, gradient):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            ctx.run(x).backward(gradient)
        return None, x.grad


def test_a_checkpoint_of_another_library_is_told_of():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.rest = nn.Conv2d(2, 2, 1), blocks()

        def forward(self, x):
            return Foreign.apply(self.rest, self.first(x))

    model = Model()

    def train():
        with wt.stability.monitor(model, interval=1) as m:
            for _ in range(2):
                loss_of(model, image()).backward()
        return m

    with pytest.warns(UserWarning, match="no gradients are seen of layer 'rest.1'.*Foreign") as told:
        m = train()
    assert len(told) == 3
    assert m.table()["output_gradient_variance"].isna().all()


@pytest.mark.filterwarnings("error")
def test_a_frozen_part_under_no_grad_is_no_checkpoint():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen, self.last = blocks(), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            with torch.no_grad():
                x = self.frozen(x)
            return self.last(x)

    with wt.stability.monitor(Model(), interval=1) as m:
        loss_of(m._model, image()).backward()
    assert m.table().filter(like="gradient").isna().all(axis=None)


# ---- threads, replicas, interruptions --------------------------------------------------------------------------------


def replica_of(model):
    """Return what DataParallel runs in another thread: shallow copies of the modules, hooks included."""
    copies = {each: each._replicate_for_data_parallel() for each in model.modules()}
    for module, twin in copies.items():
        for name, child in module._modules.items():
            twin._modules[name] = copies[child]
        for name, parameter in module._parameters.items():
            if parameter is not None:
                setattr(twin, name, parameter * 1)
    return copies[model]


def test_replicas_are_not_seen_and_told_of():
    model = blocks()
    replicas = [replica_of(model) for _ in range(2)]
    plain = [replica(image()) for replica in replicas]
    outputs = [None, None]

    def run(replicas, number):
        outputs[number] = replicas[number](image())

    def train():
        with wt.stability.monitor(model, interval=1) as m:
            replicas = [replica_of(model) for _ in range(2)]
            threads = [threading.Thread(target=run, args=(replicas, number)) for number in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return m

    with pytest.warns(UserWarning, match="saw no sampling operation.*threads.*modules="):
        m = train()
    assert all(torch.equal(*pair) for pair in zip(outputs, plain, strict=True))
    assert m.rows() == []
    assert m._next_number == {True: 0, False: 0}


def test_a_call_in_another_thread_during_a_step():
    model = blocks()
    alone = []

    class Busy(nn.Identity):
        def forward(self, x):
            if not alone:
                alone.append(None)
                thread = threading.Thread(target=lambda: alone.append(model(x.detach())))
                thread.start()
                thread.join()
            return x

    model.insert(2, Busy())
    with wt.stability.monitor(model, interval=1) as m:
        loss_of(model, image()).backward()
    assert torch.equal(alone[1], model(image())) or len(alone) == 2
    assert [row.layer for row in m.rows()] == ["1", "4", "6"]
    assert m.table().filter(like="gradient").notna().all(axis=None)
    assert torch._C._len_torch_function_stack() == 0


def test_a_step_after_one_that_was_interrupted():
    """KeyboardInterrupt runs no hooks; the monitor goes on with the next step."""
    model, errors = blocks(), [KeyboardInterrupt]

    class Interrupted(nn.Identity):
        def forward(self, x):
            if errors:
                raise errors.pop()
            return x

    model.insert(2, Interrupted())
    with wt.stability.monitor(model, interval=1) as m:
        with pytest.raises(KeyboardInterrupt):
            model(image())
        loss_of(model, image()).backward()
    assert [(row.step, row.layer) for row in m.rows()] == [(0, "1"), (1, "1"), (1, "4"), (1, "6")]
    assert torch._C._len_torch_function_stack() == 0


def test_a_model_that_calls_itself():
    class Coarse(nn.Module):
        def __init__(self):
            super().__init__()
            self.warp = SelfWarp2d(2)

        def forward(self, x):
            if x.shape[-1] > 4:
                x = x + functional.interpolate(self(x[..., ::2, ::2]), x.shape[2:])
            return self.warp(x)

    model = Coarse()
    with wt.stability.monitor(model, interval=1) as m:
        loss_of(model, torch.randn(1, 2, 8, 8)).backward()
    assert [(row.step, row.call) for row in m.rows()] == [(0, 0), (0, 1)]


def test_hooks_of_the_user_that_raise():
    """A hook that fails before the monitor's leaves the order of modules as it was."""
    model = blocks()
    calls = []

    def fail(*_):
        calls.append(None)
        if len(calls) == 1:
            raise ValueError("a hook")

    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = model

        def forward(self, x):
            try:
                return self.layers(x)
            except ValueError:
                return wt.warp(x, torch.zeros(2, 2, 6, 5)) + self.layers(x)

    careful = Careful()
    model.register_forward_pre_hook(fail)
    with wt.stability.monitor(careful, interval=1) as m:
        careful(image())
    assert [row.layer for row in m.rows()] == ["", "layers.1", "layers.3", "layers.5"]


@pytest.mark.filterwarnings("error")
def test_nothing_is_told_of_ordinary_training():
    model = blocks()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with warnings.catch_warnings(), wt.stability.monitor(model, interval=1):
        for seed in range(10):
            optimizer.zero_grad()
            model(image(seed)).square().mean().backward()
            optimizer.step()
