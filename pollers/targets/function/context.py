"""Lambda's context object, as functions that run here receive it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from pollers.spi import Function, Invocation

__all__ = ["LambdaContext"]


class LambdaContext:
    """What a Python function finds in its second argument. AWS: "Lambda context object in Python"."""

    __slots__ = ("_deadline", "_function", "aws_request_id", "client_context", "identity", "log_stream_name")

    def __init__(self, function: Function, invocation: Invocation, log_stream_name: str) -> None:
        self._function = function
        self._deadline = invocation.deadline_wall
        self.aws_request_id = invocation.request_id
        self.log_stream_name = log_stream_name
        self.identity = None  # AWS: only for mobile applications
        self.client_context = None  # AWS: only for mobile applications

    @property
    def function_name(self) -> str:
        return self._function.name

    @property
    def function_version(self) -> str:
        return self._function.version

    @property
    def invoked_function_arn(self) -> str:
        return self._function.arn

    @property
    def memory_limit_in_mb(self) -> str:
        return str(self._function.memory)  # AWS: a string, in Python

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self._function.name}"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's timeout, never below 0."""
        return max(0, int((self._deadline - time.time()) * 1_000))

    def log(self, message: object) -> None:
        """Print a message, as Lambda's runtime does."""
        print(message)


def log_stream(version: str, environment: str) -> str:
    """A log stream's name in Lambda's form: date, version, and what tells execution environments apart."""
    return f"{datetime.now(UTC):%Y/%m/%d}/[{version}]{environment}"
