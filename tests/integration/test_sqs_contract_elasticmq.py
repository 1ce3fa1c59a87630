"""The contract of SQS, held by ElasticMQ but for its entries in WRONG: so the suite describes SQS, not our model."""

from __future__ import annotations

import pytest
from sqs_contract import contract, sqs  # noqa: F401  a fixture

globals().update(contract("elasticmq"))


@pytest.fixture(scope="module")
def sqs_endpoint(elasticmq):
    return elasticmq
