"""Curves and pictures of the paper: their records say what the theory says, and what the operator does."""

import numpy as np
import pytest
import torch

import warptheory
from warptheory.core import records
from warptheory.paper.analyses import operator_accuracy, warped_image
from warptheory.paper.entries import RunSettings

COLUMNS = ["result", "quantity", "kernel", "dim", "given", "parameter", "value"]
COLUMNS += ["theory", "estimate", "stderr", "n", "seed"]
CURVES = ("iid_statistics", "backward_asymmetry", "random_fields", "discretization_error")
# Derived for ever finer grids: at the finite ones that are simulated it may be a few percent off.
LIMIT = "growth of the backward gain per doubling of the resolution"


@pytest.fixture(scope="module")
def curves(reproduced):
    """The records of the shared run: every fourth value of all curves."""
    return {name: records.read_table(reproduced / "records" / f"{name}.parquet") for name in CURVES}


@pytest.mark.parametrize("name", CURVES)
def test_curves_have_one_schema(name, curves):
    table = curves[name]
    assert list(table.columns) == COLUMNS
    assert (table["seed"] == 1).all()
    assert ((table["n"] > 0) == table["estimate"].notna()).all()
    assert (table["theory"].notna() | (table["n"] > 0)).all()
    assert not table.duplicated([*COLUMNS[:7]]).any()


@pytest.mark.parametrize("name", CURVES)
def test_points_lie_on_their_curves(name, curves):
    table = curves[name]
    points = table[(table["n"] > 0) & table["theory"].notna()]
    assert len(points) >= 30
    # Below 100 points at 4.9 standard errors: a false alarm once in 10,000 seeds.
    slack = 0.03 * points["theory"].where(points["quantity"] == LIMIT, 0.0)
    # B6 is a statement on the continuum: the grid's kernel changes its gains by a few parts in ten thousand.
    slack += 1e-3 * points["theory"].where(points["result"] == "B6", 0.0)
    # Rows are periodic: of a field, whose variance is one, correlations of 1e-7 may reach around them, in both values
    # of a difference. Where nothing scatters given the offsets, that is all that is left.
    slack += 2e-7
    assert ((points["estimate"] - points["theory"]).abs() <= 4.9 * points["stderr"] + slack).all()


def test_curves_fall_and_rise_as_they_should(curves):
    iid, backward = curves["iid_statistics"], curves["backward_asymmetry"]
    falling = iid[(iid["result"] == "A4") & (iid["kernel"] == "linear")]
    rising = backward[backward["quantity"].isin(["fold probability", "preimages", "largest column sum"])]
    for _, rows in falling.groupby("dim"):
        assert rows.sort_values("value")["theory"].is_monotonic_decreasing
    for _, rows in rising.groupby(["quantity", "dim"]):
        assert rows.sort_values("value")["theory"].is_monotonic_increasing


def test_the_second_moments_coincide_and_the_tails_do_not(curves):
    backward = curves["backward_asymmetry"].set_index(["dim", "value"])
    moments = {label: backward[backward["result"] == label]["theory"] for label in ("A4", "B1")}
    common = moments["A4"].index.intersection(moments["B1"].index)
    assert len(common) >= 6
    assert moments["A4"][common].to_numpy() == pytest.approx(moments["B1"][common].to_numpy(), rel=1e-9)
    tails = {label: backward[backward["result"] == label] for label in ("A5", "B2")}
    heavy = tails["B2"][tails["B2"]["quantity"] == "excess kurtosis"]["theory"]
    assert (heavy > tails["A5"]["theory"][heavy.index]).all()


def test_the_gain_grows_with_the_resolution(curves):
    backward = curves["backward_asymmetry"]
    simulated = backward[backward["parameter"] == "N"]
    for _, rows in simulated[simulated["result"] == "B7"].groupby("given"):
        assert rows.sort_values("value")["estimate"].is_monotonic_increasing


def test_both_sides_of_the_error_kernel_agree(curves):
    """D4 by its spectral form, and by covariances between points integrated over the fraction."""
    table = curves["discretization_error"]
    lags = table[table["quantity"] == "mean error, on the lag side"].set_index(["kernel", "value"])["theory"]
    rows = table[(table["result"] == "D4") & table["quantity"].str.startswith("mean error")]
    rows = rows[rows["quantity"] != "mean error, on the lag side"].set_index(["kernel", "value"])["theory"]
    common = lags.index.intersection(rows.index)
    assert len(common) >= 9
    # The sum of covariances of size one cancels down to the error, which is 1e-9 for keys at the finest spacing.
    assert rows[common].to_numpy() == pytest.approx(lags[common].to_numpy(), rel=1e-6, abs=1e-15)


