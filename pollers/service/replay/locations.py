"""Where documents are said to lie: a path, a file URL, a queue, or a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

from pollers.aws.arn import Arn, QueueName
from pollers.aws.client import Clients
from pollers.destinations.file import path_of
from pollers.errors import ConfigurationError, Problem
from pollers.service.replay.bucket_origin import WRITTEN, BucketOrigin
from pollers.service.replay.file_origin import FileOrigin
from pollers.service.replay.origins import Origin
from pollers.service.replay.queue_origin import QueueOrigin

__all__ = ["origin_of"]

_FLAG: Final = "--from"


def origin_of(place: str, clients: Clients, *, delete: bool) -> Origin:
    """The place of this name. `delete`: of a bucket, replayed objects. Raises `ConfigurationError`."""
    if place.startswith("s3://") or _service(place) == "s3":
        bucket, _, prefix = _in_bucket(place).partition("/")
        return BucketOrigin(clients.get("s3"), bucket, prefix or WRITTEN, delete=delete)
    if delete:
        remedy = "Leave it out: messages are deleted as they are replayed, and lines of a file stay."
        raise ConfigurationError([Problem("--delete", f"{place} is no bucket.", remedy)])
    if place.startswith(("http://", "https://")) or _service(place) == "sqs":
        return QueueOrigin(clients, _queue(place), place)
    if place.startswith("arn:") or ("://" in place and not place.startswith("file:")):
        _refuse(f"{place} is no place for failure documents.")
    return FileOrigin(path_of(place) if place.startswith("file:") else Path(place))


def _service(place: str) -> str:
    """The service of an ARN; empty for what is none."""
    if not place.startswith("arn:"):
        return ""
    try:
        return Arn.parse(place).service
    except ValueError as error:
        _refuse(f"{error}.")


def _in_bucket(place: str) -> str:
    """Bucket and prefix."""
    name = Arn.parse(place).resource if place.startswith("arn:") else place.removeprefix("s3://")
    if not name.partition("/")[0]:
        _refuse(f"{place} names no bucket.")
    return name


def _queue(place: str) -> QueueName:
    try:
        queue = QueueName.parse(place)
    except ValueError as error:
        _refuse(f"{error}.")
    if queue.fifo:  # its messages come in an order of their own, and a group at a time
        _refuse(f"{place} is a FIFO queue, which cannot hold failure documents of a stream.")
    return queue


def _refuse(message: str) -> NoReturn:
    remedy = "Name a file, the ARN or URL of a queue, or a bucket as s3://bucket/prefix."
    raise ConfigurationError([Problem(_FLAG, message, remedy)])
