"""What kernels call is compiled with them: it gives what Python gives, and is no machine code of its own."""

import numba
import pytest

from warptheory.warping.engines.machine.compilation import callee


@callee
def half(x):
    return x / 2


@callee
def steps_to_one(n):
    """Count, by a callee of its own."""
    steps = 0
    while n > 1:
        n = half(n) if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


@numba.njit
def both(n):
    return steps_to_one(n) + half(n)


@pytest.mark.parametrize(("given", "expected"), [(6, 8 + 3.0), (7.0, 16 + 3.5), (27, 111 + 13.5)])
def test_callees_give_what_python_gives(given, expected):
    assert both(given) == expected


def test_callees_have_no_machine_code_of_their_own():
    assert both(6) == 11
    for function, has_code in ((half, False), (steps_to_one, False), (both, True)):
        for compiled in function.overloads.values():
            engine = compiled.library._codegen._engine
            assert engine.is_symbol_defined(compiled.fndesc.mangled_name) == has_code
