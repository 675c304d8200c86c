"""Run the core's tests with the torch of this environment, and record how they ended: python -m tests.torch_versions.

The range of torch in pyproject.toml is tried at both ends: in an environment with the oldest torch and in one with
the newest, each with the package's other requirements. `record.json` keeps the last run of each version.
"""

import argparse
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RECORD = HERE / "record.json"
TESTS = ("core", "kernels", "fields", "warping", "operators", "tracing", "contracts/test_boundary_contract.py")
BESIDE = ("torch", "triton", "numba", "numpy", "sympy")
_COUNT = re.compile(r"(\d+) (passed|failed|error|skipped)")


def versions() -> dict[str, str]:
    """Return the versions of what the core rests on, where it is installed."""
    found = {"python": platform.python_version()}
    for name in BESIDE:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def run(tests: list[str]) -> dict[str, int]:
    """Run tests in a process of their own; return how many passed, failed and so on."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *tests]
    done = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True)
    print(done.stdout[-4000:], done.stderr[-1000:], flush=True)
    counts = {kind: int(number) for number, kind in _COUNT.findall(done.stdout.splitlines()[-1])}
    if done.returncode not in (0, 1) or not counts:
        counts["error"] = counts.get("error", 0) + 1
    return counts


def record(tests: list[str]) -> bool:
    """Record a run of tests under this environment's torch; return whether none failed."""
    known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    found = versions()
    entry = known.setdefault(found["torch"], {"versions": found, "tests": {}})
    entry["versions"] = found
    for each in tests:
        entry["tests"][each] = run([f"tests/{each}"])
        known = dict(sorted(known.items()))
        RECORD.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    return not any(kind in counts for counts in entry["tests"].values() for kind in ("failed", "error"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tests", nargs="*", default=list(TESTS), help="folders or files of tests/, default: the core's")
    sys.exit(0 if record(parser.parse_args().tests) else 1)
