"""Augmentation of images, image networks of several cameras, and instructions as numbers."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from robotics.errors import UsageError
from robotics.policies.augmentation import ImageAugmentation, recoloured, shifted
from robotics.policies.bc_config import BCConfig
from robotics.policies.language import BUCKETS, MAX_WORDS, TASK, InstructionToken, word_ids
from robotics.policies.normalization import Normalizer
from robotics.policies.observation_tokens import ObservationTokens

TOP, WRIST = "observation.images.top", "observation.images.wrist"


def images(count=8, height=12, width=16):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


# -- augmentation ---------------------------------------------------------------------------------------------------


def test_a_shift_moves_every_pixel_and_repeats_the_border():
    x = images(2)
    moved = shifted(x, torch.tensor([2, 0]), torch.tensor([0, -3]))
    assert torch.equal(moved[0, 2:], x[0, :-2]) and torch.equal(moved[0, :2], x[0, :1].expand(2, -1, -1))
    assert torch.equal(moved[1, :, :-3], x[1, :, 3:]) and torch.equal(moved[1, :, -3:], x[1, :, -1:].expand(-1, 3, -1))


def test_colours_have_their_meaning():
    x, one = images().float(), torch.ones(8, 1, 1, 1)
    assert torch.allclose(recoloured(x, one, one, one), x, atol=1e-3)
    assert torch.allclose(recoloured(x, 0.5 * one, one, one), 0.5 * x, atol=1e-3)
    grey = recoloured(x, one, one, 0 * one)
    assert torch.allclose(grey[..., 0], grey[..., 2]) and not torch.allclose(grey[0], grey[1])
    flat = recoloured(x, one, 0 * one, one)
    assert flat.amax(dim=(1, 2, 3)) == pytest.approx(flat.amin(dim=(1, 2, 3)).tolist(), abs=1e-2)
    assert recoloured(x, 2 * one, one, one).max() <= 255


def test_it_augments_in_training_only():
    augment, x = ImageAugmentation(3, 0.2), images()
    torch.manual_seed(0)
    first, second = augment(x), augment(x)
    assert first.shape == x.shape and not torch.equal(first, second)
    assert torch.equal(augment.eval()(x), x.float())
    assert torch.equal(ImageAugmentation(0, 0.0)(x), x.float())


def test_every_image_draws_its_own():
    torch.manual_seed(0)
    same = images(1).expand(64, -1, -1, -1)
    changed = ImageAugmentation(4, 0.0)(same)
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 30  # of 81 shifts


# -- image networks -------------------------------------------------------------------------------------------------


def tokens(**changes):
    torch.manual_seed(0)
    shapes = {TOP: (32, 64, 3), WRIST: (32, 64, 3)} | changes.pop("shapes", {})
    config = BCConfig(input_shapes=shapes, action_dim=2, **changes)
    return ObservationTokens(config, 16).eval(), {key: images(2, *shape[:2]) for key, shape in shapes.items()}


def test_cameras_share_a_network_or_have_their_own():
    normalizer = Normalizer({}, "mean_std")
    shared, observation = tokens()
    observation[WRIST] = observation[TOP]
    top, wrist = shared(observation, normalizer)[0].split(2, dim=1)
    assert torch.allclose(top, wrist, atol=1e-5)
    own, _ = tokens(shared_backbone=False)
    top, wrist = own(observation, normalizer)[0].split(2, dim=1)
    assert not torch.allclose(top, wrist, atol=1e-3)
    count = [sum(p.numel() for p in network.parameters()) for network in (shared, own)]
    assert 1.9 < count[1] / count[0] < 2.1


def test_cameras_of_different_sizes():
    network, observation = tokens(shapes={WRIST: (64, 64, 3)})
    assert network(observation, Normalizer({}, "mean_std"))[0].shape == (2, 2 + 4, 16)


def test_a_smaller_stride_gives_a_finer_map_of_the_same_first_stages():
    fine, observation = tokens(image_stride=16)
    coarse, _ = tokens()
    normalizer = Normalizer({}, "mean_std")
    assert [len(n(observation, normalizer)[0][0]) for n in (fine, coarse)] == [2 * 2 * 4, 2 * 1 * 2]
    kept = set(fine.backbone.state_dict())
    left_out = set(coarse.backbone.state_dict()) - kept
    assert left_out and all(name.startswith("layer4.") for name in left_out)
    with pytest.raises(UsageError, match="image_stride is 8; it must be 16 or 32"):
        tokens(image_stride=8)


# -- instructions ---------------------------------------------------------------------------------------------------


def test_words_are_numbers_that_never_change():
    ids = word_ids("Put the RED cube, on blue!")
    assert ids.shape == (MAX_WORDS,) and ids.dtype == np.int64
    assert (ids[:11] > 0).all() and (ids[11:] == 0).all() and ids.max() < BUCKETS  # six words and five pairs
    assert np.array_equal(ids, word_ids("put the red cube on blue"))
    code = "from robotics.policies.language import word_ids; print(word_ids('put the red cube on blue').tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ids.tolist())


def test_order_matters_and_length_does_not():
    assert not np.array_equal(np.sort(word_ids("red on blue")), np.sort(word_ids("blue on red")))
    assert word_ids("").tolist() == [0] * MAX_WORDS
    assert (word_ids("word " * 500) > 0).all()
    assert (word_ids("würfel auf 積木")[:5] > 0).all()


def test_an_instruction_is_one_token_and_padding_is_nothing():
    torch.manual_seed(0)
    token = InstructionToken(16)
    ids = torch.from_numpy(np.stack([word_ids("lift the cube"), word_ids("")]))
    out = token({TASK: ids})
    assert out.shape == (2, 1, 16) and torch.isfinite(out).all()
    with torch.no_grad():
        token.words.weight[0] += 100.0
    assert torch.equal(out, token({TASK: ids}))
