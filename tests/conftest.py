"""What the whole suite shares: the profile of the properties, the numbers of the rules that tests prove, and moto.

`pytest --rules` compares all markers with `rules.toml` and fails on a difference; `pytest --rule 5.6-4` runs the tests
of one rule.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from rules_report import Report, Rulebook, read

settings.register_profile("pollers", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
settings.load_profile("pollers")

RULES = Path(__file__).with_name("rules.toml")


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a DynamoDB that somebody else wrote, one for all tests: each has tables of its own."""
    from moto_process import moto_process  # not above: the tests of the rules' report take this file without the other

    with moto_process(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture
def dynamodb(moto: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every client of DynamoDB made from now on leads to it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return moto


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("rules")
    group.addoption("--rules", action="store_true", help="compare the markers of the whole suite with rules.toml")
    group.addoption("--rule", action="append", default=[], metavar="N", help="run only the tests of rule N; repeatable")


def pytest_configure(config: pytest.Config) -> None:
    numbers, whole = config.getoption("rule"), config.getoption("rules")
    if not numbers and not whole:
        return
    try:
        book = read(RULES)
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"The rules cannot be read: {error}") from error
    if numbers:
        _select(config, book, numbers)
    if whole:
        _compare(config, book)


def _select(config: pytest.Config, book: Rulebook, numbers: list[str]) -> None:
    unknown = [number for number in numbers if number not in book.rules]
    if unknown:
        raise pytest.UsageError(f"rules.toml has no rule {', '.join(unknown)}.")
    config.pluginmanager.register(Selection(set(numbers)), "rules-selection")


def _compare(config: pytest.Config, book: Rulebook) -> None:
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        raise pytest.UsageError("--rules looks at the whole suite: name no files or folders with it.")
    config.pluginmanager.register(Comparison(book), "rules-comparison")


def numbers_of(item: pytest.Item) -> set[str]:
    return {number for marker in item.iter_markers("rule") for number in marker.args}


class Selection:
    """Leaves only the tests of some rules."""

    def __init__(self, numbers: set[str]) -> None:
        self._numbers = numbers

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        others = [item for item in items if not numbers_of(item) & self._numbers]
        items[:] = [item for item in items if numbers_of(item) & self._numbers]
        config.hook.pytest_deselected(items=others)


class Comparison:
    """Fails a run that went well otherwise when rules and tests do not agree."""

    def __init__(self, book: Rulebook) -> None:
        self._book = book
        self._numbers: dict[str, set[str]] = {}  # by test
        self._skipped: set[str] = set()  # tests: they prove nothing

    @pytest.hookimpl(tryfirst=True)  # before anything is deselected
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self._numbers = {item.nodeid: numbers_of(item) for item in items}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._skipped.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK and self._report().faults:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        report = self._report()
        terminalreporter.section("rules")
        for fault in report.faults:
            terminalreporter.write_line(fault, red=True)
        terminalreporter.write_line(report.summary)

    def _report(self) -> Report:
        ran = (numbers for test, numbers in self._numbers.items() if test not in self._skipped)
        skipped = (numbers for test, numbers in self._numbers.items() if test in self._skipped)
        return Report(self._book, _union(ran), _union(skipped))


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)
