"""Shares sum to the drop, the guilty is found, the innocent are not blamed, and a report claims what it can show."""

import copy
import json
from itertools import permutations

import numpy as np
import pytest
from scipy.special import ndtri

from robotics.cli.gap import describe
from robotics.cli.main import main
from robotics.environments import make_env
from robotics.envs.eyes import Eye
from robotics.errors import RoboticsError, UsageError
from robotics.evaluation.agents import AgentSource, open_policy
from robotics.policies.act import Act
from robotics.policies.act_config import ActConfig
from robotics.sim2real.attribution import (
    ALPHA,
    LEAST_PAIRS,
    attribute,
    coalitions,
    orders_by_seed,
    shapley_exact,
    shapley_sampled,
    sign_flip_p,
)
from robotics.sim2real.blame import Game, Method, blame
from robotics.sim2real.curves import Curve, Point, describe_curve, grid, robustness
from robotics.sim2real.determinism import require_determinism
from robotics.sim2real.factors import factor
from robotics.sim2real.gap import Request, arm, gap, pair
from robotics.sim2real.plan import LEAST_SEEDS, parse_budget, plan
from robotics.sim2real.risk import worst_share
from robotics.sim2real.shift import classifier_test, error_free, measure_shift, wasserstein
from robotics.sim2real.trials import Outcome, Trials
from robotics.sim2real.verdict import on_attribution, on_calibration, on_curves, on_drop
from robotics.sim2real.world import World
from tests.test_evaluation_batched import ENV as BATCHED
from tests.test_evaluation_batched import saved

REACH = "robotics/Reach-v0"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# -- Shapley values ----


def random_game(players: list[str], seeds: int) -> dict:
    draws = rng(1)
    return {c: np.zeros(seeds) if not c else draws.normal(size=seeds) for c in coalitions(players)}


def test_exact_values_are_the_mean_over_all_orders():
    players = ["a", "b", "c", "d"]
    worths = random_game(players, 3)
    expected = {player: np.zeros(3) for player in players}
    for order in permutations(players):
        for place, player in enumerate(order):
            before, after = frozenset(order[:place]), frozenset(order[: place + 1])
            expected[player] += (worths[after] - worths[before]) / 24
    for player, value in shapley_exact(players, worths).items():
        np.testing.assert_allclose(value, expected[player], atol=1e-12)


def test_values_are_efficient_symmetric_and_give_a_dummy_nothing():
    players = ["a", "b", "c"]
    worths = {c: np.array([float(len(c & {"a", "b"}) == 2)]) for c in coalitions(players)}
    values = shapley_exact(players, worths)
    assert values["a"] == values["b"] == pytest.approx(0.5)
    assert values["c"] == 0.0


def test_sampled_values_are_efficient_on_every_seed_and_unbiased():
    players, seeds = ["a", "b", "c", "d", "e"], 400
    worths = {c: np.full(seeds, value[0]) for c, value in random_game(players, 1).items()}
    orders = orders_by_seed(players, seeds, 1, rng(3))
    values = shapley_sampled(players, orders, lambda coalition, seed: worths[coalition][seed])
    np.testing.assert_allclose(sum(values.values()), worths[frozenset(players)], atol=1e-12)
    for player, exact in shapley_exact(players, worths).items():
        error = values[player].std() / np.sqrt(seeds)
        assert abs(values[player].mean() - exact[0]) < 4 * error


def test_every_order_comes_with_its_reverse():
    for own in orders_by_seed(["a", "b", "c"], 5, 2, rng()):
        assert len(own) == 4
        assert own[0] == own[1][::-1] and own[2] == own[3][::-1]


def shared_out(values: dict[str, np.ndarray]):
    total = np.sum(list(values.values()), axis=0)
    return attribute("exact", values, values, total, rng(4))


def test_the_guilty_is_found_and_the_noise_is_not_blamed():
    draws = rng(5)
    values = {"guilty": (draws.random(60) < 0.5).astype(float), "noise": draws.choice([-0.5, 0.0, 0.5], 60)}
    found = shared_out(values)
    assert found.players[0].name == "guilty" and found.players[0].significant
    assert not found.players[1].significant
    assert found.sure and found.additivity_error < 1e-9
    assert sum(player.share for player in found.players) == pytest.approx(1.0)
    assert found.players[0].ci95[0] < values["guilty"].mean() < found.players[0].ci95[1]


