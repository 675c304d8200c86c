"""Sweeps: one table, whoever works it out; its theory is that of `evaluate`, its estimates are near it."""

import itertools
import os
import signal

import numpy as np
import pandas as pd
import pytest

from warptheory import montecarlo, results
from warptheory.core.errors import ArgumentError, UnknownNameError
from warptheory.core.processes import process_context

GRID = {"s": [0.1, 0.4, 1.0], "kernel": ["linear", "keys"]}


@pytest.fixture(scope="module")
def table():
    return results.sweep("A4", over=GRID, given={"sigma": 2.0}, rtol=3e-3, seed=5)


def test_a_row_for_each_point_of_the_grid_the_last_parameter_fastest(table):
    assert list(zip(table["s"], table["kernel"], strict=True)) == list(itertools.product(*GRID.values()))
    assert list(table.columns) == [
        *("result", "quantity", "kernel", "dim", "offsets", "inputs", "sigma", "s"),
        *("theory", "estimate", "stderr", "n", "seed", "reached", "reason"),
    ]
    assert set(table["seed"]) == {5}
    assert set(table["sigma"]) == {2.0}


def test_theory_is_that_of_the_result_and_estimates_lie_about_it(table):
    """Six points: beyond 5 standard errors, estimated from some dozens of rows, lies one in a hundred thousand."""
    for row in table.to_dict(orient="records"):
        theory = results.get("A4").evaluate(kernel=row["kernel"], s=row["s"], sigma=2.0, standard=True)
        assert row["theory"] == theory
        assert row["reached"]
        assert row["stderr"] <= 3e-3 * abs(row["estimate"])
        assert abs(row["estimate"] - theory) <= 6 * row["stderr"]


def test_a_plain_sweep_agrees(table):
    plain = results.sweep("A4", over=GRID, given={"sigma": 2.0}, rtol=3e-3, seed=5, plain=True)
    deviation = (plain["estimate"] - table["estimate"]) / np.hypot(plain["stderr"], table["stderr"])
    assert (deviation.abs() < 5).all()
    assert (plain["n"] > table["n"]).all()


@pytest.mark.parametrize(("scheduler", "workers"), [("threads", 3), ("processes", 2)])
def test_the_table_does_not_depend_on_who_works(table, scheduler, workers):
    again = results.sweep(
        "A4", over=GRID, given={"sigma": 2.0}, rtol=3e-3, seed=5, scheduler=scheduler, workers=workers
    )
    pd.testing.assert_frame_equal(again, table, check_exact=True)


def test_a_killed_worker_of_a_cluster_changes_nothing():
    distributed = pytest.importorskip("distributed", reason="not run: Dask is in the extra warptheory[cluster]")
    dask = pytest.importorskip("dask")
    asked = {"over": {"s": [0.2, 0.3, 0.5, 0.8]}, "rtol": 4e-3, "plain": True}
    alone = results.sweep("A4", **asked)
    process_context(["warptheory.results", "distributed"])  # of whose server the workers are copies
    chosen = {"distributed.worker.multiprocessing-method": "forkserver"}
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with dask.config.set(chosen), distributed.LocalCluster(**options) as cluster:
        alive = [worker.pid for worker in cluster.workers.values()]

        def kill_one(done):
            if len(alive) == 2 and done.estimate is not None:
                os.kill(alive.pop(), signal.SIGKILL)

        found = results.sweep("A4", **asked, scheduler=cluster.scheduler_address, on_progress=kill_one)
    assert len(alive) == 1
    pd.testing.assert_frame_equal(found, alone, check_exact=True)


def test_finished_chunks_are_found_again(tmp_path, table):
    asked = {"over": GRID, "given": {"sigma": 2.0}, "rtol": 3e-3, "seed": 5, "out": tmp_path}
    for _ in range(2):
        pd.testing.assert_frame_equal(results.sweep("A4", **asked), table, check_exact=True)
    with pytest.raises(ArgumentError, match=r"in which rtol was 0\.003 and is 0\.001"):
        results.sweep("A4", **{**asked, "rtol": 1e-3})


