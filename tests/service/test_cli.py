"""The command line: what is printed where, for whom, and the exit code."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pollers.config.schema import json_schema
from pollers.errors import ConfigurationError, Problem
from pollers.service.cli import cli
from pollers.service.output import say, tell_error

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
FILE = f"""
[functions.orders]
handler = "shop.orders"
timeout = 5

[[event_source_mappings]]
name = "orders"
function_name = "orders"
event_source_arn = "{ARN}"
State = "Enabled"
"""
SHOP = """
import logging

print("imported")

async def orders(event, context):
    print("called", context.function_name)
    logging.warning("a warning")
    return {"batchItemFailures": [{"itemIdentifier": r["messageId"]} for r in event["Records"] if r["body"] == "bad"]}

async def orders_by_descriptor(event, context):
    import os
    os.write(1, b"written past Python")

async def raises(event, context):
    raise ValueError("no stock")

async def sleeps(event, context):
    import asyncio
    print("sleeping", flush=True)
    await asyncio.sleep(60)
"""
EVENT = {"Records": [{"messageId": str(n), "body": body} for n, body in enumerate(["good", "bad", "bad"])]}


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with a file, its module under a name of the test's own, and an event."""
    module = f"shop_{abs(hash(request.node.name))}"
    (tmp_path / f"{module}.py").write_text(SHOP)
    (tmp_path / "mappings.toml").write_text(FILE.replace("shop.", f"{module}."))
    (tmp_path / "event.json").write_text(json.dumps(EVENT))
    return tmp_path


def module(folder: Path) -> str:
    return next(folder.glob("shop_*.py")).stem


def run(*arguments: str | Path, **options: Any) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], **options)


def run_process(*arguments: str | Path, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pollers", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, timeout=60, **options)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


# help and schema


@pytest.mark.parametrize("command", [[], ["run"], ["validate"], ["invoke"]])
def test_help_names_every_exit_code(command: list[str]) -> None:
    result = run(*command, "--help")

    assert result.exit_code == 0
    for code in ("0", "1", "2", "3", "78", "130"):
        assert any(line.strip().startswith(f"{code}  ") for line in result.stdout.splitlines())


def test_help_imports_nothing_that_only_commands_need(tmp_path: Path) -> None:
    heavy = {"asyncio", "aiobotocore", "aiohttp", "msgspec", "rich", "yaml", "prometheus_client"}
    program = (
        "import sys; from pollers.service.cli import cli; cli.main(['--help'], standalone_mode=False); "
        f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )

    ran = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, timeout=60, cwd=tmp_path)

    assert ran.stderr == "[]\n"


def test_schema_is_printed_as_json() -> None:
    assert json.loads(run("schema").stdout) == json_schema()


@pytest.mark.parametrize(
    "arguments", [["schema"], ["--help"], ["validate", "mappings.toml"], ["invoke", "orders", "--event", "event.json"]]
)
def test_reader_who_leaves_is_no_traceback(folder: Path, arguments: list[str]) -> None:
    if arguments[0] == "invoke":
        arguments = [*arguments, "--config", "mappings.toml"]
    command = [sys.executable, "-m", "pollers", *arguments]
    read, write = os.pipe()
    os.close(read)
    try:
        ran = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, cwd=folder)
    finally:
        os.close(write)

    assert (ran.returncode, b"Traceback" in ran.stderr, b"BrokenPipe" in ran.stderr) == (1, False, False)


# validate


def test_valid_file_is_answered_with_a_line_for_each_mapping(folder: Path) -> None:
    result = run("validate", folder / "mappings.toml")

    assert result.exit_code == 0
    assert lines(result.stdout) == [
        {
            "mapping": "orders",
            "source": ARN,
            "function": "orders",
            "runs": f"{module(folder)}.orders",
            "enabled": True,
        }
    ]
    assert {"notice": "Reported by AWS and not used here: State."} in lines(result.stderr)
    assert "imported" not in result.stdout


