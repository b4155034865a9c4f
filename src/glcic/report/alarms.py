"""Alarms of the training phases: problems that show in their curves, and advice on what to do about them.

Alarms depend on the curve only, so training, a finished report and a run in MLflow raise the same ones. They change no
result.

The thresholds were chosen from healthy training runs in this repository (synthetic faces and CelebA, all with the loss
`bce`). In the joint phase, their discriminator loss never falls below 0.013 of the loss of guessing, and their mean
accuracy never falls below 0.86; alone, the discriminators begin at 0.69. The thresholds are less than a quarter of the
first and close to chance for the others, and must be crossed several times in a row. A generator starts with a
diversity of 0. Trained alone on synthetic faces at S = 32, it reached 0.24 after 640 images, when it was hardly better
than mean fill, and stayed above 0.67 from 1,280 images on.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import log

from glcic.params import GANLoss

PATIENCE = 3  # consecutive points of the curve that must meet a condition, since a single one may be chance
NO_LOSS = 0.003  # share of the loss of guessing: nearly nothing is left to learn
RECOGNIZED = 0.9  # share of the completed validation images that the discriminator recognizes
CHANCE = 0.55  # mean of both accuracies: 0.5 plus 1.5 standard deviations of guessing on 120 images of each kind
SCORES = ("val_psnr", "val_l1_hole")  # which no training leaves exactly the same
NO_DIVERSITY = 0.2  # relative to the ground truth's standard deviation: 4 % of its variance


@dataclass(frozen=True)
class _Alarm:
    """An alarm: the columns it needs, its condition at a point of the curve, its message, and advice."""

    needed: tuple[str, ...]
    holds: Callable[[Mapping[str, float]], bool]
    says: Callable[[Mapping[str, float]], str]
    remedy: str


def alarms(
    curve: Iterable[Mapping[str, float]], loss: GANLoss, real_label: float, stage: str = "train_joint"
) -> dict[str, str]:
    """Find the alarms that the curve of a training stage raises.

    Args:
        curve: points of the curve, each with a `step`. An alarm is not raised where its columns are missing.
        loss: the discriminator's loss, `gan.loss` in params.yaml.
        real_label: the discriminator's label of real images, `gan.real_label` in params.yaml.
        stage: name of the stage.

    Returns:
        Messages by name of the alarm: `generator_dead` (its validation scores do not change at all),
        `discriminator_lost` (it cannot distinguish completed from real images), and in the joint phase
        `discriminator_won` (it has nothing left to learn and recognizes nearly every completion) and
        `generator_collapsed` (its completions are nearly the same for all images). An alarm that was raised more than
        once is reported for the last time.
    """
    points = _with_unchanged(curve)
    found = {}
    for name, alarm in _alarms(loss, real_label, stage).items():
        if stretch := _last_stretch(points, alarm):
            first, last = stretch[0], stretch[-1]
            since = f"since step {first['step']:.0f}"
            when = since if last is points[-1] else f"{since}, until step {last['step']:.0f}"
            found[name] = f"{when}: {alarm.says(last)}; {alarm.remedy}"
    return found


def _with_unchanged(curve: Iterable[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """Points with the column `unchanged`: 1 if all validation scores of the generator are those of the point before."""
    points: list[Mapping[str, float]] = []
    last = ""
    for point in curve:
        scores = " ".join(f"{point[name]:.7g}" for name in SCORES if name in point)  # the digits in a curve's file
        points.append({**point, "unchanged": float(scores == last)} if scores else point)
        last = scores
    return points


def _last_stretch(points: list[Mapping[str, float]], alarm: _Alarm) -> list[Mapping[str, float]]:
    found: list[Mapping[str, float]] = []
    now: list[Mapping[str, float]] = []
    for point in points:
        now = [*now, point] if all(name in point for name in alarm.needed) and alarm.holds(point) else []
        found = now if len(now) >= PATIENCE else found
    return found


def _alarms(loss: GANLoss, real_label: float, stage: str) -> dict[str, _Alarm]:
    """Alarms of a stage, by name."""
    rate = "train_joint.optimizer_g.lr" if stage == "train_joint" else f"{stage}.optimizer.lr"
    dead = _Alarm(
        ("unchanged", "val_psnr"),
        lambda point: point["unchanged"] > 0,
        lambda point: (
            f"the validation scores do not change at all (PSNR {point['val_psnr']:.2f} dB): nothing is learned"
        ),
        f"lower {rate}, and start this stage anew",
    )
    if stage == "pretrain_generator":
        return {"generator_dead": dead}
    of_discriminator = _alarms_of_discriminator(loss, real_label, stage)
    if stage == "pretrain_discriminators":
        return {"discriminator_lost": of_discriminator["discriminator_lost"]}
    return {"generator_dead": dead, **of_discriminator}


def _alarms_of_discriminator(loss: GANLoss, real_label: float, stage: str) -> dict[str, _Alarm]:
    least, guessing = lowest_loss(loss, real_label), loss_of_guessing(loss, real_label)

    def share(point: Mapping[str, float]) -> float:
        return (point["d_loss_real"] + point["d_loss_fake"] - least) / (guessing - least)

    def accuracy(point: Mapping[str, float]) -> float:
        return (point["val_d_acc_real"] + point["val_d_acc_fake"]) / 2

    losses = ("d_loss_real", "d_loss_fake")
    accuracies = ("val_d_acc_real", "val_d_acc_fake")
    return {
        "discriminator_won": _Alarm(
            (*losses, *accuracies),
            lambda point: share(point) < NO_LOSS and point["val_d_acc_fake"] >= RECOGNIZED,
            lambda point: (
                f"the discriminator's loss is {max(0.0, 100 * share(point)):.2g} % of the loss of guessing, and it "
                f"recognizes {_percent(point['val_d_acc_fake'])} of the completions (and "
                f"{_percent(point['val_d_acc_real'])} of the real images): it has nothing left to learn, and the "
                "generator can learn little from it"
            ),
            "lower train_joint.optimizer_d.lr, let it skip steps (train_joint.d_skip_accuracy: 0.8) "
            "or hold it back with gan.r1_gamma (and networks.discriminator.norm: none)",
        ),
        "discriminator_lost": _Alarm(
            accuracies,
            lambda point: accuracy(point) <= CHANCE,
            lambda point: (
                f"the discriminator recognizes {_percent(point['val_d_acc_real'])} of the real images and "
                f"{_percent(point['val_d_acc_fake'])} of the completions, which is no better than guessing: "
                + ("the generator learns nothing from it" if stage == "train_joint" else "it learns nothing")
            ),
            "raise pretrain_discriminators.steps or train_joint.optimizer_d.lr, or lower "
            "train_joint.adv_weight (or adaptive_ratio)"
            if stage == "train_joint"
            else "if it stays so, lower pretrain_discriminators.optimizer.lr, and start this stage anew",
        ),
        "generator_collapsed": _Alarm(
            ("val_diversity",),
            lambda point: point["val_diversity"] < NO_DIVERSITY,
            lambda point: (
                f"completions vary {point['val_diversity']:.2g} times as much across images as the ground truth: "
                "they are nearly the same for all images"
            ),
            "lower train_joint.adv_weight (or adaptive_ratio) or train_joint.optimizer_g.lr, or "
            "raise pretrain_generator.steps",
        ),
    }


def lowest_loss(loss: GANLoss, real_label: float) -> float:
    """Smallest possible sum of the discriminator's two losses; above 0 only for cross entropy with smoothed labels."""
    if loss != "bce" or real_label in (0.0, 1.0):
        return 0.0
    return -real_label * log(real_label) - (1 - real_label) * log(1 - real_label)


def loss_of_guessing(loss: GANLoss, real_label: float) -> float:
    """Smallest possible sum of the two losses of a discriminator with the same output for all images.

    This output is half of the real label, as a probability (`bce`) or directly (`lsgan`), or 0 (`hinge`).
    """
    if loss == "hinge":
        return 2.0
    if loss == "lsgan":
        return real_label**2 / 2
    return -real_label * log(real_label / 2) - (2 - real_label) * log(1 - real_label / 2)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