def test_no_one_is_blamed_for_nothing():
    found = shared_out({"a": np.zeros(30), "b": np.zeros(30)})
    assert not found.sure
    assert all(player.share is None and not player.significant and player.p == 1.0 for player in found.players)
    json.dumps(found.as_dict(), allow_nan=False)


def test_few_unlucky_seeds_are_no_evidence():
    """Four of fifty seeds: a bootstrap interval would exclude zero, an exact test does not."""
    value = np.zeros(50)
    value[:4] = 1.0
    found = shared_out({"a": value, "b": np.zeros(50)})
    assert found.players[0].ci95[0] > 0
    assert found.players[0].p == pytest.approx(2 / 16, abs=0.02)
    assert not found.players[0].significant


def test_blaming_the_innocent_is_as_rare_as_claimed():
    """Ten players whose changes flip outcomes at random: 5 % of runs may blame one, 10 % is three sigmas off."""
    draws, wrong = rng(6), 0
    for _ in range(200):
        table = draws.choice([-1.0, 0.0, 1.0], size=(10, 30), p=[0.1, 0.8, 0.1])
        wrong += (sign_flip_p(table, draws) <= ALPHA).any()
    assert wrong / 200 <= 0.10


# -- games on environments ----


class Scripted(Trials):
    """Trials whose outcome is a formula: success unless the mass is up and the seed odd, or two factors meet."""

    def __init__(self) -> None:
        super().__init__(REACH, {}, AgentSource("zero"))
        self.asked = 0

    def _one_by_one(self, trials):
        for world, seed in trials:
            self.asked += 1
            values = world.as_dict()
            failed = ("mass" in values and seed % 2 == 1) or {"com", "backlash"} <= set(values)
            yield (world, seed), Outcome(not failed, 0.0, 1)


TARGET = World.of(mass=1.2, com=0.01, backlash=0.01)


@pytest.mark.parametrize("method", [Method(exact=True), Method(exact=False, pairs=1)])
def test_games_share_out_the_drop_of_a_target(method):
    trials, seeds = Scripted(), list(range(100, 140))
    found = blame(trials, Game.of_factors(TARGET), seeds, method)
    assert found.total == 1.0
    assert found.additivity_error < 1e-9
    shares = {player.name: player.shapley for player in found.players}
    # On odd seeds mass alone does it, or the other two together: 2/3, 1/6, 1/6; on even ones the two share it.
    assert shares["mass"] == pytest.approx(1 / 3, abs=0 if method.exact else 0.1)
    assert shares["com"] == pytest.approx(1 / 3, abs=1e-9 if method.exact else 0.1)
    assert {player.name: player.single for player in found.players} == {"mass": 0.5, "com": 0.0, "backlash": 0.0}
    assert found.interaction == pytest.approx(0.5)
    assert trials.asked <= method.episodes(3, len(seeds)) + 2 * len(seeds)


def test_groups_are_players_too_and_episodes_are_run_once():
    trials, seeds = Scripted(), list(range(100, 120))
    game = Game.of_groups(TARGET)
    assert set(game.players) == {"dynamics", "actuator"}
    first = blame(trials, game, seeds, Method(exact=True))
    asked = trials.asked
    assert asked == 4 * len(seeds)
    assert blame(trials, game, seeds, Method(exact=True)) == first
    assert trials.asked == asked


def test_a_target_like_the_simulation_has_no_players():
    assert blame(Scripted(), Game.of_factors(World()), [1, 2], Method(exact=True)) is None


def test_trials_do_not_depend_on_order_or_workers():
    worlds = [World(), World.of(payload=0.3), World.of(encoder_noise=0.01)]
    pairs = [(world, seed) for world in worlds for seed in (5, 6)]
    one = Trials(REACH, {}, AgentSource("zero")).run(pairs)
    assert Trials(REACH, {}, AgentSource("zero")).run(pairs[::-1]) == one[::-1]
    assert Trials(REACH, {}, AgentSource("zero"), workers=2).run(pairs) == one


