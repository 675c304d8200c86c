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
    {"matrices"},
    {"patterns"},
    {"operators", "montecarlo"},
    {"results"},
    {"networks"},
    {"training", "stability"},
    {"report"},
    {"paper"},
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


def test_imports_point_downwards():
    upward = []
    for path in modules():
        room = path.relative_to(PACKAGE).parts[0]
        # __init__ and __main__ stand outside the rooms: they name every room, or the top one.
        for other, line in imported_rooms(path) if room in FLOOR_OF else ():
            if other != room and FLOOR_OF[other] >= FLOOR_OF[room]:
                upward.append(f"{path}:{line}: {other}")
    assert not upward, upward


def test_the_direction_check_sees_a_wrong_import(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "def f():\n    from warptheory.results import get\n    import warptheory.cli.commands\n    return get\n"
    )
    assert list(imported_rooms(wrong)) == [("results", 2), ("cli", 3)] or set(imported_rooms(wrong)) == {
        ("results", 2),
        ("cli", 3),
    }


# A dotted name of the package with a private part, its room in the first group.
PRIVATE = re.compile(r"warptheory\.(\w+)(?:\.\w+)*?\._(?!_)\w+")

# Tests that look at another room's machinery, for which it has no public name: by folder, how often at most.
TESTS_THAT_REACH = {"core": 3, "fuzz": 3, "gpu": 1, "operators": 3, "results": 1, "stability": 1}
LONG_MODULES, LINES = 13, 400


def room_of(path):
    """Return the room that a file belongs to, of the package or of its tests; else the folder at the top."""
    parts = path.relative_to(REPOSITORY).parts
    return parts[1] if parts[0] in ("warptheory", "tests") and len(parts) > 2 else parts[0]


