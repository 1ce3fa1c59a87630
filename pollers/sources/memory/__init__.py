"""Sources inside the process: a log like Kinesis and a queue like SQS, for tests and for programs without a service.

    log = MemoryLog("clicks", partitions=2)
    log.put(b"data", key="user-7")
    mapping = EventSourceMapping(MemoryLogSource(log), handle)

Call them from the thread of the event loop that reads them. What they hold lives as long as they do.
"""

from pollers.sources.memory.log import MemoryLog
from pollers.sources.memory.log_source import MemoryLogSource
from pollers.sources.memory.queue import MemoryQueue
from pollers.sources.memory.queue_source import MemoryQueueSource

__all__ = ["MemoryLog", "MemoryLogSource", "MemoryQueue", "MemoryQueueSource"]
