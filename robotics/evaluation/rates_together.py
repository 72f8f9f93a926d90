"""Success rates of policies in two places, drawn together: how alike the places are is learned from the table itself.

Priors that know nothing of each other call a simulation that is right as unlikely as any other, and add the noise of
the trials to differences that hold it already: where the simulation follows the target, their intervals miss it.
"""

import numpy as np
from scipy.special import chdtrc

Array = np.ndarray

#: Counts for less than any noise of trials: keeps a covariance of rates that are all alike invertible.
_NOTHING = 1e-9


def rates_together(rates: Array, trials: Array, count: int, generator: np.random.Generator) -> tuple[Array, float]:
    """(count, N, 2) true rates that `rates` (N, 2) from so many `trials` (N, 2) leave possible; and the p-value that
    both places are the same for every policy, by chi-square.

    Infinitely many trials: the rate is known. A rate is an angle, asin of its root, whose noise has a variance of
    1/(4 trials + 2) wherever it lies (Anscombe 1948). Angles of the policies are drawn from a normal distribution over
    both places, whose mean and covariance the table gives: that of what was measured, drawn from its inverse Wishart
    posterior with two policies' worth of mere noise as the prior, less the noise, without negative eigenvalues. Given
    these, every policy's pair is drawn towards what all have in common as far as its noise explains (Efron and Morris
    1973, as `sim2real.shrinkage`).
    """
    known = np.isinf(trials)
    angles = np.arcsin(np.sqrt(np.where(known, rates, _anscombe(rates, np.where(known, 1.0, trials)))))
    noise = np.where(known, 0.0, 1 / (4 * trials + 2))
    means, between = _distributions(angles, noise.mean(axis=0), count, generator)
    values, vectors = np.linalg.eigh(between)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None]
    between = root @ root.swapaxes(1, 2)
    # A pair and what would be measured of it, moved by as much as that misses what was (Matheron's rule)
    pairs = means[:, None] + generator.standard_normal((count, *angles.shape)) @ root.swapaxes(1, 2)
    measured = pairs + np.sqrt(noise) * generator.standard_normal(pairs.shape)
    total = between[:, None] + noise[:, :, None] * np.eye(2)
    pairs = pairs + np.linalg.solve(total, (angles - measured)[..., None]).swapaxes(2, 3)[:, :, 0] @ between
    drawn = np.sin(np.clip(pairs, 0.0, np.pi / 2)) ** 2
    apart = (angles[:, 0] - angles[:, 1]) ** 2 / noise.sum(axis=1)
    return np.where(known, rates, drawn), float(chdtrc(len(angles), apart.sum()))


def _distributions(angles: Array, noise: Array, count: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Means (count, 2) and covariances (count, 2, 2) that pairs of angles may come from, before their noise (2,)."""
    n, centred = len(angles), angles - angles.mean(axis=0)
    scatter = centred.T @ centred + 2 * np.diag(noise) + _NOTHING * np.eye(2)
    # Bartlett's decomposition of a Wishart distribution with n + 1 degrees of freedom
    lower = np.zeros((count, 2, 2))
    lower[:, 0, 0], lower[:, 1, 1] = np.sqrt(generator.chisquare([n + 1, n], (count, 2)).T)
    lower[:, 1, 0] = generator.standard_normal(count)
    factor = np.linalg.inv(np.linalg.cholesky(np.linalg.inv(scatter)) @ lower)
    measured = factor.swapaxes(1, 2) @ factor
    steps = (generator.standard_normal((count, 1, 2)) @ factor)[:, 0]
    return angles.mean(axis=0) + steps / np.sqrt(n), measured - np.diag(noise)


def _anscombe(rates: Array, trials: Array) -> Array:
    return (rates * trials + 3 / 8) / (trials + 3 / 4)
