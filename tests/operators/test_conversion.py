"""Models between libraries, with a layer of torchvision's name that computes by `grid_sample`."""

import sys
import types

import pytest
import torch
from torch import nn

from tests.stability.stand_ins import deformable
from warptheory import operators
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.tolerances import rounding

GENERATOR = torch.Generator().manual_seed(3)
X = torch.randn(2, 4, 7, 6, generator=GENERATOR, dtype=torch.float64)


class DeformConv2d(nn.Module):
    """torchvision's layer, by constructor, attributes and parameters."""

    def __init__(self, cin, cout, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True):
        super().__init__()
        pairs = (value if isinstance(value, tuple) else (value, value) for value in (stride, padding, dilation))
        self.in_channels, self.out_channels, self.groups = cin, cout, groups
        self.kernel_size = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
        self.stride, self.padding, self.dilation = pairs
        self.weight = nn.Parameter(torch.randn(cout, cin // groups, *self.kernel_size, generator=GENERATOR))
        self.bias = nn.Parameter(torch.randn(cout, generator=GENERATOR)) if bias else None

    def forward(self, x, offset, mask=None):
        geometry = (self.stride, self.padding, self.dilation)
        groups = offset.shape[1] // (2 * self.weight[0, 0].numel())
        found = deformable(x, offset, mask, self.weight, *geometry, groups)
        return found if self.bias is None else found + self.bias[:, None, None]


DeformConv2d.__module__ = "torchvision.ops.deform_conv"


class Net(nn.Module):
    """Two calls of one layer, and another one."""

    def __init__(self):
        super().__init__()
        self.offset = nn.Conv2d(4, 18, 3, padding=1)
        self.first = DeformConv2d(4, 4, 3, padding=1)
        self.blocks = nn.ModuleList([self.first, DeformConv2d(4, 5, 3, padding=1, bias=False)])

    def forward(self, x):
        offset = self.offset(x)
        x = self.blocks[0](self.first(x, offset), offset)
        return self.blocks[1](x, offset)


@pytest.fixture
def torchvision(monkeypatch):
    module = types.ModuleType("torchvision.ops.deform_conv")
    module.DeformConv2d = DeformConv2d
    for name in ("torchvision", "torchvision.ops"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_there_and_back(torchvision):
    """Each direction gives the same output, of the same parameters, and lists what it did; the model stays."""
    model = Net().double().eval()
    model.first.weight.requires_grad_(False)
    there = operators.convert(model)
    assert [(each.layer, each.kept) for each in there.changes] == [("first", ""), ("blocks.1", "")]
    assert isinstance(there.model.first, operators.DeformConv2d)
    assert there.model.blocks[0] is there.model.first
    assert isinstance(model.first, DeformConv2d)
    assert not there.model.training
    assert not there.model.first.weight.requires_grad
    # Two convolutions of 36 products each, at places that both round; their values are of the order of 100.
    tolerance = rounding(torch.float64, operations=200, magnitude=1000)
    torch.testing.assert_close(there.model(X), model(X), rtol=tolerance.relative, atol=tolerance.absolute)
    back = operators.convert(there.model, to="original")
    assert {type(back.model.first), type(back.model.blocks[1])} == {DeformConv2d}
    assert torch.equal(back.model(X), model(X))
    assert repr(there).startswith("Conversion(Net, replaced=2")
    assert "first: torchvision.ops.deform_conv.DeformConv2d → warptheory.operators" in str(there)


def test_shared_parameters_stay_shared(torchvision):
    model = nn.Sequential(nn.Conv2d(4, 4, 3), DeformConv2d(4, 4, 3), DeformConv2d(4, 4, 3))
    model[1].weight = model[2].weight = model[0].weight
    found = operators.convert(model).model
    assert found[1].weight is found[2].weight is found[0].weight
    assert len(list(found.parameters())) == len(list(model.parameters()))


def test_callers_may_name_the_mask(torchvision):
    layer = DeformConv2d(4, 4, 3, padding=1).double()
    offset, mask = (torch.randn(2, n, 7, 6, generator=GENERATOR, dtype=torch.float64) for n in (18, 9))
    found = operators.convert(layer).model(X, offset, mask=mask)
    torch.testing.assert_close(found, layer(X, offset, mask), rtol=1e-10, atol=1e-10)


def test_an_odd_layer_is_kept_and_the_others_are_converted(torchvision):
    model = nn.Sequential(DeformConv2d(4, 4, 3), DeformConv2d(4, 4, 3))
    model[0].register_buffer("more", torch.zeros(1))
    found = operators.convert(model)
    assert [bool(each.kept) for each in found.changes] == [True, False]
    assert "more" in found.changes[0].kept


def test_the_model_itself_may_be_a_layer(torchvision):
    found = operators.convert(DeformConv2d(4, 4, (3, 1)).double())
    assert isinstance(found.model, operators.DeformConv2d)
    assert found.model.weight.dtype == torch.float64
    assert str(found).startswith("the model itself: ")


def test_what_the_other_side_has_not_is_kept(torchvision):
    model = nn.Sequential(operators.DeformConv2d(2, 2, 3, kernel="keys"))
    found = operators.convert(model, to="original")
    assert "expected kernel 'linear'" in found.changes[0].kept
    assert isinstance(found.model[0], operators.DeformConv2d)


def test_without_the_original_it_is_kept(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    found = operators.convert(operators.DeformConv2d(2, 2, 3), to="original")
    assert "torchvision" in found.changes[0].kept


def test_subclasses_are_not_taken_for_the_layer(torchvision):
    class Other(DeformConv2d):
        pass

    assert operators.convert(nn.Sequential(Other(2, 2, 3))).changes == ()


def test_hooks_are_told_of(torchvision):
    layer = DeformConv2d(2, 2, 3)
    layer.register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="hooks of layer '0'"):
        operators.convert(nn.Sequential(layer))


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="model: expected a torch module"):
        operators.convert(3)
    with pytest.raises(UnknownNameError, match="to"):
        operators.convert(nn.Identity(), to="torchvision")
