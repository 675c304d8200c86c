"""The detection head of Deformable-DETR: fundamentalvision/Deformable-DETR.

models/ops/modules/ms_deform_attn.py (`MSDeformAttn`: weights of the offsets zero, their biases a ring of directions,
the k-th point k pixels out; attention weights zero), models/ops/functions/ms_deform_attn_func.py
(`ms_deform_attn_core_pytorch`, by `grid_sample`), models/deformable_transformer.py (encoder and decoder layers, one of
each here; no dropout), models/deformable_detr.py (input projections, queries, initialisation of the two embeddings).
Groups: main.py, a tenth of the rate for names with reference_points or sampling_offsets; AdamW.
The loss has the released weights and terms (focal, L1) for queries that are assigned to objects beforehand, not by
Hungarian matching, and without the term of overlap.
"""

import math

import torch
from torch import nn
from torch.nn import functional

OFFSET_ONLY = tuple(
    f"transformer.{part}.sampling_offsets.{kind}"
    for part in ("encoder.self_attn", "decoder.cross_attn")
    for kind in ("weight", "bias")
)
SAMPLING = ("transformer.encoder.self_attn", "transformer.decoder.cross_attn")
WILD = {f"{name}.sampling_offsets.weight": 5.0 for name in SAMPLING}
FAULT = "transformer.decoder.cross_attn.sampling_offsets.bias"
QUERIES, CLASSES = 6, 3


class MSDeformAttn(nn.Module):
    """Attention to a few points on each of several images."""

    def __init__(self, d_model, n_levels, n_heads, n_points):
        super().__init__()
        self.n_levels, self.n_heads, self.n_points = n_levels, n_heads, n_points
        self.sampling_offsets = nn.Linear(d_model, n_heads * n_levels * n_points * 2)
        self.attention_weights = nn.Linear(d_model, n_heads * n_levels * n_points)
        self.value_proj = nn.Linear(d_model, d_model)
        self.output_proj = nn.Linear(d_model, d_model)

    def reset_parameters(self):
        """Set the released initial values."""
        angles = torch.arange(self.n_heads) * (2 * math.pi / self.n_heads)
        ring = torch.stack([angles.cos(), angles.sin()], -1)
        ring = (ring / ring.abs().amax(-1, keepdim=True)).view(self.n_heads, 1, 1, 2)
        ring = ring.repeat(1, self.n_levels, self.n_points, 1) * torch.arange(1, self.n_points + 1).view(-1, 1)
        nn.init.zeros_(self.sampling_offsets.weight)
        self.sampling_offsets.bias.data = ring.flatten()
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query, reference_points, flat, shapes):
        batch, length, _ = query.shape
        counts = (batch, length, self.n_heads, self.n_levels, self.n_points)
        value = self.value_proj(flat).unflatten(-1, (self.n_heads, -1))
        offsets = self.sampling_offsets(query).view(*counts, 2)
        weights = self.attention_weights(query).view(batch, length, self.n_heads, -1).softmax(-1)
        sizes = torch.tensor([[width, height] for height, width in shapes], dtype=query.dtype)
        locations = reference_points[:, :, None, :, None] + offsets / sizes[:, None]
        found = []
        parts = value.split([height * width for height, width in shapes], dim=1)
        for level, (part, (height, width)) in enumerate(zip(parts, shapes, strict=True)):
            image = part.flatten(2).transpose(1, 2).reshape(batch * self.n_heads, -1, height, width)
            grid = (2 * locations[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
            found.append(functional.grid_sample(image, grid, align_corners=False))
        weights = weights.transpose(1, 2).reshape(batch * self.n_heads, 1, length, -1)
        outcome = (torch.stack(found, dim=-2).flatten(-2) * weights).sum(-1)
        return self.output_proj(outcome.view(batch, -1, length).transpose(1, 2))


class EncoderLayer(nn.Module):
    """Attention of every pixel to all levels, and a perceptron."""

    def __init__(self, d_model, d_ffn, n_levels, n_heads, n_points):
        super().__init__()
        self.self_attn = MSDeformAttn(d_model, n_levels, n_heads, n_points)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.linear1, self.linear2 = nn.Linear(d_model, d_ffn), nn.Linear(d_ffn, d_model)

    def forward(self, source, position, reference_points, shapes):
        source = self.norm1(source + self.self_attn(source + position, reference_points, source, shapes))
        return self.norm2(source + self.linear2(functional.relu(self.linear1(source))))


class DecoderLayer(nn.Module):
    """Attention of queries to each other, then to the pixels, and a perceptron."""

    def __init__(self, d_model, d_ffn, n_levels, n_heads, n_points):
        super().__init__()
        self.cross_attn = MSDeformAttn(d_model, n_levels, n_heads, n_points)
        self.self_attn = nn.MultiheadAttention(d_model, n_heads)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d_model) for _ in range(3))
        self.linear1, self.linear2 = nn.Linear(d_model, d_ffn), nn.Linear(d_ffn, d_model)

    def forward(self, target, position, reference_points, memory, shapes):
        query = (target + position).transpose(0, 1)
        target = self.norm2(target + self.self_attn(query, query, target.transpose(0, 1))[0].transpose(0, 1))
        target = self.norm1(target + self.cross_attn(target + position, reference_points, memory, shapes))
        return self.norm3(target + self.linear2(functional.relu(self.linear1(target))))


