"""What both archives share: damaged and hostile files, and the download, from a server on this machine."""

import gzip
import http.server
import tarfile
import threading
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.data.archives import CIFAR100, expecting, link, members_of, packed, random_batches
from warptheory.core.errors import ArgumentError
from warptheory.training.data import DownloadError, _cifar
from warptheory.training.data.cifar100 import _ARCHIVE

pytestmark = pytest.mark.usefixtures("as_users_call")


@cache
def contents():
    return members_of(CIFAR100, random_batches(CIFAR100, 2))


@cache
def whole():
    return packed(contents())


def changed(**members):
    """The members, some with other contents; None leaves one out."""
    new = {f"cifar-100-binary/{name}": content for name, content in members.items()}
    return {name: content for name, content in {**contents(), **new}.items() if content is not None}


def outcome(path, content):
    """Return the data, or the message of a refusal."""
    path.write_bytes(content)
    try:
        return _cifar.read_archive(path, _ARCHIVE)
    except ArgumentError as error:
        return str(error)


def refusal(path, content):
    message = outcome(path, content)
    assert isinstance(message, str)
    assert message.startswith("data_dir: expected ")
    assert f"got {path}: " in message
    return message


@given(kept=st.integers(0, len(whole()) - 1))
def test_an_archive_that_is_cut_off_anywhere(tmp_path_factory, kept):
    path = tmp_path_factory.mktemp("cut") / "archive.tar.gz"
    assert "a whole tar archive compressed by gzip" in refusal(path, whole()[:kept])


@given(place=st.integers(0, len(whole()) - 1), value=st.integers(1, 255))
def test_a_changed_byte_is_found_or_without_effect(tmp_path_factory, place, value):
    """The header of gzip has bytes that mean nothing here, such as the time; all data are under its sum."""
    path = tmp_path_factory.mktemp("changed") / "archive.tar.gz"
    intact = outcome(path, whole())
    content = bytearray(whole())
    content[place] ^= value
    found = outcome(path, bytes(content))
    assert isinstance(found, str) or torch.equal(found.train.images, intact.train.images)


@given(place=st.integers(0, 511), header=st.integers(0, 3), value=st.binary(min_size=1, max_size=12))
def test_hostile_headers_are_read_or_refused(tmp_path_factory, place, header, value):
    """Whatever stands in the header of a member, also under a valid sum of the header and of the compression."""
    path = tmp_path_factory.mktemp("header") / "archive.tar.gz"
    unpacked = bytearray(gzip.decompress(whole()))
    starts = [at for at in range(0, len(unpacked), 512) if unpacked[at + 257 : at + 262] == b"ustar"]
    start = starts[header]
    unpacked[start + place : start + place + len(value)] = value
    for summed in (unpacked, with_sum(unpacked, start)):
        found = outcome(path, gzip.compress(bytes(summed), compresslevel=0))
        assert not isinstance(found, str) or f"got {path}: " in found


