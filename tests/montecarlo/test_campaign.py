"""Campaigns: the same verdicts whoever works, in whatever order, after whatever interruption."""

import multiprocessing
import os
import random
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest

from tests.montecarlo.jobs import MeanJob
from tests.waiting import PATIENCE
from warptheory import montecarlo
from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream
from warptheory.montecarlo import Campaign, Verdict, Workers, chunk_store, workers
from warptheory.montecarlo._workers import InTurn

JOBS = [*(MeanJob(f"one {i}") for i in range(5)), MeanJob("two", 2.0), MeanJob("barely", 1.2)]


class Shuffled(Executor):
    """Does nothing until it has been given enough, or for a moment nothing; then all of it, in random order."""

    def __init__(self, seed):
        self.random, self.waiting, self.lock = random.Random(seed), [], threading.Lock()

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        with self.lock:
            self.waiting.append((future, function, args, kwargs))
        threading.Timer(0.02, self.work).start()
        return future

    def work(self):
        with self.lock:
            given, self.waiting = self.waiting, []
        self.random.shuffle(given)
        for future, function, args, kwargs in given:
            if future.set_running_or_notify_cancel():
                future.set_result(function(*args, **kwargs))

    def shutdown(self, wait=True, *, cancel_futures=False):
        pass


def verdicts(hands, jobs=JOBS, store=None):
    with chunk_store(store, {}) as chunks:
        outcomes = list(Campaign(jobs, hands, chunks).run())
    assert sorted(outcome.number for outcome in outcomes) == list(range(len(jobs)))
    ordered = sorted(outcomes, key=lambda outcome: outcome.number)
    return [Verdict.of(outcome.trial, outcome.reason) for outcome in ordered]


@pytest.fixture(scope="module")
def alone():
    with workers("serial") as hands:
        return verdicts(hands)


def test_verdicts_are_those_of_verify(alone):
    for job, verdict in zip(JOBS, alone, strict=True):
        claim = job.trial(job.prepare()).claim
        again = montecarlo.verify(claim, level=2 * 3.167124183311998e-05)  # z = 4 for a family of one
        assert again.z == pytest.approx(4.0)
        assert (again.verdict, again.estimate, again.stderr, again.n) == (
            verdict.verdict,
            verdict.estimate,
            verdict.stderr,
            verdict.n,
        )
    assert [verdict.verdict for verdict in alone] == ["verified"] * 5 + ["refuted"] * 2


@pytest.mark.parametrize("count", [1, 4])
def test_the_number_of_workers_does_not_matter(alone, count):
    with workers("threads", count) as hands:
        assert verdicts(hands) == alone


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_chunks_does_not_matter(alone, seed):
    assert verdicts(Workers(4, lambda: Shuffled(seed))) == alone


def test_an_estimation_takes_chunks_in_any_order_and_more_than_once():
    job = MeanJob("one 0")
    whole, shuffled = (job.trial(1.0).estimation for _ in range(2))
    order = random.Random(1)
    while not whole.is_done:
        chunks = list(whole.wanted)
        assert list(shuffled.wanted) == chunks
        found = dict(zip(chunks, whole.batch(range(chunks[0], chunks[-1] + 1)).run(), strict=True))
        for chunk in chunks:
            whole.add(chunk, found[chunk])
        order.shuffle(chunks)
        for chunk in [*chunks, *chunks[:3]]:
            shuffled.add(chunk, found[chunk])
    assert shuffled.is_done
    assert shuffled.estimate == whole.estimate


CAUSES = {
    "nan": "the experiment returned NaN or infinity",
    "raises": "ZeroDivisionError: no such number",
    "memory": "MemoryError",
    "preparation": "ArithmeticError: this cannot be derived",
    "function": "function: the first 4 chunks of seed 0: ZeroDivisionError: no such function",
    "exits": "SystemExit: 5",
    "stops": "StopError: ('of a kind of its own', 'and more')",
    "preparation exits": "SystemExit: 5",
    "trial exits": "SystemExit: 5",
    "function exits": "SystemExit: 5",
    "hangs": "it did not end within the time limit of 0.7 s",
    "preparation hangs": "it did not end within the time limit of 0.7 s",
}


@pytest.mark.parametrize(("scheduler", "count"), [("serial", 1), ("threads", 2)])
def test_what_goes_wrong_is_told_and_the_others_go_on(alone, scheduler, count):
    jobs = [*JOBS[:3], *(MeanJob(trouble, trouble=trouble) for trouble in CAUSES), *JOBS[3:]]
    with workers(scheduler, count, 0.7) as hands:
        found = verdicts(hands, jobs)
    assert [*found[:3], *found[3 + len(CAUSES) :]] == alone
    for (trouble, cause), bad in zip(CAUSES.items(), found[3:], strict=False):
        assert bad.verdict == "undecided"
        assert cause in bad.reason
        if trouble in ("nan", "raises", "memory", "exits", "stops", "hangs"):
            assert re.match(rf"{trouble}: chunk \d+ of seed 0: ", bad.reason)


def check_killed(verdict, label):
    """The chunk that kills its worker is found by running what was on its way again, alone."""
    assert verdict.verdict == "undecided"
    assert re.fullmatch(rf"{label}: chunk \d+ of seed 0: the process that ran it died; .*", verdict.reason)
    chunk = int(re.search(r"chunk (\d+)", verdict.reason)[1])
    assert Stream(0, label, chunk).generator().standard_normal() > 1.2  # it is the chunk that does it


