import json
import math
import os
import resource
import signal

import pytest

from warptheory.core.errors import ArgumentError
from warptheory.core.files import MARK
from warptheory.core.run_folders import CONFIGURATION, changes, check_configuration, held


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


@pytest.mark.parametrize("content", ["{", "[1, 2]", '{"configuration": [1]}', "{}", b"\xff"], ids=str)
def test_a_configuration_that_cannot_be_read(content, tmp_path):
    path = tmp_path / CONFIGURATION
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ArgumentError) as caught:
        check_configuration(tmp_path, {"seed": 1})
    expected = f"out: expected a readable {CONFIGURATION} (--fresh starts over), got {path}: "
    assert str(caught.value).startswith(expected)


def test_what_changed_stays_readable():
    before = {"claims": [[n, "x" * 9] for n in range(66)], "text": "a" * 200, "size": 1, "limit": math.nan}
    now = {"claims": [[n, "x" * 9] for n in range(26, 158)], "text": "b" * 200, "size": 2, "limit": math.nan}
    told = changes(before, now)
    assert told.startswith("claims: 66 entries were, 132 are, 40 in common; size was 1 and is 2; text was 'aaa")
    assert len(told) < 300
    assert changes(before, {**before, "claims": None}) == "claims was 66 entries and is None"
    assert changes({}, {f"name{n}": n for n in range(99)}).endswith("; 91 more changed")
    assert changes(before, before) == changes({"names": ("a",)}, {"names": ["a"]}) == ""


def test_a_lock_is_never_empty_on_a_full_disk(tmp_path):
    with held(tmp_path):
        pass
    lock = tmp_path / "lock"
    before = lock.read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # nothing more can be written to any file
    try:
        with pytest.raises(OSError, match="too large"), held(tmp_path):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert lock.read_text() == before
    with held(tmp_path):
        pass


def test_a_lock_of_a_longer_number_is_taken_over_also_half_written(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text(f"process 1\n{MARK}\n1\n")  # killed before the rest of a longer one was cut off
    with held(tmp_path):
        assert lock.read_text() == f"process {os.getpid()}\n{MARK}\n"
