"""What benchmarks publish: every row says at which commit it was measured, and the commit holds what was measured."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "scripts" / "benchmarks"
#: Of published documents: what is measured in several calls.
TABLES = ("rows", "parts", "peers", "chunk", "timing_ms_p50")


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def provenance(tmp_path, monkeypatch):
    module = load(BENCHMARKS / "provenance.py")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(module, "COMMIT", "new")
    monkeypatch.setattr(module, "UNLIKE", None)
    return module


def kept(provenance) -> dict:
    return json.loads((provenance.RESULTS / "speed.json").read_text())


def test_rows_keep_the_commit_they_were_measured_at(provenance, monkeypatch):
    provenance.publish("speed", {"runs": 1}, rows={"a": {"ms": 1}, "b": {"ms": 2}}, parts={"x": {"ms": 3}})
    monkeypatch.setattr(provenance, "COMMIT", "newer")
    provenance.publish("speed", {"runs": 2}, order=["c", "b", "a"], rows={"b": {"ms": 4}, "c": {"ms": 5}}, parts={})
    document = kept(provenance)
    assert document["runs"] == 2
    assert list(document["rows"].items()) == [
        ("c", {"ms": 5, "commit": "newer"}),
        ("b", {"ms": 4, "commit": "newer"}),
        ("a", {"ms": 1, "commit": "new"}),
    ]
    assert document["parts"] == {"x": {"ms": 3, "commit": "new"}}
    provenance.publish("speed", {}, order=["a"], rows={})
    assert list(kept(provenance)["rows"]) == ["a"]  # a row that is no longer measured


def test_rows_without_a_commit_are_refused(provenance):
    (provenance.RESULTS / "speed.json").write_text('{"rows": {"a": {"ms": 1}}}')
    with pytest.raises(SystemExit, match=r"its rows a do not say their commit: measure them too"):
        provenance.publish("speed", {}, rows={"b": {"ms": 2}})
    provenance.publish("speed", {}, rows={"a": {"ms": 2}, "b": {"ms": 2}})
    assert {row["commit"] for row in kept(provenance)["rows"].values()} == {"new"}


def test_what_no_commit_holds_is_printed_and_not_kept(provenance, monkeypatch, capsys):
    provenance.publish("speed", {"ms": 1})
    monkeypatch.setattr(provenance, "UNLIKE", "uncommitted changes to a.py; commit first")
    with pytest.raises(SystemExit, match=r"speed\.json stays as it was: uncommitted changes to a\.py; commit first"):
        provenance.publish("speed", {"ms": 2})
    assert kept(provenance)["ms"] == 1
    assert '"ms": 2' in capsys.readouterr().out  # hours of work are not lost


def test_changes_of_code_are_seen_and_those_of_results_and_text_are_not(tmp_path, capsys):
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    copy = tmp_path / "scripts" / "benchmarks" / "provenance.py"
    for path in (copy.parent / "results" / "speed.json", tmp_path / "envs" / "arm.py", tmp_path / "README.md"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    shutil.copy(BENCHMARKS / "provenance.py", copy)
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "a")
    for path in (copy.parent / "results" / "speed.json", tmp_path / "README.md"):
        path.write_text("2")
    clean = load(copy)
    assert clean.CHANGED == [] and len(clean.COMMIT) == 40
    assert "robotics is that of" in clean.UNLIKE  # and not the copy's
    assert "warning: nothing will be kept in results/: robotics is that of" in capsys.readouterr().err
    (tmp_path / "envs" / "arm.py").write_text("2")
    (tmp_path / "envs" / "new.py").write_text("2")
    assert load(copy).CHANGED == ["envs/arm.py", "envs/new.py"]


def test_every_published_row_says_its_commit():
    documents = {path.stem: json.loads(path.read_text()) for path in (BENCHMARKS / "results").glob("*.json")}
    del documents["gpu_headline"]  # measured in one call, by a script of its own
    rows = {
        f"{name}: {table}, {key}": row
        for name, document in documents.items()
        for table in TABLES
        if isinstance(document.get(table), dict)
        for key, row in document[table].items()
    }
    assert len(rows) > 100
    assert [where for where, row in rows.items() if "commit" not in row] == []


def test_how_often_a_key_examined_a_row_is_counted(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    skill = importlib.import_module("skill")
    published = {"A/act": {"exam": "old"}, "B/act": {"exam": "new", "examined": {"old": 8, "new": 1}}}
    monkeypatch.setattr(skill, "rows_of", lambda _: published)
    assert skill.examined("A/act", "old") == {"old": 2}
    assert skill.examined("B/act", "new") == {"old": 8, "new": 2}
    assert skill.examined("C/act", "new") == {"new": 1}
    for name in ("skill", "provenance", "readme_table"):
        sys.modules.pop(name, None)
