"""The command line. Commands import what they need when they run, so that `pollers --help` is quick."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

try:
    import click
except ModuleNotFoundError:
    sys.exit('The command line needs more than the library does. Install it with: pip install "pollers[service]"')

from pollers.errors import PollersError
from pollers.service.exits import CONFIGURATION, FAILED, MEANINGS, SIGNALLED, exit_code

__all__ = ["cli", "main"]

CONDITIONS = ("RetryAttemptsExhausted", "RecordAgeExceeded", "MaximumPayloadSizeExceeded")
EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())


class Commands(click.Group):
    """A group whose commands may raise what pollers raises on purpose: it is told, and becomes an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PollersError as error:
            from pollers.service.output import tell_error

            tell_error(error)
            ctx.exit(exit_code(error))


FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
APP_DIR = click.option(
    "--app-dir", type=FOLDER, metavar="DIR", help="Where functions are imported from; by default the file's folder."
)


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pollers")
def cli() -> None:
    """Event source mappings as AWS Lambda has them, outside AWS: moves records from queues and streams to functions."""


@cli.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--event-source-arn", metavar="ARN", help="A queue or stream to read, in place of a file.")
@click.option("--handler", metavar="PATH", help="The function that gets its records: module.function.")
@click.option(
    "--starting-position",
    type=click.Choice(["TRIM_HORIZON", "LATEST"]),
    help="Where a stream that was never read begins: its oldest record, or what comes from now on.",
)
@APP_DIR
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="Serve health and metrics on this port, 0: any free one; by default no port is opened.",
)
@click.option("--metrics-host", metavar="HOST", help="The address of that port; by default 127.0.0.1.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    metavar="N",
    help="Run N processes that share the work and the limits. Each has a metrics port: PORT, PORT + 1 and so on.",
)
@click.option("--worker", hidden=True)
@click.pass_context
def run(
    ctx: click.Context,
    file: Path | None,
    event_source_arn: str | None,
    handler: str | None,
    starting_position: str | None,
    app_dir: Path | None,
    metrics_port: int | None,
    metrics_host: str | None,
    workers: int,
    worker: str | None,
) -> None:
    """Run the mappings of FILE until a signal.

    The first SIGINT or SIGTERM stops reading, hands back what has not started, and waits for what runs; the second
    ends the process at once. FILE is TOML, YAML or JSON by its suffix; without one, --event-source-arn and --handler
    name a queue or stream and a function. A flag beats the file.
    """
    from pollers.config.parse import from_flags, load

    if file is not None and (event_source_arn or handler or starting_position):
        raise click.UsageError("FILE holds the mappings: leave out --event-source-arn and --handler, or FILE.")
    if file is not None:
        configuration = load(file)
    elif event_source_arn and handler:
        configuration = from_flags(event_source_arn, handler, starting_position)
    else:
        raise click.UsageError("Name a FILE, or --event-source-arn and --handler.")

    from pollers.service.run import Options, run_parent, run_service
    from pollers.service.workers import Worker

    if workers > 1 and worker is None:
        ctx.exit(run_parent(configuration, _again(ctx), workers))
    one = None if worker is None else Worker.parse(worker)
    if one is not None and metrics_port:
        metrics_port += one.number - 1
    options = Options(None if app_dir is None else str(app_dir), metrics_port, metrics_host, one)
    ctx.exit(run_service(configuration, options))


def _again(ctx: click.Context) -> list[str]:
    """The arguments of this call, for the processes that it starts."""
    arguments = []
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name or "")
        if value is None or parameter.name in ("workers", "worker"):
            continue
        arguments += [str(value)] if isinstance(parameter, click.Argument) else [parameter.opts[0], str(value)]
    return arguments


@cli.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@APP_DIR
@click.pass_context
def validate(ctx: click.Context, file: Path, app_dir: Path | None) -> None:
    """Check FILE, import its functions, and print what would run. Connects to nothing."""
    from pollers.config.parse import load

    configuration = load(file)

    from pollers.service.output import tell_error
    from pollers.service.validate import show, unloadable

    faults = unloadable(configuration, app_dir)
    for error in faults:
        tell_error(error)
    if faults:
        ctx.exit(CONFIGURATION)
    show(configuration)


@cli.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("mapping")
@click.option("--to", metavar="WHERE", help="TRIM_HORIZON, LATEST, or a moment such as 2026-01-31T12:00:00Z.")
@click.option("--shard", metavar="ID", help="One shard only, with --after.")
@click.option("--after", type=click.IntRange(0), metavar="NUMBER", help="The sequence number to go on behind.")
@click.option("--dry-run", is_flag=True, help="Say what would be moved, and change nothing.")
def seek(file: Path, mapping: str, to: str | None, shard: str | None, after: int | None, dry_run: bool) -> None:
    """Move where MAPPING of FILE goes on in its stream or topic. Stop the mapping first.

    --to moves every shard or partition; --shard with --after moves one (topic-0, behind an offset). What was processed
    behind the new position is processed again; what lies between an old position and a later one is skipped.
    """
    if (to is None) == (shard is None) or (shard is None) != (after is None):
        raise click.UsageError("Give --to, or --shard with --after.")

    from pollers.config.parse import load
    from pollers.flow.records import Partition
    from pollers.service import seek as command

    configuration = load(file)
    chosen = command.chosen(configuration, mapping)
    where = command.After(Partition(shard), after) if shard is not None and after is not None else None
    command.seek(configuration, chosen, where or command.moment(to or ""), dry_run=dry_run)


