"""Kinesis and DynamoDB Streams that do nothing but answer, at once and always the same: a full page to every read.

It runs in a process of its own (`python stream_stub.py SHARDS RECORDS BYTES`), prints its port and ends when its
standard input does. Answers are fixed bytes.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys

from stub import serve

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/bench"
TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/bench/stream/2024-01-01T00:00:00.000"
CREATED = 1_700_000_000.0


def answer(body: object, kind: str = "1.1") -> bytes:
    payload = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-{kind}\r\nContent-Length: {len(payload)}\r\n\r\n"
    return head.encode() + payload


def kinesis_records(count: int, nbytes: int) -> dict[str, object]:
    data = base64.b64encode(os.urandom(nbytes)).decode()
    records = [
        {
            "ApproximateArrivalTimestamp": CREATED + number / 1_000,
            "Data": data,
            "PartitionKey": f"key-{number % 97}",
            "SequenceNumber": str(49590338271490256608559692538361571095921575989136588898 + number),
        }
        for number in range(count)
    ]
    return {"MillisBehindLatest": 1_000, "NextShardIterator": "A" * 220, "Records": records}


def item_changes(count: int, nbytes: int) -> dict[str, object]:
    records = [
        {
            "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": CREATED,
                "Keys": {"id": {"S": f"item-{number % 97}"}},
                "NewImage": {"id": {"S": f"item-{number % 97}"}, "n": {"N": "42"}, "text": {"S": "x" * nbytes}},
                "SequenceNumber": str(111100000000000012345678901 + number),
                "SizeBytes": nbytes + 20,
                "StreamViewType": "NEW_IMAGE",
            },
            "eventID": f"{number:032x}",
            "eventName": "MODIFY",
            "eventSource": "aws:dynamodb",
            "eventVersion": "1.1",
        }
        for number in range(count)
    ]
    return {"NextShardIterator": "A" * 220, "Records": records}


def answers(shards: int, records: int, nbytes: int) -> dict[bytes, bytes]:
    listed = [
        {
            "ShardId": f"shardId-{number:012}",
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
            "SequenceNumberRange": {"StartingSequenceNumber": "1"},
        }
        for number in range(shards)
    ]
    iterator = {"ShardIterator": "A" * 220}
    summary = {"StreamARN": ARN, "StreamName": "bench", "RetentionPeriodHours": 24, "StreamCreationTimestamp": CREATED}
    described = {"StreamArn": TABLE, "StreamLabel": "2024-01-01T00:00:00.000", "Shards": listed}
    return {
        b"Kinesis_20131202.DescribeStreamSummary": answer({"StreamDescriptionSummary": summary}),
        b"Kinesis_20131202.ListShards": answer({"Shards": listed}),
        b"Kinesis_20131202.GetShardIterator": answer(iterator),
        b"Kinesis_20131202.GetRecords": answer(kinesis_records(records, nbytes)),
        b"DynamoDBStreams_20120810.DescribeStream": answer({"StreamDescription": described}, "1.0"),
        b"DynamoDBStreams_20120810.GetShardIterator": answer(iterator, "1.0"),
        b"DynamoDBStreams_20120810.GetRecords": answer(item_changes(records, nbytes), "1.0"),
    }


if __name__ == "__main__":
    asyncio.run(serve(answers(*map(int, sys.argv[1:4]))))
