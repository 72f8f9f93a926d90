"""Behaviour cloning and the planner, and what all families have in common."""

import pytest
import torch

from robotics.errors import UsageError
from robotics.policies.act import Act
from robotics.policies.act_config import ActConfig
from robotics.policies.base import ACTION_IS_PAD, future
from robotics.policies.bc import BC
from robotics.policies.bc_config import BCConfig
from robotics.policies.checkpoint import load_policy, save_policy
from robotics.policies.diffuser import Diffuser
from robotics.policies.diffuser_config import DiffuserConfig
from robotics.policies.language import TASK
from robotics.policies.losses import masked_mse
from robotics.policies.registry import FAMILIES
from robotics.training.config import TrainConfig
from robotics.training.presets import PRESETS
from robotics.vocabulary import ACTION, ENVIRONMENT_STATE, STATE
from tests.test_policies_dit import EVERYTHING, TOP, VECTORS, batch

TRANSFORMER = {"dim": 32, "heads": 2, "feed_forward": 64, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.0}
SMALL = {"bc": {"hidden": 64, "dim": 16}, "diffuser": {**TRANSFORMER, "n_action_steps": 3}}
KINDS = {"bc": (BCConfig, BC), "diffuser": (DiffuserConfig, Diffuser)}
ACT = {"dim": 32, "heads": 2, "feed_forward": 64, "encoder_layers": 1, "latent_dim": 0, "n_action_steps": 3}


def policy(name, shapes=VECTORS, **changes):
    torch.manual_seed(0)
    config, kind = KINDS[name]
    return kind(config(input_shapes=shapes, action_dim=2, **{"chunk_size": 6} | SMALL[name] | changes))


def stirred(name, **changes):
    made = policy(name, **changes)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def data(shapes=VECTORS, size=4, horizon=6):
    """A batch whose observations go on along the chunk from where they are."""
    values = batch(shapes, size, horizon)
    generator = torch.Generator().manual_seed(1)
    for key, shape in VECTORS.items():
        values[key] = 2 * torch.rand(size, *shape, generator=generator) - 1
        steps = 0.1 * torch.randn(size, horizon, *shape, generator=generator).cumsum(1)
        values[future(key)] = (values[key][:, None] + steps - steps[:, :1]).clamp(-1, 1)
    return values


def overfitted(name, values, steps=150, **changes):
    made = policy(name, **changes)
    optimizer = torch.optim.Adam(made.parameters(), lr=4e-3)
    often = {key: value.repeat(16, *[1] * (value.dim() - 1)) for key, value in values.items()}
    for _ in range(steps):
        loss, _ = made(often)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return made.eval()


@pytest.fixture(scope="module")
def planner():
    return overfitted("diffuser", data(), steps=300)


# -- every family ---------------------------------------------------------------------------------------------------


def test_one_batch_is_overfitted_by_a_perceptron():
    values = data()
    made = overfitted("bc", values)
    assert masked_mse(made.predict_chunk(values), values[ACTION], values[ACTION_IS_PAD]) < 0.01


