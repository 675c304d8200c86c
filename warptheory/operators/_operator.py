"""What every dynamic sampling operator shares: its matrix at an input, and the statistics of that matrix."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from warptheory import kernels, warping
from warptheory.core import html
from warptheory.core.definition import arguments
from warptheory.core.presented import Presented, values_table
from warptheory.warping import boundaries
from warptheory.warping.arguments import check_kernel_fits


@dataclass(frozen=True)
class OperatorStatistics(Presented):
    """Statistics of the linear map y = A(x)x that an operator is at one input, averaged over the batch.

    Attributes:
        forward_gain: mean row energy Σₘ A[n,m]²: the factor on the variance of white input.
        largest_row_sum: largest Σₘ A[n,m], the forward response to a constant.
        largest_column_sum: largest Σₙ A[n,m], the backward response to a constant; ‖A‖₁ where A ≥ 0.
        dead_share: share of inputs that no output reads, so that they receive no gradient.
        offset_mean: mean of the offsets, in pixels.
        offset_deviation: standard deviation of the offsets, in pixels.
    """

    forward_gain: float
    largest_row_sum: float
    largest_column_sum: float
    dead_share: float
    offset_mean: float
    offset_deviation: float


class PresentedModule(nn.Module, Presented):
    """A layer with a card for notebooks: what it does, its settings and its size. Its `repr` is torch's.

    Each argument of its constructor is an attribute of that name, of the layer or of a layer that it holds.
    """

    def _subtitle(self) -> str:
        return (inspect.getdoc(type(self)) or "").partition("\n")[0]

    def _card(self) -> Iterable[object]:
        yield values_table(self._settings(), arguments(type(self)))
        yield html.properties([("parameters", f"{sum(each.numel() for each in self.parameters()):,}")])

    def _settings(self) -> Iterator[tuple[str, Any]]:
        """Yield names and values of the constructor's arguments."""
        for name in inspect.signature(type(self)).parameters:
            owner = next((each for each in (self, *self.children()) if hasattr(each, name)), None)
            if owner is not None:
                yield name, getattr(owner, name)


class SamplingOperator(PresentedModule, ABC):
    """A layer that reads its input at positions which may depend on the input.

    A subclass supplies `offsets`; the layer, its matrix and its statistics follow.

    Args:
        kernel: name of the interpolation kernel.
        boundary: name of the boundary rule.

    Raises:
        UnknownNameError: no such kernel or boundary rule.
        ArgumentError: a kernel and a boundary rule that do not go together.
    """

    def __init__(self, kernel: str = "linear", boundary: str = "border") -> None:
        super().__init__()
        rule = boundaries.get(boundary).name
        check_kernel_fits(kernels.get(kernel), rule)
        self.kernel = kernels.resolve(kernel)
        self.boundary = rule

    @abstractmethod
    def offsets(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B G d *T"]:
        """Return the offsets at an input (B, C, *S), in pixels, shape (B, G, d, *T)."""

    def forward(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *T"]:
        """Return the warped input: (B, C, *S) → (B, C, *T)."""
        return warping.warp(x, self.offsets(x), self.kernel, self.boundary)

    def operator_matrix(self, x: Float[Tensor, "B C *S"]) -> Float[Tensor, "B G N M"]:
        """Return the linear map at an input (B, C, *S) as a sparse tensor (B, G, N, M), offsets held fixed."""
        return warping.warp_matrix(self.offsets(x), tuple(x.shape[2:]), self.kernel, self.boundary)

    @torch.no_grad()
    def statistics(self, x: Float[Tensor, "B C *S"]) -> OperatorStatistics:
        """Return the statistics of the operator at an input (B, C, *S)."""
        offsets, matrix = self.offsets(x), self.operator_matrix(x)
        row_sums = matrix.sum(3).to_dense()
        column_sums = matrix.sum(2).to_dense()
        touched = torch.zeros_like(column_sums)
        batch, group, _, column = matrix.indices()[:, matrix.values() != 0]
        touched[batch, group, column] = 1
        return OperatorStatistics(
            forward_gain=float(matrix.values().square().sum() / row_sums.numel()),
            largest_row_sum=float(row_sums.max()),
            largest_column_sum=float(column_sums.max()),
            dead_share=float(1 - touched.mean()),
            offset_mean=float(offsets.mean()),
            offset_deviation=float(offsets.std(correction=0)),
        )