def test_depth_is_swept_where_a_quantity_has_it():
    found = results.sweep(
        "B8", "second moment after L layers, wide offsets", over={"L": [1, 3]}, given={"dim": 1}, rtol=2e-2
    )
    rho = 2 / 3
    assert found["theory"].tolist() == pytest.approx([(1 - rho ** (layers + 1)) / (1 - rho) for layers in (1, 3)])
    assert ((found["estimate"] - found["theory"]).abs() <= 5 * found["stderr"]).all()


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"over": {}}, ArgumentError, "^over: expected parameters with at least one value each"),
        ({"over": {"s": []}}, ArgumentError, "^over: expected parameters with at least one value each"),
        ({"over": {"s": [1.0]}, "given": {"s": 2.0}}, ArgumentError, "^given: expected parameters that are not swept"),
        ({"over": {"spread": [1.0]}}, UnknownNameError, "spread"),
        ({"over": {"kernel": ["lineal"]}}, UnknownNameError, "^kernel: .*lineal"),
        ({"over": {"s": [1.0]}, "quantity": "mode"}, UnknownNameError, "mode"),
        ({"over": {"s": [1.0]}, "device": "abacus"}, ArgumentError, "^device"),
        ({"over": {"s": 0.3}}, ArgumentError, "^over: expected a sequence of values for s, got 0.3"),
        ({"over": {"kernel": "linear"}}, ArgumentError, "^over: expected a sequence of values for kernel"),
        ({"over": {"kernel": [1.0]}}, ArgumentError, "^over: expected a name for kernel"),
        ({"over": {"s": ["wide"]}}, ArgumentError, "^over: expected a number for s"),
        ({"over": {"s": [1, 1.0]}}, ArgumentError, "^over: expected values for s that differ"),
        ({"over": {"s": [1.0]}, "given": {"sigma": [1.0, 2.0]}}, ArgumentError, "^given: expected a number for sigma"),
        ({"over": {"a": [0.1, 0.2]}}, UnknownNameError, "^over: expected one of .*got 'a'"),
        ({"over": {"L": [1]}}, UnknownNameError, "^over: expected one of dim, .*, sigma, got 'L'"),
        ({"over": {"s": [1.0]}, "given": {"L": 1}}, UnknownNameError, "^given: expected one of .*got 'L'"),
        ({"over": {"s": [-0.1]}}, ArgumentError, "^s: expected a number > 0, got -0.1"),
        ({"over": {"s": [float("nan")]}}, ArgumentError, "^s: expected a finite number"),
        ({"over": {"s": [float("inf")]}}, ArgumentError, "^s: expected a finite number"),
        ({"over": {"s": [1.0]}, "given": {"sigma": 0}}, ArgumentError, "^sigma: expected a number > 0, got 0"),
        ({"over": {"s": [1.0]}, "rtol": 0}, ArgumentError, "^rtol: expected a number > 0"),
        ({"over": {"s": [1.0]}, "rtol": -1}, ArgumentError, "^rtol: expected a finite number ≥ 0"),
        ({"over": {"s": [1.0]}, "rtol": float("nan")}, ArgumentError, "^rtol: expected a finite number ≥ 0"),
        ({"over": {"s": [1.0]}, "atol": -1}, ArgumentError, "^atol: expected a finite number ≥ 0"),
        ({"over": {"s": [1.0]}, "workers": 1.5}, ArgumentError, "^workers: expected a positive integer"),
        ({"over": {"s": [1.0]}, "seed": 1.5}, ArgumentError, "^seed: expected an integer ≥ 0"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_bad_sweeps_are_refused_before_anything_runs(asked, error, message, monkeypatch):
    monkeypatch.setattr(montecarlo.Execution, "run", lambda *given: pytest.fail("it was run"))
    with pytest.raises(error, match=message):
        results.sweep("A4", **asked)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("depth", [2.5, 0, -1])
def test_a_depth_is_a_positive_whole_number(depth):
    name = "second moment after L layers, wide offsets"
    for work in (
        lambda: results.sweep("B8", name, over={"L": [1, depth]}),
        lambda: results.get("B8").evaluate(name, L=depth, standard=True),
        lambda: results.get("B8").claim(name, L=depth),
    ):
        with pytest.raises(ArgumentError, match="^L: expected a whole number > 0"):
            work()


@pytest.mark.usefixtures("as_users_call")
def test_symbols_of_the_experiment_alone_may_be_given():
    """The mean of x is in no variance, and offsets that shift the field are in no one-point law."""
    assert results.get("A4").evaluate(mu=-3.0, standard=True) == results.get("A4").evaluate(standard=True)
    assert results.get("C1").evaluate(s=2.0, standard=True) == results.get("C1").evaluate(standard=True)
    with pytest.raises(ArgumentError, match="^s: expected a number > 0"):
        results.get("C1").evaluate(s=-2.0, standard=True)


@pytest.mark.usefixtures("as_users_call")
def test_numbers_of_numpy_are_numbers(tmp_path):
    asked = {"over": {"dim": np.array([1]), "s": np.array([0.3])}, "seed": np.int64(3)}
    found = results.sweep("A4", **asked, out=tmp_path)
    pd.testing.assert_frame_equal(found, results.sweep("A4", over={"dim": [1], "s": [0.3]}, seed=3), check_exact=True)


def test_a_chunk_of_each_point_is_run_alone():
    """Means of chunk 0 as a sweep that stopped there merged them."""
    table = results.replay_sweep("A4", 0, over={"s": [0.2, 0.4]}, seed=2)
    assert table["label"].unique().tolist() == ["sweep of A4 variance, s=0.2", "sweep of A4 variance, s=0.4"]
    swept = results.sweep("A4", over={"s": [0.2, 0.4]}, seed=2)
    means = table.groupby("label")["mean"].first()
    assert means.tolist() == pytest.approx(swept["estimate"].tolist(), rel=0.02)
    with pytest.raises(ArgumentError, match="^chunk: expected an integer in 0"):
        results.replay_sweep("A4", -1, over={"s": [0.2]})


def test_progress_names_the_point():
    told = []
    results.sweep("A4", over={"s": [0.2], "kernel": ["keys"]}, on_progress=told.append)
    assert {done.name for done in told} == {"A4 variance, s=0.2, kernel=keys"}
    assert told[-1].estimate.stderr <= told[-1].target


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("number", [2**16 + 1, 1e9, 1e12, 1e300])
@pytest.mark.parametrize(
    ("label", "name", "symbol"),
    [
        ("B5", "largest column sum", "N"),
        ("B8", "second moment after L layers, wide offsets", "L"),
        ("B8", "second moment after L layers, smooth offsets", "L"),
        ("D6", "power transfer of L layers", "L"),
        ("D8", "variance lost in L layers", "L"),
        ("D9", "growth of the gradient variance in L layers", "L"),
    ],
)
def test_counts_have_a_limit_that_is_said(label, name, symbol, number):
    """At once, wherever layers or pixels are counted."""
    for work in (
        lambda: results.sweep(label, name, over={symbol: [number]}),
        lambda: results.get(label).evaluate(name, **{symbol: number}),
        lambda: results.get(label).claim(name, **{symbol: number}),
    ):
        with pytest.raises(ArgumentError, match=f"^{symbol}: expected a whole number > 0, and at most 65536, got"):
            work()


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("label", "name", "message"),
    [
        (
            "D8",
            "variance lost in L layers",
            "^L: expected at most 67108864 weights of a step, and 17179869184 in all layers",
        ),
        ("D9", "growth of the gradient variance in L layers", "^L: expected at most 67108864 weights of a step"),
    ],
)
def test_work_has_a_limit_that_is_said(label, name, message):
    with pytest.raises(ArgumentError, match=message):
        results.get(label).evaluate(name, L=60_000, standard=True)


