"""Stage 5: train completion network and discriminators together."""

from glcic import paths
from glcic.params import Params
from glcic.phases.train_joint import TrainJointPhase
from pipeline import _discriminator, _stage, _training


def main(params: Params) -> None:
    """Write models/train_joint, its curve and its sample grid."""
    section = params.train_joint
    _training.run(
        "train_joint",
        params,
        section,
        lambda fabric, faces: TrainJointPhase(
            fabric,
            _training.completion_network(params, paths.PRETRAINED),
            _discriminator.discriminator(params, paths.DISCRIMINATOR),
            section,
            params.adversarial,
            params.input,
            faces.mean_pixel,
            params.runtime.compile,
        ),
        local_window=_discriminator.local_window(params),
        after=["pretrain_generator", "pretrain_discriminators"],
    )


if __name__ == "__main__":
    _stage.run("train_joint", main)
