"""What the stages of a layer do, on the way back, to the second moment of a gradient at every position.

A gradient g of C channels is described by S(t) = E g(t)g(t)ᵀ at every position t, a tensor (B, C, C, *S); what it is at
two positions is taken to be uncorrelated. Every stage is linear on the way back, gʹ(s) = Σ_t A(s, t)ᵀ g(t), so that
Sʹ(s) = Σ_t A(s, t)ᵀ S(t) A(s, t), a sum that is exact under that assumption.

A shortcut beside stages also needs what they return to the very position that they started from. For that they send back
cross moments X_δ(t) = E g(t)z(t − δ)ᵀ with the gradient z that entered the first of them, by the displacement δ.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Displacement = tuple[int, ...]
CrossMoments = Mapping[Displacement, Tensor]  # by displacement, each (B, C, K, *S)


class CascadeStage(ABC):
    """A stage of a layer, as the gradient passes it."""

    @abstractmethod
    def backward(self, moments: Float[Tensor, "B C C *S"]) -> Float[Tensor, "B D D *T"]:
        """Return the moments at the stage's input, shape (B, D, D, *T), of those at its output, (B, C, C, *S)."""

    @abstractmethod
    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Return the cross moments at the stage's input, up to a displacement, of those at its output."""

    @property
    def reach(self) -> int:
        """How many pixels the stage can move a gradient back by, along an axis."""
        return 0


@dataclass(frozen=True, eq=False)
class Rectified(CascadeStage):
    """A ReLU.

    Attributes:
        mask: whether a value passes, shape (B, C, *S).
    """

    mask: Bool[Tensor, "B C *S"]

    def backward(self, moments: Float[Tensor, "B C C *S"]) -> Float[Tensor, "B C C *S"]:
        """Return the moments of the values that pass, shape (B, C, C, *S)."""
        mask = self.mask.to(moments.dtype)
        return moments * mask[:, :, None] * mask[:, None]

    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Return the cross moments of the values that pass."""
        return {place: found * self.mask[:, :, None] for place, found in moments.items()}


@dataclass(frozen=True, eq=False)
class Normalised(CascadeStage):
    """A BatchNorm: it multiplies by γ/σ, and removes a gradient's mean and its component along the normalised values.

    With h(t, s) = (1 + x̂(t)x̂(s))/N over the N positions of the batch, g ↦ (γ/σ)(g − hg), channel by channel.

    Attributes:
        gain: γ/σ of every channel, shape (C,).
        normalised: x̂, shape (B, C, *S); None where the mean and σ are constants, as in evaluation.
    """

    gain: Float[Tensor, "C"]
    normalised: Float[Tensor, "B C *S"] | None = None

    def backward(self, moments: Float[Tensor, "B C C *S"]) -> Float[Tensor, "B C C *S"]:
        """Return the moments in front of the normalisation, shape (B, C, C, *S)."""
        axes = (1,) * (moments.ndim - 3)
        gains = (self.gain[:, None] * self.gain).reshape(1, *moments.shape[1:3], *axes)
        return gains * (moments if self.normalised is None else self._projected(moments, self.normalised))

    @staticmethod
    def _projected(moments: Tensor, normalised: Tensor) -> Tensor:
        """Return the moments of what is left of a gradient without its mean and its component along x̂."""
        number = normalised.numel() / normalised.shape[1]
        own = (1 + normalised.square()) / number
        first, second = normalised[:, :, None], normalised[:, None]

        def total(weighted: Tensor) -> Tensor:
            return weighted.sum((0, *range(3, moments.ndim)), keepdim=True)

        # (hS)(t) at one position, and hSh, to which all positions add.
        spread = total(moments) + total(moments * first) * first + total(moments * second) * second
        spread = spread + total(moments * first * second) * first * second
        return moments * (1 - own[:, :, None] - own[:, None]) + spread / number**2

    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Return the cross moments in front of it; the projection, of order 1/N at a position, is left out."""
        gain = self.gain.reshape(1, -1, 1, *[1] * (next(iter(moments.values())).ndim - 3))
        return {place: gain * found for place, found in moments.items()}


