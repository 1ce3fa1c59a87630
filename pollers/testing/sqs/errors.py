"""The faults of SQS: shape, query code, HTTP status and words as AWS has them."""

from __future__ import annotations

from pollers.testing.service import Fault

__all__ = [
    "fault",
    "invalid_attribute_value",
    "invalid_handle",
    "invalid_parameter",
    "missing_parameter",
    "no_such_queue",
    "serialization",
]

NAMESPACE = "com.amazonaws.sqs"
_GENERIC = "com.amazon.coral.service"  # of faults that the service's own model does not list

_CODES = {  # where the query code, which botocore shows as Error.Code, differs from the shape's name
    "BatchEntryIdsNotDistinct": "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    "BatchRequestTooLong": "AWS.SimpleQueueService.BatchRequestTooLong",
    "EmptyBatchRequest": "AWS.SimpleQueueService.EmptyBatchRequest",
    "InvalidBatchEntryId": "AWS.SimpleQueueService.InvalidBatchEntryId",
    "MessageNotInflight": "AWS.SimpleQueueService.MessageNotInflight",
    "PurgeQueueInProgress": "AWS.SimpleQueueService.PurgeQueueInProgress",
    "QueueDeletedRecently": "AWS.SimpleQueueService.QueueDeletedRecently",
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    "TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    "UnsupportedOperation": "AWS.SimpleQueueService.UnsupportedOperation",
}
_STATUS = {"OverLimit": 403, "PurgeQueueInProgress": 403, "InvalidAddress": 404}


def fault(kind: str, message: str) -> Fault:
    """A fault that SQS's model lists."""
    return Fault(kind, message, namespace=NAMESPACE, code=_CODES.get(kind, kind), status=_STATUS.get(kind, 400))


def no_such_queue() -> Fault:
    return fault("QueueDoesNotExist", "The specified queue does not exist.")


def invalid_handle(handle: str) -> Fault:
    return fault("ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.')


def invalid_attribute_value(name: str) -> Fault:
    return fault("InvalidAttributeValue", f"Invalid value for the parameter {name}.")


def invalid_parameter(message: str) -> Fault:
    return Fault("InvalidParameterValueException", message, namespace=_GENERIC, code="InvalidParameterValue")


def missing_parameter(name: str) -> Fault:
    message = f"The request must contain the parameter {name}."
    return Fault("MissingRequiredParameterException", message, namespace=_GENERIC, code="MissingParameter")


def serialization(message: str) -> Fault:
    """The request is JSON but not of the action's shape."""
    return Fault("SerializationException", message, namespace=_GENERIC)
