"""SelfWarp ResNets and their plain twins."""

from warptheory.networks.selfwarp_resnet import ResidualBlock, SelfWarpResNet, selfwarp_resnet

__all__ = ["ResidualBlock", "SelfWarpResNet", "selfwarp_resnet"]
