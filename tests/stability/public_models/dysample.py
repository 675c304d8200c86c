"""Dynamic upsampling in a small segmentation net: tiny-smart/dysample, dysample.py.

`DySample` in both styles, with and without the dynamic scope: offsets of a 1×1 convolution with weights N(0, 0.001) and
zero bias, a quarter of its output, or a half of it times a sigmoid whose logits start at zero; initial positions a
regular lattice; border padding. Optimizer: that of SegFormer's configurations in mmsegmentation, in which the authors
put it: AdamW, the rate of the head ten times that of the backbone, no group of its own for the offsets.
"""

import torch
from torch import nn
from torch.nn import functional

OFFSET_ONLY = ("decode_head.upsample.offset.weight", "decode_head.upsample.offset.bias")
SCOPE = ("decode_head.upsample.scope.weight", "decode_head.upsample.scope.bias")
SAMPLING = ("decode_head.upsample",)
WILD = {"decode_head.upsample.offset.weight": 100.0}
FAULT = "decode_head.upsample.offset.bias"


class DySample(nn.Module):
    """Upsamples by positions that it predicts."""

    def __init__(self, channels, scale=2, style="lp", groups=4, dyscope=False):
        super().__init__()
        self.scale, self.style, self.groups = scale, style, groups
        inputs, outputs = (channels // scale**2, 2 * groups) if style == "pl" else (channels, 2 * groups * scale**2)
        self.offset = nn.Conv2d(inputs, outputs, 1)
        nn.init.normal_(self.offset.weight, std=0.001)
        nn.init.zeros_(self.offset.bias)
        if dyscope:
            self.scope = nn.Conv2d(inputs, outputs, 1)
            nn.init.zeros_(self.scope.weight)
            nn.init.zeros_(self.scope.bias)
        line = (torch.arange(scale) - (scale - 1) / 2) / scale
        lattice = torch.stack(torch.meshgrid(line, line, indexing="ij")).transpose(1, 2)
        self.register_buffer("init_pos", lattice.repeat(1, groups, 1).reshape(1, -1, 1, 1))

    def forward(self, x):
        source = functional.pixel_shuffle(x, self.scale) if self.style == "pl" else x
        offset = self.offset(source)
        offset = offset * self.scope(source).sigmoid() * 2 if hasattr(self, "scope") else offset
        if self.style == "pl":
            offset = functional.pixel_unshuffle(offset, self.scale)
        offset = offset * 0.25 + self.init_pos
        batch, _, height, width = offset.shape
        y, z = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        places = torch.stack([z, y])[None, :, None] + offset.view(batch, 2, -1, height, width)
        size = torch.tensor([float(width), float(height)]).view(1, 2, 1, 1, 1)
        planes = (2 * places / size - 1).flatten(0, 1)  # in five axes, as released, its gradient is missing on a CPU
        grid = functional.pixel_shuffle(planes, self.scale).unflatten(0, (batch, 2))
        grid = grid.permute(0, 2, 3, 4, 1).flatten(0, 1)
        image = x.reshape(batch * self.groups, -1, height, width)
        found = functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
        return found.view(batch, -1, self.scale * height, self.scale * width)


class DecodeHead(nn.Module):
    """Upsamples features and classifies pixels."""

    def __init__(self, channels, classes, **choices):
        super().__init__()
        self.upsample = DySample(channels, **choices)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x):
        return self.conv_seg(self.upsample(x))


class Net(nn.Module):
    """A backbone at half the resolution, and the head."""

    def __init__(self, **choices):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.GELU(), nn.Conv2d(16, 16, 3, padding=1), nn.GELU()
        )
        self.decode_head = DecodeHead(16, 2, **choices)

    def forward(self, x):
        return self.decode_head(self.backbone(x))


def build(**choices):
    return Net(**choices)


def optimizer(model):
    groups = [{"params": model.backbone.parameters()}, {"params": model.decode_head.parameters(), "lr": 6e-4}]
    return torch.optim.AdamW(groups, lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01)


loss = functional.cross_entropy


def batches(count=4, seed=0, size=8):
    """Yield smooth landscapes with noise, and where they are above the sea."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        scene = functional.interpolate(torch.randn(size, 1, 6, 6, generator=generator), size=24, mode="bicubic")
        yield scene + 0.3 * torch.randn(scene.shape, generator=generator), (scene[:, 0] > 0).long()
