"""The contract of SQS, held by the embedded one."""

from __future__ import annotations

import pytest
from sqs_contract import contract, sqs  # noqa: F401  a fixture

from pollers.testing.front import EmbeddedAws

globals().update(contract("embedded"))


@pytest.fixture(scope="module")
def sqs_endpoint():
    with EmbeddedAws.in_thread() as aws:
        yield aws.endpoint_url
