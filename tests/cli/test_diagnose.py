"""`warptheory diagnose`: what it takes, prints, writes and refuses."""

import io
import json
import sys
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from tests.diagnoses import HOSTILE, made_up, nothing_known
from warptheory.cli._diagnosis_view import print_diagnosis
from warptheory.stability import diagnosing
from warptheory.stability.diagnosis import Diagnosis

pytestmark = pytest.mark.usefixtures("as_users_call")

SOURCE = '''
import torch
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    """A small spatial transformer, in plain torch."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 6)
        nn.init.zeros_(self.head.weight)
        self.head.bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        grid = functional.affine_grid(self.head(x.flatten(1)).view(-1, 2, 3), x.shape, align_corners=False)
        return self.out(functional.grid_sample(x, grid, align_corners=False).flatten(1))


class Parts:
    def __init__(self, **parts):
        vars(self).update(parts)


def parts(rate=0.1):
    model = Net()
    batches = [(torch.randn(8, 1, 8, 8), torch.randint(0, 10, (8,))) for _ in range(2)]
    return dict(
        model=model, batches=batches, loss=functional.cross_entropy, optimizer=torch.optim.SGD(model.parameters(), rate)
    )


class Builders:
    @staticmethod
    def whole():
        return tuple(parts().values())


class Lazy:
    def __getattr__(self, name):
        raise AttributeError(name)


def mapping():
    return parts()


def thing():
    return Parts(**parts())


def model():
    return Net()


def without_optimizer():
    found = parts()
    del found["optimizer"], found["loss"]
    return found


def fails():
    raise SystemExit("no\\x1b[2J")


def plain():
    return nn.Linear(64, 10)


def returns(**changed):
    return lambda: {**parts(), **changed}


nothing, triple, unknown = (lambda: None), (lambda: (1, 2, 3)), returns(optimiser=1)
text_batches, no_loss, no_optimizer = returns(batches="ab"), returns(loss=3), returns(optimizer=3)
no_model = returns(model=3)
not_scalar = returns(loss=lambda output, target: output)
wrong_batch = returns(batches=[(torch.randn(8, 1, 4, 4), torch.randint(0, 10, (8,)))])
without_sampling = returns(model=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
number = 3
'''


