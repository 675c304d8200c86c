"""What is asked of torch's private names: each answers as torch's public behaviour says, and each can be missing."""

import importlib.util
import operator

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import warptheory as wt
from warptheory.core import torch_internals
from warptheory.core.tolerances import rounding

X = torch.arange(6.0).reshape(2, 3)


def test_dispatch_modes_and_special_tensors_are_not_plain():
    class Passes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            return function(*arguments, **(keywords or {}))

    assert torch_internals.is_plain(X, nn.Parameter(X))
    with Passes():
        assert not torch_internals.is_plain(X)
    for special in (torch.complex(X, X).conj().imag, torch._efficientzerotensor((2,))):
        assert not torch_internals.is_plain(X, special)


def test_transformations_are_seen_while_they_last():
    asked = []

    def ask(x):
        asked.append((torch_internals.has_function_transforms(), torch_internals.has_tangents()))
        return x.sum()

    torch.func.grad(ask)(X)
    torch.func.vmap(ask)(X)
    ask(X)
    assert asked == [(True, True), (True, True), (False, False)]


def test_forward_mode_is_seen_while_it_lasts():
    assert not torch_internals.is_forward_mode()
    with torch.autograd.forward_ad.dual_level():
        assert torch_internals.is_forward_mode()
        assert torch_internals.is_watched(X)
    assert not torch_internals.is_watched(X)
    assert torch_internals.is_watched(X.clone().requires_grad_())


def test_tracing_is_seen():
    asked = []

    def ask(x):
        asked.append(torch_internals.is_traced())
        return x + 1

    ask(X)
    torch.jit.trace(ask, X, check_trace=False)
    assert asked == [False, True]


def test_listeners_are_seen():
    module = nn.Linear(3, 3)
    asked = (torch_internals._function_modes, torch_internals._saved_tensor_hooks, torch_internals._has_global_hook)
    is_careful = torch_internals._yes in asked  # as with torch 2.7, which lacks two of the names
    assert torch_internals.has_listeners(module) == is_careful
    handle = module.register_forward_hook(lambda *_: None)
    assert torch_internals.has_listeners(module)
    handle.remove()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x):
        assert torch_internals.has_listeners(module)
    with torch.overrides.BaseTorchFunctionMode():
        assert torch_internals.has_listeners(module)
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert torch_internals.has_listeners(module)
    handle.remove()
    assert torch_internals.has_listeners(module) == is_careful


def test_numbers_are_told_from_what_stands_for_them():
    asked = []
    torch.func.vmap(lambda x: (asked.append(torch_internals.has_numbers(x)), x)[1])(X)
    torch.func.grad(lambda x: (asked.append(torch_internals.has_numbers(x)), x.sum())[1])(X)
    assert asked == [False, True]
    assert torch_internals.has_numbers(X)
    assert not torch_internals.has_numbers(X.to("meta"))
    from torch._subclasses.fake_tensor import FakeTensorMode

    assert not torch_internals.has_numbers(FakeTensorMode().from_tensor(X))


def test_backward_passes_are_numbered():
    numbers = []
    assert torch_internals.backward_pass_number() == -1
    for _ in range(2):
        x = X.clone().requires_grad_()
        x.register_hook(lambda g: numbers.append(torch_internals.backward_pass_number()))
        x.sum().backward()
    assert -1 not in numbers
    assert len(set(numbers)) == 2


def test_the_end_of_a_backward_pass_is_heard():
    heard = []
    x = X.clone().requires_grad_()
    x.register_hook(lambda g: torch_internals.when_backward_ends(lambda: heard.append("end")))
    x.register_hook(lambda g: heard.append("hook"))
    x.sum().backward()
    assert heard == ["hook", "end"]


def test_leaves_of_a_tree():
    tree = {"a": [X, (1, "text")], "b": None, "c": ()}
    found = [each for each in torch_internals.tree_leaves(tree) if each is not None]
    assert found == [X, 1, "text"] == [each for each in torch_internals._leaves(tree) if each is not None]


