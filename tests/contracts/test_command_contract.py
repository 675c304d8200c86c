"""The contract of commands: each explains itself with a worked example, and refuses what it does not know."""

import importlib

import pytest
import typer

from warptheory.cli import build_app
from warptheory.core.catalogue import entry_modules

COMMANDS = entry_modules("warptheory.cli.commands")
pytestmark = pytest.mark.usefixtures("as_users_call")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_has_an_example(warptheory, name):
    code, out, _ = warptheory(name, "--help")
    check_help(name, code, out)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_unknown_options_are_bad_usage(warptheory, name):
    code, _, err = warptheory(name, "--no-such-option")
    assert code == 2
    assert "--no-such-option" in err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_its_first_line_says_what_it_does(name):
    check_documentation(importlib.import_module(COMMANDS[name]).command)


def test_a_command_without_an_example_would_be_seen():
    def silent() -> None:
        pass

    with pytest.raises(AssertionError):
        check_help("silent", 0, "Usage: warptheory silent")
    with pytest.raises(AssertionError):
        check_documentation(silent)


def test_every_command_is_offered():
    offered = typer.main.get_command(build_app()).commands
    assert set(offered) == set(COMMANDS)


def check_help(name, code, out):
    assert code == 0
    assert f"warptheory {name}" in " ".join(out.split())
    assert "Example" in out


def check_documentation(command):
    assert len((command.__doc__ or "").strip()) > 20
