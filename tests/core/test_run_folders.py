import json

import pytest

from warptheory.core.errors import ArgumentError
from warptheory.core.run_folders import CONFIGURATION, check_configuration, held


def test_a_folder_is_held_by_one(tmp_path):
    with held(tmp_path), pytest.raises(ArgumentError, match="no other run is using, got .* in use by process "):
        held(tmp_path).__enter__()
    with held(tmp_path):
        pass


def test_another_configuration_is_named(tmp_path):
    check_configuration(tmp_path, {"seed": 1, "names": ("a", "b")})
    check_configuration(tmp_path, {"names": ["a", "b"], "seed": 1})
    assert json.loads((tmp_path / CONFIGURATION).read_text())["configuration"] == {"seed": 1, "names": ["a", "b"]}
    with pytest.raises(ArgumentError, match="in which seed was 1 and is 2; steps was None and is 3$"):
        check_configuration(tmp_path, {"seed": 2, "names": ["a", "b"], "steps": 3})
