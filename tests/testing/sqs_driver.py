"""What the cases of the SQS contract share: a client with fresh queues, and the list of cases."""

from __future__ import annotations

import json
import threading
import time
import uuid

import boto3
from botocore.config import Config

CASES = {}


def case(function):
    """Makes a function a case of the contract. It is called with an `Sqs`."""
    CASES[function.__name__] = function
    return function


def error_code(error):
    """`Error.Code` of what `pytest.raises` caught."""
    return error.value.response["Error"]["Code"]


class Sqs:
    """A boto3 client with fresh queues."""

    def __init__(self, url):
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        config = Config(retries={"max_attempts": 1, "mode": "standard"}, max_pool_connections=20)
        self.client = boto3.client("sqs", endpoint_url=url, region_name="us-east-1", config=config, **keys)

    def create(self, *, fifo=False, dead=None, receives=1, **attributes):
        name = uuid.uuid4().hex
        if fifo:
            name, attributes = name + ".fifo", {"FifoQueue": "true", **attributes}
        if dead is not None:
            policy = {"deadLetterTargetArn": self.arn(dead), "maxReceiveCount": receives}
            attributes["RedrivePolicy"] = json.dumps(policy)
        return self.client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def arn(self, url):
        return self.client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def send(self, url, body, group=None, id=None, **members):
        if group is not None:
            members |= {"MessageGroupId": group, "MessageDeduplicationId": id or uuid.uuid4().hex}
        return self.client.send_message(QueueUrl=url, MessageBody=body, **members)

    def receive(self, url, limit=10, **members):
        return self.client.receive_message(QueueUrl=url, MaxNumberOfMessages=limit, **members).get("Messages", [])

    def bodies(self, url, limit=10, **members):
        return [message["Body"] for message in self.receive(url, limit, **members)]

    def delete(self, url, message):
        self.client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def change(self, url, message, seconds):
        handle = message["ReceiptHandle"]
        self.client.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds)

    def until_visible(self, url):
        """Wait until a message is visible, without receiving it."""
        name, until = "ApproximateNumberOfMessages", time.monotonic() + 10
        while self.client.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name] == "0":
            assert time.monotonic() < until, "no message becomes visible"
            time.sleep(0.05)

    def polling(self, url):
        """A long poll in a thread; the result's `join` returns the bodies."""
        return _Poll(self, url)


class _Poll:
    def __init__(self, sqs, url):
        self._sent = threading.Event()
        sqs.client.meta.events.register("before-send.sqs.ReceiveMessage", self._before_send)
        self._bodies = []
        self._thread = threading.Thread(target=lambda: self._bodies.extend(sqs.bodies(url, WaitTimeSeconds=5)))
        self._thread.start()
        self._sent.wait(5)
        sqs.client.meta.events.unregister("before-send.sqs.ReceiveMessage", self._before_send)

    def _before_send(self, **_):
        self._sent.set()

    def join(self):
        self._thread.join(10)
        return self._bodies
