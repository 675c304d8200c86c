"""What symbols stand for: those that all results share, and those that a result says itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from warptheory.core.notation import latex_notation, text_notation
from warptheory.core.symbol_meanings import explanation
from warptheory.results._catalogue import get, labels

# By the name in code, or as formulas write it; lengths are in pixels where the spacing h is no symbol.
COMMON: Mapping[str, str] = MappingProxyType(
    {
        "x": "the input of a layer: independent pixels, or a homogeneous random field",
        "y": "the warped input, y = Wx: y[n] = Σₘ k(n + ε[n] − m) x[m]",
        "g": "the gradient that comes in from the layers above",
        "z": "the gradient that a layer passes on, z = Wᵀg, also called splatting",
        "W": "the matrix of the warp; Wᵀ its adjoint",
        "n": "an output pixel",
        "m": "an input pixel, over which a sum runs",
        "j": "the number of a harmonic, over which a series runs",
        "d": "the number of axes: 1 for signals, 2 for images, 3 for volumes",
        "epsilon": "the offset of an output pixel, in pixels",
        "φ": "the map t ↦ t + ε(t) from a position to where it reads",
        "J": "the determinant of the slopes of φ, negative where the map folds",
        "k": "the interpolation kernel; k′ its slope, k̂ its Fourier transform; an index names any but the linear one",
        "rho": "ρ(f) = Σₘ k(f − m)², the share of the variance of independent pixels that is kept at the fraction f; "
        "ρ̄ is its mean over f",
        "delta": "δ(f) = Σₘ k′(f − m)², the same of the derivative in the offset; δ̄ is its mean over f",
        "a(Δ)": "the kernel's correlation with itself, ∫k(u) k(u + Δ) du",
        "f": "the fraction of a sampling position, what is left beyond the whole pixel, in [0, 1)",
        "f_1": "the fraction along one axis, the first for f_1, the second for f_2, the third for f_3",
        "P": "the probability of what is in brackets",
        "E": "expectation over everything that is random",
        "E_ε": "expectation over the offset ε alone",
        "C(τ)": "the covariance of the input at the lag τ",
        "C_y": "the covariance of the output y; C_L that after L layers",
        "S(ω)": "the input's spectral density at the wavenumber ω, the Fourier transform of C",
        "lambda_2": "the variance of the input's slope along an axis, −C″(0); λ with other orders likewise",
        "mu": "the mean of the input x, or of the gradient g in results on the backward pass",
        "sigma": "the standard deviation of the input x, or of the gradient g in results on the backward pass",
        "sigma_g": "the standard deviation of the gradient g, where x has its own",
        "kappa_3": "the third cumulant of the input's law, 0 for a symmetric one",
        "kappa_4": "the fourth cumulant of the input's law, 0 for a normal one",
        "s": "the standard deviation of an offset, along each axis",
        "a": "the half-width of uniform offsets, which lie in [−a, a)",
        "b": "the scale of Laplace or exponential offsets",
        "c": "the offset where it is one constant",
        "r": "the size of offsets that are r or −r",
        "l": "the length of the input's covariance",
        "l_e": "the length of the offsets' covariance",
        "h": "the spacing of the grid, in the unit of the lengths",
        "nu": "the smoothness of a Matérn field",
        "alpha": "the shape of a rational quadratic covariance",
        "beta": "the exponent of a power-law spectrum",
        "w": "the inner scale of a power-law spectrum, below which it is smooth",
        "tau": "the slope of the offsets: the standard deviation of ∂ᵢεⱼ for Gaussian ones, the largest slope of waves",
        "L": "the number of layers",
        "W_l": "|ŵ|² of the layer l, ŵ its mean response: what it keeps of the power at a frequency",
        "R_l": "R̂ of the layer l: what its response keeps of the power at a frequency on average",
        "theta": "a frequency, in radians per pixel",
    }
)


@dataclass(frozen=True)
class GlossaryEntry:
    """What a symbol stands for.

    Attributes:
        name: its name in code, by which numbers are given, such as "sigma"; or the notation, such as "C(τ)".
        text: as text writes it, such as "σ".
        latex: in LaTeX.
        meaning: what it stands for, in a sentence.
        labels: of the results that say so; empty for what all of them share.
    """

    name: str
    text: str
    latex: str
    meaning: str
    labels: tuple[str, ...] = ()


@cache
def glossary() -> tuple[GlossaryEntry, ...]:
    """Return what symbols stand for: what results share first, then what single ones say, by name."""
    own: dict[tuple[str, str], list[str]] = {}
    for label in labels():
        for name, meaning in get(label).notation.items():
            own.setdefault((name, meaning), []).append(label)
    shared = (_entry(name, meaning, ()) for name, meaning in COMMON.items())
    return (*shared, *(_entry(name, meaning, tuple(said)) for (name, meaning), said in sorted(own.items())))


def meaning_of(name: str, label: str) -> GlossaryEntry | None:
    """Return what a symbol stands for in a result, None for what the glossary does not tell.

    Args:
        name: its name, such as "sigma"; "f_2" is explained as "f_1" is, that of the first axis.
        label: label of the result.
    """
    own = {entry.name: entry for entry in glossary() if label in entry.labels}
    return explanation(name, own, {entry.name: entry for entry in glossary() if not entry.labels})


def _entry(name: str, meaning: str, said: tuple[str, ...]) -> GlossaryEntry:
    return GlossaryEntry(name, text_notation(name), latex_notation(name), meaning, said)
