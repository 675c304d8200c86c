"""What functions are computed by: a hash of their source, and of the library's modules that it imports.

Comments, docstrings and layout do not count. Of a function's own module those definitions count that it uses, so that
a caption beside it may change; of other modules everything does. A package from which more than a module is imported
counts as a whole, since catalogues find their entries by looking into its folder. Nothing is imported to find out.
"""

import ast
import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_LIBRARY = _ROOT.name

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions_hash(*functions: Callable[..., Any]) -> str:
    """Return a hash of functions of the library, and of everything that they use of what their modules define."""
    used = (node for function in functions for node in _used(function))
    return _hash(_written(node) for node in used if not isinstance(node, ast.Import | ast.ImportFrom))


def source_hash(*functions: Callable[..., Any]) -> str:
    """Return a hash of functions of the library, with all modules that they import, and those that these import."""
    first = {name for function in functions for node in _used(function) for name in _imported([node])}
    return _hash([definitions_hash(*functions), modules_hash(first)])


def modules_hash(names: Iterable[str]) -> str:
    """Return a hash of modules of the library, by their dotted names, with all that they import."""
    known: dict[str, str] = {}
    waiting = set(names)
    with _without_collections():
        while waiting:
            found = {name: _read(name) for name in waiting}
            known |= {name: written for name, (written, _) in found.items()}
            waiting = {name for _, imported in found.values() for name in imported} - set(known)
    return _hash(f"{name} {known[name]}" for name in sorted(known))


@contextmanager
def _without_collections() -> Iterator[None]:
    """Pause the search for cyclic garbage: it would go through the syntax trees time and again, which hold none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _hash(texts: Iterable[str]) -> str:
    digest = sha256()
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def _written(node: object) -> str:
    """Return a syntax tree as text that is the same in every version of Python, which `ast.dump` is not."""
    if isinstance(node, ast.AST):
        values = [(name, getattr(node, name, None)) for name in node._fields]
        fields = [f"{name}={_written(value)}" for name, value in values if value is not None and value != []]
        return f"{type(node).__name__}({','.join(fields)})"
    return f"[{','.join(map(_written, node))}]" if isinstance(node, list) else repr(node)


@cache
def _path(name: str) -> Path | None:
    """Return the file of a module, None if there is no such module."""
    first, *rest = name.split(".")
    if first != _LIBRARY:
        return None
    place = _ROOT.joinpath(*rest)
    found = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in found if path.is_file()), None)


def _parsed(name: str) -> ast.Module:
    """Return a module's syntax tree without docstrings."""
    path = _path(name)
    tree = ast.parse("" if path is None else path.read_text(encoding="utf-8"))
    for node in _with_inner([tree]):
        if isinstance(node, ast.Module | Definition) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


@cache
def _tree(name: str) -> ast.Module:
    """Return the syntax tree of a module, parsed once: many functions of one are asked for."""
    return _parsed(name)


@cache
def _read(name: str) -> tuple[str, frozenset[str]]:
    """Return a hash of a module and the names of what it imports."""
    tree = _parsed(name)
    return _hash([_written(tree)]), frozenset(_imported([tree]))


def _with_inner(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield modules or statements, and all statements within them; expressions, most of a tree, hold none."""
    waiting = list(nodes)
    for node in waiting:
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, block, ())


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names of the library's modules that statements import, wherever they do it."""
    for node in _with_inner(nodes):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _modules(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                yield from _meant(node.module, alias.name)


def _meant(package: str, name: str) -> Iterator[str]:
    """Yield the modules that `from package import name` may need."""
    inner = f"{package}.{name}"
    yield from _modules(package if _path(inner) is None else inner)


@cache
def _modules(name: str) -> tuple[str, ...]:
    """Return a module, or all modules of a package; for the library as a whole its own `__init__` stands."""
    path = _path(name)
    if path is None:
        return ()
    if path.name != "__init__.py" or name == _LIBRARY:
        return (name,)
    inside = (inner.relative_to(_ROOT.parent).with_suffix("").parts for inner in sorted(path.parent.rglob("*.py")))
    return tuple(".".join(parts[:-1] if parts[-1] == "__init__" else parts) for parts in inside)


def _used(function: Callable[..., Any]) -> list[ast.stmt]:
    """Return the statements of a function's module that it uses, in their order, its own among them."""
    body = list(_statements(_tree(function.__module__)))
    binding = {name: node for node in body for name in _bound(node)}
    used: set[str] = set()
    waiting = {function.__name__}
    while waiting:
        used |= waiting
        waiting = {
            inner.id
            for name in waiting
            for inner in ast.walk(binding[name])
            if isinstance(inner, ast.Name) and inner.id in binding
        } - used
    return [node for node in body if used & set(_bound(node))]


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a module, an import of several names as one for each."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            yield from (ast.ImportFrom(node.module, [alias], node.level) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (ast.Import([alias]) for alias in node.names)
        else:
            yield node


def _bound(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a module binds."""
    if isinstance(node, Definition):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    else:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id
