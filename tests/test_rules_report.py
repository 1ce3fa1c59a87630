"""The comparison of rules and markers finds what is wrong, and only that."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rules_report import read

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent
RULES = """
["1-1"]
text = "Bread is baked."
source = "guide"

["1-2"]
text = "Bread is eaten."
source = "ours"
"""
BOTH = """
import pytest

@pytest.mark.rule("1-1")
def test_baked(): ...

@pytest.mark.rule("1-2")
def test_eaten(): ...
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A suite of its own under the real conftest."""
    for name in ("conftest.py", "rules_report.py"):
        shutil.copy(HERE / name, pytester.path)
    pytester.makefile(".toml", rules=RULES)
    pytester.makeini("[pytest]\nmarkers =\n    rule(*numbers): rules\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def run(suite: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    suite.makepyfile(test_bread=source)
    return suite.runpytest_inprocess("-p", "no:cacheprovider", *options)


def test_a_rule_for_each_test_passes_with_one_line(suite: pytest.Pytester) -> None:
    result = run(suite, BOTH, "--rules")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["2 rules, 2 with tests, 0 exceptions", "*2 passed*"])


def test_a_rule_without_a_test_fails_the_run(suite: pytest.Pytester) -> None:
    result = run(suite, BOTH.replace('@pytest.mark.rule("1-2")', ""), "--rules")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["rule 1-2 has no test: Bread is eaten.", "2 rules, 1 with tests, 0 exceptions"])
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("absence", ["skip", "xfail"])
def test_a_test_that_is_skipped_or_expected_to_fail_proves_nothing(suite: pytest.Pytester, absence: str) -> None:
    body = f"pytest.{absence}('no oven')"
    result = run(suite, BOTH.replace("test_eaten(): ...", f"test_eaten(): {body}"), "--rules")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["rule 1-2 has no test that ran: Bread is eaten."])


def test_one_case_that_runs_is_enough_where_another_is_skipped(suite: pytest.Pytester) -> None:
    cases = '@pytest.mark.parametrize("oven", [False, True])\n@pytest.mark.rule("1-2")'
    source = BOTH.replace('@pytest.mark.rule("1-2")', cases)
    source = source.replace("test_eaten(): ...", "test_eaten(oven):\n    if not oven: pytest.skip('no oven')")
    assert run(suite, source, "--rules").ret == pytest.ExitCode.OK


def test_an_unknown_number_fails_the_run(suite: pytest.Pytester) -> None:
    result = run(suite, BOTH.replace('rule("1-2")', 'rule("1-2", "9-9")'), "--rules")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["rule 9-9 is cited by a test and is not in rules.toml"])


def test_an_exception_stands_for_a_missing_test(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", rules=RULES + '[exceptions]\n"1-2" = "Nobody is hungry."\n')
    result = run(suite, BOTH.replace('@pytest.mark.rule("1-2")', ""), "--rules")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["2 rules, 1 with tests, 1 exceptions"])


def test_an_exception_that_has_a_test_by_now_fails_the_run(suite: pytest.Pytester) -> None:
    suite.makefile(".toml", rules=RULES + '[exceptions]\n"1-2" = "Nobody is hungry."\n')
    result = run(suite, BOTH, "--rules")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["rule 1-2 has a test now: take it out of the exceptions"])


def test_markers_of_classes_modules_and_parameters_count(suite: pytest.Pytester) -> None:
    source = """
import pytest

pytestmark = pytest.mark.rule("1-1")

@pytest.mark.parametrize("way", [pytest.param(1, marks=pytest.mark.rule("1-2")), 2])
def test_bread(way): ...
"""
    assert run(suite, source, "--rules").ret == pytest.ExitCode.OK


def test_tests_that_are_deselected_keep_their_markers(suite: pytest.Pytester) -> None:
    result = run(suite, BOTH, "--rules", "-k", "baked")
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=1, deselected=1)


def test_a_failing_test_stays_the_reason_of_a_failing_run(suite: pytest.Pytester) -> None:
    result = run(suite, BOTH.replace("test_eaten(): ...", "test_eaten(): assert False"), "--rules")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=1)


def test_a_part_of_the_suite_is_not_compared(suite: pytest.Pytester) -> None:
    result = run(suite, BOTH, "--rules", "test_bread.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--rules looks at the whole suite*"])


def test_without_the_flag_rules_are_not_compared(suite: pytest.Pytester) -> None:
    result = run(suite, BOTH.replace('rule("1-2")', 'rule("9-9")'))
    assert result.ret == pytest.ExitCode.OK
    assert "rules," not in result.stdout.str()


def test_rule_runs_the_tests_of_these_numbers_only(suite: pytest.Pytester) -> None:
    run(suite, BOTH, "--rule", "1-2").assert_outcomes(passed=1, deselected=1)
    run(suite, BOTH, "--rule", "1-2", "--rule", "1-1").assert_outcomes(passed=2)


def test_rule_refuses_a_number_that_does_not_exist(suite: pytest.Pytester) -> None:
    result = run(suite, BOTH, "--rule", "9-9")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*rules.toml has no rule 9-9.*"])


@pytest.mark.parametrize(
    "entry",
    [
        '["1-1"]\ntext = "Bread is baked."\n',
        '["1-1"]\ntext = ""\nsource = "ours"\n',
        '["1-1"]\ntext = "Bread is baked."\nsource = "ours"\nnote = "x"\n',
        '["1-1"]\ntext = "Bread is baked."\nsource = "ours"\n[exceptions]\n"1-2" = "There is no such rule."\n',
        '["1-1"]\ntext = "Bread is baked."\nsource = "ours"\n[exceptions]\n"1-1" = ""\n',
        '["1-1"\n',
    ],
)
def test_a_malformed_rulebook_is_refused(suite: pytest.Pytester, entry: str) -> None:
    suite.makefile(".toml", rules=entry)
    result = run(suite, BOTH, "--rules")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*The rules cannot be read*"])


def test_every_rule_is_one_sentence_with_a_known_source() -> None:
    known = {"recorded", "observed", "model", "guide", "inferred", "ours", "differs"}
    for number, rule in read(HERE / "rules.toml").rules.items():
        assert rule.text.endswith("."), number
        assert ". " not in rule.text, number
        kinds = {
            part.partition(":")[0].strip()
            for source in rule.source.split(";")
            for part in source.split(":")[0].split(",")
        }
        assert kinds <= known, number