@pytest.mark.usefixtures("as_users_call")
def test_numbers_that_no_float_holds_are_told():
    with pytest.raises(ArgumentError, match=r"^values: expected values at which .* is below 1e308, got .*L = 60000"):
        results.get("B8").evaluate("second moment after L layers, smooth offsets", L=60_000, standard=True)
    with pytest.raises(ArgumentError, match="^L: expected layers whose first has at most "):
        results.get("B8").claim("second moment after L layers, smooth offsets", theory=1.0, L=60_000)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("name", ["self", "quantity", "theory"])
def test_names_of_arguments_are_no_parameters(name):
    with pytest.raises(ArgumentError, match=f"^over: expected symbols, kernel, dim, offsets or inputs, got {name!r}$"):
        results.sweep("A4", over={name: [1.0]})
    with pytest.raises(ArgumentError):
        results.get("A4").evaluate(**{name: 1.0})


def test_a_grid_has_a_limit_that_is_said():
    with pytest.raises(ArgumentError, match="^over: expected at most 100000 points, got 400 × 400$"):
        results.sweep("A4", over={"s": [1 + n / 400 for n in range(400)], "sigma": [1 + n / 400 for n in range(400)]})


@pytest.mark.parametrize("values", [itertools.count(1), range(1, 10**9), itertools.repeat(0.3)], ids=repr)
def test_values_that_never_end_are_not_waited_for(values, as_users_call):
    with pytest.raises(ArgumentError, match="^over: expected at most 100000 points, got more for s alone"):
        results.sweep("A4", over={"s": values})


@pytest.mark.parametrize("over", [None, ["s"], {3: [1]}], ids=repr)
def test_a_grid_is_a_mapping_by_names(over, as_users_call):
    with pytest.raises(ArgumentError, match="^over: expected values by the names of parameters, got "):
        results.sweep("A4", over=over)


@pytest.mark.usefixtures("as_users_call")
def test_a_pattern_is_text():
    with pytest.raises(UnknownNameError, match="^result: expected one of .*, got None"):
        results.match([None])
