"""The metadata of commits: what is finished above the committed offset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pollers.flow.records import Range
from pollers.sources.kafka.finished import LIMIT, RANGES, decode, encode

PAIRS = st.tuples(st.integers(1, 2**35 - 1), st.integers(1, 2**35 - 1))


def ranges(committed: int, pairs: list[tuple[int, int]]) -> tuple[Range, ...]:
    found, end = [], committed
    for gap, length in pairs:
        found.append(((end + gap, 0), (end + gap + length - 1, 0)))
        end += gap + length
    return tuple(found)


@given(committed=st.integers(0, 2**60), pairs=st.lists(PAIRS, max_size=RANGES))
def test_what_is_encoded_is_decoded(committed: int, pairs: list[tuple[int, int]]) -> None:
    above = ranges(committed, pairs)
    assert decode(committed, encode(committed, above)) == above


@pytest.mark.parametrize("pair", [(1, 1), (2**35 - 1, 2**35 - 1)])
@pytest.mark.parametrize("count", [RANGES, 10 * RANGES])
def test_metadata_are_never_longer_than_brokers_take(pair: tuple[int, int], count: int) -> None:
    above = ranges(0, [pair] * count)
    metadata = encode(0, above)
    assert len(metadata) <= LIMIT
    kept = decode(0, metadata)
    assert kept == above[: len(kept)]
    assert len(kept) >= RANGES, "so many fit, whatever lies between them"


@given(st.text() | st.text("ABCDefgh0123+/=", max_size=40).map("pollers1:".__add__))
def test_metadata_of_others_mean_nothing_and_raise_nothing(metadata: str) -> None:
    for first, last in decode(7, metadata):
        assert 7 < first[0] <= last[0]


def test_no_ranges_need_no_metadata() -> None:
    assert encode(5, ()) == ""
    assert decode(5, None) == decode(5, "") == ()
