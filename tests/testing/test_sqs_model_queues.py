"""Queues as such: names, attributes, policies, pages and tags."""

from __future__ import annotations

import json

import pytest

from pollers.testing.service import Fault


def _code(sqs, action, **members):
    with pytest.raises(Fault) as caught:
        sqs(action, **members)
    return caught.value.code


def test_new_queue_has_the_defaults_of_aws(sqs):
    url = sqs.create("q")
    assert url == "https://sqs.us-east-1.amazonaws.com/123456789012/q"
    assert sqs.attributes(url) == {
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "CreatedTimestamp": "1700000000",
        "DelaySeconds": "0",
        "LastModifiedTimestamp": "1700000000",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "QueueArn": "arn:aws:sqs:us-east-1:123456789012:q",
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    }


def test_new_fifo_queue_says_so(sqs):
    url = sqs("CreateQueue", QueueName="q.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    names = ("FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit")
    assert sqs.attributes(url, *names) == {
        "FifoQueue": "true",
        "ContentBasedDeduplication": "false",
        "DeduplicationScope": "queue",
        "FifoThroughputLimit": "perQueue",
    }


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("a b", {}),
        ("x" * 81, {}),
        ("q.fifo", {}),
        ("q", {"FifoQueue": "true"}),
        ("é", {}),
    ],
)
def test_bad_name_is_refused(sqs, name, attributes):
    assert _code(sqs, "CreateQueue", QueueName=name, Attributes=attributes) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
        ({"VisibilityTimeout": "-1"}, "InvalidAttributeValue"),
        ({"DelaySeconds": "901"}, "InvalidAttributeValue"),
        ({"DelaySeconds": "٣"}, "InvalidAttributeValue"),
        ({"MaximumMessageSize": "1023"}, "InvalidAttributeValue"),
        ({"MaximumMessageSize": "1048577"}, "InvalidAttributeValue"),
        ({"MessageRetentionPeriod": "59"}, "InvalidAttributeValue"),
        ({"ReceiveMessageWaitTimeSeconds": "21"}, "InvalidAttributeValue"),
        ({"FifoQueue": "false"}, "InvalidAttributeValue"),
        ({"SqsManagedSseEnabled": "yes"}, "InvalidAttributeValue"),
        ({"ContentBasedDeduplication": "true"}, "InvalidAttributeName"),
        ({"QueueArn": "x"}, "InvalidAttributeName"),
        ({"Nonsense": "x"}, "InvalidAttributeName"),
        ({"Policy": "{"}, "InvalidParameterValue"),
        ({"VisibilityTimeout": 5}, "SerializationException"),
    ],
)
def test_bad_attribute_is_refused_and_nothing_is_made(sqs, attributes, code):
    assert _code(sqs, "CreateQueue", QueueName="q", Attributes=attributes) == code
    assert sqs("ListQueues") == {}


def test_creating_again_is_the_same_queue_unless_something_given_differs(sqs):
    url = sqs.create("q", VisibilityTimeout="7")
    sqs.send(url, "a")
    assert sqs.create("q") == sqs.create("q", VisibilityTimeout="7", DelaySeconds="0") == url
    assert sqs.bodies(url) == ["a"]
    with pytest.raises(Fault, match="different value for attribute VisibilityTimeout") as caught:
        sqs.create("q", VisibilityTimeout="8")
    assert (caught.value.kind, caught.value.code) == ("QueueNameExists", "QueueAlreadyExists")


def test_creating_again_compares_policies_by_meaning(sqs):
    arn = sqs.attributes(sqs.create("dead"))["QueueArn"]
    sqs.create("q", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3}))
    sqs.create("q", RedrivePolicy=json.dumps({"maxReceiveCount": 3, "deadLetterTargetArn": arn}, indent=1))
    with pytest.raises(Fault):
        sqs.create("q", RedrivePolicy=json.dumps({"maxReceiveCount": 4, "deadLetterTargetArn": arn}))