@cli.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("mapping")
@click.option(
    "--from",
    "documents",
    metavar="DOCUMENTS",
    required=True,
    help="A file, the ARN or URL of a queue, or a bucket: s3://bucket/prefix, or its ARN.",
)
@click.option("--shard", metavar="ID", help="Documents of this shard, or partition, only.")
@click.option("--condition", "conditions", type=click.Choice(CONDITIONS), multiple=True, help="Only these; repeatable.")
@click.option("--request-id", "request_ids", metavar="ID", multiple=True, help="Only these; repeatable.")
@click.option("--since", metavar="MOMENT", help="Documents written from then on: 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="MOMENT", help="Documents written before then.")
@click.option("--dry-run", is_flag=True, help="Say what would be replayed; call nothing and acknowledge nothing.")
@click.option("--delete", is_flag=True, help="Delete the objects of a bucket whose documents were replayed.")
@click.option("--whole-range", is_flag=True, help="Where a document's records cannot be told, replay all between.")
@APP_DIR
@click.pass_context
def replay(
    ctx: click.Context,
    file: Path,
    mapping: str,
    documents: str,
    shard: str | None,
    conditions: tuple[str, ...],
    request_ids: tuple[str, ...],
    since: str | None,
    until: str | None,
    dry_run: bool,
    delete: bool,
    whole_range: bool,
    app_dir: Path | None,
) -> None:
    """Give the records of failure documents to the function of MAPPING once more.

    Records are read again at their stream; where it no longer has them, they are taken from the document, if that
    holds the event (those in buckets and files do); those of a topic only where it does not hold it. Documents are
    replayed one at a time, in the order of their records. Messages are deleted when they were replayed, and all others
    go back to the queue; objects and lines stay. The exit code is 1 unless every document succeeded.
    """
    from pollers.config.parse import load
    from pollers.service.replay.documents import Wanted
    from pollers.service.replay.run import Options
    from pollers.service.replay.run import replay as command

    wanted = Wanted(
        shard=shard,
        conditions=frozenset(conditions) or None,
        request_ids=frozenset(request_ids) or None,
        since=_moment("--since", since),
        until=_moment("--until", until),
    )
    options = Options(documents, wanted, dry_run, delete, whole_range, None if app_dir is None else str(app_dir))
    if not command(load(file), mapping, options):
        ctx.exit(FAILED)


def _moment(flag: str, text: str | None) -> datetime | None:
    """A moment; without an offset it is UTC."""
    try:
        read = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text} is no moment such as 2026-01-31T12:00:00Z.", param_hint=flag) from None
    return read.replace(tzinfo=UTC) if read is not None and read.tzinfo is None else read


@cli.command()
def schema() -> None:
    """Print the JSON Schema of configuration files, for editors and checks."""
    from pollers.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@cli.command(epilog=EPILOG)
@click.argument("function")
@click.option(
    "--event",
    "event_file",
    type=click.File("rb"),
    metavar="FILE",
    required=True,
    help="The event, as a JSON object; - is standard input.",
)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The file that configures FUNCTION.")
@APP_DIR
@click.pass_context
def invoke(ctx: click.Context, function: str, event_file: Any, config: Path | None, app_dir: Path | None) -> None:
    """Call FUNCTION once, as a mapping would.

    FUNCTION is a path, module.function, or a name that is configured in the file of --config. Its answer goes to
    standard output as JSON; its logs, and what the answer would mean to a mapping, go to standard error. The exit code
    is 1 if it failed.
    """
    from pollers.config.parse import load

    event = _event(event_file.read())
    configuration = None if config is None else load(config)

    from pollers.service import invoke as command

    if not command.invoke(function, event, configuration, app_dir):
        ctx.exit(FAILED)


def _event(content: bytes) -> dict[str, Any]:
    try:
        event = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"it does not hold JSON: {error}", param_hint="--event") from None
    if not isinstance(event, dict):
        raise click.BadParameter("it does not hold a JSON object.", param_hint="--event")
    return event


@cli.command()
@click.option(
    "--workers",
    type=click.IntRange(1, 16),
    default=1,
    metavar="N",
    help="Run the mappings in N processes, and kill one of them in the middle.",
)
@click.pass_context
def demo(ctx: click.Context, workers: int) -> None:
    """Watch records flow from embedded servers to functions, for some 15 seconds; with several workers for 25."""
    try:
        from pollers.service.demo import run_demo
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pollers"):
            raise
        message = f'The demo needs {error.name}. Install it with: pip install "pollers[service,testing]"'
        raise click.ClickException(message) from None

    ctx.exit(run_demo(workers))


def main(arguments: list[str] | None = None) -> None:
    """The entry point: runs a command and ends the process with its exit code."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        code = cli.main(arguments, prog_name="pollers", standalone_mode=False)
    except click.Abort:  # Ctrl-C, in a command that does not drain
        return SIGNALLED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return code if isinstance(code, int) else 0
