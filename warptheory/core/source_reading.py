"""What modules say, read from their source files: nothing is imported, so that a list of everything is quick.

A name's value is read where it follows from literals: texts (f-strings too), numbers, tuples, lists and dictionaries,
names that a module assigns or imports from a module of its library, loops over what can be read, and calls, which stay
as they are written (`SourceCall`). Everything else is `UNREAD`, and whoever needs it has to import the module.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

_DOCUMENTED = re.compile(r'"""([^"\\]+)"""')
_CONTAINERS = frozenset({"tuple", "list", "dict", "frozenset", "MappingProxyType"})


class _Unread:
    """A value that does not follow from literals."""

    def __repr__(self) -> str:
        return "UNREAD"


UNREAD = _Unread()

Scope = Mapping[str, Any]


@dataclass(frozen=True)
class SourceCall:
    """A call as it is written, such as Range(0.3, low=0.1, high=0.9).

    Attributes:
        function: name of what is called, without the modules before it.
        arguments: its arguments by position.
        keywords: its arguments by name.
    """

    function: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]


def package_folders(package: str) -> list[Path]:
    """Return the folders of a package, which is not imported, but for the one at the top.

    Args:
        package: dotted name.
    """
    if package in sys.modules:
        return [Path(place) for place in sys.modules[package].__path__]
    top, *inner = package.split(".")
    return [Path(place, *inner) for place in import_module(top).__path__]


@cache
def read_module(module: str) -> "ModuleSource | None":
    """Return the source of a module or package; None if it has none, such as one that is built in.

    Args:
        module: dotted name.
    """
    parent, _, name = module.rpartition(".")
    folders = [folder / name for folder in package_folders(parent)] if parent else package_folders(name)
    for folder in folders:
        for path in (folder / "__init__.py", folder.with_suffix(".py")):
            if path.is_file():
                return ModuleSource(module, path.read_text(encoding="utf-8"))
    return None


@dataclass(frozen=True, eq=False)
class ModuleSource:
    """The source of a module.

    Attributes:
        name: its dotted name.
        text: the text of its file.
    """

    name: str
    text: str
    _values: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text)

    @cached_property
    def _bindings(self) -> Mapping[str, ast.stmt]:
        return {name: statement for statement in self.tree.body for name in _bound(statement)}

    @property
    def summary(self) -> str:
        """The first paragraph of its documentation, in one line."""
        documented = _DOCUMENTED.match(self.text)  # which takes less than the tree
        return summary_of(self.tree) if documented is None else " ".join(documented[1].split("\n\n")[0].split())

    def definition(self, name: str) -> "tuple[ModuleSource, ast.stmt] | None":
        """Return the statement that gives a name its meaning, here or where it is imported from, and its module."""
        statement = self._bindings.get(name)
        if not isinstance(statement, ast.ImportFrom):
            return None if statement is None else (self, statement)
        alias = next(alias for alias in statement.names if name == (alias.asname or alias.name))
        is_ours = statement.level == 0 and (statement.module or "").partition(".")[0] == self.name.partition(".")[0]
        other = read_module(str(statement.module)) if is_ours else None
        return None if other is None else other.definition(alias.name)

    def value(self, name: str) -> Any:
        """Return the value of a name of the module; `UNREAD` if it does not follow from literals."""
        if name not in self._values:
            self._values[name] = UNREAD  # also while it is read: a name may be assigned from itself
            module, statement = self.definition(name) or (self, None)
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                self._values[name] = module.read(statement.value)
        return self._values[name]

    def read(self, node: ast.expr, scope: Scope | None = None) -> Any:
        """Return the value of an expression; `UNREAD` if it does not follow from literals.

        Args:
            node: the expression.
            scope: values of names that are not the module's, such as the target of a loop.
        """
        try:
            return _Reading(self, scope or {}).value(node)
        except TypeError:  # a key of a dictionary that cannot be one
            return UNREAD

    def calls(self, statements: list[ast.stmt] | None = None, scope: Scope | None = None) -> "Iterator[SourceStep]":
        """Yield the calls that its statements make when it is imported, decorators too, in their order.

        Loops are gone through whose values can be read, and in a loop that cannot be read, or a condition, every call
        is yielded once.

        Args:
            statements: those of the module by default.
            scope: values of names that are not the module's.
        """
        known = dict(scope or {})
        for statement in self.tree.body if statements is None else statements:
            if isinstance(statement, ast.For):
                for names in self._rounds(statement, known):
                    yield from self.calls(statement.body, {**known, **names})
            elif isinstance(statement, ast.If | ast.With):
                yield from self.calls([*statement.body, *getattr(statement, "orelse", [])], known)
            elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
                made = [node for node in reversed(statement.decorator_list) if isinstance(node, ast.Call)]
                yield from (SourceStep(self, node, known) for node in made)
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                yield SourceStep(self, statement.value, known)

    def _rounds(self, loop: ast.For, scope: Scope) -> Iterator[dict[str, Any]]:
        """Yield the names that a loop binds, for each of its rounds; once, with nothing known, if it is not read."""
        values = self.read(loop.iter, scope)
        for value in values if isinstance(values, tuple | list | Mapping) else (UNREAD,):
            yield _unpacked(loop.target, value)


