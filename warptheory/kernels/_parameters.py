"""Parameters of kernels, and the call that names a kernel with them.

A kernel is named by the call that makes it, `gauss(0.7)` or `bspline3(prefilter=True)`. The text is
read as Python syntax and nothing in it is run: a name, and arguments that are literals.
"""

import ast
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import sympy as sp

from warptheory.core.errors import ArgumentError
from warptheory.core.expressions import rational

# Longer texts would be parsed before they are refused.
_LONGEST_CALL = 200
_FORM = "a kernel's name, or a call of it with numbers, such as 'gauss(0.7)' or 'keys(a=-3/4)'"


class KernelCall(NamedTuple):
    """A call of a catalogue entry, not yet made."""

    entry: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


def positive(argument: str, value: object, least: sp.Rational) -> sp.Rational:
    """Return a number from `least` > 0 on as an exact rational.

    Raises:
        ArgumentError: not a finite number, or too small.
    """
    expected = f"a finite number ≥ {_literal(least)}"
    number = rational(argument, value, expected)
    if number < least:
        raise ArgumentError(argument, expected=expected, received=value)
    return number


def canonical_call(builder: Callable[..., Any], **values: sp.Rational | bool) -> str:
    """Return the shortest call that makes a kernel: without defaults, a lone leading number by position."""
    parameters = inspect.signature(builder).parameters
    changed = {name: value for name, value in values.items() if value != _like(value, name, parameters[name].default)}
    texts = []
    for place, (name, value) in enumerate(changed.items()):
        by_position = not isinstance(value, bool) and list(values)[place] == name
        texts.append(_literal(value) if by_position else f"{name}={_literal(value)}")
    return builder.__name__ + (f"({', '.join(texts)})" if texts else "")


def _like(value: sp.Rational | bool, name: str, default: object) -> object:
    return default if isinstance(value, bool) else rational(name, default)


def _literal(value: sp.Rational | bool) -> str:
    """Return text that is read back as the same value; decimal where that ends."""
    if isinstance(value, bool):
        return str(value)
    denominator = int(value.q)
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    if denominator != 1 or value.q == 1:
        return str(value)
    digits = next(n for n in range(1, value.q.bit_length() + 1) if 10**n % int(value.q) == 0)
    scaled = abs(int(value * 10**digits))
    sign = "-" if value < 0 else ""
    return f"{sign}{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"


def parse_call(text: str) -> KernelCall:
    """Read the name of a kernel.

    Raises:
        ArgumentError: not a name, nor a call of a name with literals.
    """
    try:
        if len(text) > _LONGEST_CALL:
            raise ArgumentError("kernel", expected=_FORM, received=f"{len(text)} characters")
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError("kernel", expected=_FORM, received=repr(text)) from None
    if isinstance(node, ast.Name):
        return KernelCall(node.id, (), {})
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ArgumentError("kernel", expected=_FORM, received=repr(text))
    keywords = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ArgumentError("kernel", expected=_FORM, received=repr(text))
        keywords[keyword.arg] = _value(keyword.value, text)
    return KernelCall(node.func.id, tuple(_value(argument, text) for argument in node.args), keywords)


def _value(node: ast.expr, text: str) -> sp.Rational | bool:
    """Return the value of a literal: True, False, a decimal number (exactly), or a ratio of two."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = _value(node.operand, text)
        if not isinstance(operand, bool):
            return -operand
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        above, below = _value(node.left, text), _value(node.right, text)
        if not isinstance(above, bool) and not isinstance(below, bool) and below != 0:
            return above / below
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            return node.value
        # A float that overflows is infinite; its text could still be an exact, and monstrous, rational.
        if isinstance(node.value, int | float) and math.isfinite(node.value):
            return sp.Rational(repr(node.value))
    raise ArgumentError("kernel", expected=_FORM, received=repr(text))


def call_builder(builder: Callable[..., Any], call: KernelCall) -> Any:
    """Make the call.

    Raises:
        ArgumentError: arguments that the builder does not have; the message shows the ones it has.
    """
    try:
        inspect.signature(builder).bind(*call.arguments, **call.keywords)
    except TypeError as error:
        accepted = ", ".join(f"{name}={p.default}" for name, p in inspect.signature(builder).parameters.items())
        raise ArgumentError("kernel", expected=f"{call.entry}({accepted})", received=str(error)) from None
    return builder(*call.arguments, **call.keywords)
