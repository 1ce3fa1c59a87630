"""A file of JSON lines: whole lines, on disk, and nothing said that is not so."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pollers.destinations.file import FileDestination, append, path_of
from pollers.errors import ConfigurationError, SourceError, Undelivered
from pollers.flow.records import Partition
from pollers.spi import Failure


def failure(number: int = 1, body: str = "x") -> Failure:
    document = {"requestContext": {"requestId": str(number)}, "version": "1.0", "KinesisBatchInfo": {"batchSize": 1}}
    return Failure(document, {"Records": [{"body": body}]}, [None], "mapping", Partition("shard"))


def lines(path: Path) -> list[Any]:
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.rule("5.9-7", "12-4")
async def test_line_is_the_document_with_its_payload_as_a_json_string(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    destination = FileDestination(path)
    await destination.open()
    await destination.deliver(failure(body='line\nbreak "quoted" \u20ac'))
    (line,) = lines(path)
    assert list(line) == ["requestContext", "version", "KinesisBatchInfo", "payload"]
    assert json.loads(line["payload"]) == {"Records": [{"body": 'line\nbreak "quoted" \u20ac'}]}


async def test_documents_are_appended_in_order(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    for first in (0, 3):
        destination = FileDestination(path)
        await destination.open()
        await asyncio.gather(*(destination.deliver(failure(first + number)) for number in range(3)))
        await destination.close()
    assert [line["requestContext"]["requestId"] for line in lines(path)] == list("012345")


async def test_file_is_its_owners_alone(tmp_path: Path) -> None:
    await FileDestination(tmp_path / "f").deliver(failure())
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


async def test_torn_last_line_of_an_earlier_run_is_left_and_a_new_line_begun(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b'{"whole":1}\n{"torn":')
    await FileDestination(path).deliver(failure())
    first, torn, last = path.read_bytes().splitlines()
    assert (first, torn) == (b'{"whole":1}', b'{"torn":')
    assert json.loads(last)["version"] == "1.0"


def test_threads_and_processes_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    path = tmp_path / "f"
    sizes = [10, 5_000, 200_000]
    with ThreadPoolExecutor(8) as pool:
        for outcome in [pool.submit(append, path, b"%d" % n * sizes[n % 3] + b"\n") for n in range(48)]:
            outcome.result()
    written = path.read_bytes().splitlines()
    assert sorted(written) == sorted(b"%d" % n * sizes[n % 3] for n in range(48))


async def test_text_that_is_no_unicode_is_kept_escaped(tmp_path: Path) -> None:
    await FileDestination(tmp_path / "f").deliver(failure(body="\ud800"))
    (line,) = lines(tmp_path / "f")
    assert json.loads(line["payload"])["Records"][0]["body"] == "\ud800"


async def test_full_disk_is_said_and_nothing_is_delivered() -> None:
    with pytest.raises(Undelivered) as caught:
        await FileDestination("/dev/full").deliver(failure())
    assert caught.value.reason == "no space left on device; make room on the disk"
    assert caught.value.destination == "file:///dev/full"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size`: a disk that fills up in the middle of a line."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


async def test_line_that_fits_only_in_part_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "f"
    await FileDestination(path).deliver(failure(1))
    whole = path.read_bytes()
    with largest_file(len(whole) + 10), pytest.raises(Undelivered) as caught:
        await FileDestination(path).deliver(failure(2))
    assert caught.value.reason == "file too large; move the file away or raise the limit of file sizes"
    assert path.read_bytes() == whole
    await FileDestination(path).deliver(failure(2))
    assert [line["requestContext"]["requestId"] for line in lines(path)] == ["1", "2"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("gone/f", "no such file or directory; make its folder"),
        ("folder", "is a directory; name a file in it"),
        ("file/f", "not a directory"),
    ],
)
async def test_place_that_cannot_be_written_is_said_with_a_remedy(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(Undelivered) as caught:
        await FileDestination(tmp_path / place).deliver(failure())
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("place", "words"),
    [("gone/f", "there is no folder .*gone"), ("folder", "it is a folder"), ("file/f", "there is no folder .*file")],
)
async def test_place_that_cannot_work_is_refused_at_start(tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match=words) as caught:
        await FileDestination(tmp_path / place).open()
    assert caught.value.missing
    assert caught.value.resource == (tmp_path / place).as_uri()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_place_that_this_user_may_not_write_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "sealed").mkdir(mode=0o500)
    with pytest.raises(SourceError, match="may not write there"):
        await FileDestination(tmp_path / "sealed" / "f").open()


async def test_opening_writes_nothing(tmp_path: Path) -> None:
    await FileDestination(tmp_path / "f").open()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///var/lib/pollers/failures.jsonl", "/var/lib/pollers/failures.jsonl"),
        ("file:/var/f", "/var/f"),
        ("file://localhost/var/f", "/var/f"),
        ("file:///a%20b/%C3%A9%25.jsonl", "/a b/\u00e9%.jsonl"),
    ],
)
def test_url_names_a_path(url: str, path: str) -> None:
    assert path_of(url) == Path(path)
    assert FileDestination(url).path == Path(path)
    assert path_of(FileDestination(url).name) == Path(path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file://server/f", "no URL of a file on this machine"),
        ("file:///f?x=1", "no URL of a file on this machine"),
        ("file:///f#x", "no URL of a file on this machine"),
        ("file:f", "no URL of a file on this machine"),
        ("file:///var/", "names a folder"),
        ("file:///%ff", "do not stand for UTF-8"),
        ("file:///%00", "a null byte"),
    ],
)
def test_url_that_names_no_file_is_a_fault_of_the_configuration(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        FileDestination(url)
