"""Stage 3: train the completion network alone."""

from glcic.params import Params
from glcic.phases.pretrain_generator import PretrainGeneratorPhase
from pipeline import _stage, _training


def main(params: Params) -> None:
    """Write models/pretrain_generator, its curve and its sample grid."""
    section = params.pretrain_generator
    _training.run(
        "pretrain_generator",
        params,
        section,
        lambda fabric, faces: PretrainGeneratorPhase(
            fabric,
            _training.completion_network(params),
            section,
            params.input,
            faces.mean_pixel,
            params.runtime.compile,
        ),
        local_window=params.crop.size,  # nothing looks through it
    )


if __name__ == "__main__":
    _stage.run("pretrain_generator", main)
