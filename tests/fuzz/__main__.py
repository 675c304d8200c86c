"""Call the core with hostile input, case after case: `make fuzz`, or `python -m tests.fuzz --help`.

Every case is a function of (seed, number). Cases run in a process of their own, so that one that crashes or does not
end is a failure with a number, like any other. A record counts what ran; the next call goes on where it ends, and
first runs again the cases that have failed.
"""

import argparse
import collections
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

CASES = "tests.fuzz.case"
RECORD = Path(__file__).parent / "record.json"
_REPORT_EVERY = 200  # cases
_CASES_OF_A_PROCESS = 20_000
_SECONDS_WITHOUT_NEWS = 3600.0  # a busy machine compiles for minutes


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="how many more cases to run")
    parser.add_argument("--seed", type=int, default=0, help="of all cases; another one begins another record")
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="run one case here, and show what it raises")
    parser.add_argument("--record", type=Path, default=RECORD, help="file that counts the cases")
    parser.add_argument("--child", nargs=3, metavar=("MODULE", "FIRST", "LAST"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        module, first, last = arguments.child
        _work(module, arguments.seed, range(int(first), int(last)))
    elif arguments.replay is not None:
        _replay(arguments.seed, arguments.replay)
    else:
        sys.exit(fuzz(arguments.record, arguments.seed, arguments.cases) > 0)


def fuzz(path: Path, seed: int, cases: int, module: str = CASES) -> int:
    """Run so many more cases of a module, keep the record, and return how many cases fail by now."""
    from warptheory.core import records

    record = _opened(path, seed)
    manifest = records.Manifest("python -m tests.fuzz", seed, "cpu")
    run = {"commit": manifest.commit, "machine": manifest.machine, "versions": dict(manifest.versions), "cases": 0}
    record["runs"].append(run)
    failed, record["failures"] = record["failures"], []
    for failure in failed:
        number = failure["number"]
        again = [fresh for news in _news(module, seed, range(number, number + 1)) for fresh in news["failures"]]
        record["failures" if again else "mended"] += again or [failure]
    last = record["next"] + cases
    while record["next"] < last:
        first = record["next"]
        for news in _news(module, seed, range(first, min(last, first + _CASES_OF_A_PROCESS))):
            run["cases"] += news["next"] - record["next"]
            record["next"] = news["next"]
            record["kinds"] = dict(collections.Counter(record["kinds"]) + collections.Counter(news["kinds"]))
            record["failures"] += news["failures"]
            records.write_json(path, record)
            for failure in news["failures"]:
                print(f"case {failure['number']}, {failure['kind']}: {failure['error']}", flush=True)
    records.write_json(path, record)
    print(f"{record['next']} cases, of which {len(record['failures'])} fail")
    return len(record["failures"])


def _opened(path: Path, seed: int) -> dict[str, Any]:
    if path.is_file():
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["seed"] == seed:
            return record
    return {"seed": seed, "next": 0, "kinds": {}, "failures": [], "mended": [], "runs": []}


def _news(module: str, seed: int, numbers: range) -> Iterator[dict[str, Any]]:
    """Run cases in a process of its own; yield what it reports, and one report more if it ends before its time."""
    with tempfile.TemporaryFile() as progress:
        child = ["--child", module, str(numbers.start), str(numbers.stop)]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz", "--seed", str(seed), *child],
            env={**os.environ, "FUZZ_PROGRESS": str(progress.fileno()), "WARPTHEORY_CACHE": "off"},
            stdout=subprocess.PIPE,
            pass_fds=[progress.fileno()],
            text=True,
            cwd=Path(__file__).parents[2],
        ) as process:
            assert process.stdout is not None
            reached, is_talking = numbers.start, True
            while reached < numbers.stop:
                is_talking = bool(select.select([process.stdout], [], [], _SECONDS_WITHOUT_NEWS)[0])
                line = process.stdout.readline() if is_talking else ""
                if not line:
                    break
                news = json.loads(line)
                reached = news["next"]
                yield news
            if reached == numbers.stop:
                return
            process.kill()
            status = process.wait()
        number = max(int.from_bytes(os.pread(progress.fileno(), 8, 0), "little"), reached)
        how = f"the process ended with status {status}" if is_talking else "no news for an hour"
        yield {"next": number + 1, "kinds": {}, "failures": [{"number": number, "kind": "crash", "error": how}]}


def _work(module: str, seed: int, numbers: range) -> None:
    """Run cases, and report in lines of JSON."""
    cases = import_module(module)
    progress = int(os.environ["FUZZ_PROGRESS"])
    kinds: collections.Counter[str] = collections.Counter()
    failures: list[dict[str, Any]] = []
    for number in numbers:
        os.pwrite(progress, number.to_bytes(8, "little"), 0)
        kind = cases.kind_of(seed, number)
        kinds[kind] += 1
        try:
            cases.run_case(seed, number)
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            failures.append({"number": number, "kind": kind, "error": told[:400]})
        if failures or (number + 1) % _REPORT_EVERY == 0 or number + 1 == numbers.stop:
            print(json.dumps({"next": number + 1, "kinds": kinds, "failures": failures}), flush=True)
            kinds.clear()
            failures.clear()


def _replay(seed: int, number: int) -> None:
    cases = import_module(CASES)
    print(f"case {number} of seed {seed}: {cases.kind_of(seed, number)}")
    cases.run_case(seed, number)
    print("as it should be")


if __name__ == "__main__":
    main()