PRIVATE = {
    "_C._get_tracing_state": "is_traced",
    "_C._len_torch_dispatch_stack": "is_plain",
    "_C._len_torch_function_stack": "has_listeners",
    "Tensor._is_zerotensor": "is_plain",
    "_C._functorch.is_legacy_batchedtensor": "is_plain",
    "_C._autograd._top_saved_tensors_default_hooks": "has_listeners",
    "nn.modules.module._has_any_global_hook": "has_listeners",
    "_C._functorch.is_functorch_wrapped_tensor": "has_numbers",
    "_C._functorch.is_batchedtensor": "has_numbers",
    "_C._functorch.get_unwrapped": "has_numbers",
    "_C._current_graph_task_id": "backward_pass_number",
    "autograd.variable.Variable._execution_engine.queue_callback": "when_backward_ends",
    "_C._are_functorch_transforms_active": "has_tangents",
}
# What is answered for a plain tensor, or module, by a torch that lacks a name.
CAREFUL = {
    "is_traced": False,
    "is_plain": False,
    "has_listeners": True,
    "has_numbers": False,
    "backward_pass_number": -1,
    "when_backward_ends": None,
    "has_tangents": True,
}


def without(path, monkeypatch):
    """Load the module as if torch had no such name."""
    real = operator.attrgetter

    def attrgetter(asked):
        if asked == path:
            raise AttributeError(asked)
        return real(asked)

    spec = importlib.util.spec_from_file_location("torch_internals_without", torch_internals.__file__)
    module = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as patch:
        patch.setattr(operator, "attrgetter", attrgetter)
        spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", PRIVATE)
def test_a_missing_name_has_a_careful_answer(path, monkeypatch):
    name = PRIVATE[path]
    given = {"has_listeners": nn.Linear(1, 1), "is_plain": X, "has_numbers": X, "when_backward_ends": print}
    arguments = [given[name]] if name in given else []
    found = getattr(without(path, monkeypatch), name)(*arguments)
    if name == "when_backward_ends":
        assert found is None
    elif path in ("_C._functorch.is_batchedtensor", "_C._functorch.get_unwrapped"):
        assert found  # they are asked of wrapped tensors only
    else:
        assert found == CAREFUL[name]


@pytest.mark.parametrize("answer", ["is_plain", "has_function_transforms", "is_watched", "has_listeners"])
def test_every_number_is_the_same_by_torchs_own_way(answer, monkeypatch):
    """Whatever a careful answer is, it takes a slower way to the same numbers."""
    from warptheory.operators import SelfWarp2d, _fused_self_warp, _thin_convolution
    from warptheory.warping import _autograd

    generator = torch.Generator().manual_seed(0)
    x, offsets = torch.randn(2, 4, 9, 8, generator=generator), torch.randn(2, 2, 9, 8, generator=generator)
    torch.manual_seed(0)
    layer = SelfWarp2d(16, head_gain=1.0)
    image = torch.randn(8, 16, 24, 24, generator=generator)

    def everything():
        a, b = x.clone().requires_grad_(), offsets.clone().requires_grad_()
        y = wt.warp(a, b, "linear", "border")
        dx, de = torch.autograd.grad(y.square().sum(), (a, b), create_graph=True)
        c = image.clone().requires_grad_()
        z = layer(c)
        plain = wt.splat(x, offsets)
        return [
            y,
            plain,
            *torch.autograd.grad((dx.square().sum() + de.square().sum()), (a, b)),
            dx,
            de,
            z,
            *torch.autograd.grad(z.square().sum(), c),
        ]

    expected = everything()
    careful = answer != "is_plain"
    for module in (_autograd, _fused_self_warp, _thin_convolution):
        if hasattr(module, answer):
            monkeypatch.setattr(module, answer, lambda *_: careful)
    *found, image_gradient = everything()
    *numbers, last = expected
    assert all(torch.equal(mine, true) for mine, true in zip(found, numbers, strict=True))
    # Head and warp one after the other add its two parts in another order.
    close = rounding(torch.float32, 2 * 9 + 4, float(last.abs().max()))
    torch.testing.assert_close(image_gradient, last, rtol=0, atol=close.absolute)
