"""Interpolation kernels: definition, formula, what it reproduces, and what it does to values, gradients and waves."""

import inspect
from collections.abc import Mapping

import numpy as np
import sympy as sp
from matplotlib.figure import Figure
from numpy import ndarray

from docs.entries import _myst as myst
from docs.gallery_scripts import showing
from docs.pages import EntryPages, Page, blocks
from warptheory import kernels
from warptheory.core.catalogue import load_entry
from warptheory.kernels import FRACTION, FREQUENCY, POSITION, Kernel
from warptheory.report import house_style
from warptheory.report.style import BLUE, GREY, VERMILION
from warptheory.symbolic import latex

_REACH = 4.0  # pixels that are drawn of a kernel without an end
_LOWEST = 0.05  # radians per pixel; nearer to 0 closed forms of spectra cancel
_NUMBER = "{:.6g}"


def page(name: str) -> Page:
    """Return the page of a kernel."""
    kernel, module = kernels.get(name), load_entry("warptheory.kernels", name, "kernel")
    build = getattr(module, name)
    text = blocks(
        f"(kernel-{name})=\n# {name}",
        myst.plain(_first(module.__doc__)),
        _rest(module.__doc__),
        "## Definition",
        myst.plain(_first(build.__doc__)),
        myst.formula(f"k(u) = {latex(kernel.value())}"),
        _spectrum(kernel),
        myst.picture(f"{name}.svg", f"The kernel {name}, its spectrum and its functionals", _CAPTION),
        "## Numbers",
        _numbers(kernel),
        "## In code",
        f"```python\nwt.warp(image, offsets, kernel={kernel.name!r})\nwt.kernels.get({kernel.name!r})\n```",
        _parameters(build, getattr(module, "EXAMPLES", ())),
        _aliases(getattr(module, "ALIASES", {})),
        f"Source: {myst.plain(kernel.source)}.",
        _gallery(name, kernel),
    )
    return Page(text, {f"{name}.svg": myst.svg(_drawn(kernel))})


_CAPTION = """Left: the kernel; behind a prefilter, what interpolation amounts to. Middle: its spectrum; an ideal
kernel is 1 up to ω = π, the Nyquist frequency (dashed), and 0 beyond. Right: ρ(f), the share of the variance of white
input that is kept at a fraction f of a pixel, and δ(f), the variance of the derivative with respect to the offset."""


def overview() -> Page:
    """Return the table of all kernels."""
    rows = []
    for name in kernels.names():
        kernel = kernels.get(name)
        known = kernel.functionals().as_floats()
        numbers = [_NUMBER.format(known[key]) for key in ("rho_bar", "delta_bar", "kappa4")]
        support = f"{len(kernel.taps)}" if kernel.is_compact else "all"
        rows.append([f"[{name}]({name}.md)", support, str(kernel.reproduces), *numbers])
    head = ["kernel", "pixels read on an axis", "reproduces polynomials of degree", "ρ̄", "δ̄", "κ₄"]
    return Page(
        blocks(
            """A kernel k says how the value between pixels is made of theirs:
$y[n] = \\sum_m k(n + \\varepsilon[n] - m)\\, x[m]$, on each axis. ρ̄ is the share of the variance of white input that
survives, averaged over the fraction of a pixel; δ̄ the variance of the derivative; κ₄ = ∫k⁴.
[Which kernel](../../guides/which_kernel.md) says which one to take.""",
            myst.table(head, rows),
        )
    )


def _first(text: str | None) -> str:
    return inspect.cleandoc(text or "").split("\n\n")[0].replace("\n", " ")


def _rest(text: str | None) -> str:
    """Return what follows the first paragraph of a docstring."""
    return myst.plain(inspect.cleandoc(text or "").partition("\n\n")[2])


def _spectrum(kernel: Kernel) -> str:
    spectrum = kernel.spectrum
    if spectrum.has(sp.Integral):
        return "Its spectrum $\\hat k(\\omega)$ has no closed form and is evaluated by quadrature."
    return myst.formula(rf"\hat k(\omega) = \int k(u)\, e^{{-i\omega u}}\, du = {latex(spectrum)}")