def test_one_action_at_a_time():
    values = data(horizon=1)
    made = overfitted("bc", values | {ACTION_IS_PAD: torch.zeros(4, 1, dtype=torch.bool)}, chunk_size=1)
    assert made.predict_chunk(values).shape == (4, 1, 2)
    assert (made.predict_chunk(values) - values[ACTION]).square().mean() < 0.01


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("changes", [{}, {"shared_backbone": False}])
def test_every_parameter_learns(name, changes):
    made = stirred(name, shapes=EVERYTHING, language=True, **changes)
    made(data(EVERYTHING))[0].backward()
    dead = [key for key, p in made.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert [key for key in dead if not key.endswith("key.bias")] == []


def test_act_reads_instructions():
    torch.manual_seed(0)
    act = Act(ActConfig(input_shapes=VECTORS, action_dim=2, chunk_size=6, language=True, **ACT)).eval()
    values = data()
    act(values)[0].backward()
    assert all(p.grad is not None for p in act.observation.instruction.parameters())
    changed = values | {TASK: values[TASK].roll(1, 0)}
    assert not torch.allclose(act.predict_chunk(values), act.predict_chunk(changed), atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("garbage", [1e6, float("nan")])
def test_what_is_padded_does_not_matter(name, garbage):
    made, values = stirred(name), data()
    torch.manual_seed(1)
    before, _ = made(values)
    padded = values[ACTION_IS_PAD][..., None]
    spoiled = {key: values[key].masked_fill(padded, garbage) for key in (ACTION, *map(future, VECTORS))}
    torch.manual_seed(1)
    after, _ = made({**values, **spoiled})
    assert torch.equal(before, after)
    after.backward()
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", KINDS)
def test_a_prediction_does_not_depend_on_its_neighbours(name):
    made, values = stirred(name, shapes=EVERYTHING, language=True).eval(), data(EVERYTHING)
    alone = made.predict_chunk({key: value[2:3] for key, value in values.items()})
    assert torch.allclose(made.predict_chunk(values)[2:3], alone, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_a_checkpoint_gives_the_same_policy(name, tmp_path):
    made, values = stirred(name, language=True).eval(), data()
    made.normalizer.fit(STATE, values[STATE].numpy())
    save_policy(made, tmp_path)
    loaded = load_policy(tmp_path)
    assert loaded.config == made.config
    assert torch.allclose(loaded.predict_chunk(values), made.predict_chunk(values), atol=1e-5)


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in PRESETS for name in PRESETS[family]])
def test_every_recipe_is_a_policy_and_a_training(family, name):
    recipe, shapes = PRESETS[family][name], EVERYTHING if name == "pixels" else VECTORS
    kind, policy_type = FAMILIES[family]
    with torch.device("meta"):
        policy_type.from_config(kind(input_shapes=shapes, action_dim=14, **recipe.policy))
    TrainConfig(**recipe.training)


def test_every_family_has_a_small_and_a_paper_recipe():
    assert set(PRESETS) == set(FAMILIES)
    assert all({"small", "paper"} <= set(recipes) for recipes in PRESETS.values())


# -- the planner ----------------------------------------------------------------------------------------------------


def test_a_plan_tells_what_will_be_seen_and_done(planner):
    values = data()
    plan = planner.plan(values, generator=torch.Generator().manual_seed(0))
    assert masked_mse(plan.actions, values[ACTION], values[ACTION_IS_PAD]) < 0.05
    for key in VECTORS:
        assert masked_mse(plan.observations[key], values[future(key)], values[ACTION_IS_PAD]) < 0.02


def test_a_plan_begins_here_and_ends_at_the_goal(planner):
    values = data()
    values[STATE] = 3 * values[STATE]  # outside what was trained on, where clipping would show
    goal = torch.full((4, 2), 1.7)
    plan = planner.plan(values, goal={ENVIRONMENT_STATE: goal})
    assert torch.allclose(plan.observations[STATE][:, 0], values[STATE], atol=1e-5)
    assert torch.allclose(plan.observations[ENVIRONMENT_STATE][:, -1], goal, atol=1e-5)
    with pytest.raises(UsageError, match="unknown goal 'action'"):
        planner.plan(values, goal={ACTION: goal})


def test_guidance_lowers_the_cost_and_leaves_the_start(planner):
    values = data()

    def cost(plan):
        return (plan.observations[STATE][..., 0] - 0.5).square().sum(dim=1) + plan.actions.square().sum(dim=(1, 2))

    free, guided = planner.plan(values), planner.plan(values, cost=cost, guidance=0.1)
    assert (cost(guided) < cost(free)).all()
    assert torch.allclose(guided.observations[STATE][:, 0], values[STATE], atol=1e-5)
    with torch.no_grad():  # guidance differentiates whatever the caller does
        assert torch.allclose(planner.plan(values, cost=cost, guidance=0.1).actions, guided.actions, atol=1e-5)


def test_a_policy_does_what_its_plan_says(planner):
    values = data()
    assert torch.equal(planner.predict_chunk(values), planner.plan(values).actions)
    assert torch.isfinite(planner.predict_chunk(values, torch.Generator().manual_seed(3))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shapes": {TOP: (32, 32, 3)}}, "plans vectors"),
        ({"normalization": "mean_std"}, "needs normalization min_max"),
        ({"goal_probability": 2.0}, "goal_probability is 2.0"),
    ],
)
def test_planners_that_can_not_be(changes, message):
    with pytest.raises(UsageError, match=message):
        policy("diffuser", **changes)


# -- low precision --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("act", ACT),
        ("bc", SMALL["bc"]),
        ("dit", SMALL["diffuser"]),
        ("dit", SMALL["diffuser"] | {"backbone": "in_context", "decoder_layers": 2}),
        ("diffuser", SMALL["diffuser"]),
    ],
)
def test_bf16_agrees_loosely(name, options):
    torch.manual_seed(0)
    kind, policy_type = FAMILIES[name]
    made = policy_type(kind(input_shapes=EVERYTHING, action_dim=2, language=True, **{"chunk_size": 6} | options))
    values = data(EVERYTHING)

    def loss():
        torch.manual_seed(1)
        return made(values)[0]

    exact = loss().item()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = loss()
        rounded.backward()
        chunk = made.eval().predict_chunk(values)
    assert rounded.item() == pytest.approx(exact, rel=0.05)
    assert chunk.dtype == torch.float32 and torch.isfinite(chunk).all()
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)
