"""The report: self-contained, complete about what there is and what is missing, and safe against what it shows."""

import json
import re

import pytest

from robotics.cli.bench import document_name
from robotics.errors import DataError, UsageError
from robotics.evaluation.bench import bench
from robotics.media.record import Shot, record
from robotics.outputs import write_json
from robotics.reports.page import write_report
from tests.toy import TOY_ID

EMPTY_BENCH = json.dumps({"env": 1, "policy": 1, "episodes": [], "success_rate": 1, "return_mean": 1, "return_ci95": 1})


@pytest.fixture(scope="module")
def folder(tmp_path_factory, toy_policy):
    """A bench folder with a film."""
    folder = tmp_path_factory.mktemp("report")
    write_json(folder / document_name("expert", 1_000_000), bench(TOY_ID, "expert", 3, 1_000_000))
    write_json(folder / document_name(str(toy_policy), 1_000_000), bench(TOY_ID, str(toy_policy), 3, 1_000_000))
    record(Shot(TOY_ID, "expert", 1_000_000, title="The expert"), folder / "videos" / "expert.mp4")
    return folder


def without_plotly(page):
    """The page without the library's own script, whose text mentions many things."""
    text = page.read_text()
    start, stop = text.index("<script>"), text.index("</script>")
    return text[:start] + text[stop:]


def test_page_needs_nothing_from_elsewhere(folder):
    text = without_plotly(write_report([folder]))
    assert not re.findall(r"""(?:src|href)=["'](?!data:)[^"']+""", text)
    assert "@import" not in text
    assert "data:video/mp4;base64," in text


def test_page_shows_the_numbers(folder):
    text = without_plotly(write_report([folder]))
    assert "100.0 %" in text
    assert "43.9 % – 100.0 %" in text  # Wilson's interval of 3 of 3
    for seed in (1_000_000, 1_000_001, 1_000_002):
        assert f"<td>{seed}</td>" in text
    assert "The expert" in text
    assert "This folder is no training run" in text


def test_a_run_shows_its_learning_curve_and_what_is_missing(toy_policy, tmp_path):
    text = without_plotly(write_report([toy_policy], tmp_path / "page.html"))
    assert "training loss" in text
    assert "Not measured yet" in text
    assert "40 episodes" in text


def test_several_runs_are_compared(folder, toy_policy, tmp_path):
    text = without_plotly(write_report([folder, toy_policy], tmp_path / "page.html"))
    assert "Comparison" in text
    assert text.count("<section>") == 2


def test_what_is_shown_can_not_run(folder, tmp_path):
    document = json.loads((folder / "bench-expert-1000000.json").read_text())
    document["policy_label"] = document["env"] = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    write_json(tmp_path / "bench-evil.json", document)
    text = without_plotly(write_report([tmp_path]))
    assert "<script>alert" not in text
    assert "<img" not in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bench-a.json", "{", "bench-a.json: not a JSON document"),
        ("bench-a.json", "[]", "bench-a.json: no bench document"),
        (
            "bench-a.json",
            json.dumps(
                dict.fromkeys(("env", "policy", "success_rate", "return_mean", "return_ci95"), 1) | {"episodes": []}
            ),
            "no episodes",
        ),
        ("metrics.jsonl", '{"loss": 1}\n', "line 1 holds no step"),
        ("metrics.jsonl", "nonsense\n{}\n", "line 1 is no JSON"),
        ("config.json", "{}", "does not describe a training run"),
        ("readme.txt", "hello", "nothing to report"),
    ],
)
def test_damaged_folders_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=re.escape(message)):
        write_report([tmp_path])
    assert not (tmp_path / "report.html").exists()


def test_no_folder_and_a_missing_one(tmp_path):
    with pytest.raises(UsageError, match="at least one"):
        write_report([])
    with pytest.raises(DataError, match="no such folder"):
        write_report([tmp_path / "nowhere"])
