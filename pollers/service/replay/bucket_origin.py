"""Failure documents in a bucket, one an object. Objects stay where they are, unless they are to be deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from pollers.aws.client import Client
from pollers.aws.errors import FAILURES, CallFailed, diagnose
from pollers.errors import SourceError
from pollers.service.replay.origins import Found

__all__ = ["WRITTEN", "BucketOrigin"]

WRITTEN: Final = "aws/lambda/"  # AWS: where documents are, unless somebody has moved them (5.9-7)


class BucketOrigin:
    """The objects of a bucket whose keys begin with a prefix. A document's handle is its key."""

    def __init__(self, client: Client, bucket: str, prefix: str, *, delete: bool) -> None:
        """`delete`: objects are deleted once their documents were replayed."""
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._delete = delete
        self._name = f"s3://{bucket}/{prefix}"

    async def look(self) -> AsyncIterator[Found]:
        async for key in self._keys():
            content = await self._content(key)
            if content is not None:  # None: deleted since it was listed
                yield Found(f"s3://{self._bucket}/{key}", key, content)

    async def fetch(self, handle: str) -> bytes:
        content = await self._content(handle)
        if content is None:
            raise SourceError(f"s3://{self._bucket}/{handle}", "it was deleted meanwhile", "Replay the others.")
        return content

    async def keep(self) -> None:
        """Reading an object hides it from nobody."""

    async def done(self, handle: str) -> None:
        if self._delete:
            await self._client.call("DeleteObject", Bucket=self._bucket, Key=handle)

    async def leave(self, handles: Sequence[str]) -> None:
        """They never went."""

    async def close(self) -> None:
        """Nothing is held."""

    async def _keys(self) -> AsyncIterator[str]:
        more: dict[str, str] = {}
        while True:
            try:
                answer = await self._client.call("ListObjectsV2", Bucket=self._bucket, Prefix=self._prefix, **more)
            except CallFailed as failure:
                raise failure.about(self._name) from failure.__cause__
            for listed in answer.get("Contents", ()):
                if not listed["Key"].endswith("/"):  # what consoles make for a folder
                    yield listed["Key"]
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def _content(self, key: str) -> bytes | None:
        try:
            answer = await self._client.call("GetObject", Bucket=self._bucket, Key=key)
        except CallFailed as failure:
            if failure.code == "NoSuchKey":
                return None
            raise failure.about(f"s3://{self._bucket}/{key}") from failure.__cause__
        return await self._body(key, answer)

    async def _body(self, key: str, answer: dict[str, Any]) -> bytes:
        try:
            async with answer["Body"] as stream:
                content: bytes = await stream.read()
                return content
        except FAILURES as error:  # the connection broke below the headers
            why = diagnose(error, service="s3", operation="GetObject", endpoint=self._client.endpoint)
            raise SourceError(f"s3://{self._bucket}/{key}", why.cause, why.remedy) from error
