import pytest
import torch

from warptheory.core.errors import ArgumentError
from warptheory.networks import selfwarp_resnet

X = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_plain_resnet20_has_the_published_number_of_parameters():
    """0.27 million for ResNet-20, 1.7 million for ResNet-110 (He et al. 2016, table 6)."""
    counts = {depth: sum(p.numel() for p in selfwarp_resnet(depth, warp=False).parameters()) for depth in (20, 110)}
    assert round(counts[20] / 1e6, 2) == 0.27
    assert round(counts[110] / 1e6, 1) == 1.7


def test_zero_heads_make_the_network_its_plain_twin():
    warped, plain = selfwarp_resnet(20, warp=True).eval(), selfwarp_resnet(20, warp=False).eval()
    plain.load_state_dict({key: value for key, value in warped.state_dict().items() if ".warp." not in key})
    torch.testing.assert_close(warped(X), plain(X), rtol=0, atol=0)


def test_parameter_groups_cover_everything_once():
    model = selfwarp_resnet(20)
    groups = model.parameter_groups()
    assert set(groups) == {"warping", "rest"}
    identities = [id(p) for group in groups.values() for p in group]
    assert sorted(identities) == sorted(id(p) for p in model.parameters())
    assert len(groups["warping"]) == 2 * 9
    assert selfwarp_resnet(20, warp=False).parameter_groups()["warping"] == []


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second = selfwarp_resnet(20, seed=3), selfwarp_resnet(20, seed=3)
    assert torch.equal(first.stem.weight, second.stem.weight)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_depth_has_to_be_of_the_family(depth):
    with pytest.raises(ArgumentError, match=r"^depth: expected 6n \+ 2"):
        selfwarp_resnet(depth)
