"""No text that a caller gives is run as Python, wherever it is given.

SymPy reads text by `eval`, and does so of its own accord in many places: in functions, in `subs`, in matrices. So
every public callable of the rooms that compute with SymPy gets, in place of each of its arguments, a text that would
leave a file behind, and so do methods, operators and indices of what those rooms make.
"""

import ast
import contextlib
import inspect
import operator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import sympy as sp
import torch

import warptheory
from warptheory import fields, kernels, montecarlo, operators, results, symbolic, warping
from warptheory.core import checks, expressions, streams
from warptheory.fields import covariance, laws
from warptheory.symbolic import Variance

pytestmark = [pytest.mark.usefixtures("as_users_call"), pytest.mark.filterwarnings("ignore")]

PACKAGE = Path(warptheory.__file__).parent
ROOMS = [kernels, fields, laws, covariance, symbolic, montecarlo, results, operators, warping]
CORE = [checks, expressions, streams]

X = symbolic.IIDField("x")
EPS = symbolic.OffsetField("normal", dim=1, scale="1/2")
GAUSSIAN = symbolic.GaussianField("g", fields.SquaredExponential(3, dim=1))
Y = symbolic.warp(X, EPS)
VARIANCE = Variance(Y[0])
NUMBERS = {"sigma": 1.0, "mu": 0.0}
SIMULATION = montecarlo.simulation_of(VARIANCE)
CLAIM = montecarlo.Claim("claim", 1.0, SIMULATION, NUMBERS)
MATERN = fields.Matern(length=2, nu="5/2", dim=2)

# What stands for an argument that has no default, by its name; any other gets the text as well.
SAMPLES = {
    "field": X,
    "offsets": EPS,
    "kernel": "linear",
    "covariance": MATERN,
    "first": Y[0],
    "second": Y[1],
    "terms": (MATERN,),
    "expression": Y[0],
    "statistic": VARIANCE,
    "experiment": SIMULATION,
    "trial": montecarlo.Judgement(CLAIM, 0, 3.0),
    "claim": CLAIM,
    "values": NUMBERS,
    "spacing": sp.Symbol("h", positive=True),
    "spread": 0.5,
    "scale": 1,
    "name": "z",
    "law": "normal",
    "label": "A4",
    "result": "A4",
    "patterns": ["A4"],
    "over": {"s": [0.3]},
    "chosen": [],
    "generator": np.random.default_rng(0),
    "shape": (2,),
    "batch": 1,
    "size": (8, 8),
    "rows": 2,
    "theory": 1.0,
    "order": 1,
    "orders": (0, 0),
    "position": sp.Rational(1, 3),
    "fraction": sp.Rational(1, 3),
    "input": torch.zeros(1, 1, 8),
    "x": torch.zeros(1, 1, 8),
    "operation": operator.add,
    "Law.canonical": sp.Integer(1),
    "scaled.canonical": np.zeros(2),
    "source": "here",
    "rtol": 0.5,
    "max_elements": 100,
    "draw": lambda generator, shape: np.zeros(shape),
    "of_uniform": np.zeros_like,
    "pieces": kernels.get("linear").pieces,
    "reproduces": 1,
    "spline": kernels.get("bspline3"),
    "count": 2,
    "seed": 0,
    "z": 3.0,
    "atol": 0.0,
    "probability": "1/4",
    "argument": "argument",
    "steps": (),
}

# Labels, folders, workers and progress: no numbers, and a run would start.
LEFT_ALONE = {
    "self",
    "label",
    "out",
    "workers",
    "scheduler",
    "fresh",
    "plain",
    "on_progress",
    "path",
    "folder",
    "runner",
}

