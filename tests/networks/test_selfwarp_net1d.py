import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.networks import selfwarp_net1d
from warptheory.operators import SelfWarp1d

X = torch.randn(3, 1, 40, generator=torch.Generator().manual_seed(0))


def test_a_seed_gives_a_network_and_its_twin_the_same_weights():
    warped, plain = (selfwarp_net1d(warp=warp, seed=4).eval() for warp in (True, False))
    shared = {key: value for key, value in warped.state_dict().items() if ".warp." not in key}
    assert all(torch.equal(value, shared[key]) for key, value in plain.state_dict().items())
    assert torch.equal(warped(X), plain(X))


def test_parameters():
    """Three convolutions with normalisation and a linear layer, and three heads, by hand for 7 channels."""
    rest = (5 * 7 + 2 * 7) + 2 * (3 * 7 * 7 + 2 * 7) + (5 * 7 * 4 + 4)
    warping = (3 + 1) + 2 * (3 * 7 + 1)
    groups = selfwarp_net1d(classes=4, width=7).parameter_groups()
    assert {name: sum(p.numel() for p in group) for name, group in groups.items()} == {"warping": warping, "rest": rest}


def test_warps_move_what_is_seen():
    network = selfwarp_net1d(groups="channels", head_gain=1.0, scale=0.5).eval()
    warps = [m for m in network.modules() if isinstance(m, SelfWarp1d)]
    assert [warp.groups for warp in warps] == [1, 50, 50]
    assert (network(X) - selfwarp_net1d(warp=False).eval()(X)).abs().max() > 1e-3


@pytest.mark.parametrize(("length", "depth"), [(40, 3), (17, 2), (64, 5)])
def test_signals_of_other_lengths(length, depth):
    assert selfwarp_net1d(classes=4, channels_in=2, depth=depth)(torch.zeros(2, 2, length)).shape == (2, 4)


@pytest.mark.parametrize("argument", ["classes", "channels_in", "width", "depth"])
def test_bad_input(argument):
    with pytest.raises(ArgumentError, match=f"^{argument}: expected a positive integer, got 0$"):
        selfwarp_net1d(**{argument: 0})
