"""The page of `warptheory explore`: its records, what it refuses, and what a browser makes of it."""

import base64
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.browser import CHROMIUM, opened
from tests.reproduction import SETTINGS
from warptheory import results, stability, warping
from warptheory.core import records
from warptheory.core.errors import ArgumentError, WarpTheoryError
from warptheory.fields import laws
from warptheory.paper.analyses import explorer_curves, explorer_photograph
from warptheory.paper.entries import RunSettings
from warptheory.paper.explorer import explored_curves, explored_scripts, write_page
from warptheory.paper.running import RunOutcome
from warptheory.report import ExplorerFormula, ExplorerPanel, write_explorer

MOST_BYTES = 3_000_000
SETTING = {
    "kernel": "linear",
    "dim": 2,
    "offsets": "rademacher",
    "spread": 0.45,
    "slope": 0.8,
    "depth": 3,
    "sigma": 1.5,
}


@pytest.fixture(scope="module")
def settings(reproduced):
    return RunSettings(reproduced / "records", **SETTINGS)


@pytest.fixture(scope="module")
def page(settings, tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "explore.html"
    write_page(path, settings)
    return path.read_text(encoding="utf-8")


@pytest.fixture
def copied(settings, tmp_path):
    """The records, to be damaged."""
    shutil.copytree(settings.out, tmp_path / "records")
    return replace(settings, out=tmp_path / "records")


# ---- records --------------------------------------------------------------------------------------------


def test_records_hold_the_closed_forms(settings):
    """Every eighth row is what the result gives in that setting, whose law has the scale that the row says."""
    table = records.read_table(settings.out / explorer_curves.RECORD)
    assert set(table["result"]) == {"A4", "B3", "A9", "B8"}
    for row in table.iloc[::8].itertuples():
        law = {"offsets": row.given.removeprefix("offsets = ")} if row.given else {}
        numbers = {"mu": 0.0, "sigma": 1.0, row.parameter: row.value}
        choices = {"kernel": row.kernel, "dim": row.dim, **law}
        known = results.get(row.result).symbols(row.quantity, **choices)
        given = {name: number for name, number in numbers.items() if name in known}
        exact = results.get(row.result).evaluate(row.quantity, standard=True, **choices, **given)
        assert row.theory == pytest.approx(exact, rel=1e-9)


def test_simulations_agree_with_them(settings):
    table = records.read_table(settings.out / explorer_curves.RECORD)
    drawn = table[table["n"] > 0]
    assert set(drawn["result"]) == {"A4", "B3", "A9", "B8"}
    assert ((drawn["estimate"] - drawn["theory"]).abs() <= 5 * drawn["stderr"] + 1e-9).all()
    assert (drawn["stderr"] <= 0.02 * drawn["theory"] + 1e-9).all()


@pytest.mark.parametrize("curve", explored_curves(), ids=lambda curve: f"{curve.result} {curve.quantity}")
def test_curves_scale_with_the_input_as_they_say(curve):
    result = results.get(curve.result)
    if "sigma" not in result.symbols(curve.quantity):
        assert curve.power == 0
        return
    once, twice = (result.evaluate(curve.quantity, standard=True, mu=0.0, sigma=sigma) for sigma in (1.0, 2.0))
    assert twice / once == pytest.approx(2**curve.power, rel=1e-9)


def test_full_profile_has_every_pair_and_the_quick_one_all_that_it_offers():
    quick, full = (set(explorer_curves.pairs(profile, 1)) for profile in ("quick", "full"))
    assert quick < full
    families, some = explorer_curves.families(), explorer_curves.varied_laws()
    members = [member for family in families for member in explorer_curves.members(family)]
    assert {"gauss(0.3)", "keys(-0.75)"} <= set(members)
    assert full == {(kernel, law) for kernel in [*families, *members] for law in some}
    assert {"linear", "gauss", "lanczos3"} <= set(families) <= {kernel.partition("(")[0] for kernel, _ in quick}
    assert "constant" not in some


def test_laws_are_compared_at_one_deviation():
    for law in explorer_curves.varied_laws():
        values = explorer_photograph.quantiles(law)
        variance = float(laws.get(law).at(scale="1").variance)
        assert explorer_curves.deviation(law) ** 2 == pytest.approx(variance)
        assert values.std() == pytest.approx(1, abs=0.02)


# ---- what is refused ------------------------------------------------------------------------------------


def test_only_a_page_of_ours_is_replaced(settings, tmp_path):
    path = tmp_path / "explore.html"
    path.write_text("<p>mine</p>")
    with pytest.raises(ArgumentError, match="something that it did not write"):
        write_page(path, settings)
    assert path.read_text() == "<p>mine</p>"


def altered(name, change):
    def damage(folder):
        path = folder / name
        if path.suffix == ".parquet":
            change(records.read_table(path)).to_parquet(path)
        else:
            from safetensors.numpy import save_file

            arrays = records.read_arrays(path)
            change(arrays)
            save_file(arrays, path)

    return damage


CURVES, PICTURES = explorer_curves.RECORD, explorer_photograph.RECORD
DAMAGES = {
    "cut": lambda folder: (folder / CURVES).write_bytes((folder / CURVES).read_bytes()[:-9]),
    "gone": lambda folder: (folder / PICTURES).unlink(),
    "no column": altered(CURVES, lambda table: table.drop(columns="theory")),
    "words": altered(CURVES, lambda table: table.assign(theory="0.5")),
    "not finite": altered(CURVES, lambda table: table.assign(theory=np.inf)),
    "no such rows": altered(CURVES, lambda table: table[table["result"] != "A9"]),
    "no kernel": altered(CURVES, lambda table: table.assign(kernel="</script><script>alert(1)</script>")),
    "no law": altered(CURVES, lambda table: table.assign(given="offsets = <b>")),
    "no weights": altered(PICTURES, lambda arrays: arrays.pop("weights.linear")),
    "wrong shape": altered(
        PICTURES, lambda arrays: arrays.update({"picture.chelsea": arrays["levels"].astype(np.uint8)[:, :9]})
    ),
    "wrong levels": altered(PICTURES, lambda arrays: arrays["levels"].fill(60000)),
    "NaN": altered(PICTURES, lambda arrays: arrays["amplitudes"].fill(np.nan)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.usefixtures("as_users_call")
def test_damaged_records_are_refused(damage, copied, tmp_path):
    damage(copied.out)
    with pytest.raises(WarpTheoryError):
        write_page(tmp_path / "explore.html", copied)
    assert not (tmp_path / "explore.html").exists()


def test_texts_end_no_element(page, tmp_path):
    """Whatever a name or a text holds, it stays text; a formula that is no MathML is refused."""
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL).group(1))
    panel = explorer_panel(data, text="</script><script>alert(1)</script>")
    choices, photograph = data["choices"], data["photograph"]
    manifest = {"command": "</footer><script>alert(2)</script>", "version": "0", "commit": "0", "versions": {}}
    write_explorer(tmp_path / "a.html", [panel], choices, photograph, manifest, [])
    assert "<script>alert" not in (tmp_path / "a.html").read_text(encoding="utf-8")
    key, form = next(iter(panel.formulas.items()))
    hostile = replace(form, mathml="<math><mi onclick='alert(1)'>x</mi></math>")
    worse = replace(panel, formulas={**panel.formulas, key: hostile})
    with pytest.raises(ArgumentError, match="MathML"):
        write_explorer(tmp_path / "b.html", [worse], choices, photograph, manifest, [])


def explorer_panel(data, **changed):
    first = data["panels"][0]
    read = [ExplorerFormula(**{**form, "symbols": tuple(map(tuple, form["symbols"]))}) for form in data["formulas"]]
    formulas = {key: read[place] for key, place in first["formulas"].items()}
    return ExplorerPanel(**{**first, "formulas": formulas, **changed})


# ---- the page -------------------------------------------------------------------------------------------


def test_the_page_is_self_contained(page):
    assert len(page.encode()) < MOST_BYTES
    without_names = page.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|url\(|@import|\bfetch\(|XMLHttpRequest|<link|<iframe|<img", without_names)
    assert "default-src 'none'" in page
    for curve in explored_curves():
        assert f"{curve.result}: {results.get(curve.result).title}" in page


# Reads what is shown, then changes controls as a reader would, and reads again.
PROBE = """() => {
  const base64 = (array) => btoa(Array.from(new Uint8Array(array.buffer), (b) => String.fromCharCode(b)).join(""));
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
  const shown = () => [...document.querySelectorAll("main .panel")].map((panel) => ({
    curve: panel.querySelector(".curve")?.getAttribute("d") ?? "",
    readout: panel.querySelector(".readout").textContent,
    formula: panel.querySelector("math")?.getBoundingClientRect().height ?? 0,
    points: panel.querySelectorAll(".point").length,
    rows: [...panel.querySelectorAll("tbody tr")].map((row) => [...row.cells].map((cell) => cell.textContent)),
  }));
  const setting = explorer.chosen();
  const offsets = {};
  for (const field of ["independent", "smooth"])
    offsets[field] = explorer.offsetsOf({ ...setting, field }, 1).map(base64);
  const moved = explorer.offsetsOf({ ...setting, field: "smooth" }, 0);
  const seen = {
    setting, offsets, shown: shown(),
    smooth: moved.map(base64), rounded: moved.map((axis) => base64(explorer.rounded(axis))),
    folded: explorer.foldShare(moved, setting.dim),
    picture: explorer.warped(explorer.pictureOf(setting.picture), moved, setting).map(base64),
    noise: explorer.warpedPicture({ ...setting, picture: "white noise", field: "independent", depth: 1, sigma: 1 })
      .map(base64),
    labels: [...document.querySelectorAll("input, select")].map((input) => input.labels.length),
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    fetched: performance.getEntriesByType("resource").map((each) => each.name)
      .filter((name) => !name.startsWith("data:")),
  };
  const rows = { ...setting, dim: "1", kernel: "bspline3", field: "smooth" };
  const along = explorer.offsetsOf(rows, 0);
  seen.alongRounded = base64(explorer.rounded(along[1]));
  seen.alongRows = explorer.warped(explorer.pictureOf(rows.picture), along, rows).map(base64);
  document.getElementById("sigma").value = 1;
  const spread = document.getElementById("spread");
  spread.value = Number(spread.value) + 1;
  const family = document.getElementById("family");
  family.value = "bspline3";
  family.dispatchEvent(new Event("change", { bubbles: true }));
  explorer.show();
  const other = [...document.getElementById("offsets").options].filter((option) => !option.disabled)
    .map((option) => option.value);
  return { ...seen, after: shown(), later: explorer.chosen(), other };
}"""


def arrays(found, kind=np.float64):
    return np.stack([np.frombuffer(base64.b64decode(text), kind) for text in found])


@pytest.fixture(scope="module", params=[390, 1280])
def seen(request, page, tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    address = "#" + "&".join(f"{name}={value}" for name, value in {**SETTING, "picture": "coffee"}.items())
    folder = tmp_path_factory.mktemp("browser")
    return opened(page, folder, PROBE, address=address, size=(request.param, 900))


def test_it_opens_without_a_complaint_and_fits(seen):
    assert seen["complaints"] == []
    assert seen["fetched"] == []
    assert seen["wide"] <= 0
    assert set(seen["labels"]) == {1}


def test_the_address_chooses_what_is_shown(seen):
    for name, value in SETTING.items():
        if name in ("spread", "slope"):  # the nearest of the record
            assert seen["setting"][name] == pytest.approx(value, abs=0.12)
        else:
            assert str(seen["setting"][name]) == str(value)
    assert seen["setting"]["picture"] == "coffee"


def test_its_tables_hold_the_records(seen, settings):
    """Every curve in the setting of the address: closed form and estimate, times σ to its power, and z."""
    told_apart = 0
    for curve, panel in zip(explored_curves(), seen["shown"], strict=True):
        if not panel["curve"]:
            continue
        table = records.read_table(settings.out / curve.record)
        chosen = table[(table["result"] == curve.result) & (table["quantity"] == curve.quantity)]
        for name in curve.choices:
            column, wanted = ("given", "offsets = rademacher") if name == "offsets" else (name, SETTING[name])
            chosen = chosen[chosen[column] == wanted]
        unit = explorer_curves.deviation("rademacher") if curve.control == "spread" else 1.0
        scale, rows = SETTING["sigma"] ** curve.power, panel["rows"]
        assert len(rows) == len(chosen) > 0
        for (x, theory, estimate, stderr, n, z), row in zip(
            rows, chosen.sort_values("value").itertuples(), strict=True
        ):
            assert float(x) == pytest.approx(row.value * unit, rel=1e-3)
            assert float(theory) == pytest.approx(scale * row.theory, rel=1e-5)
            assert bool(n) == (row.n > 0)
            if n:
                assert float(estimate) == pytest.approx(scale * row.estimate, rel=1e-5)
                assert float(stderr) == pytest.approx(scale * row.stderr, rel=0.06, abs=1e-15)
                assert int(n) == row.n
                is_exact = row.stderr <= 1e-12 * row.theory
                expected = 0.0 if is_exact else (row.estimate - row.theory) / row.stderr
                assert float(z.replace("−", "-")) == pytest.approx(expected, abs=0.006)
                told_apart += abs(row.estimate / row.theory - 1) > 1e-4
    assert told_apart > 3  # estimates that are not the closed form's numbers


def test_every_curve_has_its_points_and_its_formula(seen):
    drawn = [panel for panel in seen["shown"] if panel["curve"]]
    assert len(drawn) >= 4
    assert all(panel["points"] for panel in drawn)
    assert all(panel["formula"] > 8 for panel in drawn)
    assert all("not computed for this choice" in panel["readout"] for panel in seen["shown"] if not panel["curve"])


def test_curves_follow_the_controls(seen):
    """Another kernel, a wider spread: curve and readout are others, and laws without a curve cannot be chosen."""
    before, after = seen["shown"][0], seen["after"][0]
    assert seen["later"]["kernel"] == "bspline3"
    assert seen["later"]["spread"] > seen["setting"]["spread"]
    assert before["curve"] != after["curve"] != ""
    assert before["readout"] != after["readout"]
    assert seen["later"]["offsets"] in seen["other"]


def test_offsets_are_those_of_the_record(seen, settings):
    """The second layer's, by the formulas that the script of the record states."""
    record = records.read_arrays(settings.out / explorer_photograph.RECORD)
    rows, columns = explorer_photograph.SIZE
    spread, slope = seen["setting"]["spread"], seen["setting"]["slope"]
    levels = np.roll(record["levels"].reshape(2, -1), -7919, axis=1)
    expected = spread * record["quantiles.rademacher"][levels].astype(float)
    assert np.allclose(arrays(seen["offsets"]["independent"]), expected, rtol=0, atol=1e-12)
    places = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1).reshape(-1, 2)
    phase = places @ record["wavevectors"].T * (slope / spread)
    cosines, sines = record["amplitudes"][1].transpose(1, 0, 2)
    expected = spread * (cosines @ np.cos(phase).T + sines @ np.sin(phase).T)
    assert np.allclose(arrays(seen["offsets"]["smooth"]), expected, rtol=0, atol=1e-9)


def test_the_browser_warps_as_the_library_does(seen, settings):
    record = records.read_arrays(settings.out / explorer_photograph.RECORD)
    size, steps = explorer_photograph.SIZE, explorer_photograph.FRACTIONS
    offsets = torch.from_numpy(arrays(seen["rounded"], np.int32) / steps).reshape(1, 2, *size)
    smooth = torch.from_numpy(arrays(seen["smooth"]).copy()).reshape(1, 2, *size)
    assert (offsets - smooth).abs().max() <= 0.5 / steps + 1e-12
    image = torch.from_numpy(record["picture.coffee"][None] / 255.0)
    expected = warping.warp(image, offsets, SETTING["kernel"], explorer_photograph.BOUNDARY)
    found = torch.from_numpy(arrays(seen["picture"]).copy()).reshape(expected.shape)
    assert (found - expected).abs().max() < 1e-6  # weights are float32
    assert (found - image).abs().max() > 0.1
    assert seen["folded"] == pytest.approx(float(stability.fold_fraction(smooth)), abs=1e-4)


def test_on_one_axis_rows_are_signals(seen, settings):
    """With d = 1 every row is warped on its own, by a kernel that smooths along it and not across."""
    record = records.read_arrays(settings.out / explorer_photograph.RECORD)
    rows, columns = explorer_photograph.SIZE
    image = torch.from_numpy(record["picture.coffee"] / 255.0).transpose(0, 1)
    offsets = arrays([seen["alongRounded"]], np.int32) / explorer_photograph.FRACTIONS
    signals = torch.from_numpy(offsets).reshape(rows, 1, columns)
    expected = warping.warp(image, signals, "bspline3", explorer_photograph.BOUNDARY).transpose(0, 1)
    found = torch.from_numpy(arrays(seen["alongRows"]).copy()).reshape(expected.shape)
    assert (found - expected).abs().max() < 1e-6


def test_white_noise_keeps_the_share_that_the_closed_form_says(seen, settings):
    """A4 in the browser, on the noise itself: its variance after one layer, to five standard errors."""
    noise = records.read_arrays(settings.out / explorer_photograph.RECORD)["picture.white noise"] / 255.0
    found = arrays(seen["noise"])
    gain = results.get("A4").evaluate(
        kernel="linear", dim=2, offsets="rademacher", sigma=1.0, r=seen["setting"]["spread"]
    )
    assert found.var() / noise.var() == pytest.approx(gain, rel=5 * 2 / np.sqrt(noise.size))


# ---- every kernel ---------------------------------------------------------------------------------------


def test_tables_are_the_weights_of_the_operator():
    """Of every kernel that is offered: a bright pixel is read at tabulated fractions with these weights."""
    steps = explorer_photograph.FRACTIONS
    offsets = (torch.arange(steps, dtype=torch.float64) / steps)[:, None, None]
    for family in explorer_curves.families():
        for name in [family, *explorer_curves.members(family)]:
            taps, weights = explorer_photograph.table(name)
            assert weights.shape == (len(taps), steps)
            image = torch.zeros(steps, 1, 41, dtype=torch.float64)
            for tap, expected in zip(taps, weights, strict=True):
                bright = image.clone()
                bright[..., 20 + tap] = 1
                found = warping.warp(bright, offsets.expand(-1, 1, 41), name, "zeros")[:, 0, 20]
                assert np.allclose(found.numpy(), expected, rtol=0, atol=1e-12)


# ---- the command ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("name", ["explore.html", "gains.html"])
def test_the_command_writes_the_page(warptheory, copied, monkeypatch, name):
    """Into a folder, or as the file that is named; what computes the records is the run of the paper."""
    asked = []
    monkeypatch.setattr(
        "warptheory.paper.running.run",
        lambda settings, only, on_progress: asked.append((settings, only)) or RunOutcome({}, ()),
    )
    folder = copied.out.parent
    out = folder if name == "explore.html" else folder / name
    code, printed, _ = warptheory("explore", "--out", out, "--seed", 3)
    assert (code, printed.strip()) == (0, str(folder / name))
    assert (folder / name).is_file()
    (settings, only), *_ = asked
    assert (settings.out, settings.seed, settings.profile) == (folder / "records", 3, "quick")
    assert only == explored_scripts()
    assert {"explorer_curves", "explorer_photograph", "backward_asymmetry"} <= set(only)


@pytest.mark.usefixtures("as_users_call")
def test_the_command_says_what_failed(warptheory, tmp_path, monkeypatch):
    failed = RunOutcome({"explorer_curves": "no room"}, ())
    monkeypatch.setattr("warptheory.paper.running.run", lambda *arguments: failed)
    code, _, err = warptheory("explore", "--out", tmp_path)
    assert code == 1
    assert "explorer_curves: no room" in err
    (tmp_path / "mine.html").write_text("mine")
    code, _, err = warptheory("explore", "--out", tmp_path / "mine.html")
    assert code == 2
    assert "mine.html" in err


@pytest.mark.usefixtures("as_users_call")
def test_the_command_fails_where_something_does_not_hold(warptheory, tmp_path, monkeypatch):
    """The page is written all the same, as that of `reproduce` is."""
    refuted = RunOutcome({}, ("explorer_curves",))
    monkeypatch.setattr("warptheory.paper.running.run", lambda *arguments: refuted)
    monkeypatch.setattr("warptheory.paper.explorer.write_page", lambda path, settings: path.touch())
    code, printed, _ = warptheory("explore", "--out", tmp_path)
    assert (code, printed.splitlines()) == (1, ["does not hold: explorer_curves", str(tmp_path / "explore.html")])


def test_the_table_of_points_is_what_others_write(settings):
    """Curves of other analyses are offered by naming them alone: the page holds what their records hold."""
    offered = [curve for curve in explored_curves() if curve.record != explorer_curves.RECORD]
    assert offered
    for curve in offered:
        table = pd.read_parquet(settings.out / curve.record)
        assert ((table["result"] == curve.result) & (table["quantity"] == curve.quantity)).any()
