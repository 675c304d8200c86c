"""Deformable attention as its originals compute it: by `grid_sample`, level after level; RT-DETR's by indices too."""

import math

import torch
from torch import nn
from torch.nn import functional


def attention(value, shapes, locations, weights):
    """Deformable-DETR's definition: locations (B, Q, G, L, P, 2), weights (B, Q, G, L, P)."""
    return listed_attention(
        value, shapes, locations.flatten(3, 4), weights.flatten(3), [locations.shape[4]] * len(shapes)
    )


def listed_attention(value, shapes, locations, weights, points, method="default"):
    """RT-DETRv2's definition: locations (B, Q, G, ΣP, 2), weights (B, Q, G, ΣP)."""
    batch, _, heads, width = value.shape
    queries = locations.shape[1]
    samples, pixel, point = [], 0, 0
    for (h, w), count in zip(shapes, points, strict=True):
        level = value[:, pixel : pixel + h * w].permute(0, 2, 3, 1).reshape(batch * heads, width, h, w)
        places = locations[:, :, :, point : point + count].transpose(1, 2).flatten(0, 1)
        if method == "default":
            found = functional.grid_sample(level, 2 * places - 1, align_corners=False)
        else:
            index = (places * torch.tensor([[w, h]]) + 0.5).to(torch.int64).clamp(0, h - 1)
            index = index.reshape(batch * heads, queries * count, 2)
            rows = torch.arange(batch * heads)[:, None].repeat(1, queries * count)
            found = level[rows, :, index[..., 1], index[..., 0]].transpose(1, 2)
            found = found.reshape(batch * heads, width, queries, count)
        samples.append(found)
        pixel, point = pixel + h * w, point + count
    factors = weights.transpose(1, 2).reshape(batch * heads, 1, queries, sum(points))
    total = (torch.cat(samples, -1) * factors).sum(-1)
    return total.reshape(batch, heads * width, queries).transpose(1, 2)


class Original(nn.Module):
    """Parameters, places and weights of both originals; `points` has a number for each level."""

    def __init__(self, channels, heads, points):
        super().__init__()
        self.channels, self.heads, self.points = channels, heads, points
        total = heads * sum(points)
        self.sampling_offsets = nn.Linear(channels, total * 2)
        self.attention_weights = nn.Linear(channels, total)
        self.value_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)

    def start(self):
        """The originals' start."""
        nn.init.constant_(self.sampling_offsets.weight, 0)
        angles = torch.arange(self.heads, dtype=torch.float32) * (2.0 * math.pi / self.heads)
        grid = torch.stack([angles.cos(), angles.sin()], -1)
        grid = grid / grid.abs().max(-1, keepdim=True)[0]
        grid = grid.view(self.heads, 1, 2).repeat(1, sum(self.points), 1)
        for point, number in enumerate(number for count in self.points for number in range(1, count + 1)):
            grid[:, point] *= number
        self.sampling_offsets.bias.data.copy_(grid.view(-1))
        nn.init.constant_(self.attention_weights.weight, 0)
        nn.init.constant_(self.attention_weights.bias, 0)
        return self

    def drawn(self):
        """Parameters at which everything depends on everything."""
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)
        return self

    def parts(self, query, value, ignored):
        """Return values, offsets and weights; ignored pixels have no value."""
        value = self.value_proj(value)
        if ignored is not None:
            value = value.masked_fill(ignored[..., None], 0.0)
        value = value.view(*value.shape[:2], self.heads, -1)
        shape = (*query.shape[:2], self.heads, sum(self.points))
        weights = self.attention_weights(query).view(shape).softmax(-1)
        return value, self.sampling_offsets(query).view(*shape, 2), weights


class MSDeformAttn(Original):
    """Deformable-DETR's."""

    def __init__(self, d_model=256, n_levels=4, n_heads=8, n_points=4):
        super().__init__(d_model, n_heads, [n_points] * n_levels)
        self.d_model, self.n_levels, self.n_heads, self.n_points = d_model, n_levels, n_heads, n_points

    def forward(self, query, reference_points, input_flatten, shapes, start_index, padding_mask=None):
        value, offsets, weights = self.parts(query, input_flatten, padding_mask)
        offsets, weights = (torch.unflatten(each, 3, (self.n_levels, self.n_points)) for each in (offsets, weights))
        if reference_points.shape[-1] == 2:
            normaliser = torch.stack([shapes[..., 1], shapes[..., 0]], -1)[None, None, None, :, None, :]
            locations = reference_points[:, :, None, :, None, :] + offsets / normaliser
        else:
            boxes = reference_points[:, :, None, :, None]
            locations = boxes[..., :2] + offsets / self.n_points * boxes[..., 2:] * 0.5
        return self.output_proj(attention(value, shapes.tolist(), locations, weights))


class MSDeformableAttention(Original):
    """RT-DETRv2's."""

    def __init__(self, embed_dim=256, num_heads=8, num_levels=4, num_points=4, method="default", offset_scale=0.5):
        points = num_points if isinstance(num_points, list) else [num_points] * num_levels
        super().__init__(embed_dim, num_heads, points)
        self.embed_dim, self.num_heads, self.num_levels = embed_dim, num_heads, num_levels
        self.num_points_list, self.method, self.offset_scale = points, method, offset_scale
        self.register_buffer("num_points_scale", torch.tensor([1 / n for n in points for _ in range(n)]))

    def forward(self, query, reference_points, value, shapes, value_mask=None):
        ignored = None if value_mask is None else ~value_mask
        value, offsets, weights = self.parts(query, value, ignored)
        batch, queries = query.shape[:2]
        if reference_points.shape[-1] == 2:
            normaliser = torch.tensor(shapes).flip([1]).reshape(1, 1, 1, self.num_levels, 1, 2)
            references = reference_points.reshape(batch, queries, 1, self.num_levels, 1, 2)
            locations = references + offsets / normaliser
        else:
            scale = self.num_points_scale.to(query.dtype).unsqueeze(-1)
            offset = offsets * scale * reference_points[:, :, None, :, 2:] * self.offset_scale
            locations = reference_points[:, :, None, :, :2] + offset
        y = listed_attention(value, shapes, locations, weights, self.num_points_list, self.method)
        return self.output_proj(y)


class FirstMSDeformableAttention(MSDeformAttn):
    """RT-DETR's first one: that of Deformable-DETR under other names."""

    def __init__(self, embed_dim=256, num_heads=8, num_levels=4, num_points=4):
        super().__init__(embed_dim, num_levels, num_heads, num_points)
        self.embed_dim, self.num_heads, self.num_levels = embed_dim, num_heads, num_levels
        self.num_points = num_points

    def forward(self, query, reference_points, value, shapes, value_mask=None):
        return super().forward(query, reference_points, value, torch.tensor(shapes), None)
