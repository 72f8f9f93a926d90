"""Which seeds an evaluation uses: a range for development, or ones that nobody can tune to.

Training and demonstrations use 0 … 999 999, development evaluation 1 000 000 … 1 999 999; exam seeds come from a
secret.
"""

import hashlib
import hmac
from collections.abc import Iterable

from robotics.errors import UsageError

#: Behind the seeds of training and demonstrations.
FIRST_EVALUATION_SEED = 1_000_000


def evaluation_seeds(episodes: int, seed: int, exam: str | None = None) -> list[int]:
    """Seeds of `episodes` episodes: seed, seed + 1, … or, with the secret `exam`, 63-bit ones that only it determines.

    Exam seed i is the first 63 bits of HMAC-SHA256(key = exam, message = "<i>" in decimal), which lie above all ranges
    that are used otherwise, but for a chance of 1 in 4 · 10^12 each.
    """
    if episodes < 1:
        raise UsageError(f"--episodes {episodes}: at least one is needed")
    require_seed(seed)
    if exam is None:
        return list(range(seed, seed + episodes))
    if not exam:
        raise UsageError("--exam: the key is empty")
    digests = (hmac.new(exam.encode(), str(i).encode(), hashlib.sha256).digest() for i in range(episodes))
    return [int.from_bytes(digest[:8], "big") >> 1 for digest in digests]


def refuse_seed_beside_exam(seed: int, exam: str | None) -> None:
    """UsageError for a first seed that was given beside a key, which decides all seeds."""
    if exam is not None and seed != FIRST_EVALUATION_SEED:
        raise UsageError(f"--seed {seed} contradicts --exam: the key decides the seeds")


def require_seed(seed: int) -> None:
    """UsageError for a negative one: numpy's generators take none."""
    if seed < 0:
        raise UsageError(f"--seed {seed}: seeds are not negative")


def fingerprint(exam: str) -> str:
    """Tells two exams apart. It tells a key that can be guessed to whoever guesses: take a long one."""
    return hashlib.sha256(b"robotics exam\0" + exam.encode()).hexdigest()[:12]


def refuse_training_seeds(seeds: Iterable[int], trained_on: Iterable[int], policy: str) -> None:
    """UsageError when a policy is about to be tested on seeds it was trained on."""
    if common := sorted(set(seeds) & set(trained_on)):
        raise UsageError(
            f"{policy} was trained on {len(common)} of these seeds (first: {common[0]}); "
            f"evaluate with --seed {FIRST_EVALUATION_SEED} or above"
        )
