"""A model of SQS, standard and FIFO, without I/O: `SqsModel` and its `Limits`."""

from pollers.testing.sqs.limits import Limits
from pollers.testing.sqs.model import SqsModel

__all__ = ["Limits", "SqsModel"]