@dataclass(frozen=True)
class SourceStep:
    """A call that a module makes when it is imported, perhaps as a decorator.

    Attributes:
        module: the module.
        node: the call.
        scope: values of the names around it that are not the module's.
    """

    module: ModuleSource
    node: ast.Call
    scope: Scope

    def read(self, node: ast.expr) -> Any:
        """Return the value of an expression in it."""
        return self.module.read(node, self.scope)

    def inside(self) -> "Iterator[SourceStep]":
        """Yield the calls that a function of the library makes which this one calls, those of functions within too."""
        if not isinstance(self.node.func, ast.Name):
            return
        module, function = self.module.definition(self.node.func.id) or (self.module, None)
        if isinstance(function, ast.FunctionDef):
            yield from module.calls(_flat(function.body), self._arguments(function))

    def _arguments(self, function: ast.FunctionDef) -> Scope:
        """Return the values of a function's parameters in the call."""
        call = self.node
        parameters = [*function.args.posonlyargs, *function.args.args]
        known = dict.fromkeys((each.arg for each in [*parameters, *function.args.kwonlyargs]), UNREAD)
        given = {each.arg: self.read(value) for each, value in zip(parameters, call.args, strict=False)}
        named = {each.arg: self.read(each.value) for each in call.keywords if each.arg is not None}
        return {**known, **given, **named}


def summary_of(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    """Return the first paragraph of what documents a module, class or function, in one line."""
    return " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())


def _bound(statement: ast.stmt) -> list[str]:
    """Return the names that a statement of a module binds."""
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    return [each.asname or each.name for each in statement.names] if isinstance(statement, ast.ImportFrom) else []


def _flat(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements of a function with those of the functions in it."""
    inner = (_flat(each.body) for each in body if isinstance(each, ast.FunctionDef))
    return [*body, *(statement for statements in inner for statement in statements)]


def _unpacked(target: ast.expr, value: Any) -> dict[str, Any]:
    """Return the names that an assignment binds, with their values."""
    if isinstance(target, ast.Name):
        return {target.id: value}
    if not isinstance(target, ast.Tuple):
        return {}
    count = len(target.elts)
    parts = value if isinstance(value, tuple | list) and len(value) == count else [UNREAD] * count
    return {
        name: part for each, one in zip(target.elts, parts, strict=True) for name, part in _unpacked(each, one).items()
    }


class _Reading:
    """Values of expressions of a module."""

    def __init__(self, module: ModuleSource, scope: Scope) -> None:
        self._module, self._scope = module, scope

    def value(self, node: ast.expr) -> Any:
        read = getattr(self, f"_of_{type(node).__name__.lower()}", None)
        return UNREAD if read is None else read(node)

    def _of_constant(self, node: ast.Constant) -> Any:
        return node.value

    def _of_name(self, node: ast.Name) -> Any:
        return self._scope[node.id] if node.id in self._scope else self._module.value(node.id)

    def _of_joinedstr(self, node: ast.JoinedStr) -> Any:
        parts = [self.value(part.value if isinstance(part, ast.FormattedValue) else part) for part in node.values]
        return UNREAD if UNREAD in parts else "".join(map(str, parts))

    def _of_unaryop(self, node: ast.UnaryOp) -> Any:
        operand = self.value(node.operand)
        is_negative = isinstance(node.op, ast.USub) and isinstance(operand, int | float)
        return -operand if is_negative else UNREAD

    def _of_binop(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.Add) and type(left) is type(right) and isinstance(left, str | tuple):
            return left + right
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            return UNREAD
        if isinstance(node.op, ast.Div):
            return left / right if right else UNREAD
        return left * right if isinstance(node.op, ast.Mult) else UNREAD

    def _of_tuple(self, node: ast.Tuple | ast.List | ast.Set) -> Any:
        found: list[Any] = []
        for part in node.elts:
            if not isinstance(part, ast.Starred):
                found.append(self.value(part))
                continue
            parts = self.value(part.value)
            found += parts if isinstance(parts, tuple) else [UNREAD]
        return tuple(found)

    _of_list = _of_set = _of_tuple

    def _of_dict(self, node: ast.Dict) -> Any:
        found: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            read = self.value(value)
            if key is None:
                found |= read if isinstance(read, Mapping) else {}
            else:
                found[self.value(key)] = read
        return found

    def _of_generatorexp(self, node: ast.GeneratorExp | ast.ListComp) -> Any:
        (*others, loop) = node.generators
        values = self.value(loop.iter)
        if others or loop.ifs or not isinstance(values, tuple | Mapping):
            return UNREAD
        rounds = ({**self._scope, **_unpacked(loop.target, value)} for value in values)
        return tuple(_Reading(self._module, scope).value(node.elt) for scope in rounds)

    _of_listcomp = _of_generatorexp

    def _of_attribute(self, node: ast.Attribute) -> Any:
        owner = self.value(node.value)
        is_symbol = isinstance(owner, SourceCall) and owner.function.endswith("Symbol") and node.attr == "name"
        return owner.arguments[0] if is_symbol and owner.arguments else UNREAD

    def _of_call(self, node: ast.Call) -> Any:
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        arguments = tuple(self.value(argument) for argument in node.args)
        if function in _CONTAINERS and len(arguments) == 1 and not node.keywords:
            return arguments[0]
        if isinstance(node.func, ast.Attribute) and function in ("items", "values", "keys") and not arguments:
            owner = self.value(node.func.value)
            return tuple(getattr(owner, function)()) if isinstance(owner, Mapping) else UNREAD
        keywords = {each.arg: self.value(each.value) for each in node.keywords if each.arg is not None}
        return SourceCall(function, arguments, keywords)
