"""Aggregated records: what the producer library packs comes apart again, and nothing else does."""

from __future__ import annotations

import base64
from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollers.sources.kinesis_aggregates import MAGIC, inner_records
from pollers.testing.kinesis.aggregates import aggregate

RECORDS = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=300)), min_size=1, max_size=50)


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sealed(message: bytes) -> str:
    """A message of protocol buffers between its magic and its digest."""
    return text(MAGIC + message + md5(message, usedforsecurity=False).digest())


def test_an_aggregate_of_the_library_comes_apart() -> None:
    # Two records of one key, the second with an explicit hash key; taken apart by hand from the format's description.
    message = b"\x0a\x01k" + b"\x12\x0242" + b"\x1a\x05\x08\x00\x1a\x01a" + b"\x1a\x07\x08\x00\x10\x00\x1a\x01b"
    assert list(inner_records(sealed(message))) == [("k", b"a"), ("k", b"b")]


@given(RECORDS, st.none() | st.integers(0, 2**128 - 1))
def test_what_is_packed_comes_apart_again(records: list[tuple[str, bytes]], hash_key: int | None) -> None:
    assert list(inner_records(text(aggregate(records, hash_key)))) == records


@given(st.binary(max_size=200))
def test_whatever_stands_in_an_aggregate_nothing_is_raised(message: bytes) -> None:
    for inner in inner_records(sealed(message)):
        assert type(inner.key) is str
        assert type(inner.data) is bytes


@given(RECORDS, st.integers(0), st.integers(1, 255))
def test_a_record_that_was_changed_on_its_way_is_an_ordinary_one(
    records: list[tuple[str, bytes]], place: int, change: int
) -> None:
    data = bytearray(aggregate(records))
    data[place % len(data)] ^= change
    assert inner_records(text(bytes(data))) == ()


@given(RECORDS, st.data())
def test_a_record_that_was_cut_off_is_an_ordinary_one(records: list[tuple[str, bytes]], data: st.DataObject) -> None:
    whole = aggregate(records)
    assert inner_records(text(whole[: data.draw(st.integers(0, len(whole) - 1))])) == ()


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x0a\x01k",
        b"\x0a\x01k\x1a\x05\x08\x01\x1a\x01a",
        b"\x0a\x01k\x1a\x03\x1a\x01a",
        b"\x0a\x01k\x1a\x02\x08\x00",
        b"\x0a\x01\xff\x1a\x05\x08\x00\x1a\x01a",
        b"\x0a\x01k\x18\x00",
        b"\x0a\x01k\x1b\x1c",
        b"\x0a\x01k\x1a\x05\x08\x00\x1a\x09a",
        b"\x0a\x01k" + b"\x1a\x04\x08\x00\x1a\x00" * 100_001,
    ],
    ids=[
        "nothing",
        "no records",
        "a key that is not there",
        "no key",
        "no data",
        "a key that is no text",
        "a record that is a number",
        "a group",
        "data that is cut off",
        "more records than anybody packs",
    ],
)
def test_what_the_library_does_not_write_is_an_ordinary_record(message: bytes) -> None:
    assert list(inner_records(sealed(message))) == []


def test_fields_that_nobody_knows_are_passed_over() -> None:
    tags = b"\x22\x03\x0a\x01t"
    record = b"\x08\x00\x1a\x01a" + tags
    message = b"\x0a\x01k" + b"\x49" + bytes(8) + b"\x55" + bytes(4) + b"\x1a" + bytes([len(record)]) + record
    assert list(inner_records(sealed(message))) == [("k", b"a")]


@pytest.mark.parametrize("data", ["84maw", "84mawg==", "84mawé", "84mawh==", "AAAA", ""])
def test_text_that_only_begins_like_an_aggregate_is_an_ordinary_record(data: str) -> None:
    assert inner_records(data) == ()
