"""Curves of the joint phase, with and without an alarm."""

from collections.abc import Mapping

HEALTHY = {
    "d_loss_real": 0.05,
    "d_loss_fake": 0.05,
    "val_d_acc_real": 0.95,
    "val_d_acc_fake": 1.0,
}
WON = HEALTHY | {"d_loss_real": 0.001, "d_loss_fake": 0.001}


def joint_curve(*points: Mapping[str, float]) -> list[dict[str, float]]:
    """A curve of these points, at steps 1, 2 and so on."""
    return [{"step": step, **point} for step, point in enumerate(points, 1)]