@pytest.mark.parametrize(
    "members",
    [
        {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/none"},
        {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/000000000000/q"},
        {"QueueUrl": "none"},
    ],
)
def test_missing_queue_is_named_as_aws_names_it(sqs, members):
    sqs.create("q")
    with pytest.raises(Fault) as caught:
        sqs("SendMessage", MessageBody="a", **members)
    assert caught.value.kind == "QueueDoesNotExist"
    assert caught.value.code == "AWS.SimpleQueueService.NonExistentQueue"


def test_queue_is_found_by_name_owner_and_plain_name(sqs):
    url = sqs.create("q")
    assert sqs("GetQueueUrl", QueueName="q", QueueOwnerAWSAccountId="123456789012")["QueueUrl"] == url
    assert sqs.attributes("q", "QueueArn") == {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:q"}
    missing = "AWS.SimpleQueueService.NonExistentQueue"
    assert _code(sqs, "GetQueueUrl", QueueName="q", QueueOwnerAWSAccountId="1") == missing
    assert _code(sqs, "SendMessage", MessageBody="a") == "MissingParameter"


def test_name_of_a_deleted_queue_rests_for_a_minute(sqs):
    url = sqs.create("q")
    sqs.send(url, "a")
    (message,) = sqs.receive(url)
    sqs("DeleteQueue", QueueUrl=url)
    sqs.pass_time(59)
    assert _code(sqs, "CreateQueue", QueueName="q") == "AWS.SimpleQueueService.QueueDeletedRecently"
    sqs.pass_time(1)
    sqs.create("q")
    assert sqs.bodies(url) == []
    assert _code(sqs, "DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"]) == "ReceiptHandleIsInvalid"


def test_attributes_are_set_and_described_one_by_one(sqs):
    url = sqs.create("q")
    sqs.pass_time(10)
    sqs("SetQueueAttributes", QueueUrl=url, Attributes={"VisibilityTimeout": "9", "Policy": '{"a": 1}'})
    names = ("VisibilityTimeout", "Policy", "LastModifiedTimestamp", "RedrivePolicy")
    assert sqs.attributes(url, *names) == {
        "VisibilityTimeout": "9",
        "Policy": '{"a": 1}',
        "LastModifiedTimestamp": "1700000010",
    }
    sqs("SetQueueAttributes", QueueUrl=url, Attributes={"Policy": ""})
    assert sqs("GetQueueAttributes", QueueUrl=url, AttributeNames=["Policy"]) == {}
    assert sqs("GetQueueAttributes", QueueUrl=url) == {}
    assert _code(sqs, "GetQueueAttributes", QueueUrl=url, AttributeNames=["No"]) == "InvalidAttributeName"
    assert _code(sqs, "SetQueueAttributes", QueueUrl=url) == "MissingParameter"
    fifo = {"FifoQueue": "true"}
    assert _code(sqs, "SetQueueAttributes", QueueUrl=url, Attributes=fifo) == "InvalidAttributeName"


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"maxReceiveCount": 3}, "mandatory attribute: deadLetterTargetArn"),
        ({"deadLetterTargetArn": "DEAD"}, "mandatory attribute: maxReceiveCount"),
        ({"deadLetterTargetArn": "DEAD", "maxReceiveCount": 0}, "1 to 1000"),
        ({"deadLetterTargetArn": "DEAD", "maxReceiveCount": 1001}, "1 to 1000"),
        ({"deadLetterTargetArn": "DEAD", "maxReceiveCount": "x"}, "1 to 1000"),
        ({"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:none", "maxReceiveCount": 3}, "does not exist"),
        ({"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:dead", "maxReceiveCount": 3}, "does not exist"),
        ({"deadLetterTargetArn": "FIFO", "maxReceiveCount": 3}, "same type"),
    ],
)
def test_bad_redrive_policy_is_refused(sqs, policy, words):
    arns = {
        name: sqs.attributes(sqs.create(queue))["QueueArn"] for name, queue in (("DEAD", "dead"), ("FIFO", "d.fifo"))
    }
    target = policy.get("deadLetterTargetArn")
    policy = {**policy, "deadLetterTargetArn": arns.get(target, target)} if target else policy
    with pytest.raises(Fault, match=words) as caught:
        sqs.create("q", RedrivePolicy=json.dumps(policy))
    assert caught.value.code == "InvalidParameterValue"


