"""Ranks of warps whose outputs read anywhere: matrices drawn, and the sums that count what they forget.

Offsets are uniform over a periodic grid of N pixels along each axis, Nᵈ in all, so that every output reads at a place
of its own, uniform on the torus.
"""

import numpy as np
import sympy as sp
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import sparse

from warptheory import matrices, warping
from warptheory.symbolic.nodes import Node
from warptheory.symbolic.quadrature import Environment, Evaluate

PIXELS = sp.Symbol("N", integer=True, positive=True)
HITS = sp.Symbol("i", integer=True, nonnegative=True)


def scattered_matrices(
    generator: np.random.Generator, rows: int, size: tuple[int, ...], kernel: str, device: str = "cpu"
) -> Float[torch.Tensor, "rows P P"]:
    """Draw warps whose outputs read at independent uniform places of a periodic grid, as dense matrices.

    Args:
        generator: source of every random number.
        rows: number of warps.
        size: pixels along each axis.
        kernel: name of the kernel.
        device: device on which they are made.

    Returns:
        The matrices, shape (rows, P, P), P = ∏ size.
    """
    return _scattered(generator, rows, size, kernel, device).to_dense()


def structural_ranks(
    generator: np.random.Generator, rows: int, size: tuple[int, ...], kernel: str = "linear"
) -> tuple[Int[ndarray, "rows"], list[sparse.csr_array]]:
    """Draw such warps; return the largest matchings of outputs and pixels, shape (rows,), and the sparse matrices.

    Args:
        generator: source of every random number.
        rows: number of warps.
        size: pixels along each axis.
        kernel: name of the kernel.
    """
    drawn = matrices.samples(_scattered(generator, rows, size, kernel, "cpu"))
    return np.array([matrices.structural_rank(each) for each in drawn]), drawn


def numerical_ranks(drawn: Float[torch.Tensor, "rows P P"]) -> Int[ndarray, "rows"]:
    """Return the ranks that NumPy finds, shape (rows,), of matrices (rows, P, P)."""
    return np.asarray(np.linalg.matrix_rank(drawn.cpu().numpy()))


def _scattered(
    generator: np.random.Generator, rows: int, size: tuple[int, ...], kernel: str, device: str
) -> torch.Tensor:
    extent = np.array(size, dtype=float).reshape(-1, *[1] * len(size))
    offsets = torch.from_numpy(extent * generator.random((rows, len(size), *size))).to(device)
    return warping.warp_matrix(offsets, size, kernel, "periodic")


class FiniteSum(Node):
    """A sum of finitely many terms: args (term, index, first, last)."""

    bound = slice(1, 2)

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the sum as sympy writes it."""
        term, index, first, last = self.args
        return sp.Sum(term, (index, first, last))

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Add up the terms, one by one."""
        term, index, *ends = self.args
        first, last = (round(float(evaluate(end, environment))) for end in ends)
        return float(sum(float(evaluate(term, {**environment, index: float(n)})) for n in range(first, last + 1)))


class HitProbability(Node):
    """P(a pixel is read by i of the outputs, each of which reads one of n pixels): args (i, n)."""

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the binomial probability."""
        hits, count = self.args
        return sp.binomial(count, hits) * (1 - 1 / count) ** (count - hits) / count**hits

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Multiply out C(n, i) n⁻ⁱ (1 − 1/n)ⁿ⁻ⁱ, factor by factor."""
        hits, count = (round(float(evaluate(argument, environment))) for argument in self.args)
        chosen = np.prod([(count - other) / (count * (other + 1)) for other in range(hits)])
        return float(chosen * (1 - 1 / count) ** (count - hits))


class RunProbability(Node):
    """P(of n cells, one, then i in a row, then one more are hit never, each once, and never): args (i, n, route).

    Each of n outputs hits one of the cells, all alike. Route "cells": cell after cell, each hit by a binomial number of
    the outputs that are left; route "outputs": as many choices of the outputs that hit the run, in order, and the
    others elsewhere.
    """

    def display(self, *, latex: bool) -> sp.Expr:
        """Return the probability, or what it is when the choices are counted."""
        hits, count, _ = self.args
        if str(self.part(2)) == "cells":
            return sp.Function("P")(sp.Symbol("0"), sp.Symbol("1") ** hits, sp.Symbol("0"))
        chosen: sp.Expr = sp.ff(count, hits) / count**hits
        return chosen * (1 - (hits + 2) / count) ** (count - hits)

    def numeric(self, environment: Environment, evaluate: Evaluate) -> float:
        """Multiply the probabilities, along the cells or along the outputs."""
        hits, count = (round(float(evaluate(argument, environment))) for argument in self.args[:2])
        if str(self.part(2)) == "outputs":
            chosen = np.prod([(count - other) / count for other in range(hits)])
            return float(chosen * (1 - (hits + 2) / count) ** (count - hits))
        probability, left = 1.0, count
        for cell, hit in enumerate((0, *[1] * hits, 0)):
            share = 1 / (count - cell)  # of one cell among those not looked at yet
            probability *= (1 - share) ** left if hit == 0 else left * share * (1 - share) ** (left - 1)
            left -= hit
        return float(probability)
