"""The runner of the mutants tells a test that minds from one that does not, on a small repository of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RULES = '["1-1"]\ntext = "Sums are right."\nsource = "ours"\n\n["1-2"]\ntext = "Products are right."\nsource = "ours"\n'
SUMS = "def add(a, b):\n    return a + b\n\n\ndef multiply(a, b):\n    return a * b\n"
TESTS = """import pytest
from arithmetic.sums import add, multiply

@pytest.mark.rule("1-1")
def test_add():
    assert add(2, 2) == 4

@pytest.mark.rule("1-2")
def test_multiply():
    assert multiply(2, 2) == 4
"""
HEAD = "Rule: {rule}\nBreaks: something\n\n--- a/arithmetic/sums.py\n+++ b/arithmetic/sums.py\n"
ADD = HEAD + "@@ -1,3 +1,3 @@\n def add(a, b):\n-    return a + b\n+    return {code}\n \n"
MULTIPLY = HEAD + "@@ -5,2 +5,2 @@\n def multiply(a, b):\n-    return a * b\n+    return {code}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two functions, a rule and a test for each, the real runner and the real conftest."""
    tests, package = tmp_path / "tests", tmp_path / "arithmetic"
    (tests / "mutants").mkdir(parents=True)
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "sums.py").write_text(SUMS)
    (tests / "rules.toml").write_text(RULES)
    (tests / "test_sums.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\nmarkers =\n    rule(*numbers): rules\n")
    for name in ("conftest.py", "rules_report.py", "mutants/run.py"):
        shutil.copy(HERE / name, tests / name)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def mutate(repository: Path, patch: str, *options: str) -> subprocess.CompletedProcess[str]:
    (repository / "tests" / "mutants" / "one.patch").write_text(patch)
    command = [sys.executable, str(repository / "tests" / "mutants" / "run.py"), *(options or ("one.patch",))]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_mutant_that_a_test_of_its_rule_minds_is_killed(repository: Path) -> None:
    ran = mutate(repository, ADD.format(rule="1-1", code="a - b"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith("killed    1-1     something  (1 failed, 1 deselected")
    assert ran.stdout.endswith("1 mutants, 1 of them of what seed 20 draws today; 0 survived\n")


def test_a_mutant_that_no_test_of_its_rule_minds_survives(repository: Path) -> None:
    ran = mutate(repository, MULTIPLY.format(rule="1-2", code="a + b"))
    assert ran.returncode == 1
    assert ran.stdout.startswith("SURVIVED  1-2     something  (1 passed, 1 deselected")


def test_a_test_of_another_rule_does_not_count(repository: Path) -> None:
    ran = mutate(repository, ADD.format(rule="1-2", code="a - b"))
    assert ran.returncode == 1
    assert ran.stdout.startswith("SURVIVED  1-2     something  (1 passed, 1 deselected")


def test_a_patch_that_no_longer_applies_fails(repository: Path) -> None:
    ran = mutate(repository, ADD.format(rule="1-1", code="a - b").replace("-    return a + b", "-    return b + a"))
    assert ran.returncode == 1
    assert "the patch does not apply" in ran.stdout


def test_code_that_cannot_be_imported_is_no_mutant(repository: Path) -> None:
    ran = mutate(repository, ADD.format(rule="1-1", code="("))
    assert ran.returncode == 1
    assert ran.stdout.startswith("SURVIVED")
    assert "1 error" in ran.stdout


def test_a_fixture_that_breaks_is_no_failing_test(repository: Path) -> None:
    fixture = "\n@pytest.fixture\ndef four():\n    assert add(2, 2) == 4\n    return 4\n\n@pytest.mark.rule"
    tests = TESTS.replace("\n@pytest.mark.rule", fixture, 1).replace("test_add():", "test_add(four):")
    (repository / "tests" / "test_sums.py").write_text(tests)
    ran = mutate(repository, ADD.format(rule="1-1", code="a - b"))
    assert ran.returncode == 1
    assert ran.stdout.startswith("SURVIVED  1-1     something  (1 deselected, 1 error")


def test_new_files_are_copied_and_deleted_ones_are_not(repository: Path) -> None:
    package = repository / "arithmetic"
    (package / "deleted.py").touch()
    subprocess.run(["git", "add", "."], cwd=repository, check=True)
    (package / "deleted.py").unlink()
    (package / "new.py").touch()
    (package / "__init__.py").write_text("from arithmetic import new\n")
    ran = mutate(repository, ADD.format(rule="1-1", code="a - b"))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_tests_that_fail_on_unbroken_code_kill_nothing(repository: Path) -> None:
    tests = repository / "tests" / "test_sums.py"
    tests.write_text(TESTS.replace("add(2, 2) == 4", "add(2, 2) == 5"))
    ran = mutate(repository, ADD.format(rule="1-1", code="a - b"))
    assert ran.returncode == 1
    assert ran.stdout.startswith("The tests of these rules fail on unbroken code")


def test_the_working_tree_is_not_touched(repository: Path) -> None:
    assert mutate(repository, ADD.format(rule="1-1", code="a - b")).returncode == 0
    assert (repository / "arithmetic" / "sums.py").read_text() == SUMS


def test_a_patch_without_a_head_is_refused(repository: Path) -> None:
    ran = mutate(repository, ADD.format(rule="1-1", code="a - b").replace("Breaks:", "Breaks"))
    assert ran.returncode == 1
    assert "its head must say" in ran.stderr


def test_fewer_patches_than_asked_for_fail(repository: Path) -> None:
    (repository / "tests" / "mutants" / "one.patch").write_text(ADD.format(rule="1-1", code="a - b"))
    command = [sys.executable, str(repository / "tests" / "mutants" / "run.py")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1
    assert "1 patches are here, and 20 are asked for." in ran.stderr


def test_a_seed_draws_the_same_rules_each_time(repository: Path) -> None:
    first = mutate(repository, "", "--draw", "7")
    assert first.stdout == mutate(repository, "", "--draw", "7").stdout
    assert sorted(first.stdout.split()[2:]) == ["1-1", "1-2"]