@pytest.mark.slow
def test_a_chunk_that_kills_its_worker_of_dask_is_named(alone):
    pytest.importorskip("distributed", reason="not run: Dask is in the extra warptheory[cluster]")
    with workers("dask", 2) as hands:
        found = verdicts(hands, [JOBS[0], MeanJob("bad", trouble="dies"), JOBS[5]])
    assert [found[0], found[2]] == [alone[0], alone[5]]
    check_killed(found[1], "bad")


def test_processes_that_die_or_hang_or_end_the_program_cost_their_own_trial_alone(alone):
    """All of it in one run of two workers; those that die are replaced, and what hangs is ended."""
    lock = threading.Lock()  # which cannot be sent to a process
    troubles = ("dies", "is killed", "hangs", "preparation dies", "preparation hangs", "exits", "stops", lock)
    jobs = [JOBS[0], *(MeanJob(str(trouble), trouble=trouble) for trouble in troubles), *JOBS[1:]]
    with workers("processes", 2, 2.0) as hands:
        found = verdicts(hands, jobs)
    assert [found[0], *found[9:]] == alone
    bad = dict(zip(troubles, found[1:9], strict=True))
    for trouble in ("dies", "is killed"):
        check_killed(bad[trouble], trouble)
    reasons = {trouble: verdict.reason for trouble, verdict in bad.items()}
    assert "the process that ran it died; " in reasons["preparation dies"]
    for trouble in ("hangs", "preparation hangs"):
        assert reasons[trouble].endswith("it did not end within the time limit of 2 s")
    assert reasons["exits"].endswith(": SystemExit: 5")
    assert reasons["stops"].endswith(": StopError: ('of a kind of its own', 'and more')")
    assert re.match(r"hangs: chunk \d+ of seed 0: ", reasons["hangs"])
    assert "cannot pickle" in reasons[lock]
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_worker_of_dask_that_hangs_ends_itself(alone):
    pytest.importorskip("distributed", reason="not run: Dask is in the extra warptheory[cluster]")
    with workers("dask", 2, 3.0) as hands:
        found = verdicts(hands, [JOBS[0], MeanJob("hangs", trouble="hangs"), MeanJob("exits", trouble="exits")])
    assert found[0] == alone[0]
    assert re.fullmatch(r"hangs: chunk \d+ of seed 0: the process that ran it died; .* or of time", found[1].reason)
    assert found[2].reason.endswith(": SystemExit: 5")


def answering(what):
    """A server that says something, or nothing, to whoever comes; return its address."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            client, _ = server.accept()
            if what is None:
                clients.append(client)
            else:
                client.sendall(what)
                client.close()

    clients = []
    threading.Thread(target=serve, daemon=True).start()
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("what", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 4096], ids=repr)
def test_what_is_no_cluster_is_refused_in_time(what, monkeypatch):
    pytest.importorskip("distributed", reason="not run: Dask is in the extra warptheory[cluster]")
    monkeypatch.setattr("warptheory.montecarlo._workers._SECONDS_TO_ANSWER", 1)
    with pytest.raises(ArgumentError, match="^scheduler: expected the address of a running cluster") as caught:
        workers(answering(what), 1).__enter__()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), float("inf"), 1e300, "long"])
@pytest.mark.usefixtures("as_users_call")
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(ArgumentError, match="^time_limit: expected a finite number > 0 and < "):
        workers("serial", 1, limit).__enter__()


def test_processes_have_the_environment_of_whoever_asks(monkeypatch):
    """Not that of the server that they are copies of, which has started before, nor what has been removed since."""
    monkeypatch.setenv("WARPTHEORY_SAID", "now")
    monkeypatch.delenv("WARPTHEORY_CACHE")  # which conftest sets before anything starts
    with workers("processes", 1) as hands, hands.open() as pool:
        assert pool.submit(os.getenv, "WARPTHEORY_SAID").result() == "now"
        assert pool.submit(os.getenv, "WARPTHEORY_CACHE").result() is None


UNGUARDED = """
from tests.montecarlo.jobs import MeanJob
from warptheory.montecarlo import Execution
Execution(workers=2).run([MeanJob("one 0")], {})
"""


def test_a_script_that_starts_processes_while_they_import_it_is_told(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(UNGUARDED)
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert 'workers: expected a script file whose calls stand below `if __name__ == "__main__":`' in last
    assert last.endswith("got processes that ended before they could begin")
    assert ended.stderr.count("while it is imported by one") <= 2  # by each process at the most


def test_finished_chunks_are_not_run_again(tmp_path, alone):
    first = verdicts(workers_that_count(counted := []), store=tmp_path)
    again = verdicts(workers_that_count(recounted := []), store=tmp_path)
    assert first == again == alone
    assert len(counted) > len(JOBS)
    assert sum(batch is not None for batch in recounted) == 0


def workers_that_count(calls):
    class Counting(InTurn):
        def submit(self, function, /, *args, **kwargs):
            calls.append(args[1])
            return super().submit(function, *args, **kwargs)

    return Workers(2, Counting)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("scheduler", "count", "message"),
    [
        ("mpi", 1, "^scheduler: expected one of serial, threads, processes, dask, or the address of a cluster"),
        ("threads", 0, "^workers: expected a positive integer, got 0"),
        ("threads", 10**6, "^workers: expected an integer in 1 … 1024, got 1000000"),
        ("tcp://127.0.0.1:9", 1, "^scheduler: expected the address of a running cluster"),
    ],
)
def test_bad_workers_are_refused(scheduler, count, message, monkeypatch):
    monkeypatch.setattr("warptheory.montecarlo._workers._SECONDS_TO_ANSWER", 1)
    with pytest.raises(ArgumentError, match=message), workers(scheduler, count):
        pass
