"""The report: self-contained, complete about what there is and what is missing, and safe against what it shows."""

import json
import re

import pytest

from robotics.cli.bench import document_name
from robotics.errors import DataError, UsageError
from robotics.evaluation.bench import bench
from robotics.evaluation.bench_document import Bench
from robotics.media.record import Shot, record
from robotics.outputs import write_json
from robotics.reports.charts import success_chart
from robotics.reports.page import write_report
from tests.toy import TOY_ID

EMPTY_BENCH = json.dumps(
    {"env": "a", "policy": 1, "episodes": [], "success_rate": 1, "success_ci95": [0, 1], "return_mean": 1}
)


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


@pytest.mark.parametrize(
    ("state", "metrics", "words"),
    [
        ({"step": 1295, "elapsed_s": 90.1}, 1250, "1295 of 12000 steps (ended by the time budget of 90 s), batch 16"),
        ({"step": 1295, "elapsed_s": 70.0}, 1250, "1295 of 12000 steps, batch 16"),
        ({"step": 12_000, "elapsed_s": 91.0}, 12_000, "12000 steps, batch 16"),
        ({"step": 12_288, "elapsed_s": 91.0}, 12_288, "12288 steps, batch 16"),  # ppo ends with whole rollouts
        (None, 700, "700 of 12000 steps, batch 16"),
        (None, None, "0 of 12000 steps, batch 16"),
    ],
)
def test_steps_are_those_that_were_taken(tmp_path, state, metrics, words):
    training = {"steps": 12_000, "batch_size": 16, "lr": 0.001, "time_budget_s": 90.0}
    write_json(tmp_path / "config.json", {"family": "act", "data": {}, "policy": {}, "training": training})
    if state:
        write_json(tmp_path / "checkpoints" / "001295" / "training_state" / "state.json", state)
    if metrics:
        (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": metrics, "loss": 1.0}) + "\n")
    assert f"<td>{words}, lr 0.001</td>" in without_plotly(write_report([tmp_path]))


LOGGED = {
    "ppo": ({"train_loss": -0.5}, ["training loss"]),
    "sac": ({"train_critic_loss": 2.0, "train_actor_loss": -3.0}, ["critic loss", "actor loss"]),
}


@pytest.mark.parametrize("kind", LOGGED)
def test_learning_from_reward_is_drawn(tmp_path, kind):
    terms, titles = LOGGED[kind]
    lines = [{"step": 10, **terms}, {"step": 20, "eval_return": 71.25, "eval_success_rate": 0.25, "elapsed_s": 1.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = without_plotly(write_report([tmp_path]))
    for title in [*titles, "return in rollouts"]:
        assert f'"name":"{title}"' in text and f"<th>{title}</th>" in text
    assert '"name":"success in rollouts [%]"' in text
    assert "<td>20</td>" + "<td>–</td>" * len(terms) + "<td>71.25</td><td>25.0 %</td>" in text
    assert '"type":"linear"' in text  # these losses have no bound


def test_measurements_of_one_policy_are_told_apart(folder, tmp_path):
    """By how and where they were made; what a damaged document says of that is refused."""
    document = json.loads((folder / document_name("expert", 1_000_000)).read_text())
    twin = {"kind": "hidden twin", "env": TOY_ID, "severity": "hard", "seed": 3, "commitment": "c"}
    for name, more in (
        ("plain", {"target": {"kind": "simulation"}}),
        ("told", {"execution": {"delay": 2, "unstick": 0.3}}),
        ("twin", {"target": twin}),
        ("heavy", {"target": {"kind": "factors", "values": {"mass": 1.1}}}),
    ):
        write_json(tmp_path / f"bench-{name}.json", document | more)
    text = without_plotly(write_report([tmp_path]))
    labels = ["expert", "expert · receding_horizon, delay 2, unstick 0.3"]
    labels += ["expert · on hidden twin (severity hard, seed 3)", "expert · on mass 1.1"]
    assert all(f"<td>{label}</td>" in text and f"Episodes of {label}<" in text for label in labels)
    write_json(tmp_path / "bench-heavy.json", document | {"target": {"kind": "factors", "values": [1]}})
    with pytest.raises(DataError, match=r"bench-heavy.json: target.values is no table"):
        write_report([tmp_path])


def test_a_policy_that_plays_chunks_is_shown_by_what_an_inference_takes(folder, tmp_path):
    document = json.loads((folder / "bench-expert-1000000.json").read_text())
    ms = {"p50": 0.004, "p99": 2.5, "inference_p50": 2.25, "inference_p99": 2.75}
    write_json(tmp_path / "bench-dit-1.json", document | {"policy_ms": ms})
    assert "2.25 / 2.75 a chunk</td>" in without_plotly(write_report([tmp_path]))


def test_several_runs_are_compared(folder, toy_policy, tmp_path):
    text = without_plotly(write_report([folder, toy_policy], tmp_path / "page.html"))
    assert "Comparison" in text
    assert text.count("<section>") == 2


def test_results_of_one_environment_are_judged_against_each_other(folder, tmp_path):
    (tmp_path / "other").mkdir()
    document = json.loads((folder / "bench-expert-1000000.json").read_text())
    for episode in document["episodes"]:
        episode["success"] = False
    bad = {"policy_label": "lazy", "success_rate": 0.0, "success_ci95": [0.0, 0.6]}
    write_json(tmp_path / "other" / "bench-lazy-1.json", document | bad)
    text = without_plotly(write_report([folder, tmp_path / "other"], tmp_path / "page.html"))
    count = len(document["episodes"])
    assert f"<b>other: lazy</b> against <b>{folder.name}: expert</b>, {count} shared seeds: " in text


def test_what_is_shown_can_not_run(folder, tmp_path):
    document = json.loads((folder / "bench-expert-1000000.json").read_text())
    document["policy_label"] = document["env"] = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    write_json(tmp_path / "bench-evil.json", document)
    text = without_plotly(write_report([tmp_path]))
    assert "<script>alert" not in text
    assert "<img" not in text


def _config(**parts):
    return json.dumps({"family": "act", "data": {}, "policy": {}, "training": {}} | parts)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bench-a.json", "{", "bench-a.json: not a JSON document"),
        ("bench-a.json", "[]", "bench-a.json: no bench document"),
        ("bench-a.json", EMPTY_BENCH, "lists no episodes"),
        ("bench-a.json", "[" * 100_000, "not a JSON document"),
        ("bench-a.json", "1" * 5_000, "not a JSON document"),
        ("metrics.jsonl", '{"loss": 1}\n', "line 1 holds no step"),
        ("metrics.jsonl", "nonsense\n{}\n", "line 1 is no JSON"),
        ("metrics.jsonl", '{"step": 1, "loss": "low"}\n', "loss at step 1 is 'low', no number"),
        ("metrics.jsonl", '{"step": 1, "eval_return": "low"}\n', "eval_return at step 1 is 'low', no number"),
        ("metrics.jsonl", f'{{"step": 1, "loss": {10**400}}}\n', "loss at step 1 is '1000000"),
        ("config.json", "{}", "does not describe a training run"),
        ("config.json", _config(data={"path": 0}), "data.path is 0, no path or list of them"),
        ("config.json", _config(training={"steps": "many"}), "training.steps is 'many'"),
        ("config.json", _config(training={"time_budget_s": []}), "training.time_budget_s is []"),
        ("config.json", '{"family": "act", "data": [], "policy": {}, "training": {}}', "data is no table"),
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"success_ci95": None}, "success_ci95 is None, no interval"),
        ({"success_ci95": [0.9]}, "no interval"),
        ({"success_ci95": [0.2, 0.9]}, "no interval"),  # the rate is 1
        ({"success_rate": None}, "success_rate is None"),
        ({"success_rate": 1.5}, "no number within 0 … 1"),
        ({"return_mean": float("nan")}, "return_mean is nan"),
        ({"return_mean": 10**400}, "return_mean is"),
        ({"env": []}, "env is [], no name"),
        ({"faults": ["nan"]}, "faults is no table"),
        ({"episodes": [{"seed": 0, "success": "no", "return": 0.0, "length": 1}]}, "success of episode 0 is 'no'"),
        ({"episodes": [{"seed": 0, "success": True, "return": None, "length": 1}]}, "episode 0 is no number"),
    ],
)
def test_damaged_measurements_are_named(folder, tmp_path, change, message):
    document = json.loads((folder / "bench-expert-1000000.json").read_text()) | change
    (tmp_path / "bench-a.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=re.escape(message)):
        write_report([tmp_path])


def test_a_measurement_without_success_is_shown_as_such(folder, tmp_path):
    document = json.loads((folder / "bench-expert-1000000.json").read_text())
    document |= {"success_rate": None, "success_ci95": None}
    document["episodes"] = [episode | {"success": None} for episode in document["episodes"]]
    write_json(tmp_path / "bench-a.json", document)
    assert without_plotly(write_report([tmp_path])).count("not reported") == 4  # in the table, and three episodes


def test_runs_of_one_name_stay_apart(folder, tmp_path):
    document = json.loads((folder / "bench-expert-1000000.json").read_text())
    runs = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    for run in runs:
        write_json(run / "bench-expert.json", document)
    text = without_plotly(write_report(runs, tmp_path / "page.html"))
    for run in runs:
        assert f"<h2>{run}</h2>" in text
        assert f"<td>{run}</td><td>expert</td>" in text
    places, labels = ticks(success_chart([("expert", Bench("f", document)), ("expert", Bench("f", document))]))
    assert places == [0, 1]
    assert labels == ["expert (3/3)", "expert (3/3)"]


def ticks(chart):
    """Where a chart's rows stand and what they are called."""
    return tuple(json.loads(re.search(rf'"{name}":(\[.*?\])', chart)[1]) for name in ("tickvals", "ticktext"))


def test_the_learning_curve_is_there_without_script(tmp_path):
    lines = [{"step": step, "loss": 1 / step} for step in range(1, 1001)]
    lines += [{"step": 1000, "eval_success_rate": 0.375}, {"step": 1001, "loss": float("nan")}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = without_plotly(write_report([tmp_path]))
    body = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "<td>1</td><td>1</td>" in body
    assert "<td>1000</td><td>–</td><td>37.5 %</td>" in body
    assert "<td>1001</td><td>nan</td>" in body  # training diverged, and the page says so
    assert body.count("<tr><td>") <= 22


def test_versions_of_the_measurement_are_told_when_they_differ(folder, tmp_path):
    document = json.loads((folder / "bench-expert-1000000.json").read_text())
    assert "was measured with" not in without_plotly(write_report([folder]))
    document["versions"] |= {"mujoco": "3.1.4"}
    write_json(tmp_path / "bench-a.json", document)
    assert "mujoco 3.1.4" in without_plotly(write_report([tmp_path]))


def test_a_damaged_film_is_named(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"no film")
    with pytest.raises(DataError, match=r"a\.mp4: not a readable video"):
        write_report([tmp_path])
