"""A model of DynamoDB Streams and of the tables that write to them, without I/O: `DynamoDbModel` and `StreamLimits`."""

from pollers.testing.dynamodb.limits import StreamLimits
from pollers.testing.dynamodb.model import DynamoDbModel

__all__ = ["DynamoDbModel", "StreamLimits"]
