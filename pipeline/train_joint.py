"""Stage 5: train completion network and discriminators together."""

from glcic import paths
from glcic.networks import discriminators, generators
from glcic.networks.weights import with_weights
from glcic.params import Params
from glcic.phases.train_joint import TrainJointPhase
from pipeline import stage, training_stage


def main(params: Params) -> None:
    """Write models/train_joint, its curve and its sample grid."""
    section, networks, before = params.train_joint, params.networks, ["pretrain_generator", "pretrain_discriminators"]
    with training_stage.opened("train_joint", params, section, after=before) as opened:
        completion = with_weights(generators.completion_network(networks.completion, params.input), paths.PRETRAINED)
        discriminator = discriminators.discriminator(networks.discriminator, params.crop.size)
        phase = TrainJointPhase(
            opened.fabric,
            completion,
            with_weights(discriminator, paths.DISCRIMINATOR),
            section,
            params.adversarial,
            params.input,
            opened.faces.mean_pixel,
            params.runtime.compile,
        )
        opened.train(phase, local_window=discriminator.local_window or params.crop.size)


if __name__ == "__main__":
    stage.run("train_joint", main)