@dataclass(frozen=True, eq=False)
class Convolved(CascadeStage):
    """A convolution.

    Attributes:
        weight: its filters, shape (C, D, *K).
        size: of its input.
        stride: along every axis.
    """

    weight: Float[Tensor, "C D *K"]
    size: tuple[int, ...]
    stride: int = 1

    @property
    def reach(self) -> int:
        """Half the size of the filters."""
        return max(self.weight.shape[2:]) // 2

    def backward(self, moments: Float[Tensor, "B C C *S"]) -> Float[Tensor, "B D D *T"]:
        """Return the moments at the input, shape (B, D, D, *T), every tap by its own matrix."""
        channels = self.weight.shape[1]
        into = self._padded(moments, channels, channels)
        for tap, matrix in self._taps():
            into[(..., *self._places(tap, moments.shape[3:]))] += torch.einsum(
                "bcd...,ce,df->bef...", moments, matrix, matrix
            )
        return self._cropped(into)

    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Return the cross moments at the input."""
        found: dict[Displacement, Tensor] = {}
        for place, moment in moments.items():
            for tap, matrix in self._taps():
                moved = tuple(
                    self.stride * before + one - size // 2
                    for before, one, size in zip(place, tap, self.weight.shape[2:], strict=True)
                )
                if max(map(abs, moved)) > within:
                    continue
                if moved not in found:
                    found[moved] = self._padded(moment, self.weight.shape[1], moment.shape[2])
                found[moved][(..., *self._places(tap, moment.shape[3:]))] += torch.einsum(
                    "bck...,ce->bek...", moment, matrix
                )
        return {place: self._cropped(into) for place, into in found.items()}

    def _taps(self) -> Iterator[tuple[Displacement, Tensor]]:
        for tap in itertools.product(*map(range, self.weight.shape[2:])):
            yield tap, self.weight[(slice(None), slice(None), *tap)]

    def _padded(self, like: Tensor, *channels: int) -> Tensor:
        padded = [n + 2 * (k // 2) for n, k in zip(self.size, self.weight.shape[2:], strict=True)]
        return like.new_zeros(like.shape[0], *channels, *padded)

    def _places(self, tap: Displacement, size: Sequence[int]) -> Iterator[slice]:
        for start, n in zip(tap, size, strict=True):
            yield slice(start, start + self.stride * (n - 1) + 1, self.stride)

    def _cropped(self, padded: Tensor) -> Tensor:
        margins = [k // 2 for k in self.weight.shape[2:]]
        return padded[(..., *(slice(m, m + n) for m, n in zip(margins, self.size, strict=True)))]


@dataclass(frozen=True, eq=False)
class Warped(CascadeStage):
    """A self-warp: back through what it reads, Wᵀg, and through the head that computes where, the offsets' g·∂x.

    Attributes:
        matrix: W of every group of offsets, sparse, shape (B, G, N, N).
        slopes: ∂ᵢ of every warped channel, shape (B, C, d, *S).
        head: the filters of the head, times the scale α, shape (G·d, C, *K).
    """

    matrix: Tensor
    slopes: Float[Tensor, "B C d *S"]
    head: Float[Tensor, "F C *K"]

    @property
    def reach(self) -> int:
        """Half the size of the head's filters; offsets that reach further do not return to where they started."""
        return self._convolution.reach

    def backward(self, moments: Float[Tensor, "B C C *S"]) -> Float[Tensor, "B C C *S"]:
        """Return the moments at the input of both paths and of their product, shape (B, C, C, *S)."""
        slopes = self._slopes_by_group
        received = torch.einsum("bcd...,bcf...,bdg...->bfg...", moments, slopes, slopes)
        mixed = torch.einsum("bcd...,bdf...->bcf...", moments, slopes)
        crossed = self._crossed(mixed)
        return self._splatted(moments) + self._convolution.backward(received) + crossed + crossed.transpose(1, 2)

    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Return the cross moments at the input."""
        offsets = {
            place: torch.einsum("bck...,bcf...->bfk...", found, self._slopes_by_group)
            for place, found in moments.items()
        }
        result = dict(self._convolution.backward_cross(offsets, within))
        size, dim = self.slopes.shape[3:], self.slopes.ndim - 3
        for wanted in itertools.product(range(-within, within + 1), repeat=dim):
            for group, (image, source, target, weight, steps) in enumerate(self._entries):
                chosen = self._channels_of(group)
                for place, found in moments.items():
                    step = torch.tensor([one - before for one, before in zip(wanted, place, strict=True)])
                    here = (steps == step).all(1)
                    if not bool(here.any()):
                        continue
                    rows = _rows(found[:, chosen])[image[here] * math.prod(size) + source[here]]
                    into = result.get(wanted)
                    into = torch.zeros_like(found) if into is None else into.clone()
                    part = _rows(into[:, chosen])
                    part = part.index_add(0, image[here] * math.prod(size) + target[here], weight[here, None] * rows)
                    into[:, chosen] = _fields(part, found[:, chosen])
                    result[wanted] = into
        return result

    @cached_property
    def _convolution(self) -> Convolved:
        return Convolved(self.head, tuple(self.slopes.shape[3:]))

    @cached_property
    def _slopes_by_group(self) -> Tensor:
        """∂ᵢ of every channel beside the component of the offsets that moves it, shape (B, C, G·d, *S)."""
        groups = self.matrix.shape[1]
        batch, channels, dim, *size = self.slopes.shape
        member = torch.arange(channels) // (channels // groups)
        mine = torch.nn.functional.one_hot(member, groups).to(self.slopes)
        spread = torch.einsum("bcd...,cg->bcgd...", self.slopes, mine)
        return spread.reshape(batch, channels, groups * dim, *size)

    def _channels_of(self, group: int) -> slice:
        share = self.slopes.shape[1] // self.matrix.shape[1]
        return slice(group * share, (group + 1) * share)

    @cached_property
    def _entries(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
        """Of every group: image, output, pixel read, weight, and the step from the output to the pixel, (n, d)."""
        found = []
        size = self.slopes.shape[3:]
        for group in range(self.matrix.shape[1]):
            entries = self.matrix.select(1, group).coalesce()
            image, source, target = entries.indices()
            places = [torch.stack(torch.unravel_index(flat, size), 1) for flat in (source, target)]
            found.append((image, source, target, entries.values(), places[1] - places[0]))
        return found

    def _splatted(self, moments: Tensor) -> Tensor:
        """Return Σ_t w(t, s)wʹ(t, s) S(t), w and wʹ the weights by which two channels are read."""
        into = torch.empty_like(moments)
        pixels = math.prod(self.slopes.shape[3:])
        groups = self.matrix.shape[1]
        for first, second in itertools.product(range(groups), repeat=2):
            both = self.matrix.select(1, first) * self.matrix.select(1, second)
            (image, source, target), weight = both.coalesce().indices(), both.coalesce().values()
            part = moments[:, self._channels_of(first), self._channels_of(second)]
            rows = _rows(part)
            summed = torch.zeros_like(rows).index_add(
                0, image * pixels + target, weight[:, None] * rows[image * pixels + source]
            )
            into[:, self._channels_of(first), self._channels_of(second)] = _fields(summed, part)
        return into

    def _crossed(self, mixed: Tensor) -> Tensor:
        """Return Σ_t w(t, s) E g(t)γ(t)ᵀ w_{s − t}, γ = g·∂x what the offsets receive: first path times second."""
        pixels = math.prod(self.slopes.shape[3:])
        channels = self.slopes.shape[1]
        into = mixed.new_zeros(mixed.shape[0], channels, channels, *self.slopes.shape[3:])
        for group, (image, source, target, weight, steps) in enumerate(self._entries):
            chosen = self._channels_of(group)
            part = _rows(into[:, chosen])
            of_group = mixed[:, chosen].flatten(3).movedim(3, 1).flatten(0, 1)
            for tap in itertools.product(*map(range, self.head.shape[2:])):
                offset = torch.tensor([one - k // 2 for one, k in zip(tap, self.head.shape[2:], strict=True)])
                here = (steps == offset).all(1)
                matrix = self.head[(slice(None), slice(None), *tap)]
                rows = of_group[image[here] * pixels + source[here]] @ matrix
                part.index_add_(0, image[here] * pixels + target[here], (weight[here, None, None] * rows).flatten(1))
            into[:, chosen] = _fields(part, into[:, chosen])
        return into


def _rows(moments: Tensor) -> Tensor:
    """Return moments (B, C, K, *S) as rows of a position each, shape (B·N, C·K)."""
    return moments.flatten(3).movedim(3, 1).flatten(0, 1).flatten(1)


def _fields(rows: Tensor, like: Tensor) -> Tensor:
    """Return rows of a position each as moments of the shape of others."""
    batch, first, second, *size = like.shape
    return rows.reshape(batch, -1, first, second).movedim(1, 3).reshape(batch, first, second, *size)


@dataclass(frozen=True, eq=False)
class Residual(CascadeStage):
    """Stages beside a shortcut, which subsamples and pads channels with zeros.

    Attributes:
        stages: in the order of the forward pass.
        channels: number D of channels of the input, the first of the output's.
        size: of the input.
        stride: of the shortcut.
    """

    stages: tuple[CascadeStage, ...]
    channels: int
    size: tuple[int, ...]
    stride: int = 1

    def backward(self, moments: Float[Tensor, "B C C *S"]) -> Float[Tensor, "B D D *T"]:
        """Return the moments at the input of shortcut and stages and of their product, shape (B, D, D, *T)."""
        found = moments
        for stage in reversed(self.stages):
            found = stage.backward(found)
        returned = self._returned(moments)
        every = (..., *(slice(None, None, self.stride) for _ in self.size))
        found[every] += moments[:, : self.channels, : self.channels]
        return found + returned + returned.transpose(1, 2)

    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Refuse: no network of ours has a shortcut around a shortcut."""
        raise NotImplementedError("a shortcut around a shortcut")

    def _returned(self, moments: Tensor) -> Tensor:
        """Return E of what comes back through the stages times what comes back through the shortcut."""
        crossed: CrossMoments = {(0,) * len(self.size): moments}
        for place, stage in reversed(list(enumerate(self.stages))):
            crossed = stage.backward_cross(crossed, sum(before.reach for before in self.stages[:place]))
        channels = self.channels
        none = moments.new_zeros(len(moments), channels, channels, *self.size)
        found = crossed.get((0,) * len(self.size))
        return none if found is None else found[:, :, :channels]