def test_a_trained_policy_runs_side_by_side_in_every_world(tmp_path):
    source = open_policy(str(saved(tmp_path, Act, ActConfig)))
    pairs = [(world, seed) for world in (World(), World.of(encoder_noise=0.01, command_delay=0.02)) for seed in (7, 8)]
    one = Trials(REACH, source.env_kwargs, source).run(pairs)
    many = Trials(REACH, source.env_kwargs, source, copies=2).run(pairs)
    assert [outcome.length for outcome in one] == [outcome.length for outcome in many]
    np.testing.assert_allclose([o.return_ for o in one], [o.return_ for o in many], rtol=1e-3)
    assert one[0].return_ != one[2].return_


# -- curves ----


def curve(rates: list[float], severities: list[float], name: str = "payload", n: int = 20) -> Curve:
    points = []
    for severity, rate in zip(severities, rates, strict=True):
        points.append(Point(severity, factor(name).at(severity), (np.arange(n) < rate * n).astype(float)))
    return Curve(factor(name), tuple(points))


def test_the_area_is_one_for_a_robust_policy_and_half_for_a_straight_fall():
    flat = curve([0.8, 0.8, 0.8], [0.0, 0.5, 1.0])
    assert flat.area(np.array([0.8, 0.8, 0.8])) == pytest.approx(1.0)
    falling = curve([1.0, 0.5, 0.0], [0.0, 0.5, 1.0])
    assert falling.area(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    assert falling.halved() == pytest.approx(0.5)
    assert flat.halved() is None
    both = curve([0.0, 1.0, 1.0], [-1.0, 0.0, 1.0], "mass")
    assert both.area(np.array([0.0, 1.0, 1.0])) == pytest.approx(0.75)
    assert both.halved() == pytest.approx(0.5)
    assert np.isnan(curve([0.0, 0.0], [0.0, 1.0]).area(np.zeros(2)))


def test_grids_reach_the_ends_of_the_range():
    assert grid(factor("payload"), 4) == [0.25, 0.5, 0.75, 1.0]
    assert grid(factor("mass"), 2) == [-1.0, -0.5, 0.5, 1.0]
    assert len(grid(factor("distractors"), 20)) == 5


def test_risk_is_of_the_worst_tenth():
    curves = [curve([1.0, *([0.9] * 19)], [0.0, *np.linspace(0.1, 1.0, 19)]), curve([1.0, 0.2], [0.0, 1.0], "backlash")]
    found = robustness(curves)
    assert found["cells"] == 20
    assert found["worst"]["factor"] == "backlash"
    assert found["cvar"] == pytest.approx((0.2 + 0.9) / 2)
    assert robustness([]) is None


@pytest.mark.parametrize("rates", [np.full(26, 0.8), np.full(26, 0.95), np.linspace(0.5, 0.95, 26), [0.3] + 19 * [0.9]])
@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_the_interval_of_the_risk_holds_it_whether_cells_differ_or_not(rates, correlation):
    """Of cells that are alike, those that look worst are measured too low on the seeds that they were chosen on."""
    rates, draws, reps, seeds = np.array(rates), rng(7), 300, 50
    truth, held, values = np.sort(rates)[: max(1, round(0.1 * len(rates)))].mean(), 0, []
    for _ in range(reps):
        shared, own = draws.standard_normal(seeds), draws.standard_normal((len(rates), seeds))
        latent = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
        value, (low, high) = worst_share((latent < ndtri(rates)[:, None]).astype(float), 0.1)
        held += low <= truth <= high
        values.append(value)
    assert 0.9 * reps <= held <= 0.995 * reps
    assert np.ptp(rates) or np.mean(values) == pytest.approx(truth, abs=0.01)


def test_seeds_that_all_agree_are_no_certainty():
    found = describe_curve(curve([1.0, 0.0], [0.0, 1.0], n=10))
    assert found["auc"] == 0.5 and found["auc_ci95"] is None
    nothing, all_of_it = (point["drop_ci95"] for point in found["points"])
    assert nothing[0] < -0.2 and nothing[1] > 0.2 and all_of_it[0] < 0.8
    low, high = robustness([curve([1.0, 0.0], [0.0, 1.0], n=10)])["cvar_ci95"]
    assert low == 0 and high > 0.2
    assert robustness([curve([1.0, 0.0], [0.0, 1.0], n=1)])["cvar_ci95"] is None
    one = [Outcome(True, 0.0, 1)] * 10
    assert pair(one, one)["ci95_bootstrap"] is None
    shared = shared_out({"guilty": np.ones(10), "other": np.zeros(10)})
    assert shared.sure and shared.total_ci95[0] < 0.5 and shared.players[0].share_ci95 is None
    assert shared.players[1].ci95[0] < -0.2 and shared.players[1].ci95[1] > 0.2


# -- shifts ----


def episodes(mean: float, count: int = 40, spread: float = 1.0, seed: int = 0) -> list[np.ndarray]:
    draws = rng(seed)
    return [draws.normal(mean, spread, size=(30, 4)) for _ in range(count)]


def test_a_classifier_tells_shifted_observations_and_only_those():
    assert classifier_test(episodes(0.0), episodes(3.0, seed=1))["ci95"][0] > 0.9
    same = classifier_test(episodes(0.0), episodes(0.0, seed=1))
    assert same["n"] == 40 and same["ci95"][0] < 0.5 < same["ci95"][1]
    assert classifier_test(episodes(0.0), episodes(0.0, spread=4.0, seed=1))["ci95"][0] > 0.55  # noise alone
    assert classifier_test(episodes(0.0, 1), episodes(0.0, 1))["accuracy"] is None


def test_wasserstein_is_how_far_mass_is_carried():
    assert wasserstein(np.array([0.0, 1.0]), np.array([0.5, 1.5])) == pytest.approx(0.5)


def test_what_is_seen_without_errors_is_what_is_there():
    """Where neither a sensor errs nor anything looks different, the picture of the instance, to the pixel."""
    env = make_env("robotics/Lift-v0", cameras=("top",), image_size=(48, 64), world=World.of(mass=1.1))
    task = env.unwrapped
    eye = Eye(copy.copy(task.believed), task.image_size, fast=True)
    for seed in (1_000_000, 1_000_003):
        observation, _ = env.reset(seed=seed)
        clean = error_free(task, eye)
        assert all(np.array_equal(observation[key], clean[key]) for key in observation)
    eye.close()
    env.close()


def test_agents_of_one_environment_draw_each_for_itself():
    env = make_env(REACH)
    one, other = (open_policy("random").agent(env) for _ in range(2))
    env.reset(seed=3)
    for agent in (one, other):
        agent.reset(env, 3)
    drawn = [(one.act(None), other.act(None)) for _ in range(3)]
    assert all(np.array_equal(first, second) for first, second in drawn)
    env.close()


def test_actions_that_are_no_numbers_leave_the_shift_of_the_others(monkeypatch):
    class Failing:
        def reset(self, env, seed):
            self.left = 3 if seed % 2 else 0

        def act(self, observation):
            self.left -= 1
            return np.full(8, np.nan if self.left < 0 else 0.1, np.float32)

    monkeypatch.setattr(AgentSource, "agent", lambda self, env: Failing())
    found = measure_shift(REACH, {}, AgentSource("zero"), World.of(mass=1.1), [1_000_000, 1_000_001], 1)
    assert found["seeds"] == 1 and np.isfinite(found["action_wasserstein"]).all()
    assert measure_shift(REACH, {}, AgentSource("zero"), World.of(mass=1.1), [1_000_000], 1) is None


# -- plans and verdicts ----


def test_a_budget_shrinks_what_follows_before_it_drops_it():
    curves = [factor("mass"), factor("payload")]
    free = plan(200, 5, 6, curves, False, None, 1.0)
    assert free.seeds == 200 and free.curves and free.within and not free.notes
    tight = plan(200, 5, 6, curves, False, 100 * LEAST_SEEDS, 1.0)
    assert LEAST_SEEDS <= tight.seeds < 200 and tight.curves and tight.groups and not tight.groups.exact
    assert tight.episodes <= 100 * LEAST_SEEDS and tight.half_width > free.half_width
    tighter = plan(200, 5, 6, curves, False, 20 * LEAST_SEEDS, 1.0)
    assert tighter.groups and not tighter.curves
    nothing = plan(200, 5, 6, curves, False, 1.0, 1.0)
    assert nothing.groups is None and not nothing.curves and nothing.episodes == 0
    assert "the budget allows no attribution" in nothing.notes


def test_budgets_are_times():
    assert parse_budget("90s") == 90 and parse_budget("20m") == 1200 and parse_budget("1.5h") == 5400
    for text in ("20", "m", "-5m", "0s", "5 days"):
        with pytest.raises(UsageError, match="such as 90s"):
            parse_budget(text)


def test_verdicts_claim_what_the_test_shows():
    arm = {"rate": 0.9, "ci95": [0.8, 0.95]}
    clear = {"n": 50, "drop": 0.5, "ci95": [0.3, 0.6], "mcnemar_p": 1e-6, "seeds_needed": 20}
    assert "loses 50 points [30, 60]" in on_drop("p", arm, arm, clear, "the hidden twin")
    unsure = on_drop("p", arm, arm, {**clear, "mcnemar_p": 0.2}, "x")
    assert "not enough evidence of a drop" in unsure and "about 20 seeds" in unsure
    assert "not enough evidence" in on_drop("p", arm, arm, {**clear, "n": 5}, "x")
    gain = {**clear, "drop": -0.5, "ci95": [-0.6, -0.3]}
    assert "gains 50 points [30, 60]" in on_drop("p", arm, arm, gain, "x")


def test_a_verdict_names_the_cause_with_its_interval():
    values = {"actuator": (np.arange(60) % 2).astype(float), "task": np.zeros(60)}
    found = shared_out(values)
    assert on_attribution(found, None, None) == ["100 % of the drop comes from actuator, on every seed alike"]
    assert "not enough evidence" in on_attribution(shared_out({"a": np.zeros(9)}), None, None)[0]


def outcomes(hits: int, n: int = 50) -> list[Outcome]:
    return [Outcome(i < hits, 0.0, 1) for i in range(n)]


def in_calibrated(sim: list[Outcome], found: list[Outcome], target: list[Outcome]) -> str:
    arms = {**arm(found), "paired": pair(sim, found), "paired_with_target": pair(found, target)}
    return on_calibration(arm(sim), arm(target), arms, True)


def test_a_gain_is_no_loss_and_a_part_can_make_up_for_others():
    line = in_calibrated(outcomes(25), outcomes(25), outcomes(45))
    assert "it gains 40 points [25, 53]" in line and "nominal model 40 gained" in line and "loses" not in line
    assert "it loses 40 points" in in_calibrated(outcomes(45), outcomes(45), outcomes(25))
    assert "no difference is shown (2 [" in in_calibrated(outcomes(25), outcomes(26), outcomes(25))
    assert "3 seeds can not show" in in_calibrated(outcomes(3, 3), outcomes(3, 3), outcomes(0, 3))
    gained = shared_out({"dynamics": -(np.arange(50) < 20).astype(float), "sensing": np.zeros(50)})
    (line,) = on_attribution(gained, None, None)
    assert "it gains 40 points" in line and "no drop to share out" in line and gained.as_dict()["gained"]
    lost, won = (np.arange(50) < 30).astype(float), -(np.arange(50) >= 40).astype(float)
    lines = on_attribution(shared_out({"dynamics": lost, "sensing": won}), None, None)
    assert lines[0].startswith("150 % of the drop comes from dynamics [")
    assert lines[1].startswith("sensing makes up for 50 % of the drop [")


def test_few_seeds_claim_nothing_however_they_agree():
    """Outcomes that are all the same leave a bootstrap no width."""
    for seeds, sure in ((1, False), (LEAST_PAIRS - 1, False), (LEAST_PAIRS, True)):
        found = shared_out({"actuator": np.ones(seeds), "task": np.zeros(seeds)})
        assert found.sure == sure
        assert ("not enough evidence" in on_attribution(found, None, None)[0]) != sure


def curve_with(n: int, p: float, points: int = 3) -> dict:
    best = {"severity": 0.0, "value": 0.0, "rate": 1.0, "n": n, "successes": n, "drop": 0.0, "drop_ci95": [0.0, 0.0]}
    worse = {**best, "severity": 1.0, "rate": 0.4, "successes": 1, "drop": 0.6, "drop_ci95": [0.3, 0.8]}
    every = [{**best, "mcnemar_mid_p": 1.0}, *[{**worse, "mcnemar_mid_p": p}] * points]
    return {"factor": "mass", "unit": "x", "points": every, "worst": {"rate": 0.4}}


def test_the_worst_of_many_points_must_be_surer_than_one():
    assert "costs 60 points" in on_curves([curve_with(20, 0.01)])[0]
    assert "no factor alone" in on_curves([curve_with(20, 0.02)])[0]  # one of three looked at
    assert "costs" in on_curves([curve_with(20, 0.02, points=1)])[0]
    assert "no factor alone" in on_curves([curve_with(5, 0.001)])[0]


# -- the whole report ----


def test_a_report_on_an_open_target(tmp_path):
    target = "factors:payload=0.4,actuator_gain=0.3,encoder_noise=0.01"
    document = gap(Request(REACH, ("zero",), target, factors=("payload",), episodes=3), tmp_path)
    written = json.loads((tmp_path / "gap.json").read_text())
    assert written == document
    policy = written["policies"][0]
    assert written["randomisation"] == "off" and policy["determinism"]["identical"]
    assert policy["curves"][0]["points"][0]["severity"] == 0.0
    assert "not enough evidence" in policy["verdict"][0]
    assert policy["shift"]["counterfactual_action"] == 0.0  # it looks at nothing
    assert max(policy["shift"]["action_wasserstein"]) == 0.0
    assert (tmp_path / "gap.csv").read_text().startswith("policy,sim,target,sim_n,target_n\nzero,0.0")
    assert "hidden" not in describe(written, tmp_path)


def test_no_policy_is_measured_while_another_does_not_fit(toy_policy, tmp_path, monkeypatch):
    monkeypatch.setattr("robotics.sim2real.gap._Policy.measure", lambda *_: pytest.fail("an episode was run"))
    with pytest.raises(UsageError, match="the environment takes"):
        gap(Request(REACH, ("zero", str(toy_policy)), episodes=3), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_policies_of_one_name_stay_apart(tmp_path, monkeypatch):
    """As two checkpoints of the same step do; a comma in a name takes no column."""
    found = arm([Outcome(True, 1.0, 3)])
    monkeypatch.setattr(
        "robotics.sim2real.gap._Policy.measure",
        lambda self, _: {"label": self._label, "sim": found, "target": found, "curves": []},
    )
    for name in ("a", "b, c"):
        (tmp_path / name).mkdir()
    runs = [str(saved(tmp_path / name, Act, ActConfig)) for name in ("a", "b, c")]
    document = gap(Request(BATCHED, tuple(runs), "factors:mass=1.1", episodes=2), tmp_path / "out")
    assert [one["label"] for one in document["policies"]] == runs
    assert main(["agree", str(tmp_path / "out" / "gap.csv")]) == 0


def test_a_policy_that_is_not_deterministic_is_refused():
    class Erratic:
        def reset(self, env, seed):
            self.space = env.action_space

        def act(self, observation):
            return self.space.sample()

    class Source:
        def agent(self, env):
            return Erratic()

    with pytest.raises(RoboticsError, match=r"seed 3 gave two different episodes in the simulation"):
        require_determinism(REACH, {}, Source(), [World()], [3])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--quick", "--full"], "contradict"),
        (["--factors", "masss"], "did you mean 'mass'"),
        (["--factors", "object_mass"], "changes nothing in this environment"),
        (["--budget", "soon"], "such as 90s"),
        (["--target", "twin:nowhere.json"], "no such file"),
        (["--copies", "2"], "trained policies"),
        (["--episodes", "0"], "at least one"),
    ],
)
def test_what_can_not_be_asked(more, words, tmp_path, capsys):
    asked = ["gap", "--env", REACH, "--policy", "zero", "--out", str(tmp_path / "g"), *more]
    assert main(asked) in (1, 2)
    assert words in capsys.readouterr().err
