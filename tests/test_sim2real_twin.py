"""Hidden twins: sealed, bound by what they publish, further away than any training, and never drawn without the key."""

import json
import stat

import numpy as np
import pytest

from robotics.cli.main import main
from robotics.envs.base import MujocoTask
from robotics.errors import DataError, UsageError
from robotics.sim2real import twin
from robotics.sim2real.applicability import task_of
from robotics.sim2real.drawing import TRAINING, TWINS, Randomisation, draw_twin
from robotics.sim2real.factors import FACTORS, factor
from robotics.sim2real.sealing import commitment, seal, unseal
from robotics.sim2real.targets import open_target
from robotics.sim2real.twin import KEY_VARIABLE, key_file, make_twin, open_twin
from robotics.sim2real.world import World

ENV = "robotics/Reach-v0"


@pytest.fixture(scope="module")
def reach():
    return task_of(ENV)


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


# -- envelopes ----


def test_what_is_sealed_comes_back_with_the_key_alone():
    envelope = seal({"a": 1.5}, "secret", "public")
    assert unseal(envelope, "secret", "public") == {"a": 1.5}
    for key, public in (("Secret", "public"), ("secret", "Public")):
        with pytest.raises(DataError, match="key does not fit, or the file was changed"):
            unseal(envelope, key, public)


@pytest.mark.parametrize("part", ["nonce", "ciphertext", "tag"])
def test_a_changed_envelope_is_refused(part):
    envelope = seal([1, 2], "secret", None)
    first = envelope[part][0]
    with pytest.raises(DataError, match="changed"):
        unseal({**envelope, part: ("0" if first != "0" else "1") + envelope[part][1:]}, "secret", None)


def test_an_envelope_can_not_be_given_another_commitment():
    envelope = seal([1, 2], "secret", None)
    with pytest.raises(DataError, match="committed"):
        unseal({**envelope, "commitment": commitment(b"salt", [1, 2])}, "secret", None)
    with pytest.raises(DataError, match="damaged"):
        unseal({**envelope, "nonce": "no number"}, "secret", None)


def test_the_envelope_tells_neither_content_nor_size():
    short, long = seal({}, "k", None), seal(dict.fromkeys(FACTORS, 1.23456789), "k", None)
    assert len(short["ciphertext"]) == len(long["ciphertext"])
    assert seal({}, "k", None)["commitment"] != short["commitment"]  # salted: equal twins can not be told


# -- draws ----


def test_twins_reach_beyond_training_and_hold_what_it_has_not(reach):
    for name in ("mild", "medium"):
        assert TWINS[name] > TRAINING[name]
    assert TWINS["hard"] > TRAINING["wide"]
    trained = [Randomisation("medium").world(reach, seed).as_dict() for seed in range(40)]
    twins = [draw_twin(reach, "medium", np.random.default_rng(seed)).as_dict() for seed in range(40)]
    unmodelled = {name for name, one in FACTORS.items() if not one.modelled} & set(twins[0])
    assert {"backlash", "stribeck", "load_friction", "control_jitter", "dropout"} <= unmodelled
    assert not unmodelled & set().union(*trained)
    most = factor("armature").at(TRAINING["medium"])
    assert all(1 / most - 1e-9 <= world["armature"] <= most + 1e-9 for world in trained)
    assert max(max(w["armature"], 1 / w["armature"]) for w in twins if "armature" in w) > most


def test_an_episodes_world_comes_from_its_seed_alone(reach):
    drawn = Randomisation("wide")
    assert drawn.world(reach, 3) == drawn.world(reach, 3) != drawn.world(reach, 4)


def test_ranges_of_a_preset_are_kept(reach):
    worlds = [Randomisation("wide", "playground").world(reach, seed).as_dict() for seed in range(60)]
    frictions = [world["contact_friction"] for world in worlds if "contact_friction" in world]
    assert 0.4 <= min(frictions) < 0.55 and max(frictions) <= 1.0
    assert set().union(*worlds) <= set(FACTORS)
    with pytest.raises(UsageError, match="did you mean 'playground'"):
        Randomisation("wide", "playgroud")
    with pytest.raises(UsageError, match="severity of randomisation"):
        Randomisation("hard")


