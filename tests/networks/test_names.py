import pytest
import torch

from warptheory import networks
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.operators import SelfWarp

DEPTHS = (20, 32, 44, 56, 110)


def test_names_are_those_promised():
    plain = {"net1d"} | {f"resnet{depth}" for depth in DEPTHS}
    assert set(networks.names()) == plain | {f"selfwarp-{name}" for name in plain}


@pytest.mark.parametrize("name", ["resnet20", "selfwarp-resnet20", "net1d", "selfwarp-net1d", "selfwarp-resnet14"])
def test_a_name_builds_its_network(name):
    network = networks.build(name, classes=4, channels_in=2, width=4, seed=3)
    assert any(isinstance(module, SelfWarp) for module in network.modules()) == name.startswith("selfwarp-")
    shape = (2, 2, 40) if name.endswith("1d") else (2, 2, 16, 16)
    assert network(torch.zeros(shape)).shape == (2, 4)
    assert set(network.parameter_groups()) == {"warping", "rest"}


def test_a_name_is_short_for_a_call():
    options = {"width": 4, "head_gain": 1.0, "mixing": "pointwise", "seed": 5}
    by_name = networks.build("selfwarp-resnet14", classes=3, channels_in=1, **options).state_dict()
    by_call = networks.selfwarp_resnet(14, 3, 1, **options).state_dict()
    assert by_name.keys() == by_call.keys()
    assert all(torch.equal(value, by_call[key]) for key, value in by_name.items())


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("resnet", {}, UnknownNameError, "^name: expected one of net1d, resnet20, .* got 'resnet' "),
        ("selfwarp-selfwarp-net1d", {}, UnknownNameError, "^name: "),
        ("resnet²0", {}, UnknownNameError, "^name: "),
        (20, {}, UnknownNameError, "^name: "),
        ("resnet21", {}, ArgumentError, r"^depth: expected 6n \+ 2"),
        ("net1d", {"placement": "both"}, UnknownNameError, "^option: .* got 'placement'"),
        ("resnet20", {"warp": True}, ArgumentError, "^warp: expected to be said by the name 'resnet20' alone"),
        ("resnet20", {"depth": 8}, ArgumentError, "^depth: expected to be said by the name"),
    ],
)
def test_bad_input(name, options, error, message):
    with pytest.raises(error, match=message):
        networks.build(name, classes=2, channels_in=1, **options)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("name", ["net1d", "selfwarp-resnet20"])
def test_an_unknown_option_lists_what_can_be_given_beside_a_name(name):
    with pytest.raises(UnknownNameError) as caught:
        networks.build(name, classes=2, channels_in=1, lipshitz=1)
    listed = set(caught.value.known)
    assert {"width", "seed", "groups", "lipschitz"} <= listed
    assert not listed & {"classes", "channels_in", "warp", "channels"}
    assert ("depth" in listed) == (name == "net1d")
