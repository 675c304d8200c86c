"""Sweeps: one table, whoever works it out; its theory is that of `evaluate`, its estimates are near it."""

import itertools
import os
import signal

import numpy as np
import pandas as pd
import pytest

from warptheory import results
from warptheory.core.errors import ArgumentError, UnknownNameError

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
        theory = results.get("A4").evaluate(kernel=row["kernel"], s=row["s"], sigma=2.0)
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
    asked = {"over": {"s": [0.2, 0.3, 0.5, 0.8]}, "rtol": 2e-3, "plain": True}
    alone = results.sweep("A4", **asked)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
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


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"over": {}}, ArgumentError, "^over: expected parameters with at least one value each"),
        ({"over": {"s": []}}, ArgumentError, "^over: expected parameters with at least one value each"),
        ({"over": {"s": [1.0]}, "given": {"s": 2.0}}, ArgumentError, "^given: expected parameters that are not swept"),
        ({"over": {"spread": [1.0]}}, UnknownNameError, "spread"),
        ({"over": {"kernel": ["lineal"]}}, UnknownNameError, "lineal"),
        ({"over": {"s": [1.0]}, "quantity": "mode"}, UnknownNameError, "mode"),
        ({"over": {"s": [1.0]}, "device": "abacus"}, ArgumentError, "^device"),
    ],
    ids=["nothing", "no values", "twice", "symbol", "kernel", "quantity", "device"],
)
def test_bad_sweeps_are_refused(asked, error, message):
    with pytest.raises(error, match=message):
        results.sweep("A4", **asked)
