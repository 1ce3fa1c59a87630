"""What is shipped: the wheel holds the package and nothing else, and runs beside anybody's `handlers`."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

POISON = "raise RuntimeError('pollers must not import this')\n"
PROGRAM = """
import asyncio, importlib, pkgutil, sys
import pollers

assert pollers.__file__.startswith(sys.argv[1]), pollers.__file__
for module in pkgutil.walk_packages(pollers.__path__, "pollers."):
    importlib.import_module(module.name)

from pollers import EventSourceMapping, MemoryQueue, MemoryQueueSource, Pollers

async def main():
    seen = asyncio.Event()

    async def handle(event, context):
        seen.set()

    queue = MemoryQueue("orders")
    queue.put("one")
    async with Pollers([EventSourceMapping(MemoryQueueSource(queue), handle)]):
        await seen.wait()

asyncio.run(main())
assert "handlers" not in sys.modules
print("ran")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    roots = {name.partition("/")[0] for name in names}
    assert "pollers" in roots
    assert {root for root in roots if not root.endswith(".dist-info")} == {"pollers"}
    assert "pollers/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_a_poisoned_handlers_package_is_never_imported(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    (tmp_path / "handlers").mkdir()
    (tmp_path / "handlers" / "__init__.py").write_text(POISON)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    ran = subprocess.run(
        [sys.executable, str(program), str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "ran\n"
