"""Stage 4: train the discriminators alone, against the frozen completion network."""

from glcic import paths
from glcic.params import Params
from glcic.phases.pretrain_discriminators import PretrainDiscriminatorsPhase
from pipeline import _discriminator, _stage, _training


def main(params: Params) -> None:
    """Write models/pretrain_discriminators and its curve."""
    section = params.pretrain_discriminators
    _training.run(
        "pretrain_discriminators",
        params,
        section,
        lambda fabric, faces: PretrainDiscriminatorsPhase(
            fabric,
            _training.completion_network(params, paths.PRETRAINED),
            _discriminator.discriminator(params),
            section,
            params.adversarial,
            params.input,
            faces.mean_pixel,
            params.runtime.compile,
        ),
        local_window=_discriminator.local_window(params),
        after=["pretrain_generator"],
        score=None,
    )


if __name__ == "__main__":
    _stage.run("pretrain_discriminators", main)
