"""`pollers run` with everything wrong that a user gets wrong: what it says, how it ends, and that nothing is lost."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from service_process import ended, line_with, spawn, until

from pollers.testing.front import EmbeddedAws
from pollers.testing.queues import EmbeddedQueue

GOOD = """\
[functions.work]
handler = "work.handle"

[[event_source_mappings]]
function_name = "work"
event_source_arn = "arn:aws:sqs:us-east-1:123456789012:orders"
"""
REPORTS = GOOD + 'function_response_types = ["ReportBatchItemFailures"]\n'


@dataclass(frozen=True)
class Case:
    """One way to get it wrong."""

    code: int
    says: tuple[str, ...]  # each somewhere in what is printed
    file: str = GOOD
    work: str = "def handle(event, context):\n    return None\n"
    name: str = "mappings.toml"
    environment: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[EmbeddedAws], None] | None = None


def refuse_credentials(aws: EmbeddedAws) -> None:
    for action in ("GetQueueUrl", "GetQueueAttributes"):
        aws.sqs.trouble.fail(
            action,
            10,
            code="InvalidClientTokenId",
            message="The security token included in the request is invalid.",
            status=403,
        )


CASES = {
    "no such file": Case(78, ("elsewhere.toml", "no such file"), name="elsewhere.toml"),
    "not TOML": Case(78, ("mappings.toml", "line 1"), file="[functions\n"),
    "an unknown key": Case(78, ("event_source_mappings[0].batchsize", "batch_size"), file=GOOD + "batchsize = 5\n"),
    "a wrong type": Case(78, ("event_source_mappings[0].batch_size", "ten"), file=GOOD + 'batch_size = "ten"\n'),
    "a function that is not configured": Case(
        78, ("function_name", "Function does not exist"), file=GOOD.replace("functions.work", "functions.other")
    ),
    "a module that is not there": Case(
        78, ("nowhere.handle", "nowhere"), file=GOOD.replace("work.handle", "nowhere.handle")
    ),
    "a function that is not there": Case(
        78, ("work.handel", "handle"), file=GOOD.replace("work.handle", "work.handel")
    ),
    "a module that cannot be imported": Case(
        78, ("work.handle", "boom", "work.py"), work="x = 1\nraise RuntimeError('boom')\n"
    ),
    "an endpoint that is not there": Case(
        1, ("orders", "127.0.0.1:1", "AWS_ENDPOINT_URL"), environment={"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1"}
    ),
    "a queue that is not there": Case(78, ("nothere", "does not exist"), file=GOOD.replace(":orders", ":nothere")),
    "credentials that are refused": Case(1, ("orders", "AWS_ACCESS_KEY_ID"), prepare=refuse_credentials),
    "no credentials": Case(
        1,
        ("orders", "redentials"),
        environment={
            "AWS_ACCESS_KEY_ID": "",
            "AWS_SECRET_ACCESS_KEY": "",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_CONFIG_FILE": "/nonexistent",
        },
    ),
}


def start(folder: Path, aws: EmbeddedAws, case: Case, name: str = "mappings.toml") -> subprocess.Popen[str]:
    return spawn(folder, aws, case.file, case.work, name, environment=case.environment)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_cannot_run_says_where_why_and_what_to_do(
    tmp_path: Path, aws: EmbeddedAws, queue: EmbeddedQueue, case: Case
) -> None:
    queue.send("kept")
    if case.prepare is not None:
        case.prepare(aws)
    process = start(tmp_path, aws, case, case.name)
    printed, _ = process.communicate(timeout=90)
    assert process.returncode == case.code, printed
    for words in case.says:
        assert words in printed
    assert "Traceback" not in printed
    assert queue.bodies() == ["kept"]


def test_an_empty_queue_is_waited_for_until_the_signal(tmp_path: Path, aws: EmbeddedAws, queue: EmbeddedQueue) -> None:
    with ended(start(tmp_path, aws, Case(0, ()))) as process:
        until(lambda: aws.sqs.journal.count("ReceiveMessage"))
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0, printed
    assert "draining" in printed
    assert "Traceback" not in printed


def test_a_body_of_a_mebibyte_arrives_whole(tmp_path: Path, aws: EmbeddedAws, queue: EmbeddedQueue) -> None:
    body = "ä" * (1 << 19)
    queue.send(body)
    work = "def handle(event, context):\n    open('size', 'w').write(str(len(event['Records'][0]['body'])))\n"
    with ended(start(tmp_path, aws, Case(0, (), work=work))) as process:
        until(lambda: not queue.bodies())
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0, printed
    assert (tmp_path / "size").read_text() == str(1 << 19)


def test_an_answer_that_is_no_json_fails_the_batch_and_keeps_its_messages(
    tmp_path: Path, aws: EmbeddedAws, queue: EmbeddedQueue
) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        queue.send("kept")
        url = f"http://127.0.0.1:{server.server_port}/work"
        file = REPORTS.replace('handler = "work.handle"', f'url = "{url}"')
        with ended(start(tmp_path, aws, Case(0, (), file=file))) as process:
            line = line_with(process, "not JSON")
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0, rest
        assert "batch" in json.loads(line)["message"] or "request" in line
        assert queue.bodies() == ["kept"]
    finally:
        server.shutdown()
        server.server_close()
