"""Gates on the inputs: what actions do not depend on is found out and shut off, and that is what generalises."""

import pytest
import torch

from robotics.errors import UsageError
from robotics.policies.base import ACTION_IS_PAD
from robotics.policies.registry import family, make_policy
from robotics.vocabulary import ACTION, ENVIRONMENT_STATE, STATE

SIZES = {ENVIRONMENT_STATE: (14,), STATE: (2,)}
SMALL = {
    "act": {"dim": 32, "heads": 2, "feed_forward": 64, "encoder_layers": 1, "latent_dim": 0, "dropout": 0.0},
    "dit": {"dim": 32, "heads": 2, "feed_forward": 64, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.0},
    "bc": {"dim": 16, "hidden": 64},
}


def policy(name, **changes):
    torch.manual_seed(0)
    kind = family(name)[0]
    shape = {"input_shapes": SIZES, "action_dim": 2, "chunk_size": 4, "n_action_steps": 4}
    return make_policy(kind(**shape | SMALL[name] | changes))


def demonstrations(count, seed):
    """Actions go to where the first two of fourteen numbers say."""
    generator = torch.Generator().manual_seed(seed)
    seen = {key: torch.randn(count, *shape, generator=generator) for key, shape in SIZES.items()}
    way = torch.linspace(0.25, 1.0, 4)[None, :, None]
    actions = way * torch.tanh(seen[ENVIRONMENT_STATE][:, None, :2])
    return seen | {ACTION: actions, ACTION_IS_PAD: torch.zeros(count, 4, dtype=torch.bool)}


def trained(**changes):
    learner, data = policy("act", pre_norm=True, **changes), demonstrations(50, 0)
    learner.fit_normalizer({key: data[key].numpy().reshape(-1, data[key].shape[-1]) for key in (*SIZES, ACTION)})
    optimizer = torch.optim.Adam(learner.parameters(), lr=5e-3)
    for _ in range(400):
        loss, _ = learner(data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return learner.eval()


def test_only_what_matters_stays_open_and_the_unseen_is_met_better():
    sparse, plain, unseen = trained(input_sparsity=0.02), trained(), demonstrations(300, 1)
    world, robot = (factors.detach().abs() for factors in sparse.observation.gates.factors)
    assert world[:2].min() > 0.2
    assert max(world[2:].max(), robot.max()) < 0.1
    missed = [(one.predict_chunk(unseen) - unseen[ACTION]).abs().mean() for one in (sparse, plain)]
    assert missed[0] < 0.5 * missed[1]


@pytest.mark.parametrize("name", SMALL)
def test_the_loss_grows_by_the_penalty_alone(name):
    data = demonstrations(6, 0)
    plain, sparse = policy(name), policy(name, input_sparsity=0.5)
    plain.load_state_dict({k: v for k, v in sparse.state_dict().items() if "gates" not in k})  # theirs are still ones
    losses = []
    for one in (plain, sparse):
        torch.manual_seed(1)
        losses.append(one(data)[0])
    assert (losses[1] - losses[0]).item() == pytest.approx(0.5 * 16, rel=1e-5)
    losses[1].backward()
    assert all(parameter.grad.abs().max() > 0 for name, parameter in sparse.named_parameters() if "gates" in name)


def test_a_planner_of_all_numbers_has_no_use_for_them():
    with pytest.raises(UsageError, match="no use for input_sparsity"):
        family("diffuser")[0](input_shapes=SIZES, action_dim=2, normalization="min_max", input_sparsity=0.1)
    with pytest.raises(UsageError, match="input_sparsity is -1"):
        policy("act", input_sparsity=-1.0)
