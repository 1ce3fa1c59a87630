"""A bucket as failure destination: one object per document, with its payload. AWS: semantics 5.9-7, 12-4."""

from __future__ import annotations

import hashlib
from typing import Any, Final
from uuid import UUID

from pollers.aws.arn import Arn
from pollers.aws.client import Clients
from pollers.aws.errors import CallFailed, Kind
from pollers.destinations.documents import with_payload
from pollers.errors import ConfigurationError, Problem, Undelivered
from pollers.spi import Failure

__all__ = ["S3Destination"]

_TYPE: Final = "application/octet-stream"  # as AWS writes it


class S3Destination:
    """Writes documents to a bucket, named by its ARN. `clients` are shared and not closed.

    Keys are aws/lambda/<mapping>/<shard>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<UUID>. The UUID is made of the document, so
    that a delivery whose answer was lost and which is repeated writes the same object again.
    """

    def __init__(self, bucket: str, *, clients: Clients | None = None) -> None:
        """`bucket`: arn:aws:s3:::name. Raises ConfigurationError for what is no bucket's ARN."""
        self.name = bucket
        self._bucket = _named(bucket)
        self._clients = clients or Clients()
        self._owned = clients is None
        self._client = self._clients.get("s3")

    async def open(self) -> None:
        """See that the bucket exists. Raises SourceError. Whether it may be written to shows with a document."""
        try:
            await self._client.call("HeadBucket", Bucket=self._bucket)
        except CallFailed as failure:
            if failure.kind is not Kind.DENIED:  # who may only write sees no more of a bucket
                raise failure.about(self.name) from failure.__cause__

    async def deliver(self, failure: Failure) -> None:
        """Return once S3 has the object. Raises Undelivered."""
        body = with_payload(failure)
        try:
            await self._client.call(
                "PutObject", Bucket=self._bucket, Key=key_of(failure, body), Body=body, ContentType=_TYPE
            )
        except CallFailed as error:
            raise Undelivered(self.name, str(error).rstrip(".")) from error

    async def close(self) -> None:
        if self._owned:
            await self._clients.close()


def key_of(failure: Failure, body: bytes) -> str:
    """The object's key: its moment is the document's own, to the second."""
    timestamp = str(failure.document["timestamp"])
    day, _, time = timestamp[:19].partition("T")
    unique = UUID(bytes=hashlib.sha256(_whose(failure) + body).digest()[:16], version=4)
    folder = f"aws/lambda/{failure.mapping}/{failure.partition}/{day.replace('-', '/')}"
    return f"{folder}/{day}T{time.replace(':', '.')}-{unique}"


def _whose(failure: Failure) -> bytes:
    context: Any = failure.document.get("requestContext", {})
    return f"{failure.mapping}\0{failure.partition}\0{context.get('requestId')}\0".encode()


def _named(bucket: str) -> str:
    try:
        arn = Arn.parse(bucket)
    except ValueError as error:
        raise ConfigurationError([Problem("destination", f"{error}.")]) from None
    if arn.service != "s3" or "/" in arn.resource:
        message = f"{bucket} is not the ARN of a bucket."
        raise ConfigurationError([Problem("destination", message, "Write it as arn:aws:s3:::name.")])
    return arn.resource
