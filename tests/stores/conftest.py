"""A DynamoDB that somebody else wrote, and where botocore's clients find it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto_process import moto_process


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_process(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture
def dynamodb(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every client of DynamoDB made from now on leads to it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
