"""Breaks the code on purpose, one rule at a time, and fails if no test of that rule minds.

`python tests/mutants/run.py` applies each patch of this folder to a copy of the tracked files and runs the tests that
carry the rule's number. `--draw SEED` prints the rules that a seed draws; the patches are those of SEED below, where a
rule that no change of `pollers/` can break (it is about what is not there) is passed over for the next one drawn.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
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
    """The tracked files, as they are in the working tree."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)


def tests_mind(folder: Path, mutant: Mutant) -> tuple[bool, str]:
    """Whether a test of the rule fails on the mutant, and what happened."""
    applied = subprocess.run(["git", "apply", str(mutant.path)], cwd=folder, capture_output=True, text=True)
    if applied.returncode:
        return False, f"the patch does not apply: {applied.stderr.strip().splitlines()[0]}"
    code, last = run_tests(folder, [mutant.rule])
    # A test has to fail: tests that could not even run mind nothing.
    return code == 1 and " failed" in last, last


def run_tests(folder: Path, rules: list[str]) -> tuple[int, str]:
    """The exit code and the last line of the tests of these rules, in a copy."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "CI": "", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    for rule in rules:
        command += ["--rule", rule]
    try:
        ran = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, "1 failed to end"
    last = ran.stdout.strip().splitlines()[-1] if ran.stdout.strip() else ran.stderr.strip()[-200:]
    return ran.returncode, last


def run(mutants: list[Mutant]) -> int:
    with tempfile.TemporaryDirectory(prefix="pollers-whole-") as name:
        copy_to(Path(name))
        code, last = run_tests(Path(name), [mutant.rule for mutant in mutants])
    print(f"unbroken: {last}", flush=True)
    if code:
        return 1
    survivors = 0
    for mutant in mutants:
        with tempfile.TemporaryDirectory(prefix="pollers-mutant-") as name:
            folder = Path(name)
            copy_to(folder)
            killed, what = tests_mind(folder, mutant)
        survivors += not killed
        print(f"{'killed  ' if killed else 'SURVIVED'}  {mutant.rule:7} {mutant.breaks}  ({what})", flush=True)
    print(f"{len(mutants)} mutants, drawn by seed {SEED}; {survivors} survived")
    return int(survivors > 0 or len(mutants) < COUNT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", type=int, metavar="SEED", help="print the rules that a seed draws")
    parser.add_argument("names", nargs="*", help="only these patches")
    arguments = parser.parse_args()
    if arguments.draw is not None:
        print(f"seed {arguments.draw}:", *draw(arguments.draw)[:COUNT])
        return 0
    chosen = arguments.names or sorted(path.name for path in HERE.glob("*.patch"))
    return run([Mutant.read(HERE / name) for name in chosen])


if __name__ == "__main__":
    raise SystemExit(main())
