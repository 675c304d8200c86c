"""Names that there are not are told early, with what is near; errors name the option that was typed."""

import importlib

import pytest
import typer

from warptheory.cli import build_app
from warptheory.core.catalogue import entry_modules
from warptheory.core.errors import ArgumentError, UnknownNameError, WarpTheoryError

pytestmark = pytest.mark.usefixtures("as_users_call")

COMMANDS = typer.main.get_command(build_app()).commands
PARAMETERS = [(name, parameter) for name, command in sorted(COMMANDS.items()) for parameter in command.params]
PARAMETERS = [(name, parameter) for name, parameter in PARAMETERS if parameter.name != "help"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("verify", "a99"), "RESULT: expected one of A0, A1, A2, "),
        (("derive", "a44"), "got 'a44' (did you mean 'A4'?)"),
        (("sweep", "A4a", "--over", "s=1"), "RESULT: expected one of A0"),
        (("verify", "A4", "--kernel", "linaer"), "--kernel: expected one of bspline3, "),
        (("verify", "A4", "--kernel", "linaer"), "(did you mean 'linear'?)"),
        (("verify", "A4", "--kernel", "Bilinaer"), "(did you mean 'bilinear'?)"),
        (("derive", "A4", "--offsets", "NORMAL"), "--offsets: expected one of constant, "),
        (("derive", "A4", "--offsets", "NORMAL"), "(did you mean 'normal'?)"),
        (("train", "--model", "foo"), "--model: expected one of net1d, "),
        (("train", "--model", "selfwarp-resnet2O"), "'selfwarp-resnet20'"),
        (("train", "--data", "cifar"), "--data: expected one of affine_digits, "),
        (("bench", "wrap"), "BENCHMARK: expected one of fields, "),
        (("analyse", "verdict"), "(did you mean 'verdicts'?)"),
        (("figure", "3"), "FIGURE: expected one of figure1_warped_image"),
        (("reproduce", "--only", "verdict"), "--only: expected one of "),
        (("derive", "B7", "--quantity", "preimage"), "--quantity: expected one of "),
        (("sweep", "A4", "--over", "kernel=linaer"), "--over kernel: expected one of "),
        (("sweep", "A4", "--over", "s=-1"), "--over s: expected a number > 0"),
        (("sweep", "A4", "--over", "s=1", "--given", "sgima=1"), "(did you mean 'sigma'?)"),
        (("train", "--data", "digits", "--data-dir", "x"), "--data-dir: expected None"),
        (
            ("train", "--data", "cifar10"),
            "--data-dir: expected the folder of cifar-10-binary.tar.gz, or --download, got",
        ),
        (("train", "--batch", "0"), "--batch: expected a positive integer, got 0"),
    ],
    ids=str,
)
def test_names_that_there_are_not(warptheory, arguments, told):
    code, out, errors = warptheory(*arguments)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert told in errors


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS, ids=lambda value: getattr(value, "name", value))
def test_every_option_is_named_as_it_is_typed(name, parameter):
    """An error of the library that names a function's argument, raised from within the command."""
    command = COMMANDS[name]

    def fail(*_, **__):
        raise ArgumentError(parameter.name, expected="a better one", received="this")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "callback", fail)
        context = command.context_class(command, info_name=name)
        with pytest.raises(ArgumentError) as raised:
            command.invoke(context)
    written, _, told = str(raised.value).partition(": expected ")
    assert told == "a better one, got this"
    if parameter.param_type_name == "option":
        assert written in parameter.opts
        assert written.startswith("--")
    else:
        assert written.isupper()
        assert written in (parameter.metavar or parameter.name.upper())


@pytest.mark.parametrize(
    ("name", "argument", "option"),
    [
        (name, argument, option)
        for name, module in sorted(entry_modules("warptheory.cli.commands").items())
        for argument, option in getattr(importlib.import_module(module), "CALLED", {}).items()
    ],
)
def test_other_arguments_of_the_library_are_named_by_options(name, argument, option):
    assert option in [parameter.name for parameter in COMMANDS[name].params]
    assert COMMANDS[name].options()[argument] == COMMANDS[name].options()[option]


def test_what_was_expected_names_options_too():
    command = COMMANDS["train"]

    def told(error):
        with pytest.raises(WarpTheoryError) as raised, command._translated():
            raise error
        return str(raised.value)

    error = ArgumentError("data_dir", expected="a folder, or download=True", received="/home/data_dir/download=True")
    assert told(error) == "--data-dir: expected a folder, or --download, got /home/data_dir/download=True"
    assert told(WarpTheoryError("a smaller learning_rate")) == "a smaller --learning-rate"
    unknown = UnknownNameError("model_options", "grops", ["groups"])
    assert told(unknown) == "--model-option: expected one of groups, got 'grops' (did you mean 'groups'?)"


def test_an_alias_stands_for_its_kernel(warptheory):
    """And a label in small letters for the result."""
    code, out, _ = warptheory("derive", "a3", "--kernel", "bilinear", "--brief")
    assert (code, out) == warptheory("derive", "A3", "--kernel", "linear", "--brief")[:2]
    assert code == 0
    assert "9·σ²/14" not in out
