"""Covariances of random fields: definition, spectral density, how smooth the field is, and a drawn field."""

import inspect
from typing import Any

import numpy as np
import sympy as sp
from matplotlib.figure import Figure

from docs.entries import _myst as myst
from docs.gallery_scripts import showing
from docs.pages import EntryPages, Page, blocks
from warptheory.core.catalogue import load_entry
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.fields import FieldSampler, covariance
from warptheory.fields.covariance import CovarianceFunction
from warptheory.report import house_style
from warptheory.report.style import BLUE, GREY
from warptheory.symbolic import latex

_LENGTH = 8  # pixels
_CLIPPED = 1e-3  # of the variance, which no picture shows
_SYMBOLS = {"length": sp.Symbol("ell", positive=True), "variance": sp.Symbol("sigma", positive=True) ** 2}
_LAG, _FREQUENCY = sp.Symbol("tau", positive=True), sp.Symbol("omega", positive=True)


def page(name: str) -> Page:
    """Return the page of a covariance."""
    model, module = covariance.get(name), load_entry("warptheory.fields.covariance", name, "covariance")
    text = blocks(
        f"(covariance-{name})=\n# {model.__name__}",
        myst.plain(inspect.cleandoc(module.__doc__ or "").replace("\n", " ")),
        "## Definition",
        _definition(model),
        myst.formula(rf"C(\tau) = {latex(_written(model).expression(_LAG))}") if _takes_length(model) else "",
        _spectrum(model),
        myst.picture(f"{name}.svg", f"The covariance {model.__name__}, its spectral density and a field", _CAPTION),
        "## Parameters",
        "\n".join(f"- `{each.name}`{_default(each)}" for each in inspect.signature(model).parameters.values()),
        _smoothness(model),
        """Lengths are in pixels, frequencies in radians per pixel; [other libraries](../../guides/conventions.md) count
otherwise.""",
        _gallery(name, model),
    )
    return Page(text, {f"{name}.svg": myst.svg(_drawn(model))})


_CAPTION = f"""Left: C against the lag. Middle: the spectral density in one dimension. Right: a field of that covariance
in the plane, drawn by circulant embedding. Lengths are {_LENGTH} pixels."""


def overview() -> Page:
    """Return the table of all covariances."""
    rows = []
    for name in covariance.names():
        model: Any = covariance.get(name)
        drawn = model(**_lengths(model), dim=1)
        rows.append([f"[{model.__name__}]({name}.md)", *(_moment(drawn, order) for order in (2, 4))])
    return Page(
        blocks(
            """A homogeneous random field is known by its covariance $C(\\tau) = E\\, x(t) x(t + \\tau)$, and
$C(\\tau) = (2\\pi)^{-d} \\int S(\\omega) e^{i\\omega\\tau} d\\omega$. Models are added, multiplied and stretched
along axes (`anisotropy`). `ImageSpectrum` measures the covariance of photographs.""",
            myst.table(["covariance", "variance of the slope, one axis", "variance of the second derivative"], rows),
            f"""Variances at a length of {_LENGTH} pixels and the models' default parameters; ∞ where the field has no
such derivative.""",
        )
    )


def _definition(model: type[CovarianceFunction]) -> str:
    """Return the class docstring, without the sections that say what it takes and raises."""
    parts = inspect.cleandoc(model.__doc__ or "").split("\n\n")
    return "\n\n".join(myst.plain(part) for part in parts if not part.startswith(("Attributes:", "Raises:")))


def _takes_length(model: Any) -> bool:
    return "length" in inspect.signature(model).parameters


def _written(model: Any) -> CovarianceFunction:
    taken = inspect.signature(model).parameters
    found: CovarianceFunction = model(**{name: value for name, value in _SYMBOLS.items() if name in taken}, dim=1)
    return found


def _lengths(model: Any) -> dict[str, float]:
    return {"length": _LENGTH} if _takes_length(model) else {}


def _spectrum(model: Any) -> str:
    if not _takes_length(model):
        return ""
    try:
        density = _written(model).spectral_density(_FREQUENCY)
    except ArgumentError:
        return "Its spectral density has no closed form for these parameters and is computed by quadrature."
    return blocks("On one axis its spectral density is", myst.formula(rf"S(\omega) = {latex(density)}"))


def _default(parameter: inspect.Parameter) -> str:
    return "" if parameter.default is inspect.Parameter.empty else f", by default {parameter.default}"


def _smoothness(model: Any) -> str:
    drawn = model(**_lengths(model), dim=1)
    return (
        f"At a length of {_LENGTH} pixels and default parameters, on one axis, the slope has the variance "
        f"{_moment(drawn, 2)} and the second derivative {_moment(drawn, 4)}."
    )


def _moment(drawn: CovarianceFunction, order: int) -> str:
    found = drawn.spectral_moment(order)
    return "∞" if found == sp.oo else f"{float(found):.4g}"


def _gallery(name: str, model: type[CovarianceFunction]) -> str:
    found = showing(model.__name__)
    return blocks("## In the gallery", myst.minigallery(found)) if found else ""


def _drawn(model: Any) -> Figure:
    line, plane = (model(**_lengths(model), dim=dim) for dim in (1, 2))
    with house_style():
        figure = Figure(figsize=(7.2, 2.3), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        lags = myst.numbers(0, 4 * _LENGTH, 161)
        left.axhline(0, color=GREY, linewidth=0.6)
        left.plot(lags, line(lags), color=BLUE)
        left.set(xlabel="lag τ (pixels)", title="C(τ)")
        frequencies = np.geomspace(0.01, np.pi, 60)
        density = [float(line.spectral_density(sp.Float(value))) for value in frequencies]
        middle.loglog(frequencies, density, color=BLUE)
        middle.set(xlabel="frequency ω (radians per pixel)", title="S(ω)")
        sampler = FieldSampler(plane, (128, 128), tolerance=_CLIPPED)
        field = sampler.sample(1, Stream(0, model.__name__).generator())[0, 0]
        right.imshow(field.numpy(), cmap="cividis")
        right.set(title="a field, 128 × 128", xticks=[], yticks=[])
    return figure


PAGES = EntryPages(title="Covariances", order=30, names=covariance.names, page=page, overview=overview)