def test_faults_of_a_file_are_printed_as_json_lines_with_78(folder: Path) -> None:
    path = folder / "mappings.toml"
    path.write_text(path.read_text() + "batch_sise = 5\n")

    result = run("validate", path)

    assert result.exit_code == 78
    assert result.stdout == ""
    assert lines(result.stderr) == [
        {
            "error": "configuration",
            "path": f"{path}: event_source_mappings[0].batch_sise",
            "message": "is not a known name.",
            "remedy": "Did you mean batch_size?",
        }
    ]


def test_every_function_that_cannot_be_imported_is_named(folder: Path) -> None:
    path = folder / "mappings.toml"
    path.write_text(
        f'[functions.a]\nhandler = "{module(folder)}.nothing"\n[functions.b]\nhandler = "nowhere_at_all.handle"\n'
        + path.read_text()
    )

    result = run("validate", path)

    assert result.exit_code == 78
    first, second = lines(result.stderr)
    assert (first["error"], second["error"]) == ("FunctionNotLoaded", "FunctionNotLoaded")
    assert f"{module(folder)}.nothing" in first["message"]
    assert "functions.a" in first["message"]
    assert "nowhere_at_all.handle" in second["message"]
    assert "functions.b" in second["message"]


def test_isolation_that_a_function_cannot_have_names_the_file_and_the_option(folder: Path) -> None:
    path = folder / "mappings.toml"
    path.write_text(path.read_text().replace("timeout = 5", 'pollers = { isolation = "thread" }'))

    result = run("validate", path)

    assert result.exit_code == 78
    assert [line["path"] for line in lines(result.stderr)] == [f"{path}: functions.orders.isolation"]


