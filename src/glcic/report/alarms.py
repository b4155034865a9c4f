"""Alarms of the joint phase: what its curve says has gone wrong, and what to do about it.

A function of the curve alone, so that training, a finished report and a row in MLflow say the same. Nothing acts on
them: they change no result.

How the thresholds were chosen: in the curves of healthy trainings in this repository (synthetic faces and CelebA, all
with the loss `bce`) the discriminator's loss is never below 0.044 of what guessing costs, and the mean of its
accuracies never below 0.86. The alarms are at less than a quarter of the one and beside chance for the other, and must
last. A completion network begins with a variety of 0; trained alone on synthetic faces at S = 32 it had 0.24 after 640
images, when it was hardly better than mean fill, and from 1,280 images on never less than 0.67.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import log

from glcic.params import AdversarialLoss

PATIENCE = 3  # consecutive points of the curve at which something must hold: one may be chance
NO_LOSS = 0.01  # share of the loss of guessing: what is left to learn is a hundredth
RECOGNISED = 0.9  # share of the completed validation images
CHANCE = 0.55  # mean of both accuracies: 0.5, and 1.5 standard deviations of guesses at 120 images of each kind
NO_VARIETY = 0.2  # of the ground truth's standard deviation: 4 % of its variance


@dataclass(frozen=True)
class _Alarm:
    """When it holds at a point (`needed` are the columns it looks at), how it is put, and what helps."""

    needed: tuple[str, ...]
    holds: Callable[[Mapping[str, float]], bool]
    says: Callable[[Mapping[str, float]], str]
    remedy: str


def alarms(curve: Iterable[Mapping[str, float]], loss: AdversarialLoss, real_label: float) -> dict[str, str]:
    """The alarms that a curve of the joint phase raises.

    Args:
        curve: its points, each with a `step`. Where the columns that an alarm looks at are missing, it is not raised.
        loss: with which the discriminator learns, `adversarial.loss` in params.yaml.
        real_label: what it calls real images, `adversarial.real_label`.

    Returns:
        A message for each alarm, by name: `discriminator_won` (nothing is left for it to learn, and it recognises
        nearly every completion), `discriminator_lost` (it cannot tell real from completed), `generator_collapsed`
        (nearly one answer for all images). Of an alarm that was raised more than once, the last time.
    """
    points = list(curve)
    found = {}
    for name, alarm in _alarms(loss, real_label).items():
        if stretch := _last_stretch(points, alarm):
            first, last = stretch[0], stretch[-1]
            since = f"since step {first['step']:.0f}"
            when = since if last is points[-1] else f"{since}, until step {last['step']:.0f}"
            found[name] = f"{when}: {alarm.says(last)}; {alarm.remedy}"
    return found


def _last_stretch(points: list[Mapping[str, float]], alarm: _Alarm) -> list[Mapping[str, float]]:
    found: list[Mapping[str, float]] = []
    now: list[Mapping[str, float]] = []
    for point in points:
        now = [*now, point] if all(name in point for name in alarm.needed) and alarm.holds(point) else []
        found = now if len(now) >= PATIENCE else found
    return found


def _alarms(loss: AdversarialLoss, real_label: float) -> dict[str, _Alarm]:
    least, guessing = lowest_loss(loss, real_label), loss_of_guessing(loss, real_label)

    def share(point: Mapping[str, float]) -> float:
        return (point["discriminator_real"] + point["discriminator_completed"] - least) / (guessing - least)

    def accuracy(point: Mapping[str, float]) -> float:
        return (point["val_accuracy_real"] + point["val_accuracy_completed"]) / 2

    losses = ("discriminator_real", "discriminator_completed")
    accuracies = ("val_accuracy_real", "val_accuracy_completed")
    return {
        "discriminator_won": _Alarm(
            (*losses, *accuracies),
            lambda point: share(point) < NO_LOSS and point["val_accuracy_completed"] >= RECOGNISED,
            lambda point: (
                f"the discriminator's loss is {max(0.0, 100 * share(point)):.2g} % of that of guessing, and it "
                f"recognises {_percent(point['val_accuracy_completed'])} of the completions (and "
                f"{_percent(point['val_accuracy_real'])} of the real images): it has nothing left to learn, and the "
                "generator little to learn from it"
            ),
            "lower train_joint.discriminator_optimiser.learning_rate, let it skip steps (train_joint.skip_above: 0.8) "
            "or hold it back with adversarial.r1",
        ),
        "discriminator_lost": _Alarm(
            accuracies,
            lambda point: accuracy(point) <= CHANCE,
            lambda point: (
                f"the discriminator recognises {_percent(point['val_accuracy_real'])} of the real images and "
                f"{_percent(point['val_accuracy_completed'])} of the completions, which is no better than guessing: "
                "the generator learns nothing from it"
            ),
            "raise pretrain_discriminators.steps or train_joint.discriminator_optimiser.learning_rate, or lower "
            "train_joint.adversarial.weight (or balance)",
        ),
        "generator_collapsed": _Alarm(
            ("val_variety",),
            lambda point: point["val_variety"] < NO_VARIETY,
            lambda point: (
                f"completions vary {point['val_variety']:.2g} times as much among images as the ground truth does: "
                "nearly one answer for all"
            ),
            "lower train_joint.adversarial.weight (or balance) or train_joint.generator_optimiser.learning_rate, or "
            "raise pretrain_generator.steps",
        ),
    }


def lowest_loss(loss: AdversarialLoss, real_label: float) -> float:
    """The smallest sum of the discriminator's two losses: more than 0 with smoothed labels and the cross entropy."""
    if loss != "bce" or real_label in (0.0, 1.0):
        return 0.0
    return -real_label * log(real_label) - (1 - real_label) * log(1 - real_label)


def loss_of_guessing(loss: AdversarialLoss, real_label: float) -> float:
    """The smallest sum of the two losses of a discriminator that answers the same whatever it sees.

    The answer is half of the real label, as a probability (`bce`) or as it is (`least_squares`); 0 with the hinge.
    """
    if loss == "hinge":
        return 2.0
    if loss == "least_squares":
        return real_label**2 / 2
    return -real_label * log(real_label / 2) - (2 - real_label) * log(1 - real_label / 2)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
