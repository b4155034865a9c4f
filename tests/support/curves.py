"""Curves of the joint phase that raise an alarm, and one that does not."""

from collections.abc import Mapping

HEALTHY = {
    "discriminator_real": 0.05,
    "discriminator_completed": 0.05,
    "val_accuracy_real": 0.95,
    "val_accuracy_completed": 1.0,
}
WON = HEALTHY | {"discriminator_real": 0.001, "discriminator_completed": 0.001}


def joint_curve(*points: Mapping[str, float]) -> list[dict[str, float]]:
    return [{"step": step, **point} for step, point in enumerate(points, 1)]
