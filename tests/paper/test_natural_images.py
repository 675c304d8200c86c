"""Photographs against the theory of homogeneous fields: predictions, measurements, agreement, and the plots of them."""

import math

import numpy as np
import pandas as pd
import pytest

from warptheory.core import records
from warptheory.core.streams import Stream
from warptheory.fields import ImageSpectrum, photographs
from warptheory.paper.analyses import _photograph_errors as discretization
from warptheory.paper.analyses import _photograph_plots as plots
from warptheory.paper.analyses import _photographs as sources
from warptheory.paper.analyses import natural_images as analysis
from warptheory.paper.entries import RunSettings

SPECTRUM = ImageSpectrum.of_photograph("camera")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Every fourth photograph, step and spread, read back from the records."""
    path = analysis.run(RunSettings(tmp_path_factory.mktemp("records"), seed=3, thin=4))
    assert records.read_json(path.with_suffix(".json"))["seed"] == 3
    parts = ("", "_agreement", "_displacement", "_edges")
    return {part: records.read_table(path.with_name(f"natural_images{part}.parquet")) for part in parts}


def test_every_combination_has_its_row(tables):
    errors, images = tables[""], photographs.names()[::4]
    regions = 3 + 1  # of the photograph, and the whole Gaussian field
    assert len(errors) == len(images) * regions * sum(map(len, analysis.KERNELS.values()))
    assert not errors.duplicated(["image", "field", "kernel", "quantity", "step", "region"]).any()
    assert (errors[["predicted", "measured", "variance", "predicted_stderr", "measured_stderr"]] > 0).all().all()
    assert errors["edge_share"].between(0, 1).all()
    assert (errors["seed"] == 3).all()
    assert set(tables["_edges"]["image"]) == set(tables["_displacement"]["image"]) == set(images)


def test_predictions_agree_with_photographs(tables):
    agreement = tables["_agreement"].set_index(["quantity", "spectrum", "kernel"])
    for quantity in ("value", "gradient"):
        assert agreement.loc[(quantity, "own", "all"), "correlation"] >= 0.95
        assert agreement.loc[(quantity, "own", "all"), "ratio"] == pytest.approx(1, abs=0.1)
        # On Gaussian fields of the same spectra the theory is exact, up to the scatter of one field.
        assert agreement.loc[(quantity, "Gaussian", "all"), "correlation"] >= 0.999
        assert agreement.loc[(quantity, "Gaussian", "all"), "ratio"] == pytest.approx(1, abs=0.02)
    assert agreement.loc[("displacement", "own", analysis.SPLINE), "correlation"] >= 0.95


def test_where_photographs_are_not_homogeneous(tables):
    """Their errors gather at edges more than those of any Gaussian field; the worst case holds, far above the rest."""
    whole = tables[""][tables[""]["region"] == "whole"].groupby("field")["edge_share"]
    assert whole.get_group("photograph").median() > 2 * whole.get_group("Gaussian").median()
    edges, moved = tables["_edges"], tables["_displacement"]
    assert (edges["edge_energy"] > edges["gaussian_edge_energy"]).all()
    assert (moved["bound"] > 4 * moved["measured"]).all()


@pytest.fixture(scope="module")
def fields():
    """Gaussian fields of the known spectrum, (C, H, W), and their true derivatives inside the margin."""
    drawn = [sources.gaussian_field(SPECTRUM, Stream(5, "fields", chunk).generator()) for chunk in range(12)]
    windows = np.stack(drawn)
    gradients = sources.true_gradient(sources.on("cpu", windows[None]))[0].numpy()
    return windows, sources.inside(gradients)


@pytest.mark.parametrize("quantity", ["value", "gradient"])
@pytest.mark.parametrize("kernel", ["nearest", "linear", "bspline3(prefilter=True)"])
def test_a_homogeneous_field_errs_as_predicted(fields, kernel, quantity):
    """Within 4.9 standard errors between fields, and a part in a thousand for the finite sums over frequencies.

    The mean over all phases, or iω for the true derivative, are other quantities and are refused.
    """
    squares = np.square(discretization.errors(*fields, kernel, quantity, 2)).mean((1, 2, 3))
    error = squares.std(ddof=1) / math.sqrt(len(squares))
    band = sources.Band.of(SPECTRUM, mean=0.0)
    predicted, _ = band.predict(sources.weights(kernel, quantity, 2, False))
    assert abs(squares.mean() - predicted) < 4.9 * error + 1e-3 * predicted
    if quantity == "gradient" or kernel == "nearest":
        other, _ = band.predict(sources.weights(kernel, quantity, 2, True))
        assert abs(squares.mean() - other) > 10 * error


def test_the_prediction_is_the_exact_sum_of_covariances():
    """The linear kernel on every second pixel: C(0) − 2Σwₘ C(p − m) + Σ wₘwₘ′ C(m − m′), mean over four phases."""
    total = 0.0
    for first, second in ((0, 0), (0, 1), (1, 0), (1, 1)):
        position = np.array([first, second], dtype=float)
        pixels = np.array([(2.0 * i, 2.0 * j) for i in range(1 + first) for j in range(1 + second)])
        weight = np.full(len(pixels), 1 / len(pixels))
        between = SPECTRUM.at(pixels[:, None] - pixels)
        total += float(SPECTRUM.variance) - 2 * weight @ SPECTRUM.at(position - pixels) + weight @ between @ weight
    band = sources.Band.of(SPECTRUM, mean=0.0)
    predicted, _ = band.predict(sources.weights("linear", "value", 2, False))
    assert predicted == pytest.approx(total / 4, rel=1e-3)


@pytest.mark.parametrize("quantity", ["value", "gradient"])
def test_the_mean_counts_where_a_kernel_does_not_keep_it(quantity):
    """The six taps of lanczos3 do not sum to one: a constant image alone has the error of frequency zero."""
    ones = np.ones((1, *sources.WINDOW))
    gradients = np.zeros((1, 2, sources.HEIGHT, sources.WIDTH))
    measured = np.square(discretization.errors(ones, gradients, "lanczos3", quantity, 4)).mean()
    weight = sources.weights("lanczos3", quantity, 4, False)
    assert measured == pytest.approx(weight[0] * sources.FREQUENCIES**2, rel=1e-9)
    assert measured > 1e-6


def test_agreement_is_that_of_logarithms():
    """Measured = 3 · predicted², for two photographs that differ in contrast alone, by a factor of ten."""
    predicted = np.array([1e-4, 2e-4, 1e-3, 2e-3])
    rows = pd.DataFrame({"image": ["a", "a", "b", "b"], "predicted": predicted, "measured": 3 * predicted**2})
    found = analysis.agreement_of(rows.assign(variance=[1.0, 1.0, 10.0, 10.0], predicted_all_phases=rows["measured"]))
    assert found["correlation"] == pytest.approx(1)
    assert found["slope"] == pytest.approx(2)
    assert found["slope_stderr"] == pytest.approx(0, abs=1e-12)
    assert found["ratio"] == pytest.approx(3 * np.median(predicted))
    assert found["ratio_all_phases"] == 1
    # Relative to the variance, the logarithms to base 2 are (0, 1, 0, 1) and (0, 2, a, a + 2), a = log₂ 10.
    assert found["correlation_relative"] == pytest.approx(2 / math.hypot(2, math.log2(10)))


def test_a_single_photograph_has_no_agreement(tables):
    """Nothing to correlate is no number, and no warning; the plots can be drawn all the same."""
    errors, moved = (tables[part][tables[part]["image"] == "astronaut"] for part in ("", "_displacement"))
    found = analysis.agreement(errors, moved[:1])
    alone = found[found["n"] == 1]
    assert alone["correlation"].isna().all()
    assert found["slope_stderr"].isna().all()
    assert len(plots.plot_photographs(errors, found).axes) == 4
    assert len(plots.plot_limits(errors, moved[:1]).axes) == 3


def test_plots_show_every_point(tables):
    """A figure each; every photograph's point lies inside its panel, and labels say what is drawn."""
    errors = tables[""]
    figure = plots.plot_photographs(errors, tables["_agreement"])
    shown = errors[errors["field"] == "photograph"]
    assert len(figure.axes) == 4
    assert sum(points(axes) for axes in figure.axes) == len(shown)
    assert all("squared error" in axes.get_xlabel() for axes in figure.axes)
    figure = plots.plot_limits(errors, tables["_displacement"])
    images = tables["_edges"]["image"]
    assert {label.get_text().replace(" ", "_") for label in figure.axes[0].get_yticklabels()} == set(images)
    assert [points(axes) for axes in figure.axes] == [
        4 * len(images),
        4 * len(images),
        2 * len(tables["_displacement"]),
    ]


def points(axes):
    """Return the number of markers in a panel, all of which must be visible."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    drawn = [line for line in axes.get_lines() if line.get_marker() not in ("None", "", "|", "_")]
    for line in drawn:
        x, y = (np.asarray(data, dtype=float) for data in line.get_data())
        assert ((left <= x) & (x <= right) & (low <= y) & (y <= high)).all()
    return sum(len(line.get_xdata()) for line in drawn)