class DeformableTransformer(nn.Module):
    """An encoder and a decoder layer."""

    def __init__(self, d_model, d_ffn, n_levels, n_heads, n_points):
        super().__init__()
        self.encoder = EncoderLayer(d_model, d_ffn, n_levels, n_heads, n_points)
        self.decoder = DecoderLayer(d_model, d_ffn, n_levels, n_heads, n_points)
        self.level_embed = nn.Parameter(torch.empty(n_levels, d_model))
        self.reference_points = nn.Linear(d_model, 2)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, MSDeformAttn):
                module.reset_parameters()
        nn.init.zeros_(self.reference_points.bias)
        nn.init.normal_(self.level_embed)

    def forward(self, sources, queries):
        """Return decoded queries (B, Q, C) and their reference points (B, Q, 2)."""
        shapes = [tuple(source.shape[2:]) for source in sources]
        flat = torch.cat([source.flatten(2).transpose(1, 2) for source in sources], 1)
        position = torch.cat([
            sine_position(height, width, flat.shape[-1]) + self.level_embed[level]
            for level, (height, width) in enumerate(shapes)
        ])  # fmt: skip
        pixels = torch.cat([pixel_centres(height, width) for height, width in shapes])[:, None]
        reference = pixels.repeat(1, len(shapes), 1).expand(len(flat), -1, -1, -1)
        memory = self.encoder(flat, position, reference, shapes)
        position, target = (each.expand(len(flat), -1, -1) for each in queries.chunk(2, dim=1))
        reference = self.reference_points(position).sigmoid()
        pairs = reference[:, :, None].expand(-1, -1, len(shapes), -1)
        return self.decoder(target, position, pairs, memory, shapes), reference


class DeformableDETR(nn.Module):
    """Finds objects in images of features of a backbone that is not part of it."""

    def __init__(self, d_model=32, d_ffn=64, n_levels=2, n_heads=4, n_points=2):
        super().__init__()
        self.transformer = DeformableTransformer(d_model, d_ffn, n_levels, n_heads, n_points)
        self.class_embed = nn.Linear(d_model, CLASSES)
        self.bbox_embed = nn.Sequential(
            nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, d_model), nn.ReLU(), nn.Linear(d_model, 4)
        )
        self.query_embed = nn.Embedding(QUERIES, d_model * 2)
        self.input_proj = nn.ModuleList([
            nn.Sequential(nn.Conv2d(8, d_model, 1), nn.GroupNorm(8, d_model)),
            nn.Sequential(nn.Conv2d(8, d_model, 3, stride=2, padding=1), nn.GroupNorm(8, d_model)),
        ])  # fmt: skip
        nn.init.constant_(self.class_embed.bias, -math.log(99))  # a prior probability of 0.01
        nn.init.zeros_(self.bbox_embed[-1].weight)
        self.bbox_embed[-1].bias.data = torch.tensor([0.0, 0.0, -2.0, -2.0])
        for projection in self.input_proj:
            nn.init.xavier_uniform_(projection[0].weight)
            nn.init.zeros_(projection[0].bias)

    def forward(self, x):
        decoded, reference = self.transformer([each(x) for each in self.input_proj], self.query_embed.weight)
        boxes = self.bbox_embed(decoded)
        centres = boxes[..., :2] + torch.logit(reference, eps=1e-5)
        return {
            "pred_logits": self.class_embed(decoded),
            "pred_boxes": torch.cat([centres, boxes[..., 2:]], -1).sigmoid(),
        }


def pixel_centres(height, width):
    """Return positions (H·W, 2) in [0, 1], x first."""
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


def sine_position(height, width, channels):
    """Return the sines of the positions (H·W, C)."""
    rates = 10000.0 ** -(torch.arange(channels // 4) / (channels // 4))
    phases = 2 * math.pi * pixel_centres(height, width).flip(-1)[..., None] * rates
    return torch.stack([phases.sin(), phases.cos()], -1).flatten(1)


def build():
    return DeformableDETR()


def optimizer(model, lr=2e-4, multiplier=0.1, names=("reference_points", "sampling_offsets")):
    slow = [p for name, p in model.named_parameters() if any(word in name for word in names)]
    fast = [p for name, p in model.named_parameters() if not any(word in name for word in names)]
    groups = [{"params": fast, "lr": lr}, {"params": slow, "lr": lr * multiplier}]
    return torch.optim.AdamW(groups, lr=lr, weight_decay=1e-4)


def loss(output, target):
    """Return the weighted sum of focal and L1 loss; targets are classes, and boxes of the first queries."""
    classes, boxes = target["labels"], target["boxes"]
    number = boxes.shape[0] * boxes.shape[1]
    wanted = functional.one_hot(classes, CLASSES + 1)[..., :-1].to(output["pred_logits"])
    entropy = functional.binary_cross_entropy_with_logits(output["pred_logits"], wanted, reduction="none")
    miss = (output["pred_logits"].sigmoid() - wanted).abs()
    focal = (0.25 * wanted + 0.75 * (1 - wanted)) * miss**2 * entropy
    distance = (output["pred_boxes"][:, : boxes.shape[1]] - boxes).abs().sum()
    return 2 * focal.sum() / number + 5 * distance / number


def batches(count=4, seed=0, size=4):
    """Yield features with a bright box for each of two objects, whose channel is the class."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        images = 0.1 * torch.randn(size, 8, 16, 16, generator=generator)
        labels = torch.full((size, QUERIES), CLASSES)
        labels[:, :2] = torch.randint(CLASSES, (size, 2), generator=generator)
        corners = torch.randint(0, 11, (size, 2, 2), generator=generator)
        for image, kinds, places in zip(images, labels, corners, strict=True):
            for kind, (x, y) in zip(kinds[:2], places, strict=True):
                image[kind, y : y + 5, x : x + 5] += 1
        boxes = torch.cat([(corners + 2.5) / 16, torch.full((size, 2, 2), 5 / 16)], -1)
        yield images, {"labels": labels, "boxes": boxes}
