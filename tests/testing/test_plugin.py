"""The pytest plug-in, as a project that uses pollers would use it."""

from __future__ import annotations

import subprocess
import sys

pytest_plugins = ["pytester"]

USER_TESTS = """
import os

import boto3
import pytest
from aiobotocore.session import get_session


def test_boto3_finds_the_embedded_sqs(pollers_aws, pollers_sqs_queue):
    queue = pollers_sqs_queue("orders", VisibilityTimeout="7")
    client = boto3.client("sqs")
    client.send_message(QueueUrl=queue.url, MessageBody="a")
    queue.send("b", MessageAttributes={"x": {"DataType": "String", "StringValue": "y"}})
    assert queue.bodies() == ["a", "b"]
    assert queue.counts() == (2, 0, 0)
    assert client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["QueueArn"])["Attributes"] == {
        "QueueArn": queue.arn
    }
    assert pollers_aws.sqs.journal.count("SendMessage", "orders") == 2
    client.close()


def test_each_test_has_queues_of_its_own(pollers_sqs_queue):
    assert pollers_sqs_queue("orders").counts() == (0, 0, 0)
    assert pollers_sqs_queue().name != pollers_sqs_queue().name


def test_fifo_and_dead_letters(pollers_sqs_queue):
    dead = pollers_sqs_queue("dead", fifo=True)
    queue = pollers_sqs_queue("jobs", fifo=True, dead_letter=dead, max_receive_count=1, VisibilityTimeout="0")
    assert queue.name == "jobs.fifo"
    queue.send("a", MessageGroupId="g", MessageDeduplicationId="1")
    client = boto3.client("sqs")
    for _ in range(2):
        client.receive_message(QueueUrl=queue.url)
    client.close()
    assert (queue.bodies(), dead.bodies()) == ([], ["a"])


@pytest.mark.asyncio
async def test_aiobotocore_in_a_loop(pollers_sqs_queue):
    queue = pollers_sqs_queue()
    async with get_session().create_client("sqs") as client:
        await client.send_message(QueueUrl=queue.url, MessageBody="a")
    assert queue.bodies() == ["a"]


def test_kafka_topics(pollers_kafka, pollers_kafka_topic):
    topic = pollers_kafka_topic("orders", partitions=2)
    assert topic.put("value", "key", partition=1, headers=[("trace", b"1")]) == (1, 0)
    assert (topic.name, topic.servers) == ("orders", pollers_kafka.servers)
    assert pollers_kafka_topic().name != pollers_kafka_topic().name


def test_environment_is_left_as_it_was():
    assert "AWS_ENDPOINT_URL_SQS" not in os.environ
"""


def test_fixtures_serve_a_users_tests(pytester, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL_SQS", raising=False)
    pytester.makepyfile(USER_TESTS)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    result = pytester.runpytest_subprocess("-q", "-W", "error")
    result.assert_outcomes(passed=6)


def test_loading_the_plug_in_imports_neither_clients_nor_servers():
    heavy = ("aiobotocore", "aiokafka", "botocore", "confluent_kafka", "httptools")
    code = f"import sys, pollers.testing.plugin; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fixtures_are_listed_with_their_purpose(pytester):
    result = pytester.runpytest_subprocess("--fixtures", "-q")
    for name in ("pollers_aws", "pollers_kafka_topic", "pollers_sqs_queue"):
        result.stdout.fnmatch_lines([f"{name} --*"])


def test_a_topic_without_the_embedded_kafka_is_a_failure_with_a_remedy(pytester):
    pytester.makepyfile("def test_orders(pollers_kafka_topic):\n    pollers_kafka_topic('orders')")
    pytester.makepyfile(confluent_kafka="raise ModuleNotFoundError('none', name='confluent_kafka')")
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(['*pip install "pollers[[]kafka,demo]"*'])
