"""Kinesis's error answers, by the names and in the words of AWS."""

from __future__ import annotations

from pollers.testing.service import Fault

__all__ = ["fault", "invalid", "missing_shard", "missing_stream"]

NAMESPACE = "com.amazonaws.kinesis.v20131202"


def fault(kind: str, message: str, *, status: int = 400) -> Fault:
    return Fault(kind, message, namespace=NAMESPACE, status=status, sender=status < 500)


def invalid(message: str) -> Fault:
    return fault("InvalidArgumentException", message)


def missing_stream(name: str, account: str) -> Fault:
    return fault("ResourceNotFoundException", f"Stream {name} under account {account} not found.")


def missing_shard(shard: str, stream: str, account: str) -> Fault:
    message = f"Shard {shard} in stream {stream} under account {account} does not exist"
    return fault("ResourceNotFoundException", message)
