"""Registration network of voxelmorph in the plane: voxelmorph/voxelmorph.

voxelmorph/torch/networks.py (`Unet`, `VxmDense` with seven integration steps on half the grid; flow weights N(0, 1e-5),
bias zero) and voxelmorph/torch/layers.py (`SpatialTransformer`, `VecInt`, `ResizeTransform`). Two levels where the
released default has four. Optimizer: scripts/torch/train.py, Adam at 1e-4, one group. Loss of that script: squared
error of the images and 0.01 of the squared differences of the flow before integration, which reaches the flow without
sampling; `image_loss` is the first term alone, which every parameter reaches only through sampling positions.
"""

import torch
from torch import nn
from torch.nn import functional

OFFSET_ONLY = tuple(
    f"{layer}.{kind}"
    for layer in (
        "unet_model.encoder.0.main",
        "unet_model.encoder.1.main",
        "unet_model.decoder.0.main",
        "unet_model.decoder.1.main",
        "unet_model.remaining.0.main",
        "flow",
    )
    for kind in ("weight", "bias")
)  # of `image_loss`; none of `loss`
SAMPLING = ("integrate.transformer", "transformer")
WILD = {"flow.weight": 300.0}
FAULT = "flow.bias"


class ConvBlock(nn.Module):
    """A convolution and a leaky rectifier."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.main = nn.Conv2d(inputs, outputs, 3, 1, 1)

    def forward(self, x):
        return functional.leaky_relu(self.main(x), 0.2)


class Unet(nn.Module):
    """Encoder, decoder with skips, and convolutions on the full grid."""

    def __init__(self, inputs, encoder, decoder, remaining):
        super().__init__()
        widths = [inputs, *encoder]
        self.encoder = nn.ModuleList(map(ConvBlock, widths[:-1], encoder))
        self.decoder, width = nn.ModuleList(), encoder[-1]
        for outputs, skip in zip(decoder, encoder[::-1], strict=True):
            self.decoder.append(ConvBlock(width, outputs))
            width = outputs + skip
        self.remaining = nn.ModuleList(map(ConvBlock, [width, *remaining[:-1]], remaining))

    def forward(self, x):
        history = []
        for block in self.encoder:
            x = block(x)
            history.append(x)
            x = functional.max_pool2d(x, 2)
        for block in self.decoder:
            x = functional.interpolate(block(x), scale_factor=2, mode="nearest")
            x = torch.cat([x, history.pop()], 1)
        for block in self.remaining:
            x = block(x)
        return x


class SpatialTransformer(nn.Module):
    """Warps images by a flow in pixels, y first."""

    def __init__(self, size):
        super().__init__()
        axes = torch.meshgrid(*(torch.arange(float(n)) for n in size), indexing="ij")
        self.register_buffer("grid", torch.stack(axes)[None])

    def forward(self, source, flow):
        places = self.grid + flow
        size = torch.tensor(flow.shape[2:]).view(2, 1, 1)
        places = 2 * (places / (size - 1) - 0.5)
        return functional.grid_sample(source, places.permute(0, 2, 3, 1).flip(-1), align_corners=True)


class VecInt(nn.Module):
    """Integrates a velocity by scaling and squaring."""

    def __init__(self, size, steps):
        super().__init__()
        self.steps = steps
        self.transformer = SpatialTransformer(size)

    def forward(self, flow):
        flow = flow / 2**self.steps
        for _ in range(self.steps):
            flow = flow + self.transformer(flow, flow)
        return flow


class VxmDense(nn.Module):
    """Registers a moving image to a fixed one."""

    def __init__(self, size=(24, 24), steps=7):
        super().__init__()
        self.unet_model = Unet(2, [8, 16], [16, 16], [8])
        self.flow = nn.Conv2d(8, 2, 3, padding=1)
        nn.init.normal_(self.flow.weight, std=1e-5)
        nn.init.zeros_(self.flow.bias)
        self.integrate = VecInt([n // 2 for n in size], steps)
        self.transformer = SpatialTransformer(size)

    def forward(self, source, target):
        flow = self.flow(self.unet_model(torch.cat([source, target], 1)))
        velocity = 0.5 * functional.interpolate(flow, scale_factor=0.5, mode="bilinear")
        whole = functional.interpolate(2 * self.integrate(velocity), scale_factor=2.0, mode="bilinear")
        return self.transformer(source, whole), velocity


def build():
    return VxmDense()


def optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=1e-4)


def image_loss(output, target):
    return functional.mse_loss(output[0], target)


def loss(output, target):
    flow = output[1]
    squares = flow.diff(dim=2).square().mean() + flow.diff(dim=3).square().mean()
    return image_loss(output, target) + 0.01 * squares  # the mean over axes, times the factor of the half grid


def batches(count=4, seed=0, size=4):
    """Yield pairs of smooth images, the second the first under a smooth displacement."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        moving = functional.interpolate(
            torch.rand(size, 1, 8, 8, generator=generator), size=24, mode="bicubic", align_corners=True
        )
        flow = functional.interpolate(
            1.5 * torch.randn(size, 2, 4, 4, generator=generator), size=24, mode="bicubic", align_corners=True
        )
        fixed = SpatialTransformer((24, 24))(moving, flow)
        yield (moving, fixed), fixed
