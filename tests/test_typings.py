"""What is written of SymPy's types, which it does not have itself, holds for the SymPy that is installed."""

import ast
from pathlib import Path

import pytest
import sympy as sp

STUB = ast.parse((Path(__file__).parents[1] / "typings/sympy/__init__.pyi").read_text(encoding="utf-8"))
CLASSES = [node for node in STUB.body if isinstance(node, ast.ClassDef)]
NAMES = [node.name for node in STUB.body if isinstance(node, ast.FunctionDef) and node.name != "__getattr__"]
CONSTANTS = [node.target.id for node in STUB.body if isinstance(node, ast.AnnAssign)]
HALF = sp.Rational(1, 2)


@pytest.mark.parametrize("written", CLASSES, ids=lambda node: node.name)
def test_a_class_has_its_bases_and_methods(written):
    found = getattr(sp, written.name)
    assert all(issubclass(found, getattr(sp, base.id)) for base in written.bases)
    methods = {node.name for node in written.body if isinstance(node, ast.FunctionDef)} - {"__getattr__", "__call__"}
    assert all(hasattr(found, method) for method in methods)


def test_functions_and_constants_are_there():
    assert all(callable(getattr(sp, name)) for name in NAMES)
    assert all(isinstance(getattr(sp, name), sp.Expr) for name in CONSTANTS)


def test_rationals_stay_rational():
    results = [HALF + 1, HALF - HALF, HALF * 2, HALF / 3, HALF % 1, -HALF, abs(HALF)]
    assert all(isinstance(result, sp.Rational) for result in results)