def test_app_dir_is_where_functions_are_imported_from(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "mappings.toml"
    elsewhere.write_text((folder / "mappings.toml").read_text())

    assert run("validate", elsewhere).exit_code == 78
    assert run("validate", elsewhere, "--app-dir", folder).exit_code == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_people_get_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    say({"mapping": "orders"}, "orders [red]runs[/red] \x1b[2J")
    tell_error(ConfigurationError([Problem("mappings.toml: store", "is wrong.", "Put it right.")]))

    assert out.getvalue() == "orders [red]runs[/red] \\x1b[2J\n"
    assert err.getvalue() == "mappings.toml: store: is wrong. Put it right.\n"


# invoke


def test_answer_is_printed_to_stdout_and_all_the_rest_to_stderr(folder: Path) -> None:
    ran = run_process("invoke", "orders", "--event", "event.json", "--config", "mappings.toml", cwd=folder)

    assert ran.returncode == 0, ran.stderr
    failures = [{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]
    assert json.loads(ran.stdout) == {"batchItemFailures": failures}
    assert "called orders" in ran.stderr
    assert "a warning" in ran.stderr
    assert lines(ran.stderr)[-1]["meaning"].startswith("2 of 3 records reported as failed")


def test_handler_needs_no_file(folder: Path) -> None:
    event = folder / "event.json"

    result = run("invoke", f"{module(folder)}:orders", "--event", event, "--app-dir", folder)

    assert result.exit_code == 0
    assert json.loads(result.stdout)["batchItemFailures"]


def test_plain_function_runs_in_a_process_whose_output_is_kept_apart(folder: Path) -> None:
    (folder / "plain.py").write_text(
        "def handle(event, context):\n    print('from a process')\n    return len(event)\n"
    )

    ran = run_process("invoke", "plain.handle", "--event", "event.json", "--app-dir", ".", cwd=folder)

    assert (ran.returncode, ran.stdout) == (0, "1\n")
    assert "from a process" in ran.stderr


def test_last_lines_of_a_process_are_not_lost(folder: Path) -> None:
    (folder / "plain.py").write_text(
        "def handle(event, context):\n    for number in range(20_000):\n        print('x' * 100)\n    print('last')\n"
    )

    ran = run_process("invoke", "plain.handle", "--event", "event.json", "--app-dir", ".", cwd=folder)

    assert (ran.returncode, ran.stdout) == (0, "null\n")
    assert any(line.endswith("last") for line in ran.stderr.splitlines())


def test_what_is_written_past_python_is_no_part_of_the_answer(folder: Path) -> None:
    path = f"{module(folder)}.orders_by_descriptor"

    ran = run_process("invoke", path, "--event", "event.json", "--app-dir", ".", cwd=folder)

    assert ran.stdout == "null\n"
    assert "written past Python" in ran.stderr


def test_event_is_read_from_standard_input(folder: Path) -> None:
    result = run("invoke", f"{module(folder)}.orders", "--event", "-", "--app-dir", folder, input='{"Records": []}')

    assert (result.exit_code, json.loads(result.stdout)) == (0, {"batchItemFailures": []})


def test_function_that_raises_is_told_with_1(folder: Path) -> None:
    result = run("invoke", f"{module(folder)}.raises", "--event", folder / "event.json", "--app-dir", folder)

    assert (result.exit_code, result.stdout) == (1, "")
    assert lines(result.stderr)[-1]["meaning"] == (
        "The function failed: ValueError: no stock. A mapping would try all 3 records again."
    )


def test_function_that_takes_too_long_is_told_in_the_words_of_lambda(folder: Path) -> None:
    path = folder / "mappings.toml"
    path.write_text(path.read_text().replace('.orders"', '.sleeps"').replace("timeout = 5", "timeout = 1"))

    result = run("invoke", "orders", "--event", folder / "event.json", "--config", path)

    assert result.exit_code == 1
    assert "Sandbox.Timedout: Task timed out after 1.00 seconds." in lines(result.stderr)[-1]["meaning"]


@pytest.mark.parametrize("content", ["", "{", "[1]", '"text"', "\ufeff"])
def test_event_that_is_no_object_is_a_wrong_command_line(folder: Path, content: str) -> None:
    event = folder / "event.json"
    event.write_text(content)

    result = run("invoke", f"{module(folder)}.orders", "--event", event, "--app-dir", folder)

    assert result.exit_code == 2
    assert "--event" in result.stderr
    assert "JSON" in result.stderr


def test_function_that_is_neither_configured_nor_a_path_is_told_with_what_there_is(folder: Path) -> None:
    result = run("invoke", "order", "--event", folder / "event.json", "--config", folder / "mappings.toml")

    assert result.exit_code == 78
    assert lines(result.stderr) == [
        {
            "error": "configuration",
            "path": "order",
            "message": "there is no function of this name.",
            "remedy": "Configured are: orders.",
        }
    ]


def test_interrupted_call_ends_with_130(folder: Path) -> None:
    path = folder / "mappings.toml"
    path.write_text(path.read_text().replace('.orders"', '.sleeps"').replace("timeout = 5", "timeout = 60"))
    command = [sys.executable, "-m", "pollers", "invoke", "orders", "--event", "event.json", "--config", str(path)]

    with subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        seen = next(line for line in process.stderr if line == "sleeping\n")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert (process.returncode, seen, out) == (130, "sleeping\n", "")
    assert "Traceback" not in err


# usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "mappings.toml", "--handler", "app.handle"],
        ["run", "--handler", "app.handle"],
        ["run", "--event-source-arn", ARN],
        ["run", "mappings.toml", "--metrics-port", "65536"],
        ["run", "mappings.toml", "--app-dir", "/there/is/no/such/folder"],
        ["validate"],
        ["invoke", "app.handle"],
        ["invoke", "app.handle", "--event", "/there/is/no/such/file"],
        ["serve"],
    ],
)
def test_wrong_command_line_is_2(arguments: list[str]) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_wrong_command_line_is_2_of_a_process_too(tmp_path: Path) -> None:
    ran = run_process("run", cwd=tmp_path)

    assert ran.returncode == 2
    assert "Name a FILE, or --event-source-arn and --handler." in ran.stderr


def test_faults_of_flags_are_78(tmp_path: Path) -> None:
    result = run("run", "--event-source-arn", "orders", "--handler", "handle")

    assert result.exit_code == 78
    assert [line["path"] for line in lines(result.stderr)] == ["--handler", "--event-source-arn"]
