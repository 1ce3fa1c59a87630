"""Records of streams as the wire carries them: numbers as numbers, binary as base64 text, nothing walked.

botocore parses an answer member by member: it makes a datetime of every timestamp and bytes of every base64 text, which
Lambda's event then turns back. For GetRecords that is nine tenths of a poller's work, so its answers are decoded
as JSON and left as they are. Everything else, errors included, is parsed by botocore.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiobotocore.parsers import AioJSONParser, AioResponseParserFactory

__all__ = ["EVENTS", "WireAnswers"]

EVENTS: Final = "EventStream"  # the member of an answer that comes in events: here the response itself, not read yet

_IN_EVENTS: Final = frozenset({"SubscribeToShardOutput"})
_AS_ON_THE_WIRE: Final = frozenset({"GetRecordsOutput"})  # shapes of Kinesis and of DynamoDB Streams
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class WireAnswers(AioResponseParserFactory):  # type: ignore[misc]  # aiobotocore has no types
    """The factory of parsers to register with a session."""

    def create_parser(self, protocol_name: str) -> Any:
        return _Parser(**self._defaults) if protocol_name == "json" else super().create_parser(protocol_name)


class _Parser(AioJSONParser):  # type: ignore[misc]
    async def parse(self, response: dict[str, Any], shape: Any) -> Any:
        if response["status_code"] < 300 and shape is not None and shape.name in _AS_ON_THE_WIRE:
            try:
                answer = _decode(response["body"])
            except msgspec.DecodeError:
                return await super().parse(response, shape)  # which knows what to say of it
            answer["ResponseMetadata"] = _metadata(response)
            return answer
        if response["status_code"] < 300 and shape is not None and shape.name in _IN_EVENTS:
            return {EVENTS: response["body"], "ResponseMetadata": _metadata(response)}
        return await super().parse(response, shape)


def _metadata(response: dict[str, Any]) -> dict[str, Any]:
    headers = response["headers"]
    return {
        "RequestId": headers.get("x-amzn-requestid", ""),
        "HTTPStatusCode": response["status_code"],
        "HTTPHeaders": {name.lower(): value for name, value in headers.items()},
    }
