"""Public models in plain torch, diagnosed as they are: what is known of their code is found, and planted faults are."""

import contextlib
import copy
import functools
import importlib
import itertools
import math
import pkgutil
import random
import re
import statistics
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

import warptheory as wt
from tests.stability import public_models
from tests.stability.public_models import (
    dcnv2,
    dcnv3,
    deformable_detr,
    dysample,
    ldconv,
    raft,
    stn_tutorial,
    voxelmorph,
)
from warptheory.core.errors import ArgumentError
from warptheory.stability import OffsetOutput

MODELS = [
    importlib.import_module(f"{public_models.__name__}.{found.name}")
    for found in pkgutil.iter_modules(public_models.__path__)
]


def short(model):
    return getattr(model, "__name__", "").rpartition(".")[2]


def built(public, **choices):
    torch.manual_seed(0)
    return public.build(**choices)


def diagnosed(public, model, optimizer=None, count=2, **choices):
    outputs = {name: OffsetOutput(**layout) for name, layout in getattr(public, "OUTPUTS", {}).items()}
    loss = getattr(public, "image_loss", public.loss)
    optimizer = public.optimizer(model) if optimizer is None else optimizer
    steps = 10**5  # about as many as the released trainings have
    return wt.stability.diagnose(model, public.batches(count), loss, optimizer, modules=outputs, steps=steps, **choices)


@functools.cache
def as_released(public):
    return diagnosed(public, built(public))


@functools.cache
def with_a_wild_head(public):
    model = built(public)
    for name, deviation in public.WILD.items():
        nn.init.normal_(model.get_parameter(name), std=deviation)
    return diagnosed(public, model, count=1)


# ---- as released -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("public", MODELS, ids=short)
def test_what_only_moves_samples_is_found_by_name(public):
    found = as_released(public)
    assert found.offset_only == public.OFFSET_ONLY
    assert tuple(dict.fromkeys(layer.layer for layer in found.layers)) == public.SAMPLING
    assert found.not_seen == ()


@pytest.mark.parametrize("public", MODELS, ids=short)
def test_released_models_are_sound(public):
    if public is ldconv:
        pytest.skip("is not: its hook does nothing")
    found = as_released(public)
    assert (found.verdict, found.reason, found.advice, found.remarks) == ("ok", None, (), ())


@pytest.mark.parametrize("style", ["lp", "pl"])
def test_scope_of_dysample_moves_samples_too(style):
    """Its logits start at zero weights; the sigmoid of zero is a half, so that the gradients of both are there."""
    found = diagnosed(dysample, built(dysample, style=style, dyscope=True))
    assert set(found.offset_only) == {*dysample.OFFSET_ONLY, *dysample.SCOPE}
    assert found.verdict == "ok"


def test_a_regularised_flow_is_judged_all_the_same():
    """The released loss of voxelmorph reaches the flow without sampling, too; a step can still be too long."""
    model = built(voxelmorph)
    fast = torch.optim.Adam(model.parameters(), lr=1.0)
    found = wt.stability.diagnose(model, voxelmorph.batches(2), voxelmorph.loss, fast)
    assert (found.verdict, found.reason) == ("fail", "runaway")


# ---- planted faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("public", MODELS, ids=short)
def test_a_wild_head_is_found(public):
    found = with_a_wild_head(public)
    assert found.verdict in ("worse", "fail")
    assert found.reason in ("explosion", "off the image", "runaway")
    assert found.advice


@pytest.mark.parametrize("public", MODELS, ids=short)
def test_a_wild_head_changes_no_names(public):
    """Not even where a mask's weights are zero, through which there is a way, but no gradient yet."""
    assert with_a_wild_head(public).offset_only == public.OFFSET_ONLY


