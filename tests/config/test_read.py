"""Files that cannot be read, in every way: each message names the file, the cause and the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pollers.config.read import LIMIT, read_document
from pollers.errors import ConfigurationError

LAUGHS = "a0: &a0 [lol]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{k{i}: 1, <<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 10)
)

UNREADABLE = {
    # name of the file -> (content, where, cause, remedy)
    "laughs.yaml": (LAUGHS, "laughs.yaml, line 1, column 1", "its aliases unfold to", "Write out"),
    "merges.yaml": (MERGES, "merges.yaml, line 1, column 1", "its aliases unfold to", "Write out"),
    "itself.yaml": ("a: &a [*a]", "itself.yaml, line 1, column 4", "an alias contains itself", "Write out"),
    "twice.yaml": ("a: 1\nb: 2\na: 3\n", "twice.yaml, line 3, column 1", "the key 'a' is there twice", "Keep one"),
    "python.yaml": ("a: !!python/object/apply:os.getcwd []", "python.yaml, line 1", "could not determine a constr", ""),
    "tab.yaml": ("a:\n\t- b", "tab.yaml, line 2, column 1", "cannot start any token", "Correct it"),
    "two.yaml": ("a: 1\n---\nb: 1\n", "two.yaml, line 2", "but found another document", "Correct it"),
    "control.yaml": ("a: \x01", "control.yaml", "is not YAML", "Correct it"),
    "deep.yaml": ("[" * 50_000, "deep.yaml, line 1, column 101", "is nested too deeply", "No field"),
    "date.yaml": ("a: 2026-13-45", "date.yaml", "is not what it says", "Put it in quotes"),
    "int.yaml": ('a: !!int ""', "int.yaml", "is not what it says", "Put it in quotes"),
    "timestamp.yaml": ("a: !!timestamp x", "timestamp.yaml", "is not what it says", "Put it in quotes"),
    "empty.yaml": ("# nothing\n", "empty.yaml", "is empty", "Begin with functions"),
    "list.yml": ("- a\n", "list.yml", "does not hold a table", "Begin with functions"),
    "twice.json": ('{"a": {"b": 1, "b": 2}}', "twice.json", "the key 'b' is there twice", "Keep one"),
    "nan.json": ('{"a": NaN}', "nan.json", "NaN is not JSON", "Give a number"),
    "comma.json": ('{\n  "a": 1,\n}', "comma.json, line 3, column 1", "is not JSON", "Correct it"),
    "deep.json": ("[" * 200_000, "deep.json", "is nested too deeply", "No field"),
    "digits.json": ('{"a": ' + "1" * 5_000 + "}", "digits.json", "is not JSON that can be used", "Correct it"),
    "empty.json": (" \n", "empty.json", "is empty", "Begin with functions"),
    "text.json": ('"functions"', "text.json", "does not hold a table", "Begin with functions"),
    "value.toml": ("a = 1\nb = \n", "value.toml, line 2, column 5", "is not TOML: Invalid value", "Correct it"),
    "end.toml": ("a = 1\n[b", "end.toml, line 2", "is not TOML", "Correct it"),
    "twice.toml": ("a = 1\na = 2\n", "twice.toml, line 2", "Cannot overwrite a value", "Correct it"),
    "deep.toml": ("a = " + "[" * 50_000, "deep.toml", "is nested too deeply", "No field"),
    "empty.toml": ("", "empty.toml", "is empty", "Begin with functions"),
    "large.toml": ("#" * LIMIT + "\n", "large.toml", f"is larger than {LIMIT} bytes", "Split it"),
    "mappings.ini": ("", "mappings.ini", "its suffix does not tell its format", "Name it .toml"),
    "mappings": ("", "mappings", "its suffix does not tell its format", "Name it .toml"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_file_says_where_why_and_what_to_do(tmp_path: Path, name: str) -> None:
    content, where, cause, remedy = UNREADABLE[name]
    path = tmp_path / name
    path.write_text(content)

    with pytest.raises(ConfigurationError) as caught:
        read_document(path)

    (problem,) = caught.value.problems
    assert problem.path.startswith(f"{tmp_path}/{where}")
    assert cause in problem.message
    assert problem.remedy.startswith(remedy)


def test_text_that_is_not_utf_8_is_shown_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b"a = 1\nb = 'caf\xe9'\n")

    with pytest.raises(ConfigurationError, match=r"latin.toml, line 2, column 9: is not UTF-8. Save it as UTF-8."):
        read_document(path)


def test_missing_file_a_folder_and_a_path_that_cannot_be_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "folder.toml"
    folder.mkdir()

    with pytest.raises(ConfigurationError, match=r"none.toml: there is no such file. Check the path."):
        read_document(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match=r"folder.toml: is a folder, not a file."):
        read_document(folder)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_document(tmp_path / "nul\0.toml")


@pytest.mark.parametrize(
    ("name", "text"), [("x.toml", "a = 1"), ("x.yaml", "a: 1"), ("x.YML", "a: 1"), ("x.json", json.dumps({"a": 1}))]
)
def test_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())

    assert read_document(path) == {"a": 1}


def test_yaml_aliases_and_merge_keys_work_within_reason(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\n")

    assert read_document(path)["other"] == {"a": 1, "b": 3}
