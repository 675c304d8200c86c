"""Threads are taken where they save more than they have lately cost; on a busy machine small calls go without."""

import ctypes
import time
from types import SimpleNamespace

import pytest
import torch

import warptheory as wt
from warptheory.operators import SelfWarp2d
from warptheory.warping.engines.machine import threads
from warptheory.warping.engines.thin import convolution

SLICE = 0.015  # seconds that a late thread waits for its turn


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still, two threads, and nothing learned."""
    now = [100.0]
    monkeypatch.setattr(threads, "_lateness", threads.Lateness())
    monkeypatch.setattr(threads, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(threads, "available", lambda: 2)
    return now


def call(alone, late=0.0):
    """Make a call that takes so long on one thread; return how many it took."""
    count = threads.worth(alone)
    if count > 1:
        saved = alone * (1 - 1 / count)
        threads._lateness.learn(alone / count + late, alone, saved)
    return count


def test_idle_processors_are_used(clock):
    assert [call(alone) for alone in (1e-6, 1e-5, 1e-4, 1e-3, 1.0)] == [1, 1, 2, 2, 2]


def test_late_threads_are_not_taken_for_less_than_they_cost(clock):
    assert call(2e-4, late=SLICE) == 2
    assert [call(alone) for alone in (2e-4, 1e-3, 0.02)] == [1, 1, 1]
    assert call(0.05) == 2  # saves more than a slice
    assert call(2e-4) == 1  # which says nothing about small ones


def test_threads_are_tried_again_and_ever_more_seldom(clock):
    """A machine that stays busy costs small calls ever less."""
    tries, start = [], clock[0]
    while clock[0] < start + 20:
        took = call(2e-3, late=SLICE)
        tries += [clock[0] - start] * (took == 2)
        clock[0] += SLICE if took == 2 else 2e-3
    assert len([moment for moment in tries if moment < 5]) > 5
    assert len([moment for moment in tries if moment > 10]) < 5


def test_a_machine_that_becomes_idle_is_noticed(clock):
    for _ in range(10):
        call(2e-4, late=SLICE)
        clock[0] += 10
    assert call(2e-4) == 2
    assert [call(2e-4) for _ in range(5)] == [2] * 5


def test_luck_is_not_taken_for_idle_processors(clock):
    """Where threads come nine times in ten, and cost hundredfold the tenth time, they are not worth it."""
    spent, calls = 0.0, 20_000
    for number in range(calls):
        late = SLICE if number % 10 == 9 else 0.0
        took = call(2e-4, late=late)
        spent += 1e-4 + late if took == 2 else 2e-4
        clock[0] += 1e-3
    assert spent < 1.1 * calls * 2e-4


def test_a_poor_estimate_does_no_harm(clock):
    """Calls that take a third, or four times, of what was thought still take their threads."""
    for truth in (1 / 3, 1.0, 4.0):
        for _ in range(5):
            assert threads.worth(1e-3) == 2
            threads._lateness.learn(truth * 1e-3 / 2, 1e-3, 0.5e-3)


X = torch.randn(8, 16, 32, 32)
E = torch.randn(8, 2, 32, 32)
CALLS = {
    "forward": lambda: wt.warp(X, E),
    "derivative": lambda: wt.warp_gradient(X, E),
    "scatter": lambda: wt.splat(X, E),
    "both gradients": lambda: wt.warp(X.requires_grad_(), E.requires_grad_()).sum().backward(),
    "stripes of one image": lambda: wt.splat(X[:1].repeat(1, 1, 4, 4), E[:1].repeat(1, 1, 4, 4)),
    "another kernel": lambda: wt.warp(X, E, "keys"),
    "another kernel's scatter": lambda: wt.splat(X, E, kernel="keys"),
    "a thin convolution": lambda: convolution.convolve(X, X[:2, :, :3, :3], X[0, 0, 0, :2]),
    "its gradients": lambda: convolution.gradients(X[:, :2], X, X[:2, :, :3, :3], (True, True, True)),
    "a self-warp": lambda: SelfWarp2d(16)(X.requires_grad_()).sum().backward(),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_compiled_call_learns(name, monkeypatch):
    """Threads that come late once are not waited for again by the same call, whichever loop it is of."""
    late = []

    def parallel(address, words, threads, flags):
        late.append(threads)
        time.sleep(0.2)
        for _ in range(threads):
            ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)(words)

    monkeypatch.setattr(threads, "pool", lambda: threads.Pool(parallel, 0))
    monkeypatch.setattr(threads, "available", lambda: 2)
    monkeypatch.setattr(threads, "_FIRST_PAUSE", 1e6)
    monkeypatch.setattr(threads, "_LONGEST_PAUSE", 1e6)
    monkeypatch.setattr(threads, "_lateness", threads.Lateness())
    CALLS[name]()
    assert len(late) == 1
    CALLS[name]()
    assert len(late) == 1
