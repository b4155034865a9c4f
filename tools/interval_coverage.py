"""How often does a 95 % interval over few people contain the true mean? Five kinds of intervals, simulated.

Scores are drawn for people with 30 images each, an effect of the person plus noise of the image: symmetric; skewed like
L1 scores; strongly skewed; and differences of two methods that meet the same people. The interval of reports is
`glcic.report.bootstrap`'s own; the others are what it could be: percentiles of the resampled means (once in reports),
the same with Hesterberg's wider tails, BCa, and t over the people's means without resampling.

Run it from the project's root; it takes seconds:

    python tools/interval_coverage.py
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from glcic.report.bootstrap import Bootstrap, totals

IMAGES = 30  # of each person
LEVEL = 0.95
SIMULATIONS, SAMPLES = 4000, 1000
PEOPLE = (50, 22, 8, 4)

Floats = NDArray[np.float64]
Scores = tuple[Floats, float]  # scores (simulations, people, images), and their true mean


def _skewed(rng: np.random.Generator, simulations: int, people: int, of_person: float, of_image: float) -> Scores:
    """Draw log-normal scores, with standard deviations of the logarithm."""
    person = rng.normal(0, of_person, (simulations, people, 1))
    image = rng.normal(0, of_image, (simulations, people, IMAGES))
    return np.exp(person + image), float(np.exp((of_person**2 + of_image**2) / 2))


def symmetric(rng: np.random.Generator, simulations: int, people: int) -> Scores:
    """Draw normal scores that differ as much among people as among a person's images."""
    shape = (simulations, people)
    return rng.normal(size=(*shape, 1)) + rng.normal(size=(*shape, IMAGES)), 0.0


def skewed(rng: np.random.Generator, simulations: int, people: int) -> Scores:
    """Draw skewed scores, like L1."""
    return _skewed(rng, simulations, people, 0.35, 0.4)


def strongly_skewed(rng: np.random.Generator, simulations: int, people: int) -> Scores:
    """Draw scores of which a few people have most."""
    return _skewed(rng, simulations, people, 0.7, 0.5)


def paired(rng: np.random.Generator, simulations: int, people: int) -> Scores:
    """Draw differences of two skewed scores; the second method minds who the person is a little more."""
    person = rng.normal(0, 0.35, (simulations, people, 1))
    more = rng.normal(0, 0.2, (simulations, people, 1))
    first, second = rng.normal(0, 0.4, (2, simulations, people, IMAGES))
    truth = np.exp((0.35**2 + 0.4**2) / 2) * (1 - np.exp(0.2**2 / 2))
    return np.exp(person + first) - np.exp(person + more + second), float(truth)


CASES: Mapping[str, Callable[[np.random.Generator, int, int], Scores]] = {
    "symmetric": symmetric,
    "skewed": skewed,
    "strongly skewed": strongly_skewed,
    "paired": paired,
}


def intervals(scores: Floats, samples: int, seed: int) -> dict[str, tuple[Floats, Floats]]:
    """Compute the lower and upper ends of every kind of interval, (simulations,) each.

    Args:
        scores: (simulations, people, images).
        samples: number of bootstrap samples.
        seed: seed of their draws.
    """
    simulations, people, images = scores.shape
    of = totals(scores.transpose(1, 2, 0).reshape(-1, simulations), np.repeat(np.arange(people), images))
    bootstrap = Bootstrap(samples, LEVEL, seed)
    means = scores.mean(axis=2)
    mean, error = means.mean(axis=1), means.std(axis=1, ddof=1) / np.sqrt(people)
    resampled = np.sort(np.concatenate(list(bootstrap._resampled(of))), axis=0)
    reach = stats.t.ppf((1 + LEVEL) / 2, people - 1)
    tail = (1 - LEVEL) / 2
    expanded = stats.norm.cdf(-np.sqrt(people / (people - 1)) * reach)

    def at(shares: Floats) -> Floats:
        places = np.clip(np.rint(shares * (samples - 1)).astype(int), 0, samples - 1)
        return resampled[places, np.arange(simulations)]

    # Efron's bias correction and, from means without one person, acceleration.
    bias = stats.norm.ppf(np.clip((resampled < mean).mean(axis=0), 1 / samples, 1 - 1 / samples))
    without = (means.sum(axis=1, keepdims=True) - means) / (people - 1)
    influence = without.mean(axis=1, keepdims=True) - without
    acceleration = (influence**3).sum(axis=1) / (6 * (influence**2).sum(axis=1) ** 1.5)

    def corrected(share: float) -> Floats:
        z = bias + stats.norm.ppf(share)
        return at(stats.norm.cdf(bias + z / (1 - acceleration * z)))

    everywhere = np.ones(simulations)
    return {
        "percentile": (at(tail * everywhere), at((1 - tail) * everywhere)),
        "expanded percentile": (at(expanded * everywhere), at((1 - expanded) * everywhere)),
        "BCa": (corrected(tail), corrected(1 - tail)),
        "t": (mean - reach * error, mean + reach * error),
        "t, bootstrap's error (reports)": bootstrap.interval(of),
    }


def coverage(case: str, people: int, *, simulations: int = SIMULATIONS, samples: int = SAMPLES) -> dict[str, float]:
    """Simulate how often each kind of interval contains the true mean.

    Args:
        case: a key of CASES.
        people: number of people.
        simulations: number of simulated test sets.
        samples: bootstrap samples for each.

    Returns:
        Fractions in [0, 1], by kind of interval.
    """
    scores, truth = CASES[case](np.random.default_rng(people), simulations, people)
    ends = intervals(scores, samples, seed=0)
    return {kind: float(np.mean((low <= truth) & (truth <= high))) for kind, (low, high) in ends.items()}


def main() -> None:
    """Print the table."""
    header = None
    for people in PEOPLE:
        for case in CASES:
            found = coverage(case, people)
            if header is None:
                header = ["people", "scores", *found]
                print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
            cells = [str(people), case, *(f"{100 * share:.1f}" for share in found.values())]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