def test_dead_letter_queue_decides_who_may_use_it(sqs):
    dead = sqs.create("dead")
    arn = sqs.attributes(dead)["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})

    def allow(**policy):
        sqs("SetQueueAttributes", QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps(policy)})

    allow(redrivePermission="denyAll")
    with pytest.raises(Fault, match="RedriveAllowPolicy does not allow"):
        sqs.create("friend", RedrivePolicy=redrive)
    allow(redrivePermission="byQueue", sourceQueueArns=[arn.replace("dead", "friend")])
    sqs.create("friend", RedrivePolicy=redrive)
    with pytest.raises(Fault, match="RedriveAllowPolicy does not allow"):
        sqs.create("stranger", RedrivePolicy=redrive)
    allow(redrivePermission="allowAll")
    sqs.create("stranger", RedrivePolicy=redrive)


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"redrivePermission": "some"},
        {"redrivePermission": "byQueue"},
        {"redrivePermission": "allowAll", "sourceQueueArns": ["arn"]},
        {"redrivePermission": "byQueue", "sourceQueueArns": ["arn"] * 11},
    ],
)
def test_bad_redrive_allow_policy_is_refused(sqs, policy):
    attributes = {"RedriveAllowPolicy": json.dumps(policy)}
    assert _code(sqs, "CreateQueue", QueueName="q", Attributes=attributes) == "InvalidParameterValue"


def test_sources_of_a_dead_letter_queue_are_listed(sqs):
    dead = sqs.create("dead")
    assert sqs("ListDeadLetterSourceQueues", QueueUrl=dead) == {"queueUrls": []}
    policy = json.dumps({"deadLetterTargetArn": sqs.attributes(dead)["QueueArn"], "maxReceiveCount": 3})
    url = sqs.create("q", RedrivePolicy=policy)
    assert sqs("ListDeadLetterSourceQueues", QueueUrl=dead) == {"queueUrls": [url]}
    sqs("SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": ""})
    assert sqs("ListDeadLetterSourceQueues", QueueUrl=dead) == {"queueUrls": []}


def test_queues_are_listed_by_prefix_and_page(sqs):
    urls = [sqs.create(f"a-{number}") for number in range(5)]
    sqs.create("b")
    assert sqs("ListQueues", QueueNamePrefix="a-") == {"QueueUrls": urls}
    pages, token = [], {}
    while not pages or token:
        answer = sqs("ListQueues", QueueNamePrefix="a-", MaxResults=2, **token)
        pages.append(answer["QueueUrls"])
        token = {"NextToken": answer["NextToken"]} if "NextToken" in answer else {}
    assert pages == [urls[:2], urls[2:4], urls[4:]]
    assert _code(sqs, "ListQueues", MaxResults=0) == "InvalidParameterValue"
    assert _code(sqs, "ListQueues", NextToken="x") == "InvalidParameterValue"


def test_tags_are_kept_changed_and_removed(sqs):
    url = sqs("CreateQueue", QueueName="q", tags={"team": "a"})["QueueUrl"]
    sqs("TagQueue", QueueUrl=url, Tags={"team": "b", "stage": "test"})
    assert sqs("ListQueueTags", QueueUrl=url) == {"Tags": {"team": "b", "stage": "test"}}
    sqs("UntagQueue", QueueUrl=url, TagKeys=["team", "stage", "none"])
    assert sqs("ListQueueTags", QueueUrl=url) == {}
    too_many = {str(number): "x" for number in range(51)}
    assert _code(sqs, "TagQueue", QueueUrl=url, Tags=too_many) == "InvalidParameterValue"
    assert _code(sqs, "TagQueue", QueueUrl=url, Tags={"": "x"}) == "InvalidParameterValue"
    assert _code(sqs, "TagQueue", QueueUrl=url) == "MissingParameter"
    assert _code(sqs, "UntagQueue", QueueUrl=url) == "MissingParameter"


def test_actions_that_are_not_modeled_say_so(sqs):
    assert _code(sqs, "StartMessageMoveTask") == "AWS.SimpleQueueService.UnsupportedOperation"
    assert _code(sqs, "Nonsense") == "UnknownOperationException"