@pytest.fixture
def module(monkeypatch, tmp_path):
    """Return the name of a module in the current folder, which nobody has imported."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_users_models.py").write_text(SOURCE)
    (tmp_path / "a_broken_module.py").write_text("raise RuntimeError('no\\x1b[2J')")
    before = list(sys.path)
    yield "a_users_models"
    assert sys.path == before
    sys.modules.pop("a_users_models", None)


@pytest.fixture
def called(monkeypatch):
    """Return what `diagnose` was called with; it returns a diagnosis that is made up."""
    calls = []

    def stand_in(model, batches, loss, optimizer, **options):
        calls.append((model, list(batches), loss, optimizer, options))
        return made_up()

    monkeypatch.setattr(diagnosing, "diagnose", stand_in)
    return calls


@pytest.mark.parametrize("name", ["mapping", "thing", "Builders.whole"])
def test_everything_from_the_callable(name, warptheory, module, called):
    code, out, err = warptheory("diagnose", f"{module}:{name}", "--batches", 2, "--seed", 3, "--steps", 500)
    assert (code, err) == (1, "")
    assert out == f"{made_up().as_text(120)}\n"
    ((model, batches, loss, optimizer, given),) = called
    assert type(model).__name__ == "Net"
    assert len(batches) == 2
    assert loss is torch.nn.functional.cross_entropy
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert given == {"count": 2, "steps": 500, "seed": 3}


def test_what_the_callable_leaves_to_options(warptheory, module, called):
    data = ("--data", "digits", "--batch", 16, "--batches", 3)
    rates = ("--optimizer", "adamw", "--learning-rate", 0.002, "--momentum", 0.8, "--weight-decay", 0.03)
    assert warptheory("diagnose", f"{module}:model", *data, *rates)[0] == 1
    ((_, batches, loss, optimizer, _),) = called
    assert [tuple(inputs.shape) for inputs, _ in batches] == [(16, 1, 8, 8)] * 3
    assert not torch.equal(batches[0][0], batches[1][0])
    assert loss is torch.nn.functional.cross_entropy
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {group["lr"] for group in optimizer.param_groups} == {0.002}
    assert {group["betas"][0] for group in optimizer.param_groups} == {0.8}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.03}
    assert warptheory("diagnose", f"{module}:without_optimizer")[0] == 1
    assert isinstance(called[1][3], torch.optim.SGD)


def test_the_same_seed_draws_the_same_model(warptheory, module, called):
    for seed in (1, 1, 2):
        warptheory("diagnose", f"{module}:mapping", "--seed", seed)
    weights = [model.out.weight for model, *_ in called]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("worse", 1), ("fail", 1)])
def test_the_exit_code_says_the_verdict(verdict, code, warptheory, module, monkeypatch):
    found = replace(made_up(), verdict=verdict, reason=None if verdict == "ok" else "runaway")
    monkeypatch.setattr(diagnosing, "diagnose", lambda *_, **__: found)
    assert warptheory("diagnose", f"{module}:mapping")[0] == code


def test_what_is_written(warptheory, module, called, tmp_path):
    files = ("--html", tmp_path / "new" / "page.html", "--out", tmp_path / "records")
    code, out, err = warptheory("diagnose", f"{module}:mapping", "--json", *files)
    assert code == 1
    assert Diagnosis.from_json(out).to_json() == made_up().to_json()
    assert [line.partition(":")[0] for line in err.splitlines()] == ["written"] * 3
    assert "Diagnosis of blocks.0.warp" in (tmp_path / "new" / "page.html").read_text()
    assert (tmp_path / "records" / "diagnosis.html").is_file()
    record = json.loads((tmp_path / "records" / "diagnosis.json").read_text())
    assert record["settings"]["target"] == f"{module}:mapping"
    assert record["diagnosis"]["verdict"] == "fail"
    assert warptheory("diagnose", f"{module}:mapping", *files)[0] == 1  # what it wrote it replaces


def test_files_of_others_are_left_alone_before_anything_is_done(warptheory, module, called, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("mine")
    code, out, err = warptheory("diagnose", f"{module}:mapping", "--html", page)
    assert (code, out, err.count("\n"), called) == (2, "", 1, [])
    assert page.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "MODULE:NAME: expected package.module:name, such as train:build, got 'a_users_models:'"),
        ("mapping()", "MODULE:NAME: expected package.module:name"),
        ("class", "MODULE:NAME: expected package.module:name"),
        ("Builders..whole", "MODULE:NAME: expected package.module:name"),
        ("absent", "expected a name in a_users_models, got 'absent', which is not there"),
        ("Builders.absent", "expected a name in a_users_models, got 'Builders.absent', which is not there"),
        ("number", "expected a callable that returns a model, got a_users_models:number, a int"),
        ("fails", r"called without arguments, got a_users_models:fails: SystemExit: no\x1b[2J"),
        ("Net.forward", "called without arguments, got a_users_models:Net.forward: TypeError"),
        ("nothing", "as its return value, got something without a model"),
        ("triple", "as its return value, got a tuple of 3"),
        ("unknown", "as its return value, got a dict with 'optimiser'"),
        ("text_batches", "expected an iterable of (inputs, target) as batches of its return value, got 'ab'"),
        ("no_loss", "expected a callable of output and target as loss of its return value, got 3"),
        ("no_optimizer", "expected a torch optimizer as optimizer of its return value, got 3"),
        ("no_model", "expected a torch module as model of its return value, got 3"),
        ("model", "--data: expected a data set, as a_users_models:model returns no batches, got none"),
        ("not_scalar", "loss of a_users_models:not_scalar: expected"),
        ("wrong_batch", " of a_users_models:wrong_batch: expected"),
        ("without_sampling", "model of a_users_models:without_sampling: expected"),
    ],
)
def test_bad_callables(name, message, warptheory, module):
    code, out, err = warptheory("diagnose", f"{module}:{name}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:build", "expected a module that can be imported, got no_such_module: ModuleNotFoundError"),
        ("a_broken_module:build", r"a_broken_module: RuntimeError: no\x1b[2J"),
        ("a_users_models", "expected package.module:name"),
        ("__import__('os').system('true'):build", "expected package.module:name"),
        ("..os:getcwd", "expected package.module:name"),
    ],
)
def test_bad_modules(target, message, warptheory, module):
    code, out, err = warptheory("diagnose", target)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("Error: MODULE:NAME: ")
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("mapping", "--data", "digits"),
            "--data: expected none, as a_users_models:mapping returns batches, got 'digi",
        ),
        (("model", "--data", "digit"), "did you mean 'digits'"),
        (("model", "--data", "digits", "--batch", 5000), "--batch: expected an integer in 1 … 1438, got 5000"),
        (("model", "--data", "digits", "--batches", 0), "--batches: expected a positive integer, got 0"),
        (("model", "--data", "digits", "--optimizer", "adam"), "--optimizer: expected one of adamw, sgd"),
        (("model", "--data", "digits", "--learning-rate", "-1"), "--learning-rate: expected a finite number > 0"),
        (("model", "--data", "digits", "--data-option", "seed=5"), "--data-option: expected no seed"),
        (("model", "--data-option", "size=5"), "--data: expected a data set, for options of it"),
        (("mapping", "--batches", 0), "--batches: expected"),
        (("mapping", "--steps", 0), "--steps: expected a positive integer"),
    ],
    ids=str,
)
def test_bad_options(arguments, message, warptheory, module):
    name, *others = arguments
    code, out, err = warptheory("diagnose", f"{module}:{name}", *others)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


def test_a_model_is_diagnosed(warptheory, module):
    """By the library itself, without a stand-in."""
    code, out, _ = warptheory("diagnose", f"{module}:mapping", "--batches", 2, "--json")
    found = Diagnosis.from_json(out)
    assert found.model == "Net"
    assert set(found.offset_only) == {"head.weight", "head.bias"}
    assert code == int(found.verdict != "ok")


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("found", [made_up(layers=9), nothing_known(), made_up(HOSTILE)])
def test_tables_of_a_terminal(found, width):
    written = io.StringIO()
    print_diagnosis(found, Console(file=written, force_terminal=True, width=width, color_system=None, highlight=False))
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= min(width, 120)
    assert "\x1b[2J" not in written.getvalue()
    text = " ".join(written.getvalue().split())
    assert found.headline.split("(")[0] in text
    assert all(each.split()[0] in text for each in found.advice)