def test_orders_are_those_expected(reproduced):
    orders = records.read_table(reproduced / "records" / "discretization_orders.parquet")
    exact, simulated = (orders[orders["source"] == name] for name in ("closed form", "simulation"))
    # At the finest spacings the closed forms are within half a percent of a power of h.
    assert exact["fitted"].to_numpy() == pytest.approx(exact["expected"].to_numpy(), abs=0.01)
    assert sorted(exact["expected"]) == [1, 1, 2, 2, 3, 3, 4]
    assert ((simulated["fitted"] - simulated["closed_form"]).abs() <= 4.9 * simulated["stderr"]).all()
    assert (simulated["stderr"] < 0.05).all()
    rough = simulated[simulated["result"] == "D3"].set_index("field")
    assert rough["expected"].to_dict() == {
        "exponential": 1,
        "Matérn 1/2": 1,
        "Matérn 1": 2,
        "Matérn 3/2": 3,
        "Matérn 5/2": 4,
    }
    # Between these spacings the closed forms fall short of the limit by less than 0.05.
    assert ((rough["fitted"] - rough["expected"]).abs() <= 4.9 * rough["stderr"] + 0.05).all()


def test_what_grids_and_worst_cases_bound(curves):
    """No grid holds more than the ceiling, linear interpolation keeps less, and no draw goes beyond the worst case."""
    fields = curves["random_fields"]
    ceiling = fields.loc[fields["quantity"] == "largest gradient variance on the grid", "theory"].item()
    layers = fields[fields["quantity"] == "gradient variance on the grid after L layers"]
    assert ceiling == 2
    assert (layers["estimate"].dropna() < ceiling).all()
    simulated = layers[layers["n"] > 0].pivot(index="value", columns="kernel", values="estimate")
    assert (simulated["linear"] < simulated["bspline3(prefilter=True)"]).all()
    moved = fields[fields["quantity"] == "displacement error"].groupby(["dim", "value"])["theory"].first()
    bound = fields[fields["quantity"] == "worst case of the displacement error"]
    bound = bound.groupby(["dim", "value"])["estimate"].first()
    common = moved.index.intersection(bound.index)
    assert len(common) >= 10
    assert (bound[common] > 4 * moved[common]).all()


def test_the_warped_image_is_the_operator_on_the_photograph(tmp_path):
    """And its offsets have the spread and slope that were asked for, within the scatter of one field."""
    arrays = records.read_arrays(warped_image.run(RunSettings(tmp_path)))
    photograph, offsets = (torch.from_numpy(arrays[name]).double()[None] for name in ("photograph", "offsets"))
    warped = warptheory.warp(photograph, offsets, boundary="reflect")[0]
    # Stored in float32: offsets of up to 40 pixels are rounded by 2e-6 pixels, times a contrast of one a pixel.
    np.testing.assert_allclose(arrays["warped"], warped.numpy(), atol=1e-4)
    settings = records.read_json(tmp_path / "warped_image.json")["settings"]
    # About (300/32)·(451/32)/(2π) ≈ 21 independent patches a component: 42 values, a relative scatter of 11 %.
    assert settings["measured_spread_px"] == pytest.approx(warped_image.SPREAD, rel=0.5)
    assert settings["measured_slope"] == pytest.approx(warped_image.SPREAD / warped_image.CORRELATION, rel=0.5)


def test_the_filter_gives_the_stated_covariance():
    """Mean square of 200 small fields: 1 within 4.4 standard errors, and exp(−1/2) at one correlation length."""
    generator = np.random.default_rng(0)
    fields = np.stack([warped_image.smooth_offsets((48, 48), 1.0, 6.0, generator) for _ in range(200)])
    for lag, expected in ((0, 1.0), (6, np.exp(-0.5))):
        products = (fields * np.roll(fields, lag, axis=-1)).mean((1, 2, 3))
        # The filter is cut at four widths, which costs it less than 1e-3 of its variance.
        assert abs(products.mean() - expected) <= 4.4 * products.std() / np.sqrt(200) + 2e-3


def test_the_accuracy_of_the_operator_does_not_depend_on_the_width(tmp_path):
    """Ours: rounding of a few operations at any width. Torch's grows with it, and is ten times ours at 1024."""
    accuracy = records.read_table(operator_accuracy.run(RunSettings(tmp_path)))
    quantities = ["forward", "image_gradient", "offset_gradient"]
    ours, theirs = (accuracy[accuracy["operator"] == name].set_index("width") for name in ("warp", "grid_sample"))
    # At most 40 roundings of unit 2⁻²⁴ on the path of a value, whose terms are at most 4 times the largest.
    assert (ours[quantities] <= 4 * 40 * 2.0**-24).all().all()
    assert (theirs.loc[1024, quantities] >= 10 * ours.loc[1024, quantities]).all()
