"""The rules of the house: import directions, documented public functions, fast import, no stray files."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import warptheory

PACKAGE = Path(warptheory.__file__).parent
REPOSITORY = PACKAGE.parent

# From the ground up. A room may import itself and rooms on lower floors, nothing beside or above it,
# except where `BESIDE` says so.
FLOORS = [
    {"core"},
    {"kernels"},
    {"fields"},
    {"warping", "symbolic"},
    {"operators", "montecarlo"},
    {"results"},
    {"networks"},
    {"training", "stability"},
    {"report"},
    {"cli"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def imported_rooms(path):
    """Every room that a module imports, anywhere in it, with the line number."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names = (
                [node.module] if node.module != "warptheory" else [f"warptheory.{alias.name}" for alias in node.names]
            )
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "warptheory" and len(parts) > 1 and parts[1] in FLOOR_OF:
                yield parts[1], node.lineno


def test_every_room_is_on_a_floor():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert rooms == set(FLOOR_OF)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    room = path.relative_to(PACKAGE).parts[0]
    if room not in FLOOR_OF:
        return  # __init__ and __main__ stand outside the rooms: they name every room, or the top one
    upward = [
        (other, line) for other, line in imported_rooms(path) if other != room and FLOOR_OF[other] >= FLOOR_OF[room]
    ]
    assert not upward, f"{path} imports {upward}"


def test_the_direction_check_sees_a_wrong_import(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "def f():\n    from warptheory.results import get\n    import warptheory.cli.commands\n    return get\n"
    )
    assert list(imported_rooms(wrong)) == [("results", 2), ("cli", 3)] or set(imported_rooms(wrong)) == {
        ("results", 2),
        ("cli", 3),
    }


def public_functions():
    """Every public function and method of public classes of every public module."""
    for found in pkgutil.walk_packages(warptheory.__path__, "warptheory."):
        if any(part.startswith("_") for part in found.name.split(".")[1:]):
            continue
        module = importlib.import_module(found.name)
        exported = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
        for name in exported:
            thing = getattr(module, name)
            if not getattr(thing, "__module__", "").startswith("warptheory"):
                continue
            if inspect.isfunction(thing):
                yield f"{found.name}.{name}", thing
            elif inspect.isclass(thing):
                for method_name, method in vars(thing).items():
                    function = method.fget if isinstance(method, property) else getattr(method, "__func__", method)
                    if (
                        not method_name.startswith("_") and inspect.isfunction(inspect.unwrap(function))
                        if callable(function)
                        else False
                    ):
                        yield f"{found.name}.{name}.{method_name}", function


PUBLIC = dict(public_functions())


def test_public_functions_are_found():
    assert {"warptheory.warping.warp", "warptheory.symbolic.E", "warptheory.montecarlo.verify"} <= set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_function_has_a_docstring_with_shapes(name):
    function = PUBLIC[name]
    documentation = inspect.getdoc(function)
    assert documentation, f"{name} has no docstring"
    annotations = " ".join(str(annotation) for annotation in function.__annotations__.values())
    if "Tensor" in annotations or "ndarray" in annotations:
        # A shape is written (B, C, *T), or the text says that the value is a scalar.
        assert re.search(r"\([^()]+,[^()]*\)|\(\*\w+\)|scalar", documentation), (
            f"{name} takes or returns arrays and states no shape"
        )


def test_import_is_light():
    """`import warptheory` loads neither torch nor sympy; a room does when it is named."""
    script = (
        "import sys, warptheory; print([m for m in ('torch', 'sympy', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"


def test_public_names_of_the_top_level():
    for name in warptheory.__all__:
        assert getattr(warptheory, name) is not None
    assert set(warptheory.__all__) <= set(dir(warptheory))
    with pytest.raises(AttributeError, match="no attribute 'wrap'"):
        _ = warptheory.wrap


def test_top_level_of_the_repository():
    """Only what is listed here stands at the top; anything else needs a reason."""
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=REPOSITORY)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    allowed = {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "Makefile", ".gitignore", ".ci"}
    allowed |= {"warptheory", "analyses", "tests", "figures", "paper_repro", "benchmarks"}
    assert top <= allowed, top - allowed
