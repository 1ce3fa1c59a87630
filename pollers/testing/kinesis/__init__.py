"""An embedded Kinesis Data Streams: `KinesisModel` answers calls, `Stream` and `Shard` are what it keeps."""

from pollers.testing.kinesis.limits import KinesisLimits
from pollers.testing.kinesis.model import KinesisModel
from pollers.testing.kinesis.shard import Shard
from pollers.testing.kinesis.stream import Stream

__all__ = ["KinesisLimits", "KinesisModel", "Shard", "Stream"]
