"""What every SQS must do, told from outside: one suite for the embedded SQS and for independent servers.

A module per server collects it by `globals().update(contract("..."))`, and has a fixture `sqs_endpoint`: the URL.
Where a server is known not to do as AWS does, `WRONG` says so; there the case must fail, so that the table stays true.
"""

from __future__ import annotations

import functools

import pytest
import sqs_cases_fifo
import sqs_cases_messages
import sqs_cases_queues
from sqs_driver import CASES, Sqs

MODULES = (sqs_cases_messages, sqs_cases_queues, sqs_cases_fifo)  # imported for the cases they register

WRONG = {
    "embedded": {},
    "elasticmq": {
        "error_codes_are_those_of_the_query_protocol": "no x-amzn-query-error: QueueDoesNotExist",
        "second_delete_succeeds": "ReceiptHandleIsInvalid instead of success",
        "older_handle_succeeds": "ReceiptHandleIsInvalid instead of success",
        "fifo_delete_with_an_expired_handle_is_refused": "deletes the message",
        "deduplication_scope_of_groups": "DeduplicationScope is ignored",
        "redrive_allow_policy_is_obeyed": "RedriveAllowPolicy is unknown",
        "system_attributes_have_a_checksum": "MD5OfMessageSystemAttributes is missing",
        "visibility_beyond_twelve_hours_is_refused": "any VisibilityTimeout is accepted",
        "change_after_the_timeout_is_refused": "accepted",
        "dropped_long_poll_swallows_nothing": "the message goes to the connection that is gone",
        "given_back_message_waits_for_its_group": "handed out while its group is in flight",
    },
}


def contract(server):
    """The cases by the names that pytest collects; those in WRONG must fail."""
    unknown = WRONG[server].keys() - CASES.keys()
    assert not unknown, f"WRONG names no cases: {unknown}"
    return {f"test_{name}": _test(function, WRONG[server].get(name)) for name, function in CASES.items()}


def _test(function, wrong):
    @functools.wraps(function)
    def test(*arguments, **keywords):
        return function(*arguments, **keywords)

    test.__name__ = f"test_{function.__name__}"
    return pytest.mark.xfail(reason=wrong, strict=True)(test) if wrong else test


@pytest.fixture(scope="module")
def sqs(sqs_endpoint):
    sqs = Sqs(sqs_endpoint)
    yield sqs
    sqs.client.close()
