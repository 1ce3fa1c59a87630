"""Breaks the code on purpose, one rule at a time, and fails if no test of that rule minds.

`python tests/mutants/run.py` applies each patch of this folder to a copy of the working tree and runs the tests that
carry the rule's number. Those tests must pass on an unbroken copy first: one that fails anyway minds nothing.
`--draw SEED` prints the rules that a seed draws. The patches were written for what SEED below drew; rules that were
added since change the draw, and the last line says how many patches it still covers.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SEED = 20
COUNT = 20
FAILED = 1  # pytest's exit code when tests failed, or their fixtures; any other but 0 means that none ran
LONGEST = 300.0  # seconds for the tests of one rule


@dataclass(frozen=True)
class Mutant:
    """A patch, the rule that it breaks, and how."""

    path: Path
    rule: str
    breaks: str

    @classmethod
    def read(cls, path: Path) -> Mutant:
        text = path.read_text()
        rule = re.search(r"^Rule: (\S+)$", text, re.MULTILINE)
        breaks = re.search(r"^Breaks: (.+)$", text, re.MULTILINE)
        if rule is None or breaks is None:
            raise SystemExit(f"{path.name}: its head must say 'Rule: N' and 'Breaks: one sentence'.")
        return cls(path, rule[1], breaks[1])


def draw(seed: int) -> list[str]:
    """All rules in the order in which a seed draws them; the first are meant."""
    rules = tomllib.loads((ROOT / "tests" / "rules.toml").read_text())
    numbers = sorted(number for number in rules if number != "exceptions")
    random.Random(seed).shuffle(numbers)
    return numbers


def copy_to(folder: Path) -> None:
    """The files of the working tree that are not ignored, tracked or new."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if not (ROOT / name).exists():  # deleted, and not yet committed
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)


def run_tests(folder: Path, rules: list[str]) -> tuple[int | None, str]:
    """(exit code, last line) of the tests of these rules, on the copy. No code: they did not end, and were killed."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "CI": "", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    for rule in rules:
        command += ["--rule", rule]
    with (folder / "mutant.log").open("w+") as log:  # not a pipe: a server of the tests might keep it open
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # so that a run that does not end is killed with all that it started
        )
        try:
            code: int | None = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.seek(0)
        lines = log.read().strip().splitlines()
    return code, lines[-1] if lines else "no output"


def tests_mind(folder: Path, mutant: Mutant) -> tuple[bool, str]:
    """Whether a test of the rule fails on the mutant, and what happened."""
    applied = subprocess.run(["git", "apply", str(mutant.path)], cwd=folder, capture_output=True, text=True)
    if applied.returncode:
        return False, f"the patch does not apply: {applied.stderr.strip().splitlines()[0]}"
    code, last = run_tests(folder, [mutant.rule])
    if code is None:
        return True, "its tests did not end"
    # A test has to fail: a fixture that breaks ends with the same code, and minds nothing.
    return code == FAILED and " failed" in last, last


def passes_unbroken(mutants: list[Mutant]) -> bool:
    """Whether the tests pass as long as nothing is broken. Says what they say if not."""
    with tempfile.TemporaryDirectory(prefix="pollers-mutant-") as name:
        copy_to(Path(name))
        code, last = run_tests(Path(name), [mutant.rule for mutant in mutants])
    if code:
        print(f"The tests of these rules fail on unbroken code: {last}")
    elif code is None:
        print("The tests of these rules do not end on unbroken code.")
    return code == 0


def run(mutants: list[Mutant]) -> int:
    if not passes_unbroken(mutants):
        return 1
    survivors = 0
    for mutant in mutants:
        with tempfile.TemporaryDirectory(prefix="pollers-mutant-") as name:
            folder = Path(name)
            copy_to(folder)
            killed, what = tests_mind(folder, mutant)
        survivors += not killed
        print(f"{'killed  ' if killed else 'SURVIVED'}  {mutant.rule:7} {mutant.breaks}  ({what})", flush=True)
    covered = len({mutant.rule for mutant in mutants} & set(draw(SEED)[:COUNT]))
    print(f"{len(mutants)} mutants, {covered} of them of what seed {SEED} draws today; {survivors} survived")
    return int(survivors > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", type=int, metavar="SEED", help="print the rules that a seed draws")
    parser.add_argument("names", nargs="*", help="only these patches")
    arguments = parser.parse_args()
    if arguments.draw is not None:
        print(f"seed {arguments.draw}:", *draw(arguments.draw)[:COUNT])
        return 0
    chosen = arguments.names or sorted(path.name for path in HERE.glob("*.patch"))
    if not arguments.names and len(chosen) < COUNT:
        raise SystemExit(f"{len(chosen)} patches are here, and {COUNT} are asked for.")
    return run([Mutant.read(HERE / name) for name in chosen])


if __name__ == "__main__":
    raise SystemExit(main())
