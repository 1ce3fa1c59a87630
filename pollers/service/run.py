"""`pollers run`: one process that runs a configuration until a signal, and says what it does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pollers.config.build import Service, build
from pollers.config.model import Configuration
from pollers.config.share import check_shared, share_of
from pollers.engine.poller import Left
from pollers.engine.supervisor import Pollers
from pollers.errors import PollersError
from pollers.observers.log import Console, JsonLines, LogObserver
from pollers.service.exits import DRAINED, LEFT, exit_code
from pollers.service.signals import TwoSignals
from pollers.service.workers import Worker, run_workers

__all__ = ["Options", "run_service"]

SAY_EVERY = 2.0  # seconds between two lines about what a drain waits for

log = logging.getLogger("pollers")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds to the file."""

    app_dir: str | None = None
    metrics_port: int | None = None
    metrics_host: str | None = None
    worker: Worker | None = None  # None: the only process


def run_service(configuration: Configuration, options: Options) -> int:
    """Run until SIGINT or SIGTERM, drain, and return the exit code. A worker ends with its parent, too."""
    log_to_stderr("" if options.worker is None else str(options.worker))
    if options.worker is None:
        _say_notices(configuration)
    else:
        configuration = share_of(configuration, options.worker.number, options.worker.of)
    service = build(configuration, app_dir=options.app_dir)
    # Long-lived objects are not looked at again and again; young ones die young (only a service may decide that).
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            return runner.run(_serve(service, options))
        except PollersError as error:
            for line in (str(error), *getattr(error, "__notes__", ())):
                log.error(line)
            return exit_code(error)


def run_parent(configuration: Configuration, arguments: Sequence[str], workers: int) -> int:
    """Run several processes with the arguments of this one, each with its part of the limits. Returns the exit code."""
    log_to_stderr()
    check_shared(configuration)
    _say_notices(configuration)
    log.info("%d workers, each with its part of every limit; they share shards and partitions among them.", workers)
    return run_workers(arguments, workers, configuration.service.grace)


def _say_notices(configuration: Configuration) -> None:
    for notice in configuration.notices:
        log.info(notice)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def log_to_stderr(worker: str = "") -> None:
    """A line for people on a terminal, JSON lines elsewhere. Client libraries only warn: below, they print secrets."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Console(worker=worker) if sys.stderr.isatty() else JsonLines(worker))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in ("botocore", "aiobotocore", "aiohttp", "asyncio", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # it warns of every rebalance, which we say ourselves


async def _serve(service: Service, options: Options) -> int:
    pollers = Pollers(
        service.mappings,
        concurrency=service.concurrency,
        ramp=service.ramp,
        grace=service.grace,
        observers=[LogObserver(log)],
    )
    with TwoSignals(lambda name: _stop(pollers, name), _stop_at_once):
        async with contextlib.AsyncExitStack() as stack:
            if options.worker is not None:
                stack.callback(_end_with_parent(lambda: _stop(pollers, "The parent is gone")))
            stack.push_async_callback(service.close)
            await stack.enter_async_context(pollers)
            if (port := options.metrics_port if options.metrics_port is not None else service.metrics_port) is not None:
                stack.callback(_serve_metrics(pollers, port, options.metrics_host or service.metrics_host))
            await pollers.run()
            left = await _drain(pollers, service.grace)
    if left.invocations:
        # Functions that do not end when they are cancelled would hold the process up: it ends without them.
        _flush()
        os._exit(LEFT)
    return LEFT if left else DRAINED


def _end_with_parent(stop: Callable[[], None]) -> Callable[[], None]:
    """Call `stop` when standard input closes, which the parent holds open. Returns what ends the watch."""

    loop = asyncio.get_running_loop()

    def readable() -> None:
        if not os.read(descriptor, 4_096):
            loop.remove_reader(descriptor)
            stop()

    descriptor = sys.stdin.fileno()
    loop.add_reader(descriptor, readable)
    return partial(_unwatch, loop, descriptor)


def _unwatch(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    loop.remove_reader(descriptor)


def _stop(pollers: Pollers, name: str) -> None:
    log.info("%s: draining. A second signal stops at once.", name)
    pollers.stop()


def _stop_at_once() -> None:
    log.warning("Second signal: stopped at once. What was being processed will be redelivered.")
    _flush()


async def _drain(pollers: Pollers, grace: float) -> Left:
    """Drain, and every few seconds say what is waited for."""
    saying = asyncio.ensure_future(_say_what_is_waited_for(pollers))
    try:
        return await pollers.drain(grace)
    finally:
        saying.cancel()


async def _say_what_is_waited_for(pollers: Pollers) -> None:
    while True:
        await asyncio.sleep(SAY_EVERY)
        for identity, invocations in pollers.running():
            log.info("%s: waiting for %d invocation%s", identity, invocations, "s" if invocations != 1 else "")


def _serve_metrics(pollers: Pollers, port: int, host: str) -> Callable[[], None]:
    # Imported here: it costs a quarter of a second, and only those who scrape need it.
    from pollers.observers.metrics import registry_of, serve

    server = serve(port, registry_of(pollers.meters), host)
    log.info("Metrics on %s", server.url)
    return server.close


def _flush() -> None:
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stdout.flush()
