"""Learnable delays: each synapse of a causal layer reads its signal a learned time ago."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory.core.checks import check_integer, check_number
from warptheory.core.errors import ArgumentError
from warptheory.operators._arguments import told
from warptheory.operators._constructed_convolution import ConstructedConvolution
from warptheory.operators._constructed_kernel import check_version, construct_kernel
from warptheory.operators._convolution import Geometry
from warptheory.operators._entry import OperatorEntry, OperatorExample
from warptheory.operators._spacing_versions import VERSIONS

__all__ = ["LearnableDelay1d", "SigmaAnnealing"]


class LearnableDelay1d(ConstructedConvolution):
    """y_o[t] = b_o + Σ_c w_oc Σ_i g(i − d_oc) x_c[t − i]: one weight and one delay a synapse, over times i ≥ 0.

    Nothing of the future is read, however wide g is: it is cut off at no delay and at the largest one, and sums to
    one. Delays are to be kept within by `clamp_parameters` after each step. They move little in the units of weights:
    SNN-delays trains them at 100 times the learning rate of the weights, while `SigmaAnnealing` narrows g.

    Args:
        in_channels: number C of channels of the signal.
        out_channels: number D of channels of the outcome.
        max_delay: largest delay, in steps of time.
        groups: number of groups of channels that are mixed among themselves; C delays each channel by itself.
        bias: whether a bias is added.
        version: how g reads between steps: "gauss", "v1" linearly, or another one of `LearnableSpacingConv1d`.

    Raises:
        ArgumentError: a number that makes no sense, groups that do not divide both numbers of channels, or a version
            that needs more axes.
        UnknownNameError: no such version.

    Source: I. Hammouamri et al., arXiv 2306.17670 (SNN-delays: Gaussian); snnTorch (linear, a delay a channel).
    """

    dim = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        max_delay: int,
        groups: int = 1,
        bias: bool = True,
        version: str = "gauss",
    ) -> None:
        self.max_delay = check_integer("max_delay", max_delay)
        geometry = Geometry.of(self.max_delay + 1, 1, self.max_delay, 1, self.dim)
        super().__init__(in_channels, out_channels, geometry, groups, bias, "zeros")
        check_version(version, self.dim)
        self.version = version
        shape = (out_channels, in_channels // groups)
        self.add_parameters(*shape)
        self.delay = nn.Parameter(torch.empty(shape))
        rows = len(VERSIONS[version].start(self.dim))
        self.SIG: nn.Parameter | None
        self.register_parameter("SIG", nn.Parameter(torch.empty(rows, *shape)) if rows else None)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw delays evenly from all, and weights such that rectified signals keep their size; no bias."""
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")
        self.delay.uniform_(0, self.max_delay)
        if self.bias is not None:
            self.bias.zero_()
        if self.SIG is not None:
            for row, value in zip(self.SIG, VERSIONS[self.version].start(self.dim), strict=True):
                row.fill_(value)

    @torch.no_grad()
    def clamp_parameters(self) -> None:
        """Move delays below 0 to 0, and those above the largest one to that."""
        self.delay.clamp_(0, self.max_delay)

    def dense_kernel(self) -> Float[Tensor, "D I N"]:
        """Return the kernel (D, C/groups, N) over the steps from the largest delay to none."""
        # The last tap is now: a delay of d is a position d taps before it.
        position = (self.max_delay - self.delay) - (self.max_delay + 1) // 2
        widths = None if self.SIG is None else self.SIG.unsqueeze(-1)
        weight, position = self.weight.unsqueeze(-1), position[None, ..., None]
        return construct_kernel(weight, position, widths, self.max_delay + 1, self.version)

    def grid(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the length of the outcome: that of the signal."""
        return size

    def padded(self, input: Float[Tensor, "B C N"]) -> tuple[Float[Tensor, "B C M"], tuple[int, ...]]:  # noqa: A002
        """Return a signal (B, C, N) after as many zeros as the largest delay."""
        return nn.functional.pad(input, (self.max_delay, 0)), (0,)

    def extra_repr(self) -> str:
        """Return the arguments."""
        options = told(self, "max_delay", "groups", "version")
        return f"{self.in_channels}, {self.out_channels}, {options}, bias={self.bias is not None}"


class SigmaAnnealing:
    """Narrows the widths of all layers of a model: σ_e = σ_0 (σ_E/σ_0)^(e/E), then σ_E; call `step` after each epoch.

    σ is what SIG holds, in taps; to it a version adds its least width, 0.27 for the Gaussian. Any layer with a
    parameter SIG is annealed: ours, and dcls' own. SIG is not learned meanwhile: it stops requiring gradients.

    Args:
        model: the layers, or a layer.
        initial: σ_0; SNN-delays takes half of the largest delay, ⌊size/2⌋.
        epochs: E, the number of steps until the last width; SNN-delays takes a quarter of all epochs.
        final: σ_E, the last width.

    Attributes:
        epoch: number e of the steps so far.

    Raises:
        ArgumentError: a width that is not positive, no epochs, or a model without widths.

    Source: I. Hammouamri et al., arXiv 2306.17670; SNN-delays, `decrease_sig`.
    """

    def __init__(self, model: nn.Module, initial: float, epochs: int, final: float = 0.23) -> None:
        self.initial = check_number("initial", initial, above=0)
        self.final = check_number("final", final, above=0)
        self.epochs = check_integer("epochs", epochs)
        self._layers = [each for each in model.modules() if isinstance(getattr(each, "SIG", None), nn.Parameter)]
        if not self._layers:
            raise ArgumentError("model", expected="a layer with widths, SIG", received=type(model).__name__)
        for layer in self._layers:
            layer.SIG.requires_grad_(False)
        self.epoch = 0
        self._set()

    @property
    def sigma(self) -> float:
        """σ_e, the width now."""
        progress = min(self.epoch / self.epochs, 1.0)
        return float(self.initial * (self.final / self.initial) ** progress)

    def step(self) -> None:
        """Go to the next epoch."""
        self.epoch += 1
        self._set()

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes."""
        return {"initial": self.initial, "final": self.final, "epochs": self.epochs, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state; the widths are set to it."""
        self.initial, self.final = state_dict["initial"], state_dict["final"]
        self.epochs, self.epoch = state_dict["epochs"], state_dict["epoch"]
        self._set()

    @torch.no_grad()
    def _set(self) -> None:
        for layer in self._layers:
            # Further rows, such as exponents or angles, are no widths.
            _width_rows(layer).fill_(self.sigma)


def _width_rows(layer: Any) -> Tensor:
    """Return the rows of SIG that hold a width, one for each axis."""
    dim = layer.dim if isinstance(layer, ConstructedConvolution) else len(layer.SIG)
    rows: Tensor = layer.SIG[:dim]
    return rows


operator = OperatorEntry(
    formula=r"y_o[t] = b_o + \sum_c w_{o c} \sum_{i = 0}^{D} \frac{g(i - d_{o c})}{\sum_j g(j - d_{o c})}\, x_c[t - i]",
    where={
        r"w_{o c}": "the weight of a synapse",
        r"d_{o c}": "its delay, in steps",
        r"D": "the largest delay",
        r"g": "how a delay between steps is read: a Gaussian, two linear taps, or others",
    },
    source="I. Hammouamri et al., arXiv 2306.17670; SNN-delays; snnTorch",
    conventions=(
        "A delay of d reads the signal d steps before; before its first step it is zero.",
        "The outcome is as long as the signal, and causal.",
        "At whole delays the linear reading has the derivative towards smaller ones, at no delay that towards larger.",
    ),
    initialisation="Delays evenly in 0 … D, weights by Kaiming's law for rectified signals, no bias, σ + 0.27 = ½. "
    "SNN-delays starts at σ = ⌊(D + 1)/2⌋ instead, by the annealing.",
    examples={"1d": OperatorExample(lambda: LearnableDelay1d(4, 6, 3, groups=2), lambda x, _: (x,), (2, 4, 6))},
)