OBJECTS = [
    *map(kernels.get, ("linear", "bspline3(prefilter=True)", "sinc")),
    kernels.get("linear").tap_sum((0, 0)),
    kernels.get("linear").functionals(),
    *map(laws.get, laws.names()),
    fields.IID("uniform", 1, 2),
    MATERN,
    fields.White(dim=2),
    fields.Exponential(2, dim=2),
    fields.SquaredExponential(2, dim=1),
    fields.RationalQuadratic(2, dim=2, alpha=3),
    fields.PowerLaw(10, dim=2),
    MATERN + fields.White(dim=2),
    fields.SquaredExponential(2, dim=1) * fields.SquaredExponential(3, dim=1),
    fields.FieldSampler(fields.SquaredExponential(2, dim=2), (8, 8)),
    X,
    GAUSSIAN,
    GAUSSIAN.slope(),
    EPS,
    EPS.fraction,
    Y,
    Y + X,
    symbolic.splat(X, EPS),
    symbolic.compose(GAUSSIAN, EPS),
    symbolic.compose(GAUSSIAN, EPS).slope(),
    Y[0],
    X[0],
    symbolic.splat(X, EPS)[0],
    VARIANCE,
    symbolic.Expectation(Y[0] ** 2),
    symbolic.Covariance(Y[0], Y[1]),
    symbolic.JointCumulant(Y[0], Y[1]),
    VARIANCE.derive(),
    VARIANCE.derive().steps[0],
    SIMULATION,
    CLAIM,
    results.get("A4"),
    results.get("A4").get(),
    results.Setting(),
]

BINARY = [
    *(getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "pow", "mod", "floordiv", "or_", "and_")),
    *(getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge", "getitem", "contains")),
    lambda a, b: a(b),
    lambda a, b: hash(a) == hash(b),
]


@pytest.fixture
def payload(tmp_path, monkeypatch):
    """A text that leaves a file behind when it is run, in any way that text can be run."""
    monkeypatch.chdir(tmp_path)
    trace = tmp_path / "ran"
    text = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    sp.sympify(text)
    assert trace.exists(), "SymPy itself runs the text, or this test sees nothing"
    trace.unlink()
    yield text
    assert not trace.exists()


def forms(text):
    """Return the text, bare and inside of what arguments are made of."""
    return text, ((text, text),), {text: text, "s": text, "sigma": text, "mu": text}


