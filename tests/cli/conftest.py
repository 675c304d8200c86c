"""The command line, run in the process."""

import sys

import pytest

from warptheory.cli import main


@pytest.fixture
def warptheory(monkeypatch, capsys, tmp_path_factory):
    """Run `warptheory ARGUMENTS` with an empty cache; return exit code, standard output and standard error."""
    monkeypatch.setenv("WARPTHEORY_CACHE", str(tmp_path_factory.mktemp("cache")))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["warptheory", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run
