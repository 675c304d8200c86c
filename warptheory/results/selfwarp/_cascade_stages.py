"""What the stages of a layer do, on the way back, to the second moment of a gradient at every position.

A gradient g of C channels is described by S(t) = E g(t)g(t)ᵀ at every position t, a tensor (B, *S, C, C); what it is at
two positions is taken to be uncorrelated. Every stage is linear on the way back, gʹ(s) = Σ_t A(s, t)ᵀ g(t), so
that Sʹ(s) = Σ_t A(s, t)ᵀ S(t) A(s, t), a sum that is exact under that assumption.

A shortcut beside stages also needs what they return to the very position that they started from. For that they send
back cross moments X_δ(t) = E z(t − δ)g(t)ᵀ with the gradient z that entered the first of them, by the displacement δ.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

Displacement = tuple[int, ...]
CrossMoments = Mapping[Displacement, Tensor]  # by displacement, z first: each (B, *S, K, C)


class CascadeStage(ABC):
    """A stage of a layer, as the gradient passes it."""

    @abstractmethod
    def backward(self, moments: Float[Tensor, "B *S C C"]) -> Float[Tensor, "B *T D D"]:
        """Return the moments at the stage's input, shape (B, *T, D, D), of those at its output, (B, *S, C, C)."""

    @abstractmethod
    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Return the cross moments at the stage's input, up to a displacement, each of shape (B, *T, K, D)."""

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

    def backward(self, moments: Float[Tensor, "B *S C C"]) -> Float[Tensor, "B *S C C"]:
        """Return the moments of the values that pass, shape (B, *S, C, C)."""
        mask = self.mask.movedim(1, -1).to(moments.dtype)
        return moments * mask[..., None] * mask[..., None, :]

    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Return the cross moments of the values that pass, each of shape (B, *S, K, C)."""
        mask = self.mask.movedim(1, -1)[..., None, :]
        return {place: found * mask for place, found in moments.items()}


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

    def backward(self, moments: Float[Tensor, "B *S C C"]) -> Float[Tensor, "B *S C C"]:
        """Return the moments in front of the normalisation, shape (B, *S, C, C)."""
        gains = self.gain[:, None] * self.gain
        return gains * (moments if self.normalised is None else self._projected(moments, self.normalised))

    @staticmethod
    def _projected(moments: Tensor, normalised: Tensor) -> Tensor:
        """Return the moments of what is left of a gradient without its mean and its component along x̂."""
        number = normalised.numel() / normalised.shape[1]
        places = normalised.movedim(1, -1)
        first, second = places[..., None], places[..., None, :]
        positions = tuple(range(moments.ndim - 2))

        def total(weighted: Tensor) -> Tensor:
            return weighted.sum(positions)

        # (hS)(t) at one position, and hSh, to which all positions add.
        along_both = moments * first * second
        spread = total(moments) + total(moments * first) * first + total(moments * second) * second
        spread = spread + total(along_both) * first * second
        own = (1 + places.square()) / number
        return moments * (1 - own[..., None] - own[..., None, :]) + spread / number**2

    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Return those in front of it, each (B, *S, K, C); the projection, of order 1/N at a position, is left out."""
        return {place: found * self.gain for place, found in moments.items()}


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

    def backward(self, moments: Float[Tensor, "B *S C C"]) -> Float[Tensor, "B *T D D"]:
        """Return the moments at the input, shape (B, *T, D, D), every tap by its own matrix."""
        channels = self.weight.shape[1]
        into = self._padded(moments, channels)
        for tap, matrix in self.taps():
            once = (moments @ matrix).transpose(-1, -2)
            into[self._places(tap, moments.shape[1:-2])] += once @ matrix
        return self._cropped(into)

    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Return the cross moments at the input, each of shape (B, *T, K, D)."""
        found: dict[Displacement, Tensor] = {}
        for place, moment in moments.items():
            for tap, matrix in self.taps():
                moved = tuple(
                    self.stride * before + one - size // 2
                    for before, one, size in zip(place, tap, self.weight.shape[2:], strict=True)
                )
                if max(map(abs, moved)) > within:
                    continue
                if moved not in found:
                    found[moved] = self._padded(moment, moment.shape[-2])
                found[moved][self._places(tap, moment.shape[1:-2])] += moment @ matrix
        return {place: self._cropped(into) for place, into in found.items()}

    def taps(self) -> Iterator[tuple[Displacement, Tensor]]:
        """Yield the place of every tap in the filters, and its matrix, shape (C, D)."""
        every = itertools.product(*map(range, self.weight.shape[2:]))
        yield from zip(every, self.weight.flatten(2).unbind(2), strict=True)

    def _padded(self, like: Tensor, first: int) -> Tensor:
        padded = [n + 2 * (k // 2) for n, k in zip(self.size, self.weight.shape[2:], strict=True)]
        return like.new_zeros(like.shape[0], *padded, first, self.weight.shape[1])

    def _places(self, tap: Displacement, size: Sequence[int]) -> tuple[slice, ...]:
        every = zip(tap, size, strict=True)
        return slice(None), *(slice(one, one + self.stride * (n - 1) + 1, self.stride) for one, n in every)

    def _cropped(self, padded: Tensor) -> Tensor:
        margins = [k // 2 for k in self.weight.shape[2:]]
        return padded[(slice(None), *(slice(m, m + n) for m, n in zip(margins, self.size, strict=True)))]


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

    def backward(self, moments: Float[Tensor, "B *S C C"]) -> Float[Tensor, "B *S C C"]:
        """Return the moments at the input of both paths and of their product, shape (B, *S, C, C)."""
        slopes = self._slopes_by_group
        mixed = moments @ slopes
        received = slopes.transpose(-1, -2) @ mixed
        crossed = self._crossed(mixed)
        return self._splatted(moments) + self._convolution.backward(received) + crossed + crossed.transpose(-1, -2)

    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Return the cross moments at the input, each of shape (B, *T, K, D)."""
        offsets = {place: found @ self._slopes_by_group for place, found in moments.items()}
        result = dict(self._convolution.backward_cross(offsets, within))
        dim, (some, *_) = self.slopes.ndim - 3, moments.values()
        for wanted in itertools.product(range(-within, within + 1), repeat=dim):
            into = result.get(wanted)
            into = torch.zeros_like(some) if into is None else into.contiguous()
            for group, entries in enumerate(self._entries):
                chosen = self._channels_of(group)
                for place, found in moments.items():
                    step = tuple(one - before for one, before in zip(wanted, place, strict=True))
                    source, target, weight = entries.at(step)
                    rows = found[..., chosen].flatten(0, -3)[source] * weight[:, None, None]
                    into[..., chosen].flatten(0, -3).index_add_(0, target, rows)
            result[wanted] = into
        return result

    @cached_property
    def _convolution(self) -> Convolved:
        return Convolved(self.head, tuple(self.slopes.shape[3:]))

    @cached_property
    def _slopes_by_group(self) -> Tensor:
        """∂ᵢ of every channel beside the component of the offsets that moves it, shape (B, *S, C, G·d)."""
        groups, channels = self.matrix.shape[1], self.slopes.shape[1]
        member = torch.arange(channels, device=self.slopes.device) // (channels // groups)
        mine = functional.one_hot(member, groups).to(self.slopes)
        slopes = self.slopes.movedim((1, 2), (-2, -1))
        return (mine[:, :, None] * slopes[..., None, :]).flatten(-2)

    def _channels_of(self, group: int) -> slice:
        share = self.slopes.shape[1] // self.matrix.shape[1]
        return slice(group * share, (group + 1) * share)

    @cached_property
    def _entries(self) -> list["_Entries"]:
        groups, size = self.matrix.shape[1], tuple(self.slopes.shape[3:])
        return [_Entries(self.matrix.select(1, group).coalesce(), size) for group in range(groups)]

    def _splatted(self, moments: Tensor) -> Tensor:
        """Return Σ_t w(t, s)wʹ(t, s) S(t), w and wʹ the weights by which two channels are read."""
        into = torch.zeros_like(moments)
        for first, second in itertools.product(range(self.matrix.shape[1]), repeat=2):
            both = _Entries((self._entries[first].matrix * self._entries[second].matrix).coalesce(), ())
            source, target, weight = both.all()
            rows, columns = self._channels_of(first), self._channels_of(second)
            part = moments[..., rows, columns].flatten(0, -3)
            summed = torch.zeros_like(part).index_add_(0, target, part[source] * weight[:, None, None])
            into[..., rows, columns] = summed.reshape(into[..., rows, columns].shape)
        return into

    def _crossed(self, mixed: Tensor) -> Tensor:
        """Return Σ_t w(t, s) E g(t)γ(t)ᵀ w_{s − t}, γ = g·∂x what the offsets receive: first path times second."""
        channels = self.slopes.shape[1]
        into = mixed.new_zeros(*mixed.shape[:-1], channels).flatten(0, -3)
        for group, entries in enumerate(self._entries):
            chosen = self._channels_of(group)
            of_group = mixed[..., chosen, :].flatten(0, -3)
            for tap, matrix in self._convolution.taps():
                step = tuple(one - k // 2 for one, k in zip(tap, self.head.shape[2:], strict=True))
                source, target, weight = entries.at(step)
                rows = of_group[source] @ matrix
                into[:, chosen].index_add_(0, target, rows * weight[:, None, None])
        return into.reshape(*mixed.shape[:-1], channels)


@dataclass(frozen=True, eq=False)
class _Entries:
    """The entries of W: where outputs read, by how much, and how far away.

    Attributes:
        matrix: W of every image, sparse, shape (B, N, N).
        size: S of the image.
    """

    matrix: Tensor
    size: tuple[int, ...]

    def all(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return output and pixel of every entry, counted over all images, and the weight; each of shape (n,)."""
        image, source, target = self.matrix.indices()
        first = image * self.matrix.shape[-1]
        return first + source, first + target, self.matrix.values()

    def at(self, step: Displacement) -> tuple[Tensor, Tensor, Tensor]:
        """Return those entries whose pixel lies a step away from the output."""
        found = self._by_step.get(step)
        if found is None:
            nothing = torch.zeros(0, dtype=torch.long, device=self.matrix.device)
            return nothing, nothing, self.matrix.values()[:0]
        return found

    @cached_property
    def _by_step(self) -> dict[Displacement, tuple[Tensor, Tensor, Tensor]]:
        _, source, target = self.matrix.indices()
        places = [torch.stack(torch.unravel_index(flat, self.size), 1) for flat in (source, target)]
        steps, number = torch.unique(places[1] - places[0], dim=0, return_inverse=True)
        order = number.argsort()
        counts = torch.bincount(number).tolist()
        parts = zip(*(torch.split(each[order], counts) for each in self.all()), strict=True)
        return {tuple(step): entries for step, entries in zip(steps.tolist(), parts, strict=True)}


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

    def backward(self, moments: Float[Tensor, "B *S C C"]) -> Float[Tensor, "B *T D D"]:
        """Return the moments at the input of shortcut and stages and of their product, shape (B, *T, D, D)."""
        found = moments
        for stage in reversed(self.stages):
            found = stage.backward(found)
        returned = self._returned(moments)
        every = (slice(None), *(slice(None, None, self.stride) for _ in self.size))
        found[every] += moments[..., : self.channels, : self.channels]
        return found + returned + returned.transpose(-1, -2)

    def backward_cross(self, moments: CrossMoments, within: int) -> CrossMoments:
        """Refuse cross moments (B, *S, K, C): no network of ours has a shortcut around a shortcut."""
        raise NotImplementedError("a shortcut around a shortcut")

    def _returned(self, moments: Tensor) -> Tensor:
        """Return E of what comes back through the shortcut times what comes back through the stages."""
        here = (0,) * len(self.size)
        crossed: CrossMoments = {here: moments}
        for place, stage in reversed(list(enumerate(self.stages))):
            crossed = stage.backward_cross(crossed, sum(before.reach for before in self.stages[:place]))
        if here not in crossed:
            return moments.new_zeros(len(moments), *self.size, self.channels, self.channels)
        return crossed[here][..., : self.channels, :]