def test_a_localiser_at_full_rate_is_remarked_on():
    model = built(stn_tutorial)
    whole = diagnosed(stn_tutorial, model, stn_tutorial.reduced(model))
    assert whole.remarks == ()
    part = diagnosed(stn_tutorial, model, stn_tutorial.reduced(model, "fc_loc"))
    (remark,) = part.remarks
    reduced, full = remark.split("but")
    assert "fc_loc.0.weight" in reduced
    assert "0.001 of the learning rate" in reduced
    assert "localization.0.weight" in full
    assert part.rho >= whole.rho  # the step of the localiser's rest is in it


class InternImageDino(nn.Module):
    """A backbone of deformable convolutions and a detection head, as InternImage is released with DINO."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleDict({"patch_embed": nn.Conv2d(8, 8, 1), "levels": dcnv3.InternImageLayer(8, 2)})
        self.bbox_head = deformable_detr.build()

    def forward(self, x):
        x = self.backbone["levels"](self.backbone["patch_embed"](x).permute(0, 2, 3, 1))
        return self.bbox_head(x.permute(0, 3, 1, 2))


def test_a_multiplier_that_misses_a_part_is_remarked_on():
    """The released groups reach `sampling_offsets` of the head, and not `offset` of the backbone."""
    torch.manual_seed(0)
    model = InternImageDino()
    found = diagnosed(deformable_detr, model, dcnv3.optimizer(model))
    assert set(found.offset_only) == {
        "backbone.levels.dcn.offset.weight",
        "backbone.levels.dcn.offset.bias",
        *(f"bbox_head.{name}" for name in deformable_detr.OFFSET_ONLY),
    }
    (remark,) = found.remarks
    reduced, full = remark.split("but")
    assert "sampling_offsets.weight" in reduced
    assert "0.01 of the learning rate" in reduced
    assert "backbone.levels.dcn.offset.weight" in full


def test_a_multiplier_that_reaches_nothing_is_remarked_on():
    """Names of the released groups that match no parameter leave a group that is empty."""
    model = built(deformable_detr)
    found = diagnosed(deformable_detr, model, deformable_detr.optimizer(model, names=("conv_offset",)))
    (remark,) = found.remarks
    assert "parameter group 1 has 0.1 of the learning rate and holds nothing" in remark


def test_a_multiplier_that_reaches_others_is_remarked_on():
    model = built(dcnv2)
    names = [name for name, _ in model.named_parameters()]
    wrong = [model.get_parameter(name) for name in names if name.endswith("conv2.weight")]
    others = [model.get_parameter(name) for name in names if not name.endswith("conv2.weight")]
    optimizer = torch.optim.SGD([{"params": others}, {"params": wrong, "lr": 0.002}], lr=0.02, momentum=0.9)
    (remark,) = diagnosed(dcnv2, model, optimizer).remarks
    assert "parameter group 1 has 0.1 of the learning rate and holds layer1.conv2.weight, layer2.conv2.weight" in remark


def test_a_slow_backbone_is_nothing_to_remark_on():
    """It has the smaller rate on purpose, and the head that samples has the usual one, as the head's other parts."""
    model = built(dysample)
    for _ in range(3):  # a head of more parameters than the backbone
        model.decode_head.conv_seg = nn.Sequential(nn.Conv2d(16, 16, 1), nn.ReLU(), model.decode_head.conv_seg)
    assert diagnosed(dysample, model).remarks == ()


def test_a_hook_that_does_nothing_is_remarked_on():
    (remark,) = as_released(ldconv).remarks
    assert remark == "backward hooks of block.p_conv change no gradient"


def test_a_hook_that_does_something_is_not():
    model = built(ldconv)
    model.block.p_conv._backward_hooks.clear()
    model.block.p_conv.weight.register_hook(lambda gradient: 0.1 * gradient)
    assert diagnosed(ldconv, model).remarks == ()


def test_a_multiplier_far_too_large_is_found():
    model = built(dcnv2)
    found = diagnosed(dcnv2, model, dcnv2.optimizer(model, multiplier=3e3))
    assert (found.verdict, found.reason) == ("fail", "runaway")