def _numbers(kernel: Kernel) -> str:
    functionals = kernel.functionals()
    named = {
        "ρ̄ = ∫k²": functionals.rho_bar,
        "δ̄ = ∫k′²": functionals.delta_bar,
        "κ₄ = ∫k⁴": functionals.kappa4,
    }
    floats = dict(zip(named, functionals.as_floats().values(), strict=True))
    rows = [
        [name, f"${latex(value)}$" if functionals.are_exact else "by quadrature", _NUMBER.format(floats[name])]
        for name, value in named.items()
    ]
    rows.append(["reproduces polynomials up to degree", str(kernel.reproduces), ""])
    rows.append(
        ["pixels read on an axis", str(len(kernel.taps)) if kernel.is_compact else "all, on a periodic axis", ""]
    )
    rows.append(["prefilter", ", ".join(map(str, kernel.prefilter)) if kernel.prefilter else "none", ""])
    return myst.table(["", "exact", "number"], rows)


def _parameters(build: object, examples: tuple[str, ...]) -> str:
    taken = list(inspect.signature(build).parameters.values())  # type: ignore[arg-type]  # a builder is a function
    if not taken:
        return ""
    arguments = inspect.cleandoc(build.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
    lines = [myst.plain(line.strip()) for line in arguments.splitlines() if line.strip()]
    others = ", ".join(f"`{example}`" for example in examples)
    return blocks(
        "## Parameters", "\n".join(f"- {line}" for line in lines), f"Others of its family: {others}." if others else ""
    )


def _aliases(names: Mapping[str, str]) -> str:
    """Return the names that other libraries have for it."""
    said = "; ".join(f"`{alias}` is `{name}`" for alias, name in names.items())
    return f"Names of other libraries: {said}." if said else ""


def _gallery(name: str, kernel: Kernel) -> str:
    found = showing(name, kernel.name)
    return blocks("## In the gallery", myst.minigallery(found)) if found else ""


def _drawn(kernel: Kernel) -> Figure:
    with house_style():
        figure = Figure(figsize=(7.2, 2.3), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        reach = min(_REACH, float(kernel.reach or _REACH))
        positions = myst.numbers(-reach, reach, 401)
        left.axhline(0, color=GREY, linewidth=0.6)
        left.plot(positions, _values(kernel.value(), POSITION, positions), color=BLUE)
        left.set(xlabel="position u (pixels)", title="k(u)")
        frequencies = myst.numbers(_LOWEST, 3 * np.pi)
        middle.axvline(np.pi, color=GREY, linewidth=0.8, linestyle="--")
        middle.axhline(0, color=GREY, linewidth=0.6)
        middle.plot(frequencies, _spectrum_values(kernel, frequencies), color=BLUE)
        middle.set(xlabel="frequency ω (radians per pixel)", title="spectrum")
        middle.set_xticks([0, np.pi, 2 * np.pi, 3 * np.pi], ["0", "π", "2π", "3π"])
        fractions, functionals = myst.numbers(0, 0.999), kernel.functionals()
        for form, label, colour in ((functionals.rho, "ρ", BLUE), (functionals.delta, "δ", VERMILION)):
            right.plot(fractions, _values(form, FRACTION, fractions), color=colour, label=label)
        right.set(xlabel="fraction f (pixels)", title="ρ(f) and δ(f)", ylim=(0, None))
        right.legend()
    return figure


def _values(form: sp.Expr, symbol: sp.Symbol, at: ndarray) -> ndarray:
    """Return the values of an expression, shape (n,)."""
    if form.has(sp.Integral):
        return np.asarray([complex(form.subs(symbol, sp.Float(value)).evalf()).real for value in at])
    with np.errstate(all="ignore"):
        found = sp.lambdify(symbol, form, ["scipy", "numpy"])(at)
    return np.asarray(np.broadcast_to(found, at.shape).real, dtype=float)


def _spectrum_values(kernel: Kernel, frequencies: ndarray) -> ndarray:
    """Return the spectrum at frequencies (n,): by its closed form, or by the trapezoidal rule."""
    if not kernel.spectrum.has(sp.Integral):
        return _values(kernel.spectrum, FREQUENCY, frequencies)
    reach = float(kernel.reach or _REACH)
    positions = myst.numbers(-reach, reach, 2001)
    values = _values(kernel.value(), POSITION, positions)
    return np.asarray(np.trapezoid(values * np.cos(frequencies[:, None] * positions), positions, axis=1))


PAGES = EntryPages(title="Kernels", order=20, names=kernels.names, page=page, overview=overview)