def calls(function, text):
    """Yield every call of a function in which one argument is the text."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return
    # Where a text is taken for a label, an estimate is made: a coarse one.
    cheap = {name: SAMPLES[name] for name in ("rtol", "max_elements") if name in inspect.signature(function).parameters}
    needed = cheap | {
        p.name: SAMPLES.get(f"{function.__name__}.{p.name}", SAMPLES.get(p.name, text))
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    by_position = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
    for parameter in parameters:
        if parameter.name in LEFT_ALONE:
            continue
        for value in forms(text):
            given = dict(needed)
            if parameter.kind is parameter.VAR_POSITIONAL:
                ahead = [given.pop(p.name) for p in parameters if p.name in needed and p.kind is not p.KEYWORD_ONLY]
                yield [*ahead, value], given
                yield [*ahead, sp.Integer(0), value], given
            elif parameter.kind is parameter.VAR_KEYWORD:
                for name in ("s", "sigma", "kernel", "dim", "given", text):
                    yield [], given | {name: value}
            else:
                given[parameter.name] = value
                yield [given.pop(name) for name in by_position], given


def attempt(function, trace, name):
    """Make a call, which may raise; whatever it returns is read too, for what is lazy about it."""
    with contextlib.suppress(Exception):
        found = function()
        for look in (str, repr, lambda f: f.doit(), lambda f: f[0], lambda f: f.expression(0), lambda f: f.pixel):
            with contextlib.suppress(Exception):
                look(found)
    assert not trace.exists(), name


def public_callables(room):
    names = getattr(room, "__all__", [name for name in vars(room) if not name.startswith("_")])
    for name in names:
        thing = getattr(room, name)
        if callable(thing) and getattr(thing, "__module__", "").startswith("warptheory"):
            yield f"{room.__name__}.{name}", thing


@pytest.mark.parametrize("room", [*ROOMS, *CORE], ids=lambda room: room.__name__)
def test_functions_and_constructors(room, payload, tmp_path):
    found = dict(public_callables(room))
    assert found
    for name, function in found.items():
        for positional, named in calls(function, payload):
            attempt(lambda f=function, p=positional, n=named: f(*p, **n), tmp_path / "ran", name)
        if inspect.isclass(function):
            for attribute, raw in vars(function).items():
                if isinstance(raw, classmethod | staticmethod):
                    method = getattr(function, attribute)
                    for positional, named in calls(method, payload):
                        attempt(lambda f=method, p=positional, n=named: f(*p, **n), tmp_path / "ran", name)


@pytest.mark.parametrize("entry", [*kernels.names(), *laws.names()])
def test_builders_of_entries(entry, payload, tmp_path):
    for room in (kernels, laws):
        if entry in room.names():
            builder = getattr(__import__(f"{room.__name__}.{entry}", fromlist=[entry]), entry)
            for positional, named in calls(builder, payload):
                attempt(lambda p=positional, n=named, b=builder: b(*p, **n), tmp_path / "ran", entry)
            for text in (payload, f"{entry}({payload})", f"{entry}(a={payload})"):
                attempt(lambda r=room, t=text: r.get(t), tmp_path / "ran", entry)


@pytest.mark.parametrize("number", range(len(OBJECTS)))
def test_methods_and_operators(number, payload, tmp_path):
    thing = OBJECTS[number]
    name = f"{type(thing).__name__} {thing}"
    # SymPy reads what is in a list or a dictionary beside an operator, whatever the expression; so far ours reach not.
    for text in [payload] if isinstance(thing, sp.Basic) else forms(payload):
        for operation in BINARY:
            attempt(lambda o=operation, t=text: o(thing, t), tmp_path / "ran", f"{name} {operation}")
            attempt(lambda o=operation, t=text: o(t, thing), tmp_path / "ran", f"{operation} {name}")
    # What an earlier object has inherited as well has been called on that.
    kinds = {type(other) for other in OBJECTS[:number]}
    seen = {id(getattr(kind, attribute, None)) for kind in kinds for attribute in dir(kind)}
    own = {
        attribute
        for kind in type(thing).__mro__
        if kind.__module__.startswith("warptheory")
        for attribute in vars(kind)
        if not attribute.startswith("_")
    }
    for attribute in sorted(own | ({"subs"} if hasattr(thing, "subs") else set())):
        function = getattr(type(thing), attribute, None)
        if inspect.isroutine(function) and id(function) not in seen:
            method = getattr(thing, attribute)
            for positional, named in calls(method, payload):
                attempt(lambda m=method, p=positional, n=named: m(*p, **n), tmp_path / "ran", f"{name}.{attribute}")


REFUSED = {
    "IIDField mean": lambda text: symbolic.IIDField(mean=text),
    "IIDField deviation": lambda text: symbolic.IIDField(deviation=text),
    "GaussianField spacing": lambda text: symbolic.GaussianField(spacing=text),
    "OffsetField scale": lambda text: symbolic.OffsetField("normal", dim=1, scale=text),
    "OffsetField displacement": lambda text: symbolic.OffsetField(displacement=(text,)),
    "added displacement": lambda text: EPS + text,
    "added to a field": lambda text: Y + text,
    "Matern length": lambda text: fields.Matern(length=text),
    "SquaredExponential variance": lambda text: fields.SquaredExponential(variance=text),
    "RationalQuadratic alpha": lambda text: fields.RationalQuadratic(alpha=text),
    "anisotropy": lambda text: fields.Matern(anisotropy=((1, 0), (0, text))),
    "lag": lambda text: MATERN.expression(text),
    "frequency": lambda text: MATERN.spectral_density(text),
    "orders": lambda text: MATERN.spectral_moment(text),
    "covariance values": lambda text: fields.Matern(length=sp.Symbol("l", positive=True)).subs({"l": text}),
    "Law.at": lambda text: laws.get("normal").at(text),
    "Law.at scale": lambda text: laws.get("normal").at(0, text),
    "Law.standardised": lambda text: laws.get("normal").standardised(text, 1),
    "characteristic function": lambda text: laws.get("normal").characteristic_function(text),
    "IID": lambda text: fields.IID("normal", text).pixel,
    "PeriodicFunction": lambda text: kernels.PeriodicFunction.constant(text),
    "position of a kernel": lambda text: kernels.get("linear").value(text),
    "shift": lambda text: kernels.get("keys").correlation(1, 1, text),
    "index": lambda text: Y[text],
    "point": lambda text: GAUSSIAN(text),
    "values of an estimate": lambda text: montecarlo.estimate(VARIANCE, {**NUMBERS, "sigma": text}),
    "values to evaluate": lambda text: symbolic.evaluate(VARIANCE.doit(), {**NUMBERS, "sigma": text}),
    "a substitution": lambda text: Y[0].subs(X[0], text),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_error_names_the_argument(name, payload):
    with pytest.raises(warptheory.core.errors.ArgumentError) as caught:
        REFUSED[name](payload)
    assert str(caught.value).startswith(f"{caught.value.argument}: expected ")


NAMES = [
    "line\nbreak",
    "\x1b[31mred",
    "nul\0",
    "",
    " ",
    "bell\x07",
    "a\u2028b",
    "\u202egnp.exe",
    "<b>x</b>",
    r"\input{x}",
    3,
    None,
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda name: symbolic.IIDField(name),
        lambda name: symbolic.GaussianField(name),
        lambda name: symbolic.OffsetField(name=name),
        lambda name: symbolic.WarpedField(X, EPS, kernels.get("linear"), (0,), name),
        lambda name: symbolic.SplattedField(X, EPS, kernels.get("linear"), name),
        lambda name: symbolic.ComposedField(GAUSSIAN, EPS, (0,), name),
        lambda name: laws.Law(name, sp.Integer(1), None, None, "", density=sp.Integer(1)),
        lambda name: kernels.PiecewiseKernel(name, kernels.get("linear").pieces, 1, ""),
        lambda name: kernels.FractionSymbol(name),
    ],
)
def test_names_are_of_characters_that_print(make, name):
    with pytest.raises(warptheory.core.errors.ArgumentError, match="^name: expected a name of printable characters"):
        make(name)


def test_a_name_is_no_markup():
    shown = symbolic.Step("step", "reason", sp.Symbol("<script>x</script> & alpha") + 1).mathml()
    root = ElementTree.fromstring(shown)
    assert "".join(root.itertext()).replace(" ", "") == "<script>x</script>&α+1"
    assert {element.tag for element in root.iter()} <= {"math", "mrow", "mo", "mi", "mn", "mtext"}


# Callables that read text as Python, or hand it to SymPy's reader.
READERS = {
    "eval", "exec", "compile", "sympify", "_sympify", "S", "parse_expr", "nsimplify", "parse_latex", "literal_eval",
    "lambdastr", "symbols", "var",
}  # fmt: skip
# Constructors of numbers, which are given literals, or numbers that Python has made.
OF_TEXT = {"Rational", "Float", "Integer"}
# The parser; texts of f-strings and of the library's own that name symbols.
ALLOWED = {"core/expressions.py"}


def calls_of_readers(nodes):
    """Yield the calls among nodes that read text, with the reader's name; of `symbols` those of other than literals."""
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute) and not isinstance(getattr(node, "ctx", None), ast.Store):
            name = node.id if isinstance(node, ast.Name) else node.attr
            owner = node.value if isinstance(node, ast.Attribute) else None
            of_sympy = isinstance(owner, ast.Name) and owner.id in ("sp", "sympy")
            if name in ("eval", "exec", "compile") and owner is not None:
                continue  # methods: model.eval(), re.compile(), Function.eval
            if name in ("S", "var") and not of_sympy:
                continue
            if name in READERS:
                yield node, name