def with_sum(unpacked, start):
    """Correct the sum of a header: that of its bytes, with blanks in the place of the sum."""
    header = bytearray(unpacked[start : start + 512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return unpacked[:start] + header + unpacked[start + 512 :]


@pytest.mark.parametrize("size", [b"\x80" + bytes(3) + b"\xff" * 8, b"77777777777\0", b"\xff" * 11 + b"\0"])
def test_members_of_impossible_sizes(tmp_path, size):
    """The largest number of the header's binary form and of its octal one, and a negative one."""
    unpacked = bytearray(gzip.decompress(whole()))
    unpacked[124:136] = size
    refusal(tmp_path / "archive.tar.gz", gzip.compress(bytes(with_sum(unpacked, 0)), compresslevel=0))


# gzip writes the time of day; the names of the cases must be the same in every worker of a parallel run.
@pytest.mark.parametrize(
    "content",
    [b"", b"not an archive", gzip.compress(b""), gzip.compress(b"not an archive")],
    ids=["empty", "text", "nothing compressed", "text compressed"],
)
def test_other_files(tmp_path, content):
    refusal(tmp_path / "archive.tar.gz", content)


def test_something_behind_the_archive(tmp_path):
    refusal(tmp_path / "archive.tar.gz", whole() + b"more")


@pytest.mark.parametrize("name", ["../above.bin", "/etc/above.bin", "cifar-100-binary/../../above.bin"])
def test_members_that_leave_the_archive(tmp_path, name):
    message = refusal(tmp_path / "archive.tar.gz", packed({**contents(), name: b"x"}))
    assert f"expected members inside the archive's folder, got {tmp_path}/archive.tar.gz: member '{name}'" in message
    assert [path.name for path in tmp_path.iterdir()] == ["archive.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_members_that_are_no_files(tmp_path, kind):
    """Also in the place of a member that is read."""
    name = "cifar-100-binary/test.bin"
    message = refusal(tmp_path / "archive.tar.gz", packed(changed(**{"test.bin": None}), link(name, "train.bin", kind)))
    assert f"member '{name}', a link or a device" in message


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"test.bin": None, "train.bin": None}, "no member cifar-100-binary/test.bin, cifar-100-binary/train.bin"),
        ({"train.bin": b""}, "expected records of 3074 bytes, got .*: 0 bytes in member 'cifar-100-binary/train.bin'"),
        ({"test.bin": bytes(3073)}, "expected records of 3074 bytes, got .*: 3073 bytes in member"),
        (
            {"test.bin": bytes(3074) + b"\x00\x64" + bytes(3072)},
            "expected labels below 100, got .*: 100 in record 1 of member 'cifar-100-binary/test.bin'",
        ),
        ({"fine_label_names.txt": b"one\ntwo\n"}, "expected names of 100 classes, got .*: 2 in member"),
        ({"fine_label_names.txt": b"\xff\n" * 99}, "expected names of 100 classes, got .*: 99 in member"),
    ],
)
def test_members_with_other_contents(tmp_path, members, message):
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(refusal(tmp_path / "archive.tar.gz", packed(changed(**members))))


@pytest.fixture
def published(monkeypatch):
    """The description of an archive that a server on this machine offers, and the folder of the server's answers."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    answers = {"/cifar-100-binary.tar.gz": whole()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = answers.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/cifar-100-binary.tar.gz"
    yield expecting(replace(_ARCHIVE, url=url), whole()), answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_download_is_kept(tmp_path, published):
    archive, answers = published
    fetched = _cifar.load_archive(archive, tmp_path / "new", download=True)
    answers.clear()
    again = _cifar.load_archive(archive, tmp_path / "new", download=True)
    kept = _cifar.load_archive(archive, tmp_path / "new", download=False)
    assert torch.equal(fetched.train.images, again.train.images)
    assert torch.equal(fetched.train.images, kept.train.images)


def test_a_download_shows_its_progress_on_a_terminal_alone(tmp_path, published, monkeypatch, capsys):
    _cifar.load_archive(published[0], tmp_path / "quiet", download=True)
    assert "B/s" not in capsys.readouterr().err
    monkeypatch.setenv("FORCE_COLOR", "1")  # by which rich takes any stream for a terminal
    _cifar.load_archive(published[0], tmp_path / "shown", download=True)
    size = f"{len(whole()) / 1000:.1f}"
    assert f"{size}/{size} kB" in capsys.readouterr().err


def test_without_a_folder_the_download_goes_to_the_cache(tmp_path, published, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / project)
    assert len(_cifar.load_archive(published[0], None, download=True).test.labels) == 2
    assert (tmp_path / "warptheory" / "cifar-100-binary.tar.gz").is_file()


@pytest.mark.parametrize("answer", [None, b"something else", whole()[:-1]])
def test_a_download_that_is_not_the_published_file(tmp_path, published, answer):
    archive, answers = published
    answers["/cifar-100-binary.tar.gz"] = answer
    with pytest.raises(DownloadError, match=f"^{archive.url} could not be fetched: "):
        _cifar.load_archive(archive, tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_refused_and_not_replaced(tmp_path, published):
    path = tmp_path / "cifar-100-binary.tar.gz"
    path.write_bytes(whole()[:100])
    with pytest.raises(ArgumentError, match=f"{path}: MD5 .* of 100 bytes: damaged, or not downloaded whole"):
        _cifar.load_archive(published[0], tmp_path, download=True)
    assert path.read_bytes() == whole()[:100]
