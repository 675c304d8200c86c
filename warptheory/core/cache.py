"""A cache on disk for texts and numbers that take long to derive; a changed definition makes it forget.

An entry's name is the hash of what was asked, of every source file that the answer can depend on, and of
the versions of Python and of the packages that compute it. So an entry never has to be declared invalid:
after an edit it is not found any more, and in time it makes room for others. The cache only ever saves
time: a folder that cannot be written, or a damaged entry, means that the answer is computed.

`WARPTHEORY_CACHE` names the folder; `WARPTHEORY_CACHE=off` computes everything afresh.
"""

import json
import os
import platform
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from warptheory.core.errors import ArgumentError
from warptheory.core.files import content_of, write_text

# Everything that a result may import, and so everything that a derivation can depend on. The operator on
# tensors and the estimators change no derivation today; they are named because nothing keeps a result from
# using them, and an edit of theirs costs one more derivation, while a stale theorem costs trust.
DERIVATION_ROOMS = (
    "core",
    "kernels",
    "fields",
    "warping",
    "symbolic",
    "patterns",
    "matrices",
    "operators",
    "montecarlo",
    "results",
)

# All results in every setting that `verify` checks are a few thousand entries of a few kilobytes.
MAX_ENTRIES = 4096
MAX_BYTES = 64 * 2**20

_PACKAGE = Path(__file__).resolve().parents[1]
_COMPUTING_PACKAGES = ("mpmath", "numpy", "scipy", "sympy", "torch")
_ENTRY_NAME = re.compile(r"\.?[0-9a-f]{64}\.json.*")  # with a dot in front: left behind by a killed process
_BEGINNING, _ENDING = b'{"request": ', b'"}\n'  # of every entry
_STARTED_NS = time.time_ns()

Request = Mapping[str, str] | Sequence[str]


def cached_text(request: Request, rooms: Sequence[str], make: Callable[[], str]) -> str:
    """Return the text that `make` returns, from the cache if it is there.

    Args:
        request: what is asked; with the sources and versions it determines the text.
        rooms: folders or files of the package on whose sources the text depends, such as "kernels" or
            "cli/commands/derive.py".
        make: computes the text; what it raises is passed on and not kept.
    """
    return _cached("text", request, tuple(rooms), make)


def cached_number(request: Request, rooms: Sequence[str], make: Callable[[], float]) -> float:
    """Return the number that `make` returns, to the last bit; arguments as in `cached_text`."""
    return float.fromhex(_cached("number", request, tuple(rooms), lambda: float(make()).hex()))


def cache_folder() -> Path | None:
    """Return the folder of the cache, which need not exist; None if the cache is off or has no place."""
    chosen = os.environ.get("WARPTHEORY_CACHE", "")
    if chosen == "off":
        return None
    if chosen:
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME", ""):
        return Path(base) / "warptheory"
    try:
        return Path.home() / ".cache" / "warptheory"
    except RuntimeError:  # a user without a home
        return None


def source_digest(rooms: Sequence[str], root: Path) -> str | None:
    """Return the hash of all Python sources in some rooms; None if a room has no sources to look at.

    Args:
        rooms: folders or files below `root`.
        root: folder of the package.
    """
    total = sha256()
    for room in rooms:
        sources = _sources(room, root)
        if not sources:
            return None
        for path in sources:
            content = path.read_bytes()
            total.update(f"{path.relative_to(root).as_posix()}\n{len(content)}\n".encode())
            total.update(content)
    return total.hexdigest()


def entry_key(kind: str, request: Request, digest: str) -> str:
    """Return the name of an entry.

    Args:
        kind: what is kept, "text" or "number".
        request: what is asked.
        digest: `source_digest` of what the answer depends on.
    """
    whole = json.dumps([kind, _plain(request), digest, _versions()], sort_keys=True)
    return sha256(whole.encode()).hexdigest()


def _cached(kind: str, request: Request, rooms: tuple[str, ...], make: Callable[[], str]) -> str:
    folder, digest = cache_folder(), _digest(rooms, _PACKAGE)
    if folder is None or digest is None:
        return make()
    path = folder / f"{entry_key(kind, request, digest)}.json"
    text = _read(path, request)
    if text is None:
        text = make()
        if not _edited_since_start(rooms):
            _store(path, request, text)
    return text


@cache
def _digest(rooms: tuple[str, ...], root: Path) -> str | None:
    """Look at the sources once: this process goes on with the modules that it has loaded."""
    try:
        return source_digest(rooms, root)
    except OSError:
        return None


def _sources(room: str, root: Path) -> list[Path]:
    if room.endswith(".py"):
        return [root / room]
    return sorted((root / room).rglob("*.py"))


def _edited_since_start(rooms: tuple[str, ...]) -> bool:
    """Tell whether a source may differ from the module that this process has loaded."""
    try:
        return any(path.stat().st_mtime_ns > _STARTED_NS for room in rooms for path in _sources(room, _PACKAGE))
    except OSError:
        return True


@cache
def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: _version(name) for name in _COMPUTING_PACKAGES}}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _plain(request: Request) -> dict[str, str] | list[str]:
    return dict(request) if isinstance(request, Mapping) else list(request)


def _entry(request: Request, text: str) -> dict[str, object]:
    # ASCII with escapes: a text with a lone surrogate has a hash, too.
    checksum = sha256(json.dumps(text).encode()).hexdigest()
    return {"request": _plain(request), "text": text, "sha256": checksum}


def _read(path: Path, request: Request) -> str | None:
    """Return the text of an entry; None unless it is whole and answers this very request."""
    try:
        stored = json.loads(content_of(path) or b"")  # which waits for no pipe that lies there
    except (ValueError, RecursionError):
        return None
    text = stored.get("text") if isinstance(stored, dict) else None
    return text if isinstance(text, str) and stored == _entry(request, text) else None


def _store(path: Path, request: Request, text: str) -> None:
    with suppress(OSError, ArgumentError):  # the latter if a link is in the way
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file whose name is the hash of this very request may be damaged beyond recognition.
        write_text(path, json.dumps(_entry(request, text)) + "\n", lambda place: content_of(place) is not None)
        _evict(path.parent)


def _evict(folder: Path) -> None:
    """Delete the oldest entries until the rest is within the bounds; other files are left alone, links too."""
    found = [(path.lstat(), path) for path in folder.iterdir() if _ENTRY_NAME.fullmatch(path.name)]
    total = 0
    for number, (state, path) in enumerate(sorted(found, key=lambda entry: -entry[0].st_mtime_ns), start=1):
        total += state.st_size
        if (number > MAX_ENTRIES or total > MAX_BYTES) and _is_entry(path):
            path.unlink(missing_ok=True)


def _is_entry(path: Path) -> bool:
    """Whether a file is an entry by its content: whole, damaged, or half written."""
    content = content_of(path)
    if content is None:
        return False
    is_begun = content.startswith(_BEGINNING) or _BEGINNING.startswith(content)
    return is_begun or (b'"sha256": "' in content and content.endswith(_ENDING))