def test_what_is_advised_helps():
    model, multiplier = built(dcnv2), 3e3
    found = diagnosed(dcnv2, model, dcnv2.optimizer(model, multiplier))
    factor = float(re.search("every offset-only parameter by ([0-9.e-]+)", found.advice[0])[1])
    assert diagnosed(dcnv2, model, dcnv2.optimizer(model, multiplier * factor)).verdict == "ok"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("public", MODELS, ids=short)
def test_the_step_and_the_layer_of_a_nan_are_named(public):
    model, step = built(public), 2
    optimizer = public.optimizer(model)
    outputs = {name: OffsetOutput(**layout) for name, layout in getattr(public, "OUTPUTS", {}).items()}
    with wt.stability.monitor(model, interval=1, modules=outputs) as monitor:
        for number, (inputs, target) in enumerate(public.batches(step + 1)):
            if number == step:
                nn.init.constant_(model.get_parameter(public.FAULT), float("nan"))
            optimizer.zero_grad()
            value = public.loss(model(*inputs) if isinstance(inputs, tuple) else model(inputs), target)
            if number < step:  # torch itself falls over in the gradient of `grid_sample` at NaN with border padding
                value.backward()
                optimizer.step()
    layer = public.SAMPLING[-1]
    where = f"in layer '{layer}'" if layer else "in the model itself"
    told = [each for each in monitor.alarms if "offsets are not finite" in each]
    assert any(each.startswith(f"{where}, at step {step} in training") for each in told)
    assert all(f"at step {step}" in each for each in told)


def test_nan_at_the_start_is_found_by_the_diagnosis():
    model = built(dcnv2)
    nn.init.constant_(model.get_parameter(dcnv2.FAULT), float("nan"))
    found = diagnosed(dcnv2, model)
    assert (found.verdict, found.reason) == ("fail", "explosion")


# ---- what cannot be diagnosed ----------------------------------------------------------------------------------------


def refused(match, model, batches, loss, optimizer=None):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1) if optimizer is None else optimizer
    with pytest.raises(ArgumentError, match=match) as error:
        wt.stability.diagnose(model, batches, loss, optimizer)
    assert "\n" not in str(error.value)


def test_a_model_without_sampling():
    images = [(torch.randn(2, 3, 8, 8), torch.zeros(2, dtype=torch.long))]
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 10))
    refused(
        "^model: expected a model that samples, got no sampling operation", plain, images, nn.functional.cross_entropy
    )
    refused("^model: expected a model that samples", built(ldconv), ldconv.batches(), ldconv.loss)


def test_a_loss_that_is_no_scalar():
    loss = functools.partial(nn.functional.cross_entropy, reduction="none")
    refused("^loss: expected a function that returns a scalar tensor, got shape", built(dcnv2), dcnv2.batches(), loss)
    refused("^loss: expected .*scalar", built(dcnv2), dcnv2.batches(), lambda output, target: 1.0)
    refused("^loss: ", built(dcnv2), dcnv2.batches(), lambda output, target: output.detach().mean())
    refused("^loss: ", built(dcnv2), dcnv2.batches(), lambda output: output.mean())


def test_wrong_batches():
    model, (images, labels) = built(dcnv2), next(dcnv2.batches(1))
    refused("^batches: expected inputs that the model takes", model, [(images.repeat(1, 3, 1, 1), labels)], dcnv2.loss)
    refused("^batches: expected inputs that the model takes", model, [((images, images), labels)], dcnv2.loss)
    refused("^batches: expected pairs", model, [images], dcnv2.loss)
    refused("^batches: expected at least one batch", model, [], dcnv2.loss)
    refused("^loss: ", model, [(images, labels[:3])], dcnv2.loss)


def test_an_optimizer_that_needs_a_closure():
    model = built(dcnv2)
    refused("^optimizer: ", model, dcnv2.batches(), dcnv2.loss, torch.optim.LBFGS(model.parameters()))