# -- files ----


def test_a_twin_is_made_from_key_and_seed(tmp_path):
    one, same, other = (tmp_path / name for name in ("one.json", "same.json", "other.json"))
    make_twin(ENV, "medium", 4, one, key="secret")
    make_twin(ENV, "medium", 4, same, key="secret")
    make_twin(ENV, "medium", 4, other, key="another secret")
    worlds = [open_twin(path, key)[1] for path, key in ((one, "secret"), (same, "secret"), (other, "another secret"))]
    assert worlds[0] == worlds[1] != worlds[2]
    text = one.read_text()
    assert "secret" not in text and not any(f'"{name}"' in text for name in FACTORS)
    assert not key_file(one).exists()


def test_a_key_of_the_twin_before_does_not_stay_beside_a_new_one(tmp_path, monkeypatch):
    """It would not open it, and the file would be called changed."""
    path = tmp_path / "twin.json"
    make_twin(ENV, "mild", 1, path)
    assert key_file(path).exists()
    opened = []
    monkeypatch.setattr(twin, "task_of", lambda *a, **k: opened.append(task_of(*a, **k)) or opened[-1])
    closed = []
    monkeypatch.setattr(MujocoTask, "close", lambda self: closed.append(self))
    make_twin(ENV, "mild", 2, path, key="secret", overwrite=True)
    assert not key_file(path).exists() and closed == opened and len(opened) == 2
    with pytest.raises(DataError, match="its key is neither in"):
        open_twin(path)
    assert open_twin(path, "secret")[0]["seed"] == 2


def test_a_key_that_is_no_text_and_a_tag_that_is_no_hash(tmp_path):
    path = tmp_path / "twin.json"
    make_twin(ENV, "mild", 0, path)
    key = path.with_name(path.name + ".key")
    kept = key.read_bytes()
    key.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="holds no key"):
        open_target(f"twin:{path}")
    key.write_bytes(kept)
    document = json.loads(path.read_text())
    document["sealed"]["tag"] = "größer"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="the file was changed"):
        open_target(f"twin:{path}")


def test_without_a_key_one_is_kept_beside_for_the_owner_alone(tmp_path):
    path = tmp_path / "twin.json"
    make_twin(ENV, "mild", 0, path)
    assert stat.S_IMODE(key_file(path).stat().st_mode) == 0o600
    assert open_target(f"twin:{path}", ENV).world.values
    key_file(path).unlink()
    with pytest.raises(DataError, match=KEY_VARIABLE):
        open_twin(path)


def test_the_key_may_come_from_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "twin.json"
    monkeypatch.setenv(KEY_VARIABLE, "from outside")
    make_twin(ENV, "mild", 0, path)
    assert not key_file(path).exists()
    assert open_twin(path)[1] == open_twin(path, "from outside")[1]
    monkeypatch.setenv(KEY_VARIABLE, "another")
    with pytest.raises(DataError, match=r"twin\.json: the key does not fit"):
        open_twin(path)


def test_what_a_twin_publishes_can_not_be_edited(tmp_path):
    path = tmp_path / "twin.json"
    make_twin(ENV, "mild", 0, path, key="k")
    path.write_text(path.read_text().replace('"mild"', '"hard"'))
    with pytest.raises(DataError, match="changed"):
        open_twin(path, "k")


def test_targets_say_what_they_are_and_hide_what_they_must(tmp_path):
    path = tmp_path / "twin.json"
    make_twin(ENV, "mild", 0, path)
    target = open_target(f"twin:{path}", ENV)
    assert target.kind == target.public["kind"] == "hidden twin"
    assert "values" not in target.public and len(target.public["commitment"]) == 64
    assert open_target("factors:mass=1.1, com=0.01").world == World.of(mass=1.1, com=0.01)
    assert open_target("sim").env_kwargs() == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("twins:a.json", "did you mean 'twin'"),
        ("twin:", "twin:FILE"),
        ("twin:/nowhere.json", "no such file"),
        ("factors:mass", "no NAME=VALUE"),
        ("factors:mass=heavy", "no NAME=VALUE"),
        ("factors:masss=1", "did you mean 'mass'"),
        ("factors:mass=1.1,mass=1.2", "'mass' comes twice"),
    ],
)
def test_targets_that_are_none(text, words):
    with pytest.raises((UsageError, DataError), match=words):
        open_target(text)


