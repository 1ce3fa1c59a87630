"""AWS's error codes, by what they mean. Codes are matched without their namespace: what follows the last dot."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["Kind", "kind_of"]


class Kind(Enum):
    """What is wrong, as far as it makes a difference to what a caller does."""

    MISSING = "missing"  # the resource does not exist
    DENIED = "denied"  # known credentials that may not do this
    CREDENTIALS = "credentials"  # none, expired, or not accepted
    THROTTLED = "throttled"
    FULL = "full"  # the queue has too many messages in flight
    UNREACHABLE = "unreachable"  # no connection, or no answer in time
    SKEWED = "skewed"  # our clock is wrong
    INVALID = "invalid"  # the request, or what it is about, is not acceptable
    UNREADABLE = "unreadable"  # an answer, though not one of the service
    OTHER = "other"  # the service's own faults, and what nobody has seen yet


_BY_KIND: Final = {
    Kind.MISSING: """
        NonExistentQueue QueueDoesNotExist ResourceNotFoundException NotFound NotFoundException NoSuchBucket
        InvalidAddress
    """,
    Kind.DENIED: """
        AccessDenied AccessDeniedException AuthorizationError AuthorizationErrorException UnauthorizedOperation
        OptInRequired SubscriptionRequiredException KmsAccessDenied KmsDisabled KmsNotFound KmsInvalidState
        KmsInvalidKeyUsage KmsOptInRequired KMSAccessDeniedException KMSDisabledException KMSInvalidStateException
        KMSNotFoundException KMSOptInRequired
    """,
    Kind.CREDENTIALS: """
        ExpiredToken ExpiredTokenException InvalidClientTokenId UnrecognizedClientException InvalidAccessKeyId
        InvalidSignatureException SignatureDoesNotMatch MissingAuthenticationToken MissingAuthenticationTokenException
        IncompleteSignature IncompleteSignatureException AuthFailure InvalidToken TokenRefreshRequired InvalidSecurity
        InvalidIdentityToken IDPCommunicationError NotAuthorized
    """,
    Kind.THROTTLED: """
        Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException
        TooManyRequestsException RequestLimitExceeded ProvisionedThroughputExceededException BandwidthLimitExceeded
        LimitExceededException SlowDown KmsThrottled KMSThrottlingException PriorRequestNotComplete
    """,
    Kind.FULL: "OverLimit",
    Kind.SKEWED: "RequestTimeTooSkewed RequestExpired RequestInTheFuture",
    Kind.INVALID: """
        InvalidParameterValue InvalidParameterValueException InvalidParameterCombination ValidationError
        ValidationException InvalidAttributeName InvalidAttributeValue InvalidMessageContents UnsupportedOperation
        MissingParameter MissingRequiredParameterException InvalidAction UnknownOperationException InvalidRequest
        SerializationException ReceiptHandleIsInvalid MessageNotInflight MalformedInput BatchRequestTooLong
        InvalidArgumentException ExpiredIteratorException TrimmedDataAccessException ExpiredNextTokenException
        BatchEntryIdsNotDistinct TooManyEntriesInBatchRequest EmptyBatchRequest InvalidBatchEntryId
    """,
}
_KINDS: Final = {code: kind for kind, codes in _BY_KIND.items() for code in codes.split()}
# AWS: SigV4 says so in words, under the code of a wrong signature.
_SKEW: Final = ("signature expired", "signature not yet current", "not within the valid")


def kind_of(code: str, message: str, status: int) -> Kind:
    """The kind of an error answer, by its code; by its HTTP status where the code is unknown."""
    kind = _KINDS.get(code.rpartition(".")[2])
    if kind is Kind.CREDENTIALS and any(words in message.lower() for words in _SKEW):
        return Kind.SKEWED
    if kind is not None:
        return kind
    return {401: Kind.CREDENTIALS, 403: Kind.DENIED, 429: Kind.THROTTLED}.get(
        status, Kind.INVALID if 400 <= status < 500 else Kind.OTHER
    )
