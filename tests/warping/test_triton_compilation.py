"""What the compiler makes of the Triton kernels for a Hopper GPU; needs no GPU.

Speed cannot be measured here, but what it rests on can be read off the machine code: values that stay
in registers, 128-bit accesses and vectors of atomic additions in channels-last, no detour through
shared memory.
"""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="not run: triton is not installed (extra warptheory[triton])"
)

# A process of its own, since Triton either compiles or interprets, as decided when it is imported.
COMPILE = """
import json, re, subprocess, sys, tempfile
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction
from warptheory.warping.engines.triton import _operator as operator

class Hopper:
    def get_current_target(self): return GPUTarget("cuda", 90, 32)
    def get_current_device(self): return 0
    def get_current_stream(self, device): return 0

driver.set_active(Hopper())
operator._multiprocessors = lambda device: 132
run, found, everything = JITFunction.run, {}, []

def compile_only(self, *args, grid, warmup, **options):
    kernel = run(self, *args, grid=grid, warmup=True, **options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        tool = triton.knobs.nvidia.cuobjdump.path
        asked = ["-res-usage", *(["-sass"] if self.fn.__name__ in read else [])]  # half a second of disassembly
        done = subprocess.run([tool, *asked, file.name], capture_output=True, text=True, check=True)
    registers, stack = re.search(r"REG:(\\d+) STACK:(\\d+)", done.stdout + done.stderr).groups()
    found[self.fn.__name__] = {
        "registers": int(registers), "stack": int(stack), "shared": kernel.metadata.shared,
        "operations": re.findall(r"\\s((?:LDG|STG|RED|LDS|STS|LDL|STL)[A-Za-z0-9._]*)", done.stdout),
    }
    return kernel

JITFunction.run = compile_only
for shape, dtype, last, deterministic, *boundary in json.loads(sys.argv[1]):
    order = (0, *range(2, len(shape)), 1) if last else tuple(range(len(shape)))
    x = torch.empty_permuted(shape, order, dtype=getattr(torch, dtype), device="meta")
    offsets = torch.empty(shape[0], 1, len(shape) - 2, *shape[2:], device="meta")
    found, (boundary,) = {}, boundary or ["zeros"]
    read = ("gradients",) if deterministic else ("gather", "gradients") if last else ()  # what is said of operations
    operator.gather(x, offsets, boundary)
    operator.gradients(x, x, offsets, boundary, "right", True, True, deterministic)
    everything.append(found)
print(json.dumps(everything))
"""

# Shape, dtype, channels-last, deterministic, and the boundary where it is not zeros.
VECTORS = [
    ((64, 64, 56, 56), "float32", True, False),
    ((16, 256, 28, 28), "float32", True, False),
    ((16, 256, 28, 28), "bfloat16", True, False),
]
ROWS = [
    ((64, 64, 56, 56), "float32", False, False),
    # Sizes that are multiples of 16, for which the compiler would rather vectorise the stores.
    ((8, 64, 256, 256), "float32", False, False),
    ((4, 3, 1024, 1024), "float32", False, False),
]
EXACT = [((64, 64, 56, 56), "float32", True, True), ((64, 64, 56, 56), "float32", False, True)]
# The compiler takes a size of one for a constant.
OTHER_RULES = [((8, 8, 9), "float32", False, False, rule) for rule in ("border", "reflect", "mirror", "periodic")]
OTHER_RULES += [((1, 2, 1, 1), "float32", False, False, "mirror")]


def compiled_cases():
    """Return what each kernel became, by case and by name."""
    cases = VECTORS + ROWS + EXACT + OTHER_RULES
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, json.dumps(cases)],
        capture_output=True,
        text=True,
        env={**os.environ, "TRITON_INTERPRET": "0"},
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(cases, json.loads(done.stdout), strict=True))


def test_what_the_kernels_become():
    """One test, so that no two workers of a parallel run compile the same."""
    compiled = compiled_cases()
    checks = (
        (channels_last_uses_vectors, VECTORS),
        (contiguous_stays_in_registers, ROWS),
        (other_boundary_rules_compile, OTHER_RULES),
        (deterministic_kernels_compile, EXACT),
    )
    for check, cases in checks:
        for case in cases:
            check(case, compiled[case])


def channels_last_uses_vectors(case, kernels):
    gather, gradients = kernels["gather"], kernels["gradients"]
    assert gather["stack"] == gradients["stack"] == gather["shared"] == 0
    assert gather["registers"] <= 128
    assert gradients["registers"] <= 96
    assert "LDG.E.128" in gather["operations"]
    # Four values per thread, as the atomic additions have.
    assert ("LDG.E.64" if case[1] == "bfloat16" else "LDG.E.128") in gradients["operations"]
    assert {name for name in gather["operations"] if name.startswith("STG")} == {"STG.E.128"}
    adding = {name for name in gradients["operations"] if name.startswith("RED")}
    assert len(adding) == 1
    assert "F32x4" in adding.pop()


def contiguous_stays_in_registers(case, kernels):
    for kernel in kernels.values():
        assert kernel["stack"] == kernel["shared"] == 0
        assert kernel["registers"] <= 128


def other_boundary_rules_compile(case, kernels):
    assert set(kernels) == {"gather", "gradients"}
    assert all(kernel["stack"] == 0 for kernel in kernels.values())


def deterministic_kernels_compile(case, kernels):
    assert set(kernels) == {"gather", "largest_finite", "gradients", "from_fixed_point"}
    assert all(kernel["stack"] == 0 for kernel in kernels.values())
    assert any("ADD.64" in name for name in kernels["gradients"]["operations"])
