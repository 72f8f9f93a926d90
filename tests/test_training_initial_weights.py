"""Where a new training begins: the weights of a run, or an image network from elsewhere."""

import pytest
import torch
from safetensors.torch import save_file

from robotics.cli.main import main
from robotics.datasets.collect import collect
from robotics.errors import DataError, UsageError
from robotics.policies.checkpoint import load_policy
from robotics.policies.resnet import ResNet18
from robotics.training.run_folder import read_run
from tests.runs import toy_data, toy_run
from tests.toy import TOY_ID

#: Steps that hardly move a weight.
STILL = {"steps": 2, "lr": 1e-9, "weight_decay": 0.0, "warmup_steps": 0}


@pytest.fixture(scope="module")
def learned(toy_dataset, tmp_path_factory):
    return toy_run(toy_dataset, tmp_path_factory.mktemp("learned") / "run")


@pytest.fixture(scope="module")
def image_network(tmp_path_factory):
    """As torchvision would save it: what only its classifier and its batch statistics need is in it, too."""
    torch.manual_seed(7)
    tensors = ResNet18().state_dict()
    tensors |= {"fc.weight": torch.zeros(1000, 512), "bn1.num_batches_tracked": torch.tensor(3)}
    path = tmp_path_factory.mktemp("network") / "resnet18.safetensors"
    save_file(tensors, path)
    return path


def test_fine_tuning_goes_on_from_the_weights_of_a_run(learned, tmp_path):
    """On other data, with the architecture and the normalisation of that run, whatever the preset's."""
    other = toy_data(tmp_path / "data", episodes=2)
    command = ["train", "act", "--data", str(other), "--out", str(tmp_path / "tuned"), "--weights", str(learned)]
    assert main([*command, "--steps", "2", "--lr", "1e-9", "--device", "cpu"]) == 0
    before, after = load_policy(learned), load_policy(tmp_path / "tuned")
    assert after.config == before.config
    document = read_run(tmp_path / "tuned")
    assert document["training"]["weights"] == str(learned)
    assert document["data"]["seeds"] == read_run(learned)["data"]["seeds"] == list(range(40))
    for (name, was), now in zip(before.state_dict().items(), after.state_dict().values(), strict=True):
        assert torch.allclose(was, now, atol=1e-6), name


def test_fine_tuning_is_resumed_exactly(learned, toy_dataset, tmp_path):
    options = {"weights": str(learned), "schedule": "constant"}
    at_once = toy_run(toy_dataset, tmp_path / "a", training_options={**options, "steps": 6})
    in_two = toy_run(toy_dataset, tmp_path / "b", training_options={**options, "steps": 3})
    toy_run(toy_dataset, in_two, training_options={"steps": 6}, resume=True)
    for was, now in zip(load_policy(at_once).parameters(), load_policy(in_two).parameters(), strict=True):
        assert torch.equal(was, now)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"policy_options": {"dim": 64}}, DataError, "leave out options that change the architecture"),
        ({"inputs": "state"}, UsageError, "observes environment_state,state; leave --inputs out"),
        ({"training_options": {"weights": "nowhere"}}, DataError, "nowhere: no such folder"),
    ],
)
def test_what_does_not_go_with_the_weights(learned, toy_dataset, tmp_path, change, error, message):
    change = {"training_options": {"weights": str(learned)}} | change
    with pytest.raises(error, match=message):
        toy_run(toy_dataset, tmp_path / "run", **change)


def test_a_run_is_not_overwritten_by_what_begins_from_it(learned, toy_dataset):
    before = read_run(learned)
    with pytest.raises(UsageError, match="give another --out"):
        toy_run(toy_dataset, learned, training_options={"weights": str(learned)}, overwrite=True)
    assert read_run(learned) == before


def test_another_family_and_other_data_are_named(learned, toy_dataset, tmp_path, capsys):
    call = ["train", "dit", "--data", str(toy_dataset), "--out", str(tmp_path / "run"), "--weights", str(learned)]
    assert main(call) == 2
    assert f"--weights {learned} is of the family act, not dit" in capsys.readouterr().err
    collect(TOY_ID, 1, 0, tmp_path / "seen", env_kwargs={"cameras": ("top",)})
    toy_run(tmp_path / "seen", tmp_path / "sees", inputs="top", training_options=STILL)
    call = ["train", "act", "--data", str(toy_dataset), "--out", str(tmp_path / "run")]
    assert main([*call, "--weights", str(tmp_path / "sees")]) == 2
    assert "'observation.images.top' is" in capsys.readouterr().err


def test_an_image_network_from_elsewhere(image_network, tmp_path):
    collect(TOY_ID, 1, 0, tmp_path / "seen", env_kwargs={"cameras": ("top", "side")})
    torch.manual_seed(7)
    wanted = ResNet18().state_dict()
    for stride in (16, 32):  # with and without the last stage
        run = toy_run(
            tmp_path / "seen",
            tmp_path / f"run{stride}",
            training_options=STILL | {"weights": str(image_network)},
            policy_options={"image_stride": stride, "shared_backbone": False},
        )
        networks = [module for module in load_policy(run).modules() if isinstance(module, ResNet18)]
        assert len(networks) == 2
        for network in networks:
            for name, values in network.state_dict().items():
                assert torch.allclose(values, wanted[name], atol=1e-6), name


def test_an_image_network_needs_cameras_and_its_names(image_network, toy_dataset, tmp_path):
    with pytest.raises(UsageError, match="sees no camera"):
        toy_run(toy_dataset, tmp_path / "blind", training_options={"weights": str(image_network)})
    collect(TOY_ID, 1, 0, tmp_path / "seen", env_kwargs={"cameras": ("top",)})
    save_file({"encoder.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "resnet18.pth").write_bytes(b"PK a pickle")
    for name in ("other.safetensors", "resnet18.pth"):
        with pytest.raises(DataError, match=rf"{name}: .*save torchvision's resnet18 by safetensors"):
            toy_run(tmp_path / "seen", tmp_path / "run", training_options={"weights": str(tmp_path / name)})
