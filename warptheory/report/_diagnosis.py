"""The page of a diagnosis: the verdict, what it rests on, and what to set, with plots."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

from warptheory.core import html, records
from warptheory.core.errors import ArgumentError
from warptheory.report._diagnosis_plots import (
    judged,
    plot_conditions,
    plot_displacements,
    plot_energy,
    plot_gains,
    plot_profile,
)
from warptheory.report._page import PageSection, fragment, shown_figure, write_page
from warptheory.stability.diagnosis import Condition, Diagnosis, LayerDiagnosis, StepProfile

_VERDICT = """<p><strong class="{{ look }}">{{ diagnosis.verdict }}{% if diagnosis.reason %}: {{ diagnosis.reason }}
{% endif %}</strong></p>
<p>{{ diagnosis.headline }}</p>
{% if diagnosis.advice %}<h3>What to set</h3>
<ol>{% for each in diagnosis.advice %}<li>{{ each }}</li>{% endfor %}</ol>{% endif %}"""
_EVIDENCE = """<details><summary>What was measured</summary><ul>{% for each in conditions %}
<li><strong>{{ each.name }}</strong> ({{ each.label }}): {{ each.evidence }}</li>{% endfor %}
</ul></details>"""
_LIST = "<h3>{{ title }}</h3><ul>{% for each in said %}<li>{{ each }}</li>{% endfor %}</ul>"
# Looks of the page's style, which do not differ in colour alone: the word itself stands there.
_LOOKS = {"ok": "verified", "worse": "undecided", "fail": "refuted"}


def write_diagnosis(diagnosis: Diagnosis, path: str | Path, *, manifest: records.Manifest | None = None) -> None:
    """Write a diagnosis as an HTML page that holds everything it shows, with plots.

    Args:
        diagnosis: the diagnosis.
        path: the file.
        manifest: how it came about; None for a call of this function.

    Raises:
        ArgumentError: something that is no page of ours stands in its place, or the file cannot be written.
    """
    said = manifest or records.Manifest("warptheory.report.write_diagnosis", 0, "cpu")
    title = f"Diagnosis of {diagnosis.model or 'a model'}"
    try:
        write_page(Path(path), title, list(_sections(diagnosis)), said)
    except OSError as error:
        raise ArgumentError("path", expected="a file that can be written", received=f"{path} ({error})") from error


def _sections(diagnosis: Diagnosis) -> Iterator[PageSection]:
    verdict = fragment(_VERDICT, diagnosis=diagnosis, look=_LOOKS[diagnosis.verdict])
    yield PageSection("verdict", "Verdict", verdict)
    conditions, *others = diagnosis.tables()
    drawn = judged(diagnosis.conditions)
    parts = [_conditions_figure(drawn)] if drawn else []
    yield PageSection(
        "conditions", "Conditions", html.joined([*parts, conditions.as_html(), _evidence(diagnosis.conditions)])
    )
    if diagnosis.layers:
        tables = (part for table in others for part in (html.element("h3", table.title), table.as_html()))
        figures = _layer_figures(diagnosis.layers)
        yield PageSection("operations", "Sampling operations", html.joined([*figures, *tables]))
    if diagnosis.profile is not None and diagnosis.profile.multiples:
        yield PageSection("step", "The loss along a step", _profile_figure(diagnosis.profile))
    listed = [fragment(_LIST, title=title, said=said) for title, said in diagnosis.lists()]
    if listed:
        yield PageSection("parts", "Parts of the model", html.joined(listed))


def _evidence(conditions: Sequence[Condition]) -> Markup:
    said = [each for each in conditions if each.evidence]
    return fragment(_EVIDENCE, conditions=said) if said else Markup("")


def _conditions_figure(drawn: Sequence[Condition]) -> Markup:
    alt = "; ".join(f"{each.name} {each.measured} {each.unit}".rstrip() + f", {each.bounds}" for each in drawn)
    caption = (
        "What was measured, with its standard error, against its bounds: beyond the first training suffers, in the "
        "hatched part it fails. A mark at the end of an axis stands for a value beyond it, such as zero."
    )
    return shown_figure(plot_conditions(drawn), f"Conditions against their bounds: {alt}.", caption)


def _layer_figures(layers: Sequence[LayerDiagnosis]) -> Iterator[Markup]:
    """Yield the plots of what is known of some layer."""
    if _is_known(layers, "displacement", "coasting"):
        largest = max((each.coasting for each in layers if not math.isnan(each.coasting)), default=math.nan)
        yield shown_figure(
            plot_displacements(layers),
            f"Displacement of the samples of {len(layers)} operations; with momentum at most {largest:.3g} pixels.",
            "How far one step of the parameters that only move samples moves them, root mean square, and how far the "
            "steps do that momentum remembers. Numbers are those of the table below.",
        )
    if _is_known(layers, "forward_gain", "backward_gain"):
        yield shown_figure(
            plot_gains(layers),
            f"Forward and backward gains of {len(layers)} operations, measured beside predicted.",
            "Gain of energy on the way forward (left) and of the gradient's on the way back (right), measured, and as "
            "theory predicts it from the offsets (A4, C3; B1, B3, B6).",
        )
    if _is_known(layers, "energy_share"):
        yield shown_figure(
            plot_energy(layers),
            f"Share of positions that hold half of the gradient's energy, of {len(layers)} operations.",
            "Share of positions that hold half of the gradient's energy (K3): the smaller, the fewer samples decide "
            "what is learnt.",
        )


def _is_known(layers: Sequence[LayerDiagnosis], *names: str) -> bool:
    return any(math.isfinite(getattr(each, name)) for each in layers for name in names)


def _profile_figure(profile: StepProfile) -> Markup:
    return shown_figure(
        plot_profile(profile),
        f"Loss {profile.losses[0]:.4g} at the start, {profile.losses[-1]:.4g} after {profile.multiples[-1]:.3g} steps; "
        f"promised decrease for a step {profile.promise:.3g}, by the central derivative {profile.central_promise:.3g}.",
        "Loss of one batch along multiples of the optimizer's step of the parameters that only move samples, all "
        "others at rest, beside what derivatives promise. At a zero-initialised head autograd's derivative is "
        "one-sided (A10), and may promise many times more than the step keeps.",
    )
