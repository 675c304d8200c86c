import pytest
import torch
from torch import nn

from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.networks import parameter_groups, selfwarp_resnet
from warptheory.operators import SelfWarp2d

X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
PLACEMENTS = ["branch", "both", "between"]


def test_plain_resnet20_has_the_published_number_of_parameters():
    """0.27 million for ResNet-20, 1.7 million for ResNet-110 (He et al. 2016, table 6)."""
    counts = {depth: sum(p.numel() for p in selfwarp_resnet(depth, warp=False).parameters()) for depth in (20, 110)}
    assert round(counts[20] / 1e6, 2) == 0.27
    assert round(counts[110] / 1e6, 1) == 1.7


@pytest.mark.parametrize("mixing", ["convolution", "pointwise"])
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_seed_gives_a_network_and_its_twin_the_same_weights(placement, mixing):
    """With heads at zero the two networks are one, bit for bit."""
    options = {"placement": placement, "mixing": mixing, "seed": 4}
    warped, plain = (selfwarp_resnet(8, warp=warp, **options).eval() for warp in (True, False))
    shared = {key: value for key, value in warped.state_dict().items() if ".warp." not in key}
    assert shared.keys() == plain.state_dict().keys()
    assert all(torch.equal(value, shared[key]) for key, value in plain.state_dict().items())
    assert torch.equal(warped(X), plain(X))


def test_a_twin_takes_the_options_of_its_network():
    assert not any(isinstance(m, SelfWarp2d) for m in selfwarp_resnet(8, warp=False, lipschitz=0.9).modules())


def test_heads_that_are_drawn_leave_the_other_weights_as_they_are():
    zero, drawn = (selfwarp_resnet(8, head_gain=gain, seed=2) for gain in (0.0, 1.0))
    assert torch.equal(zero.classifier.weight, drawn.classifier.weight)
    heads = torch.cat([m.head.weight.flatten(1) for m in drawn.modules() if isinstance(m, SelfWarp2d)][:1])
    assert heads.abs().max() > 0
    assert not torch.equal(heads[0], heads[1])


def test_weights_follow_torchs_default_law():
    """A uniform number within ±b has the variance b²/3, here of 9·64·64 weights: relative deviation √(4/5n)."""
    weights = selfwarp_resnet(8, warp=False).blocks[2].second.weight
    bound = weights[0].numel() ** -0.5
    assert weights.abs().max() <= bound
    assert weights.var().item() == pytest.approx(bound**2 / 3, rel=5 * (0.8 / weights.numel()) ** 0.5)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_what_reads_warped_values(placement):
    """Against the block's formula in torch's words, with an operator that doubles in place of the warp."""

    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

    block = selfwarp_resnet(8, placement=placement, width=4).blocks[1].eval()
    block.warp = Double()
    x = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    norms = [nn.Sequential(block.first, block.first_norm), nn.Sequential(block.second, block.second_norm)]
    entering, shortcut, middle = {"branch": (2, 1, 1), "both": (2, 2, 1), "between": (1, 1, 2)}[placement]
    branch = norms[1](middle * norms[0](entering * x).relu())
    expected = branch.clone()
    expected[:, :4] += shortcut * x[:, :, ::2, ::2]
    torch.testing.assert_close(block(x), expected.relu(), rtol=0, atol=0)


def test_pointwise_networks_mix_pixels_by_warps_alone():
    """In the plain twin each 4 × 4 cell of a feature depends on one pixel of the stem's."""
    plain, warped = (selfwarp_resnet(8, mixing="pointwise", warp=warp, head_gain=1.0).eval() for warp in (False, True))
    filters = [m.kernel_size for m in plain.blocks.modules() if isinstance(m, nn.Conv2d)]
    assert set(filters) == {(1, 1)}
    x = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(2)).requires_grad_()
    reached = []
    for network in (plain, warped):
        features = network.blocks(x)
        (gradient,) = torch.autograd.grad(features[:, :, 1, 0].sum(), x)
        reached.append(gradient.abs().sum((0, 1)).nonzero().tolist())
    assert reached[0] == [[4, 0]]
    assert len(reached[1]) > 4


