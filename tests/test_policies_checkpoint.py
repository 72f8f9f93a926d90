"""Checkpoints: exact round trips, and one clear error for everything that is not one of ours."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from robotics.errors import DataError
from robotics.policies.checkpoint import CONFIG, WEIGHTS, load_policy, save_policy
from tests.test_policies_act import EVERYTHING, batch, policy


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "pretrained_model"
    folder.mkdir()
    save_policy(policy(), folder)
    return folder


def test_round_trip_is_exact(tmp_path):
    original = policy(input_shapes=EVERYTHING).eval()
    original.normalizer.fit("action", torch.randn(20, 2).numpy())
    (tmp_path / "p").mkdir()
    save_policy(original, tmp_path / "p")
    loaded = load_policy(tmp_path / "p")
    assert loaded.config == original.config
    data = batch(EVERYTHING)
    assert torch.equal(loaded.predict_chunk(data), original.predict_chunk(data))
    assert not any(p.requires_grad for p in loaded.parameters())


def edit_config(folder, **changes):
    path = folder / CONFIG
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in document.items() if value != "REMOVE"}))


def edit_weights(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "gpt"}, "policy type 'gpt' is unknown"),
        ({"type": ["act"]}, "is unknown"),
        ({"dim": "32"}, "dim is '32', expected int"),
        ({"dim": 33}, "multiple of"),
        ({"dim": 64}, "model.safetensors"),
        ({"width": 3}, "has unknown width"),
        ({"heads": "REMOVE"}, "lacks heads"),
        ({"input_shapes": [1, 2]}, "input_shapes is"),
        ({"normalization": "none"}, "normalization is 'none'"),
    ],
)
def test_config_that_is_not_ours(saved, changes, message):
    edit_config(saved, **changes)
    with pytest.raises(DataError, match=message):
        load_policy(saved)


def test_what_came_later_means_its_default(saved):
    edit_config(saved, input_sparsity="REMOVE")
    assert load_policy(saved).config.input_sparsity == 0.0


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\ufeff"])
def test_config_that_is_no_document(saved, content):
    (saved / CONFIG).write_text(content)
    with pytest.raises(DataError, match=CONFIG):
        load_policy(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("head.weight"), "lacks tensor 'head.weight'"),
        (lambda t: t.update(extra=torch.zeros(1)), "has unknown tensor 'extra'"),
        (lambda t: t.update({"head.bias": torch.zeros(7)}), "'head.bias' is float32"),
        (lambda t: t.update({"head.bias": torch.zeros(2, dtype=torch.float64)}), "'head.bias' is float64"),
        (lambda t: t["head.weight"].fill_(float("nan")), "not finite"),
    ],
)
def test_weights_that_do_not_belong(saved, change, message):
    edit_weights(saved, change)
    with pytest.raises(DataError, match=message):
        load_policy(saved)


@pytest.mark.parametrize("size", [0, 4, 100, -10])
def test_truncated_weights(saved, size):
    path = saved / WEIGHTS
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"model\.safetensors: damaged"):
        load_policy(saved)


def test_a_pickle_is_never_opened(saved, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "boom"), "w"))

    (saved / WEIGHTS).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError):
        load_policy(saved)
    assert not (tmp_path / "boom").exists()


def test_folders_that_are_no_checkpoint(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load_policy(tmp_path / "missing")
    with pytest.raises(DataError, match="neither a run"):
        load_policy(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(DataError, match="no complete checkpoint yet"):
        load_policy(tmp_path)