def test_a_twin_of_another_environment_is_refused(tmp_path):
    path = tmp_path / "twin.json"
    make_twin(ENV, "mild", 0, path)
    with pytest.raises(UsageError, match=r"hidden twin of robotics/Reach-v0, not of robotics/Lift-v0"):
        open_target(f"twin:{path}", "robotics/Lift-v0")
    assert open_target(f"twin:{path}", f"robotics:{ENV}").kind == "hidden twin"  # the module is only imported first


def test_twin_make_and_show(tmp_path, capsys):
    path = str(tmp_path / "twin.json")
    make = ["twin", "make", "--env", ENV, "--severity", "mild", "--seed", "3", "--out", path]
    assert main(make) == 0
    capsys.readouterr()
    assert main(["twin", "show", path, "--json"]) == 0
    public = json.loads(capsys.readouterr().out)
    assert public["kind"] == "hidden twin" and "values" not in public
    assert main(["twin", "show", path, "--reveal", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["values"]["backlash"] > 0
    assert main(make) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*make[:-1], str(tmp_path), "--overwrite"]) == 2
    assert "is a folder; a file is needed" in capsys.readouterr().err
    (tmp_path / "other.json").write_text('{"kind": NaN}')
    assert main(["twin", "show", str(tmp_path / "other.json"), "--json"]) == 1
    assert "no hidden twin" in capsys.readouterr().err
    assert main(["twin", "make", "--env", "CartPole-v1", *make[4:-1], str(tmp_path / "b.json")]) == 2
    assert "no task of this project" in capsys.readouterr().err


# -- where targets and worlds are taken ----


def test_bench_on_a_hidden_twin_says_so_and_tells_nothing_else(tmp_path, capsys):
    path = tmp_path / "twin.json"
    make_twin(ENV, "hard", 1, path)
    asked = ["bench", "--env", ENV, "--policy", "zero", "--episodes", "2", "--json"]
    assert main(asked) == 0
    before = json.loads(capsys.readouterr().out)
    assert main([*asked, "--target", f"twin:{path}"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["target"]["kind"] == "hidden twin" and "target" not in before
    assert after["env_kwargs"] == before["env_kwargs"] == {}
    assert [e["return"] for e in after["episodes"]] != [e["return"] for e in before["episodes"]]
    assert main(["bench", "--env", "CartPole-v1", "--policy", "random", "--target", "factors:mass=1.1"]) == 2
    assert "one world only" in capsys.readouterr().err


def test_collect_draws_a_world_per_attempt_whatever_the_workers(tmp_path, capsys):
    asked = ["collect", "--env", ENV, "--episodes", "2", "--seed", "0"]
    for name, more in (
        ("plain", []),
        ("one", ["--randomise", "medium"]),
        ("two", ["--randomise", "medium", "--workers", "2"]),
    ):
        assert main([*asked, "--out", str(tmp_path / name), *more]) == 0
    files = {name: read_frames(tmp_path / name) for name in ("plain", "one", "two")}
    assert files["one"] == files["two"] != files["plain"]
    again = [*asked, "--out", str(tmp_path / "one"), "--resume", "--randomise", "mild"]
    assert main(again) == 2
    assert "randomisation" in capsys.readouterr().err
    assert main([*asked, "--out", str(tmp_path / "x"), "--ranges", "mjlab"]) == 2
    assert "without --randomise" in capsys.readouterr().err


def read_frames(root):
    return [path.read_bytes() for path in sorted((root / "data").rglob("*.parquet"))]