def test_options_reach_every_warp():
    network = selfwarp_resnet(8, groups="channels", kernel_size=5, scale=0.5, lipschitz=0.9, kernel="keys")
    warps = [m for m in network.modules() if isinstance(m, SelfWarp2d)]
    assert [warp.groups for warp in warps] == [16, 16, 32]
    assert {(w.head.kernel_size, w.field.scale, w.field.lipschitz, w.kernel) for w in warps} == {
        ((5, 5), 0.5, 0.9, "keys")
    }
    assert network(X).shape == (2, 10)


def test_parameter_groups_cover_everything_once():
    model = selfwarp_resnet(20)
    groups = model.parameter_groups()
    assert set(groups) == {"warping", "rest"}
    identities = [id(p) for group in groups.values() for p in group]
    assert sorted(identities) == sorted(id(p) for p in model.parameters())
    assert len(groups["warping"]) == 2 * 9
    shared = torch.nn.ModuleList([SelfWarp2d(2), SelfWarp2d(2), torch.nn.Linear(2, 2)])
    shared[1].head = shared[0].head
    assert [len(group) for group in parameter_groups(shared).values()] == [2, 2]
    assert selfwarp_resnet(20, warp=False).parameter_groups()["warping"] == []


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second = selfwarp_resnet(8, seed=3), selfwarp_resnet(8, seed=3)
    assert torch.equal(first.stem.weight, second.stem.weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first.stem.weight, selfwarp_resnet(8, seed=4).stem.weight)


def test_channels_last_stays_channels_last():
    """Layer by layer, forward and backward: no hidden copies."""
    network = selfwarp_resnet(8, head_gain=0.1).to(memory_format=torch.channels_last)
    layouts = []

    def note(module, inputs, output):
        layouts.append(output.is_contiguous(memory_format=torch.channels_last))
        output.register_hook(lambda g: layouts.append(g.is_contiguous(memory_format=torch.channels_last)))

    for module in network.blocks.modules():
        if isinstance(module, SelfWarp2d | nn.Conv2d):
            module.register_forward_hook(note)
    network(X.contiguous(memory_format=torch.channels_last)).square().sum().backward()
    assert len(layouts) == 2 * 3 * 4
    assert all(layouts)


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_depth_has_to_be_of_the_family(depth):
    with pytest.raises(ArgumentError, match=r"^depth: expected 6n \+ 2"):
        selfwarp_resnet(depth)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"placement": "everywhere"}, UnknownNameError, "^placement: expected one of between, both, branch, got"),
        (
            {"mixing": "convolutions"},
            UnknownNameError,
            r"^mixing: expected one of .* \(did you mean 'convolution'\?\)$",
        ),
        ({"grops": 2}, UnknownNameError, r"^option: expected one of boundary, .* \(did you mean 'groups'\?\)$"),
        ({"grops": 2, "warp": False}, UnknownNameError, "^option: "),
        ({"width": 0}, ArgumentError, "^width: expected a positive integer, got 0$"),
        ({"classes": 0}, ArgumentError, "^classes: expected a positive integer, got 0$"),
        ({"channels_in": 1.5}, ArgumentError, r"^channels_in: expected a positive integer, got 1\.5$"),
        ({"lipschitz": 0.0}, ArgumentError, "^lipschitz: expected a finite number > 0"),
        ({"warp": "no"}, ArgumentError, "^warp: expected True or False, got 'no'$"),
        ({"seed": True}, ArgumentError, "^seed: expected an integer, got True$"),
        ({"boundary": "foo"}, UnknownNameError, "^boundary: expected one of border, "),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        selfwarp_resnet(8, **options)
