"""Exported policies do what the policies do, whatever family, objective and inputs."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch

from robotics.cli.main import main
from robotics.policies import export as export_module
from robotics.policies.act import Act
from robotics.policies.act_config import ActConfig
from robotics.policies.checkpoint import load_policy, save_policy
from robotics.policies.dit import DiT
from robotics.policies.dit_config import DiTConfig
from robotics.policies.export import DESCRIPTION, NOISE, ChunkFunction, export_policy, open_exported
from robotics.policies.export_check import PARITY, largest_difference
from robotics.policies.language import TASK
from robotics.vocabulary import ACTION, IMAGE_PREFIX, STATE

VECTORS = {STATE: (3,)}
SMALL = {"action_dim": 2, "chunk_size": 6, "n_action_steps": 3, "dim": 16, "heads": 2, "feed_forward": 16}
SMALL |= {"encoder_layers": 1, "decoder_layers": 1, "dropout": 0.0}


def ready(policy):
    """Untrained, but with every part in use, and in units far from normalised ones."""
    for parameter in policy.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)  # small: ddim clips
    rng = np.random.default_rng(0)
    vectors = {key: rng.normal(-2.0, 4.0, (50, size)) for key, size in policy.config.vector_dims.items()}
    policy.fit_normalizer(vectors | {ACTION: rng.normal(5.0, 3.0, (50, 2))})
    return policy.eval().requires_grad_(False)


def act(**options):
    torch.manual_seed(0)
    return ready(Act(ActConfig(input_shapes=VECTORS, **SMALL, **options)))


def dit(**options):
    torch.manual_seed(0)
    return ready(DiT(DiTConfig(input_shapes=options.pop("input_shapes", VECTORS), **SMALL, **options)))


POLICIES = {
    "act": act,
    "act latent": lambda: act(latent_dim=4, language=True),
    "flow": lambda: dit(sampling_steps=2),
    "ddim": lambda: dit(objective="ddim", sampling_steps=2),
    "mip": lambda: dit(objective="mip"),
    "in context": lambda: dit(objective="regression", backbone="in_context", language=True),
}


#: ONNX takes seconds for each: one of every family and network.
CASES = [(name, "torchscript") for name in POLICIES] + [(name, "onnx") for name in ("act", "ddim", "in context")]


@pytest.mark.parametrize(("name", "form"), CASES)
def test_an_exported_policy_gives_the_same_chunks(name, form, tmp_path):
    function = ChunkFunction(POLICIES[name]())
    export_policy(function, form, tmp_path / "policy")
    exported = open_exported(form, tmp_path / "policy")
    assert largest_difference(function, exported) <= PARITY
    rng = np.random.default_rng(3)
    first, second = exported(function.draw(rng)), exported(function.draw(rng))
    assert first.shape == (1, 6, 2)
    assert np.abs(first - second).max() > 100 * PARITY  # or agreement would mean nothing
    described = json.loads(description(form, tmp_path / "policy"))
    assert described["type"] == function.policy.config.type
    assert {key: tuple(shape) for key, shape in described["inputs"].items()} == function.inputs


def description(form, path):
    """What the file says of itself, read by its own library."""
    if form == "torchscript":
        files = {DESCRIPTION: ""}
        torch.jit.load(path, _extra_files=files)
        return files[DESCRIPTION]
    return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map[DESCRIPTION]


def test_cameras_go_in_as_bytes(tmp_path):
    function = ChunkFunction(dit(input_shapes=VECTORS | {IMAGE_PREFIX + "top": (32, 32, 3)}, objective="mip"))
    export_policy(function, "torchscript", tmp_path / "policy")
    exported = open_exported("torchscript", tmp_path / "policy")
    assert function.draw(np.random.default_rng(0))[IMAGE_PREFIX + "top"].dtype == np.uint8
    assert largest_difference(function, exported, draws=3) <= PARITY


def test_inputs_are_what_the_policy_needs_and_noise_where_it_samples():
    assert list(ChunkFunction(act()).inputs) == [STATE]
    assert ChunkFunction(dit()).inputs == {STATE: (3,), NOISE: (6, 2)}
    assert list(ChunkFunction(dit(objective="mip", language=True)).inputs) == [STATE, TASK]


def test_a_chunk_is_what_the_policy_predicts():
    """The function that is exported against the policy's own door, units and all."""
    policy = dit(objective="mip")
    values = ChunkFunction(policy).draw(np.random.default_rng(0))
    chunk = policy.predict_chunk({STATE: torch.from_numpy(values[STATE])}).numpy()
    assert np.array_equal(ChunkFunction(policy).run(values), chunk)
    assert chunk.min() > 2.0  # where the data's actions are, not about zero


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run" / "pretrained_model"
    folder.mkdir(parents=True)
    save_policy(act(), folder)
    return folder


def test_the_command_writes_checks_and_times(folder, tmp_path, capsys):
    out = tmp_path / "policy.pt"
    arguments = ["export", "--policy", str(folder), "--format", "torchscript", "--out", str(out), "--repeat", "5"]
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["max_difference"] <= PARITY
    assert set(document["chunk_ms"]) == {"torch", "torchscript"}
    assert document["bytes"] == out.stat().st_size
    assert main(arguments) == 2
    assert "exists: give --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    assert "differs by at most" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["policy.pt"]


def test_a_difference_is_held_to_what_actions_spread_over():
    """Networks compute in spreads: pixels by the hundred are rounded more coarsely than radians."""
    policy = act()
    for spread, allowed in ((150.0, 150 * PARITY), (3.0, 3 * PARITY), (0.01, PARITY)):
        actions = 300 + spread * np.array([[-1.0, -1.0], [1.0, 1.0]])
        policy.fit_normalizer({STATE: np.eye(2, 3), ACTION: actions})
        function = ChunkFunction(policy)
        np.testing.assert_allclose(function.spread(), spread, rtol=1e-3)
        for share, same in ((0.5, True), (1.5, False)):
            shifted = largest_difference(function, lambda values: function.run(values) + share * allowed)  # noqa: B023
            assert (shifted <= PARITY) == same


def test_a_file_that_does_something_else_is_not_written(folder, tmp_path, capsys, monkeypatch):
    def other(form, path):
        original, spread = open_exported(form, path), ChunkFunction(load_policy(folder)).spread()
        return lambda values: original(values) + 2 * PARITY * spread

    monkeypatch.setattr(export_module, "open_exported", other)
    out = tmp_path / "policy.pt"
    assert main(["export", "--policy", str(folder), "--format", "torchscript", "--out", str(out)]) == 1
    assert "differs by up to 0.0002 from the original" in capsys.readouterr().err
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_what_can_not_be_exported(folder, tmp_path, capsys, monkeypatch):
    out = str(tmp_path / "policy.onnx")
    assert main(["export", "--policy", "expert", "--out", out]) == 2
    assert "expert is no network; export takes a trained policy" in capsys.readouterr().err
    assert main(["export", "--policy", str(folder), "--out", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    monkeypatch.setattr(export_module, "find_spec", lambda name: None if name == "onnxruntime" else object())
    assert main(["export", "--policy", str(folder), "--out", out]) == 1
    error = capsys.readouterr().err
    assert "needs onnxruntime: install the extra with pip install 'robotics[export]'" in error


def test_onnx_is_not_loaded_by_whoever_does_not_export():
    code = "import robotics.policies.export, sys; sys.exit('onnx' in sys.modules or 'onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
