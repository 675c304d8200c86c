"""A block of InternImage with its deformable convolution, third version: OpenGVLab/InternImage.

classification/ops_dcnv3/modules/dcnv3.py (`DCNv3_pytorch`: offsets and logits of a softmax mask from a depthwise
convolution, LayerNorm and GELU; both linear layers start at zero) with functions/dcnv3_func.py (`dcnv3_core_pytorch`,
here for a 3×3 kernel, stride and padding of one); classification/models/intern_image.py (layer with LayerNorms before
the convolution and the perceptron). The optimizer is that of
detection/mmcv_custom/custom_layer_decay_optimizer_constructor.py: `offset_lr_scale` falls to names with
`sampling_offsets` or `reference_points`, and the layer here is called `offset`: the multiplier reaches nothing.
"""

from functools import partial

import torch
from torch import nn
from torch.nn import functional

from tests.stability.figures import smooth_figures

OFFSET_ONLY = tuple(f"levels.{k}.dcn.offset.{kind}" for k in (0, 1) for kind in ("weight", "bias"))
SAMPLING = ("levels.0.dcn", "levels.1.dcn")
WILD = {f"levels.{k}.dcn.offset.weight": 30.0 for k in (0, 1)}
FAULT = "levels.1.dcn.offset.bias"


class DCNv3(nn.Module):
    """A deformable convolution of images (B, H, W, C)."""

    def __init__(self, channels, group, offset_scale=1.0):
        super().__init__()
        self.group, self.offset_scale = group, offset_scale
        self.dw_conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.dw_norm = nn.LayerNorm(channels, eps=1e-6)
        self.offset = nn.Linear(channels, group * 18)
        self.mask = nn.Linear(channels, group * 9)
        self.input_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        for layer in (self.offset, self.mask):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.input_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        batch, height, width, channels = x.shape
        features = functional.gelu(self.dw_norm(self.dw_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)))
        offset = self.offset(features).view(batch, height * width, self.group, 9, 2)
        mask = functional.softmax(self.mask(features).view(batch, height * width, self.group, 9), -1)
        values = functional.pad(self.input_proj(x), [0, 0, 1, 1, 1, 1])
        size = torch.tensor([width + 2.0, height + 2.0])  # of the padded image
        y, z = torch.meshgrid(torch.arange(height) + 1.5, torch.arange(width) + 1.5, indexing="ij")
        reference = torch.stack([z, y], -1).view(1, -1, 1, 1, 2)
        taps = torch.stack(torch.meshgrid(torch.arange(3.0) - 1, torch.arange(3.0) - 1, indexing="ij"), -1).view(9, 2)
        grid = 2 * (reference + (taps + offset) * self.offset_scale) / size - 1
        grid = grid.transpose(1, 2).flatten(0, 1)
        values = values.permute(0, 3, 1, 2).reshape(batch * self.group, -1, height + 2, width + 2)
        sampled = functional.grid_sample(values, grid, align_corners=False)
        mask = mask.transpose(1, 2).reshape(batch * self.group, 1, height * width, 9)
        outcome = (sampled * mask).sum(-1).view(batch, channels, height, width)
        return self.output_proj(outcome.permute(0, 2, 3, 1))


class InternImageLayer(nn.Module):
    """The convolution, then a perceptron, each on normalised features and added to them."""

    def __init__(self, channels, group):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.dcn = DCNv3(channels, group)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, x):
        x = x + self.dcn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Net(nn.Module):
    """A stem, two layers and a classifier."""

    def __init__(self, channels=16, group=4):
        super().__init__()
        self.patch_embed = nn.Conv2d(1, channels, 3, stride=2, padding=1)
        self.levels = nn.Sequential(*(InternImageLayer(channels, group) for _ in range(2)))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, 10)

    def forward(self, x):
        x = self.levels(self.patch_embed(x).permute(0, 2, 3, 1))
        return self.head(self.norm(x).mean((1, 2)))


def build():
    return Net()


def optimizer(model, offset_lr_scale=0.01, names=("sampling_offsets", "reference_points")):
    """Return AdamW with the released groups; without layer-wise decay, which changes every rate."""
    groups = {}
    for name, parameter in model.named_parameters():
        plain = parameter.ndim == 1 or name.endswith(".bias") or "norm" in name or "sampling_offsets" in name
        scale = offset_lr_scale if any(word in name for word in names) else 1.0
        group = {"params": [], "weight_decay": 0.0 if plain else 0.05, "lr": scale * 1e-4, "lr_scale": scale}
        groups.setdefault((plain, scale), group)["params"].append(parameter)
    return torch.optim.AdamW(list(groups.values()), lr=1e-4, betas=(0.9, 0.999))


loss = functional.cross_entropy
batches = partial(smooth_figures, 20)
