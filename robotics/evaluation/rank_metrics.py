"""How well success in simulation predicts success on the target, over a set of policies.

Every function takes `sim` and `target` of shape (…, policies), keyword only: MMRV is not symmetric, and swapping the
two is a mistake that has been made in public. Leading axes are resamples. A correlation is NaN where one side never
varies.
"""

import numpy as np


def mmrv(*, sim: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(…,) mean maximum rank violation (Li et al. 2024, SIMPLER, arXiv 2405.05941): 0 best, 1 worst.

    (1/N) Σ_i max_j |target_i − target_j| · [(sim_i < sim_j) ≠ (target_i < target_j)]: per policy, the largest gap *on
    the target* to a policy that the simulation orders differently. Both comparisons are strict: of two policies that
    only the simulation ties, the one that is worse on the target violates, and a tie on the target costs nothing, its
    gap being zero.
    """
    sim, target = np.asarray(sim, dtype=float), np.asarray(target, dtype=float)
    gaps = np.abs(target[..., :, None] - target[..., None, :])
    return np.where(_below(sim) != _below(target), gaps, 0.0).max(axis=-1).mean(axis=-1)


def pearson(*, sim: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(…,) linear correlation. Blind to bias and scale: read it with `mean_absolute_error`."""
    sim, target = np.asarray(sim, dtype=float), np.asarray(target, dtype=float)
    a, b = sim - sim.mean(axis=-1, keepdims=True), target - target.mean(axis=-1, keepdims=True)
    scale = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    # Rounding leaves 1e-17 where values are all the same
    known = scale > 1e-12
    return np.where(known, np.clip((a * b).sum(axis=-1) / np.where(known, scale, 1.0), -1.0, 1.0), np.nan)


def spearman(*, sim: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(…,) correlation of the ranks; equal values share their mean rank."""
    return pearson(sim=_ranks(sim), target=_ranks(target))


def kendall(*, sim: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(…,) Kendall's tau-b: pairs in the same order minus pairs in opposite order, for ties (Kendall 1945)."""
    a, b = _signs(sim), _signs(target)
    scale = np.sqrt((a * a).sum(axis=(-2, -1)) * (b * b).sum(axis=(-2, -1)))
    known = scale > 0
    return np.where(known, (a * b).sum(axis=(-2, -1)) / np.where(known, scale, 1.0), np.nan)


def mean_absolute_error(*, sim: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(…,) mean of |sim − target|."""
    return np.abs(np.asarray(sim, dtype=float) - np.asarray(target, dtype=float)).mean(axis=-1)


def bias(*, sim: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(…,) mean of sim − target: negative where the simulation is the harder place."""
    return (np.asarray(sim, dtype=float) - np.asarray(target, dtype=float)).mean(axis=-1)


def selection_regret(*, sim: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(…,) what is lost on the target by taking the policy that is best in simulation; the mean over a tie for it."""
    sim, target = np.asarray(sim, dtype=float), np.asarray(target, dtype=float)
    best = sim == sim.max(axis=-1, keepdims=True)
    return target.max(axis=-1) - (best * target).sum(axis=-1) / best.sum(axis=-1)


#: Name in a document -> metric, in the order of a table.
METRICS = {
    "mmrv": mmrv,
    "pearson": pearson,
    "spearman": spearman,
    "kendall": kendall,
    "mae": mean_absolute_error,
    "bias": bias,
    "regret": selection_regret,
}
#: Those of `METRICS` that say something about policies in general, and so need enough of them.
CORRELATIONS = ("pearson", "spearman", "kendall")


def _below(values: np.ndarray) -> np.ndarray:
    """(…, N, N) whether value i < value j."""
    return values[..., :, None] < values[..., None, :]


def _signs(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return np.sign(values[..., :, None] - values[..., None, :])


def _ranks(values: np.ndarray) -> np.ndarray:
    """(…, N) ranks up to a constant: how many are smaller, less how many are larger."""
    return _signs(values).sum(axis=-1)
