"""Optical flow of RAFT with its look-up: princeton-vl/RAFT.

core/corr.py (`CorrBlock`: correlations of all pairs, a pyramid of means, looked up around the present flow),
core/utils/utils.py (`bilinear_sampler`, `coords_grid`, `upflow8`), core/update.py (`SmallUpdateBlock`), core/raft.py
(the loop, which detaches the coordinates before each look-up: no parameter reaches the loss through positions).
Narrower, with two levels, radius two, three iterations and a plain encoder of an eighth of the image.
Optimizer: train.py, AdamW in one group; rate and decay of train_standard.sh's first stage. Loss: `sequence_loss`.
"""

import torch
from torch import nn
from torch.nn import functional

OFFSET_ONLY = ()
SAMPLING = ("",)
WILD = {"update_block.flow_head.conv2.weight": 50.0}
FAULT = "update_block.flow_head.conv2.bias"


def coords_grid(batch, height, width):
    """Return the positions (B, 2, H, W) of pixels, x first."""
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return torch.stack([x, y])[None].repeat(batch, 1, 1, 1)


def bilinear_sampler(image, coords):
    """Sample images at positions (…, 2) in pixels."""
    height, width = image.shape[-2:]
    size = torch.tensor([width - 1.0, height - 1.0])
    return functional.grid_sample(image, 2 * coords / size - 1, align_corners=True)


class CorrBlock:
    """Correlations of each pixel of one image with all of another, at several scales."""

    def __init__(self, first, second, levels, radius):
        channels, height, width = first.shape[1:]
        products = torch.einsum("bcm,bcn->bmn", first.flatten(2), second.flatten(2)) / channels**0.5
        self.radius, self.pyramid = radius, [products.reshape(-1, 1, height, width)]
        for _ in range(levels - 1):
            self.pyramid.append(functional.avg_pool2d(self.pyramid[-1], 2, stride=2))

    def __call__(self, coords):
        batch, _, height, width = coords.shape
        line = torch.arange(-float(self.radius), self.radius + 1)
        around = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)
        centres = coords.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
        found = [
            bilinear_sampler(image, centres / 2**level + around).view(batch, height, width, -1)
            for level, image in enumerate(self.pyramid)
        ]
        return torch.cat(found, -1).permute(0, 3, 1, 2)


class Encoder(nn.Sequential):
    """Features of an eighth of the image."""

    def __init__(self, outputs, norm):
        layers, width = [], 3
        for number in (8, 12, 16):
            layers += [nn.Conv2d(width, number, 3, stride=2, padding=1), norm(number), nn.ReLU()]
            width = number
        super().__init__(*layers, nn.Conv2d(width, outputs, 1))


class FlowHead(nn.Module):
    """Predicts a change of the flow."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(inputs, hidden, 3, padding=1), nn.Conv2d(hidden, 2, 3, padding=1)

    def forward(self, x):
        return self.conv2(functional.relu(self.conv1(x)))


class ConvGRU(nn.Module):
    """A gated unit of convolutions."""

    def __init__(self, hidden, inputs):
        super().__init__()
        self.convz, self.convr, self.convq = (nn.Conv2d(hidden + inputs, hidden, 3, padding=1) for _ in range(3))

    def forward(self, h, x):
        both = torch.cat([h, x], 1)
        z, r = self.convz(both).sigmoid(), self.convr(both).sigmoid()
        return (1 - z) * h + z * self.convq(torch.cat([r * h, x], 1)).tanh()


class MotionEncoder(nn.Module):
    """Features of what was looked up, and of the flow."""

    def __init__(self, planes):
        super().__init__()
        self.convc1 = nn.Conv2d(planes, 16, 1)
        self.convf1, self.convf2 = nn.Conv2d(2, 12, 7, padding=3), nn.Conv2d(12, 8, 3, padding=1)
        self.conv = nn.Conv2d(24, 14, 3, padding=1)

    def forward(self, flow, correlations):
        found = functional.relu(self.convc1(correlations))
        moved = functional.relu(self.convf2(functional.relu(self.convf1(flow))))
        return torch.cat([functional.relu(self.conv(torch.cat([found, moved], 1))), flow], 1)


class UpdateBlock(nn.Module):
    """One step of the flow's refinement."""

    def __init__(self, planes, hidden, context):
        super().__init__()
        self.encoder = MotionEncoder(planes)
        self.gru = ConvGRU(hidden, 16 + context)
        self.flow_head = FlowHead(hidden, 16)

    def forward(self, hidden, context, correlations, flow):
        hidden = self.gru(hidden, torch.cat([context, self.encoder(flow, correlations)], 1))
        return hidden, self.flow_head(hidden)


class RAFT(nn.Module):
    """Estimates the flow from one image to another, again and again."""

    def __init__(self, hidden=16, context=8, levels=2, radius=2, iterations=3):
        super().__init__()
        self.hidden, self.levels, self.radius, self.iterations = hidden, levels, radius, iterations
        self.fnet = Encoder(16, nn.InstanceNorm2d)
        self.cnet = Encoder(hidden + context, lambda _: nn.Identity())
        self.update_block = UpdateBlock(levels * (2 * radius + 1) ** 2, hidden, context)

    def forward(self, first, second):
        first, second = (2 * (each / 255) - 1 for each in (first, second))
        correlations = CorrBlock(self.fnet(first), self.fnet(second), self.levels, self.radius)
        context = self.cnet(first)
        hidden, context = context[:, : self.hidden].tanh(), context[:, self.hidden :].relu()
        start = coords_grid(len(first), first.shape[2] // 8, first.shape[3] // 8)
        coords, flows = start, []
        for _ in range(self.iterations):
            coords = coords.detach()
            hidden, change = self.update_block(hidden, context, correlations(coords), coords - start)
            coords = coords + change
            flows.append(
                8 * functional.interpolate(coords - start, scale_factor=8, mode="bilinear", align_corners=True)
            )
        return flows


def build():
    return RAFT()


def optimizer(model):
    return torch.optim.AdamW(model.parameters(), lr=4e-4, weight_decay=1e-4, eps=1e-8)


def loss(output, target):
    weights = [0.8 ** (len(output) - 1 - number) for number in range(len(output))]
    return sum(weight * (flow - target).abs().mean() for weight, flow in zip(weights, output, strict=True))


def batches(count=4, seed=0, size=2):
    """Yield pairs of smooth images, the second shifted by a few pixels."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        scene = functional.interpolate(255 * torch.rand(size, 3, 20, 20, generator=generator), size=80, mode="bilinear")
        y, x = torch.randint(-8, 9, (2,), generator=generator).tolist()
        second = scene[:, :, 8 - y : 72 - y, 8 - x : 72 - x]
        flow = torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(size, 2, 64, 64)
        yield (scene[:, :, 8:72, 8:72], second), flow