@pytest.mark.parametrize("place", ["part", "whole"])
def test_compiled_parts_are_looked_into(place):
    plain = as_released(dcnv2)
    model = built(dcnv2)
    optimizer = dcnv2.optimizer(model)
    if place == "part":
        model.layer2.compile(backend="eager")
    else:
        model = torch.compile(model, backend="eager")
    found = diagnosed(dcnv2, model, optimizer)
    assert tuple(name.replace("_orig_mod.", "") for name in found.offset_only) == plain.offset_only
    assert found.rho == pytest.approx(plain.rho, rel=1e-4)  # the same operations, as written


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
def test_scripted_parts_are_not_seen():
    model = built(dcnv2)
    optimizer = dcnv2.optimizer(model)
    model.layer2 = torch.jit.trace(model.layer2, torch.randn(2, 16, 12, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = diagnosed(dcnv2, model, optimizer)
    assert found.not_seen == ("layer2",)
    assert found.offset_only == dcnv2.OFFSET_ONLY[:2]
    refused("^model: expected a model that samples", nn.Sequential(model.layer2), [(torch.randn(2, 16, 12, 12), None)],
            lambda output, target: output.mean())  # fmt: skip


class Checkpointed(dcnv2.Net):
    """Computes its blocks again on the way back."""

    def forward(self, x):
        x = nn.functional.relu(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2):
            x = checkpoint(layer, x, use_reentrant=self.use_reentrant)
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpoints_change_nothing(use_reentrant):
    torch.manual_seed(0)
    model = Checkpointed()
    model.use_reentrant = use_reentrant
    assert diagnosed(dcnv2, model).offset_only == dcnv2.OFFSET_ONLY


class Gathered(nn.Module):
    """Samples by a gather, at offsets along the rows and under a mask that one convolution predicts."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.fc = nn.Linear(4, 10)

    def forward(self, x):
        x = self.stem(x).relu()
        offset, mask = self.head(x).split([2, 1], dim=1)
        places = (torch.arange(x.shape[3]) + offset.sum(1)).clamp(0, x.shape[3] - 1)
        low = places.detach().floor().clamp(0, x.shape[3] - 2)
        first, second = (x.gather(3, (low + k).long()[:, None].expand_as(x)) for k in (0, 1))
        rest = (places - low)[:, None]
        return self.fc(((first * (1 - rest) + second * rest) * mask.sigmoid()).mean((2, 3)))


def test_masks_of_a_named_head_are_no_positions():
    torch.manual_seed(0)
    model = Gathered()
    modules = {"head": OffsetOutput(channels=(0, 2))}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    found = wt.stability.diagnose(model, dcnv2.batches(2), dcnv2.loss, optimizer, modules=modules)
    assert found.offset_only == ("head.weight[0:2]", "head.bias[0:2]")


# ---- ρ, another way --------------------------------------------------------------------------------------------------


def tensors(output):
    if isinstance(output, torch.Tensor):
        return [output.flatten()]
    return [part for each in (output.values() if isinstance(output, dict) else output) for part in tensors(each)]


def output_of(model, inputs, seed):
    torch.manual_seed(seed)
    return torch.cat(tensors(model(inputs)))


def ratio(public, model, optimizer, batch, seed):
    """Return ρ of one batch from three copies of the model: one steps, and two take a part of its step each."""
    inputs, target = batch
    stepped, copied = copy_of(model, optimizer)
    torch.manual_seed(seed)
    public.loss(stepped(inputs), target).backward()
    copied.step()
    (with_offsets, _), (with_rest, _) = copy_of(model, optimizer), copy_of(model, optimizer)
    named = [name.partition("[")[0] for name in public.OFFSET_ONLY]
    for name, new in stepped.named_parameters():
        chosen = torch.full_like(new, name in named)
        if f"{name}[0:18]" in public.OFFSET_ONLY:
            chosen[18:] = 0
        for other, wanted in ((with_offsets, 1), (with_rest, 0)):
            old = other.get_parameter(name)
            old.data = torch.where(chosen == wanted, new, old).detach()
    still = output_of(copy_of(model, optimizer)[0], inputs, seed)
    by_offsets, by_rest = (output_of(each, inputs, seed) - still for each in (with_offsets, with_rest))
    return (by_offsets.norm() / by_rest.norm()).item()


def copy_of(model, optimizer):
    """Return the model and its optimizer, copied."""
    return copy.deepcopy((model, optimizer))


def measured(public, prior, count):
    """Return ρ as diagnosed, after some steps, and as computed here for each batch; in double precision."""
    model, seed = built(public).double(), 5
    optimizer = public.optimizer(model)
    in_double = [(inputs.double(), each) for inputs, each in public.batches(prior + count, size=4)]
    for inputs, target in in_double[:prior]:
        optimizer.zero_grad()
        public.loss(model(inputs), target).backward()
        optimizer.step()
    found = wt.stability.diagnose(model, in_double[prior:], public.loss, optimizer, seed=seed)
    return found, [ratio(public, model, optimizer, batch, seed) for batch in in_double[prior:]]


# Differences of outputs have lost some of the sixteen digits: a step moves them by a thousandth or less.
ROUNDING = 1e-9


@pytest.mark.parametrize("prior", [0, 2])
@pytest.mark.parametrize("public", [stn_tutorial, dcnv2, dcnv3, deformable_detr, dysample], ids=short)
def test_rho_is_the_ratio_of_two_steps(public, prior):
    found, (expected,) = measured(public, prior, 1)
    assert found.rho == pytest.approx(expected, rel=ROUNDING)
    assert math.isnan(found.rho_stderr)


@pytest.mark.parametrize("public", [stn_tutorial, dcnv2, dysample], ids=short)
def test_rho_is_the_mean_over_batches(public):
    found, each = measured(public, 1, 3)
    assert found.rho == pytest.approx(statistics.geometric_mean(each), rel=ROUNDING)
    deviation = statistics.stdev(map(math.log, each))
    assert found.rho_stderr == pytest.approx(found.rho * deviation / 3**0.5, rel=1e-6)
    assert found.batches == 3


# ---- nothing is changed ----------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "plain": functools.partial(torch.optim.SGD, lr=0.01),
    "momentum": functools.partial(torch.optim.SGD, lr=0.01, momentum=0.9, weight_decay=1e-3),
    "adam": functools.partial(torch.optim.Adam, lr=1e-3, amsgrad=True),
    "adamw": functools.partial(torch.optim.AdamW, lr=1e-3, foreach=True),
}
HOOKS = [name for name in vars(nn.Module()) if name.endswith("hooks")]


def bits(value):
    """Return what says whether a value has changed, to the last bit; NaN is the same as itself."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.stride(), value.detach().numpy().tobytes()
    if isinstance(value, dict):
        return [(str(name), bits(each)) for name, each in value.items()]
    if isinstance(value, list | tuple):
        return [bits(each) for each in value]
    return value.tobytes() if isinstance(value, np.ndarray) else value


def state(model, optimizer):
    """Return everything that a diagnosis has to leave alone, and the objects that have to be the same ones."""
    parameters = [*model.parameters()]
    numbers = {
        "parameters": parameters,
        "needed": [each.requires_grad for each in parameters],
        "gradients": [each.grad for each in parameters],
        "buffers": dict(model.named_buffers()),
        "training": [each.training for each in model.modules()],
        "optimizer": optimizer.state_dict(),
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),  # noqa: NPY002  # the one of which models draw
        "python": random.getstate(),
        "default": torch.get_default_dtype(),
        "gradients wanted": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    hooks = [list(getattr(each, name).items()) for each in model.modules() for name in HOOKS if getattr(each, name)]
    hooks += [list((each._backward_hooks or {}).items()) for each in parameters]
    objects = [
        *parameters,
        *(each.grad for each in parameters),
        *model.buffers(),
        *model.modules(),
        *(each for values in optimizer.state.values() for each in values.values() if isinstance(each, torch.Tensor)),
    ]
    return bits(numbers), hooks, [id(each) for each in objects]


def prepared(public, kind, prior, mode):
    """Return a model with its optimizer after some steps, with gradients left over from the last."""
    model = built(public)
    optimizer = OPTIMIZERS[kind](model.parameters())
    model.get_parameter(public.FAULT).register_hook(lambda gradient: 0.5 * gradient)
    model.register_forward_hook(lambda *_: None)
    for inputs, target in public.batches(prior, seed=3):
        optimizer.zero_grad()
        public.loss(model(*inputs) if isinstance(inputs, tuple) else model(inputs), target).backward()
        optimizer.step()
    next(model.parameters()).requires_grad_(mode != "frozen")
    return model.train(mode != "evaluation"), optimizer


class Failing:
    """A loss that fails at its so many-th call."""

    def __init__(self, loss, call, error):
        self.loss, self.error, self.calls = loss, error, itertools.count(1)
        self.last = call

    def __call__(self, output, target):
        random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
        if next(self.calls) == self.last:
            raise self.error
        return self.loss(output, target)


@settings(max_examples=5, derandomize=True)
@given(
    public=st.sampled_from([stn_tutorial, dcnv2, deformable_detr, dysample, raft, ldconv]),
    kind=st.sampled_from(sorted(OPTIMIZERS)),
    prior=st.sampled_from([0, 1]),
    mode=st.sampled_from(["training", "evaluation", "frozen"]),
    fails=st.sampled_from([None, None, 1, 2, 4, 6, 9]),
    error=st.sampled_from([RuntimeError("no"), KeyboardInterrupt(), ArithmeticError("odd")]),
    rehearsal=st.sampled_from([0, 2]),
)
def test_nothing_is_changed(public, kind, prior, mode, fails, error, rehearsal):
    model, optimizer = prepared(public, kind, prior, mode)
    loss = Failing(public.loss, fails, error)
    outputs = {name: OffsetOutput(**layout) for name, layout in getattr(public, "OUTPUTS", {}).items()}
    before = state(model, optimizer)
    with contextlib.suppress(ArgumentError, KeyboardInterrupt, ArithmeticError):
        wt.stability.diagnose(model, public.batches(2), loss, optimizer, count=2, modules=outputs, rehearsal=rehearsal)
    after = state(model, optimizer)
    assert after[0] == before[0]
    assert after[1] == before[1]
    assert after[2] == before[2]


def test_a_training_goes_on_as_if_nothing_had_been():
    """Whatever `state` does not know of would show in the steps after, of a net with dropout."""

    def train(public, kind, is_diagnosed):
        model, optimizer = prepared(public, kind, 1, "training")
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        if is_diagnosed:
            wt.stability.diagnose(model, public.batches(2), public.loss, optimizer, count=2)
        losses = []
        for inputs, target in public.batches(2, seed=4, size=8):
            optimizer.zero_grad()
            loss = public.loss(model(inputs), target)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        return losses, bits(model.state_dict()), bits(optimizer.state_dict())

    assert train(stn_tutorial, "adam", True) == train(stn_tutorial, "adam", False)


def test_a_loader_that_shuffles_draws_nothing_of_the_training():
    model = built(stn_tutorial)
    pictures, labels = next(stn_tutorial.batches(1))
    loader = DataLoader(TensorDataset(pictures, labels), batch_size=8, shuffle=True)
    before = torch.get_rng_state()
    wt.stability.diagnose(model, loader, stn_tutorial.loss, stn_tutorial.optimizer(model), count=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_counters_of_a_module_are_left_alone():
    model = built(dcnv2)
    model.calls = 0

    def count(module, inputs, output):
        module.calls += 1

    model.register_forward_hook(count)
    diagnosed(dcnv2, model, count=1)
    assert model.calls == 0


def test_lists_of_a_module_are_left_alone():
    model = built(dcnv2)
    model.seen = []
    model.register_forward_hook(lambda module, inputs, output: module.seen.append(len(output)))
    diagnosed(dcnv2, model, count=1)
    assert model.seen == []
