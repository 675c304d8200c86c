"""What the CPU backend promises besides its values: any number of threads, no surprise, no copy."""

import os
import subprocess
import sys
import threading

import numba
import pytest
import torch

import warptheory as wt
from tests.waiting import PATIENCE
from tests.warping.cases import make_case
from warptheory.warping.engines.cpu import functions, linear
from warptheory.warping.engines.machine import compilation, threads

LARGE = {"size": (160, 90), "grid": (160, 90)}


def gradients(case):
    x, offsets = case.x.detach().requires_grad_(), case.offsets.detach().requires_grad_()
    y = wt.warp(x, offsets, boundary="periodic", knot="central", backend="cpu")
    y.backward(case.g)
    return y.detach(), x.grad, offsets.grad


@pytest.mark.usefixtures("every_call_takes_threads")
@pytest.mark.parametrize("kind", ["smooth", "white", "wild", "zero"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("batch", "channels"), [(1, 3), (1, 24), (2, 24), (7, 16)])
def test_bit_for_bit_the_same_for_any_number_of_threads(batch, channels, channels_last, kind):
    """Also where stripes of an image share pixels of its gradient, and where images are fewer than threads."""
    case = make_case(2, kind, batch=batch, channels=channels, channels_last=channels_last, **LARGE)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            results.append(gradients(case))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert torch.equal(first, second)


@pytest.mark.usefixtures("every_call_takes_threads")
def test_without_gnu_openmp_python_threads_carry_the_kernels(monkeypatch):
    case = make_case(2, "white", batch=2, channels=16, **LARGE)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = gradients(case)
        monkeypatch.setattr(threads, "pool", lambda: None)
        found = gradients(case)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(first, second) for first, second in zip(expected, found, strict=True))


def test_calls_from_several_threads_at_once():
    case = make_case(2, "white", batch=2, channels=16, **LARGE)
    expected = gradients(case)
    found = {}

    def work(number):
        found[number] = gradients(case)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for result in found.values():
        assert all(torch.equal(first, second) for first, second in zip(expected, result, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not run: needs fork")
def test_a_forked_child_can_call_it():
    """GNU OpenMP kills a forked child that enters it again; data-loading workers are forked."""
    code = """
import os, torch, warptheory as wt
torch.set_num_threads(2)
x, offsets = torch.randn(4, 16, 64, 64), torch.randn(4, 2, 64, 64)
expected = wt.warp(x, offsets, backend="cpu")
child = os.fork()
if child == 0:
    found = wt.warp(x, offsets, backend="cpu")
    torch.set_num_threads(1)  # for torch's own comparison, which would wait for lost threads
    os._exit(0 if torch.equal(found, expected) else 3)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    finished = subprocess.run(
        [sys.executable, "-c", code], timeout=PATIENCE, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_compilation_is_announced_once_and_cached(tmp_path, monkeypatch, capsys):
    """A first-time user is told why the first call takes seconds; the next process, here this one, starts at once.

    What becomes of a damaged cache is seen in `tests/core/test_machine_code.py`.
    """
    code = """
import sys, torch, warptheory as wt
from warptheory.warping.engines.machine.compilation import c_function
x = torch.arange(4.0)[None, None]
print(wt.warp(x, torch.full_like(x, 0.5), backend="cpu").tolist())
c_function(lambda data: None)  # a second one
print("triton" in sys.modules)  # which nobody has asked for
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert first.stdout == "[[[0.5, 1.5, 2.5, 1.5]]]\nFalse\n"
    assert first.stderr.count("warptheory: compiling CPU kernels") == 1
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compilation, "_announced", threading.Event())
    functions.gather_function.cache_clear()
    x = torch.arange(4.0)[None, None]
    assert wt.warp(x, torch.full_like(x, 0.5), backend="cpu").tolist() == [[[0.5, 1.5, 2.5, 1.5]]]
    assert compilation.kept[-1].cache_hits == 1
    assert capsys.readouterr().err == ""
    assert len(list(tmp_path.rglob("*.nbc"))) == 1


def test_machine_code_is_never_older_than_any_source_of_the_room(monkeypatch):
    """Numba looks at one file; the stamp that it stores has to change with each of them."""
    functions.gather_function(1, "float32")
    stamps = {function._cache._cache_file.stamp for function in compilation.kept}
    assert compilation.sources_digest(functions.__file__) in stamps
    compilation.sources_digest.cache_clear()
    changed = compilation.Path(compilation.__file__).parent.parent / "cpu" / "plan.py"
    read = compilation.Path.read_bytes
    monkeypatch.setattr(compilation.Path, "read_bytes", lambda path: read(path) + (b"#" if path == changed else b""))
    assert compilation.sources_digest(functions.__file__) not in stamps
    monkeypatch.undo()
    compilation.sources_digest.cache_clear()


def test_an_expanded_gradient_is_not_copied(monkeypatch):
    """`y.sum().backward()` hands over one number with strides of zero."""
    copies = []
    monkeypatch.setattr(torch.Tensor, "contiguous", lambda *arguments, **_: copies.append(1))
    case = make_case(2, "white", channels=20)
    for channels_last in (False, True):
        case = make_case(2, "white", channels=20, channels_last=channels_last)
        one = torch.ones(()).expand(case.g.shape)
        found = linear.gradients(one, case.x, case.offsets, "zeros", "right", True, True)
        monkeypatch.undo()
        expected = linear.gradients(torch.ones_like(case.g), case.x, case.offsets, "zeros", "right", True, True)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))
    assert not copies


def test_peak_memory_is_the_gradients_and_a_tenth():
    """Resident memory of a process, over forward and backward, beyond x, offsets and y."""
    code = """
import resource, torch, warptheory as wt
torch.manual_seed(0)
torch.set_num_threads(2)
def step(shape, layout):
    x, g = (torch.ones(shape).contiguous(memory_format=layout) for _ in range(2))
    offsets = (3 * torch.randn(shape[0], 2, *shape[2:])).requires_grad_()
    x.requires_grad_()
    y = wt.warp(x, offsets, backend="cpu")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = torch.autograd.grad(y, (x, offsets), g)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * (after - before), sum(part.numel() * 4 for part in found)
for shape in ((1, 3, 1024, 1024), (16, 64, 128, 128)):  # the larger one last: the peak never falls
    for layout in (torch.contiguous_format, torch.channels_last):
        step((2, 16, 8, 8), layout)
        extra, gradients = step(shape, layout)
        print(extra, gradients)
"""
    finished = subprocess.run(
        [sys.executable, "-c", code], timeout=PATIENCE, capture_output=True, text=True, check=True
    )
    for line in finished.stdout.splitlines():
        extra, needed = map(int, line.split())
        assert extra <= 1.1 * needed, line