def reaches(text, room):
    """Return the private names of other rooms that a source names, with the line of each.

    They are named by an import, as an attribute of what was imported, or by a dotted name in a string.
    """
    tree, imported, found = ast.parse(text), {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                found.append((name, node.lineno))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                imported[alias.asname or alias.name] = alias.name
                found.append((alias.name, node.lineno))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            found.append((node.value, node.lineno))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            base = ast.unparse(node.value)
            if base in imported and not PRIVATE.match(imported[base]):
                found.append((f"{imported[base]}.{node.attr}", node.lineno))
    matches = [(PRIVATE.match(name), name, line) for name, line in found]
    return [(name, line) for match, name, line in matches if match and match[1] != room]


def reaches_by_room(folder):
    """Return, by room, where the files of a folder name private things of other rooms."""
    found = {}
    for path in (REPOSITORY / folder).rglob("*.py"):
        for name, line in reaches(path.read_text(encoding="utf-8"), room_of(path)):
            found.setdefault(room_of(path), []).append(f"{path.relative_to(REPOSITORY)}:{line}: {name}")
    return found


def test_rooms_meet_through_public_names():
    assert not reaches_by_room("warptheory") | reaches_by_room("benchmarks") | reaches_by_room("docs")
    more = {
        room: names for room, names in reaches_by_room("tests").items() if len(names) > TESTS_THAT_REACH.get(room, 0)
    }
    assert not more, "\n".join(line for names in more.values() for line in names)


@pytest.mark.parametrize(
    "source",
    [
        "from warptheory.fields._quantile import Quantile",
        "from warptheory.fields.laws import _law",
        "import warptheory.fields.covariance._radial",
        "from warptheory import fields\nfields._quantile",
        "from warptheory.fields import covariance\ncovariance._radial",
        "from warptheory.fields.sampling import FieldSampler as Sampler\nSampler._embedding",
        'patch("warptheory.fields.sampling._kept", None)',
    ],
)
def test_a_private_name_of_another_room_is_seen(source):
    assert len(reaches(source, "symbolic")) == 1
    assert reaches(source, "fields") == []
    assert reaches("from warptheory import fields\nfields.laws.__name__\nfields.laws.get", "symbolic") == []


def public_classes(text):
    """Return the names of classes and type aliases that stand at the top of a module."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
            yield from (each.id for each in node.targets if isinstance(each, ast.Name) and not each.id.isupper())


def same_names(sources):
    """Return the public names of classes that several modules define, with those modules."""
    found = {}
    for module, text in sources.items():
        for name in public_classes(text):
            if name[0].isupper():
                found.setdefault(name, []).append(module)
    return {name: places for name, places in found.items() if len(places) > 1}


def sources():
    return {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in modules()}


def test_one_word_means_one_thing():
    found = same_names(sources())
    assert not found, "\n".join(f"{name}: {', '.join(found[name])}" for name in sorted(found))


def test_two_classes_of_one_name_are_seen():
    assert same_names({"a": "class Same:\n    pass", "b": "Same = tuple[int, ...]", "c": "SAME = values[0]"}) == {
        "Same": ["a", "b"]
    }


def imports_within(sources):
    """Return, by module, the modules that it imports anywhere: the package of a name that is no module itself."""
    names = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in sources}
    graph = {}
    for name, path in names.items():
        graph[name] = set()
        for node in ast.walk(ast.parse(sources[path])):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = node.module.removeprefix("warptheory.")
                found = [f"{node.module}.{alias.name}".removeprefix("warptheory.") for alias in node.names]
                graph[name] |= {each if each in names else module for each in found}
            elif isinstance(node, ast.Import):
                graph[name] |= {alias.name.removeprefix("warptheory.") for alias in node.names}
    return {name: targets & set(names) for name, targets in graph.items()}


def in_circles(graph):
    """Return the nodes from which a path leads back."""

    def reached(node):
        seen, waiting = set(), [node]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    return sorted(node for node in graph if node in reached(node))


def test_no_module_imports_itself_by_way_of_others():
    found = in_circles(imports_within(sources()))
    assert not found, found


def test_a_circle_is_seen():
    """As a package has it whose module asks the package for what another module defines."""
    circle = {
        "room/__init__.py": "from warptheory.room.a import A",
        "room/a.py": "def f():\n    from warptheory.room import B",
        "room/b.py": "from warptheory.room import a",
    }
    assert in_circles(imports_within(circle)) == ["room", "room.a"]


def test_modules_are_short():
    """A module that says one idea in more lines is counted with the others."""
    found = {module: text.count("\n") for module, text in sources().items() if text.count("\n") > LINES}
    assert len(found) <= LONG_MODULES, found


def public_functions():
    """Yield every public function, and method of a public class, that a public module defines, with its documentation.

    A method that overrides another is documented by that one as well.
    """
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
                yield f"{found.name}.{name}", thing, inspect.getdoc(thing) or ""
            elif inspect.isclass(thing):
                for method_name, method in vars(thing).items():
                    function = method.fget if isinstance(method, property) else getattr(method, "__func__", method)
                    if (
                        not method_name.startswith("_")
                        and callable(function)
                        and inspect.isfunction(inspect.unwrap(function))
                    ):
                        texts = [inspect.getdoc(vars(base).get(method_name)) or "" for base in thing.__mro__]
                        yield f"{found.name}.{name}.{method_name}", function, "\n".join(texts) if texts[0] else ""


# A shape: axes in brackets, such as (B, C, *T), (n,), (rows, k) or (*S), after the word, after "of", or as a name's.
AXIS = r"\*?[A-Za-zΑ-ω0-9][\w·ᵈ²³/]{0,8}(?: ?[+−-] ?\w{1,5})?|…"
SHAPE = re.compile(rf"\((?:(?:{AXIS})(?:, (?:{AXIS}))+|(?:{AXIS}),|\*\w+)\)")


def states_shapes(documentation):
    """Whether a text names a shape of axes, or says that there is a scalar."""
    return "scalar" in documentation or SHAPE.search(documentation) is not None


def test_public_functions_have_docstrings_with_shapes():
    """A shape is written (B, C, *T), or the text says that the value is a scalar."""
    public = {name: (function, text) for name, function, text in public_functions()}
    assert {"warptheory.warping.warp", "warptheory.symbolic.E", "warptheory.montecarlo.verify"} <= set(public)
    undocumented = [name for name, (_, text) in public.items() if not text]
    assert not undocumented, undocumented
    without_shapes = []
    for name, (function, text) in public.items():
        annotations = " ".join(str(annotation) for annotation in function.__annotations__.values())
        if ("Tensor" in annotations or "ndarray" in annotations) and not states_shapes(text):
            without_shapes.append(name)
    assert not without_shapes, without_shapes


def test_what_is_no_shape_is_seen():
    for shape in ("shape (B, C, *T)", "(n,)", "of shape (rows, k)", "(*S)", "(B, C·D, N + 1)", "a scalar"):
        assert states_shapes(shape)
    for text in (
        "(see A4, and the theory)",
        "Returns (a tensor, as it is)",
        "shape (…)",
        "E[x, y]",
        "(of kernels, say)",
    ):
        assert not states_shapes(text)


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
    allowed |= {"CONTRIBUTING.md", "warptheory", "tests", "paper_repro", "benchmarks", "typings", "docs"}
    allowed |= {"CHANGELOG.md", "CITATION.cff", ".github", ".pre-commit-config.yaml"}
    assert top <= allowed, top - allowed
