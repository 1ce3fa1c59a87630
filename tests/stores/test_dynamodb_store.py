"""Leases in DynamoDB: a store like the others, several of them on one table, and what a table must not be."""

from __future__ import annotations

import itertools

import pytest

from pollers.stores.dynamodb import DynamoDbStore
from pollers.testing.stores import STORE_CHECKS, StoreCheck

pytestmark = pytest.mark.usefixtures("dynamodb")
_names = itertools.count(1)


def new_table() -> str:
    return f"leases-{next(_names)}"


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_it_is_a_store(check: StoreCheck) -> None:
    store = DynamoDbStore(new_table() + "-{mapping}")
    try:
        await check(store)
    finally:
        await store.close()