def is_literal(node):
    return isinstance(node, ast.Constant) or (
        isinstance(node, ast.JoinedStr)
        and all(isinstance(part, ast.Constant | ast.FormattedValue) for part in node.values)
    )


def offences(tree):
    nodes = list(ast.walk(tree))
    called = {id(node.func): node for node in nodes if isinstance(node, ast.Call)}
    members = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node, name in calls_of_readers(nodes):
        if name == "S" and id(node) in members:
            continue  # sp.S.Zero
        call = called.get(id(node))
        if name == "symbols" and call is not None and all(map(is_literal, call.args)):
            continue
        if name == "symbols" and (call is None or not isinstance(node, ast.Attribute) or node.value.id != "sp"):
            continue  # the attribute of offset fields and experiments
        if name == "S" and call is not None and all(isinstance(a, ast.Constant) for a in call.args):
            continue
        yield f"line {node.lineno}: {name}"


def test_sources_hand_no_text_to_a_reader():
    sources = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    found = {name: list(offences(ast.parse(text))) for name, text in sources.items() if name not in ALLOWED}
    assert not {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize(
    "line",
    [
        "sp.sympify(value)",
        "sympify(value)",
        "map(sp.sympify, values)",
        "sp.S(value)",
        "sp.symbols(name)",
        "eval(text)",
        "exec(text)",
        "from_text = sp.parse_expr",
        "sp.nsimplify(value)",
    ],
)
def test_the_rule_sees_what_it_forbids(line):
    assert list(offences(ast.parse(line)))


@pytest.mark.parametrize(
    "line", ["sp.S.Zero", "sp.symbols('a b')", "model.eval()", "re.compile(text)", "eps.symbols", "sp.S(0)"]
)
def test_the_rule_lets_others_through(line):
    assert not list(offences(ast.parse(line)))
