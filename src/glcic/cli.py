"""Command line interface `glcic`.

A command imports what it needs when it is called, so that `--help` is fast.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from glcic import paths
from glcic.errors import explained
from glcic.training.stop import Stopped

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
USE, COMPARE, REPRODUCE = "Use it", "Runs and experiments", "Reproduce and benchmark"


@app.command(rich_help_panel=USE)
def complete(
    image: Annotated[Path, typer.Argument(help="photo to complete")],
    mask: Annotated[Path, typer.Argument(help="image of the same size, white in the areas to complete, else black")],
    output: Annotated[Path, typer.Argument(help="where to write: .png, .jpg, .webp, .tif, .bmp or .gif")],
    weights: Annotated[Path, typer.Option(help="weights of a generator")] = paths.GENERATOR,
    blend: Annotated[
        bool, typer.Option("--blend", help="blend the completion into its surroundings (Poisson)")
    ] = False,
    invert: Annotated[bool, typer.Option("--invert", help="complete the black areas of the mask instead")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="complete more than 60 % of the photo")] = False,
) -> None:
    """Complete a photo with trained weights. Outside the hole, its pixels stay, and so do its mode and metadata.

    PNG, TIFF, WebP, BMP and GIF keep those pixels exactly; a JPEG is compressed again, with the photo's own tables.

    Example: glcic complete photo.jpg mask.png completed.png --blend
    """
    from glcic.inference.photo import complete_photo

    complete_photo(image, mask, output, weights, blended=blend, invert=invert, allow_large=yes)
    typer.echo(f"wrote {output}")


@app.command(rich_help_panel=USE)
def presets() -> None:
    """List the presets with a description and the cost of their networks.

    Example: glcic presets
    """
    from glcic.experiments.presets import preset_table

    typer.echo(preset_table(paths.PRESETS))


@app.command(rich_help_panel=USE)
def preset(
    name: Annotated[str, typer.Argument(help="a file in presets/, without .yaml")],
    params: Annotated[Path, typer.Option(help="file to write")] = paths.PARAMS,
) -> None:
    """Write params.yaml from the defaults and a preset, and print the changes.

    Example: glcic preset tiny
    """
    from glcic.experiments.presets import apply_preset

    for dotted, before, after in apply_preset(name, paths.PRESETS, params):
        typer.echo(f"{dotted}: {before} → {after}")
    typer.echo(f"{params} is now preset {name}; run `dvc repro`")


Report = Annotated[Path, typer.Argument(help="folder of a report; its own params.yaml is used if it has one")]


@app.command(rich_help_panel=USE)
def results(report: Report = paths.REPORT.folder) -> None:
    """Print a report's scores as Markdown, with intervals and next to the published scores.

    Example: glcic results reports/celeba-small
    """
    from glcic.experiments.results import print_results

    print_results(report)


@app.command(rich_help_panel=USE)
def check_sources() -> None:
    """Check that the images and masks named on this machine are those that were used; DVC does not look at them.

    `make repro` and every stage begin with it.

    Example: glcic check-sources
    """
    from glcic.data.changed import check_sources
    from glcic.params import load

    check_sources(load(paths.PARAMS))


@app.command(rich_help_panel=COMPARE)
def sync() -> None:
    """Complete the runs in MLflow: add stages that DVC took from its cache, and DVC experiments.

    Example: glcic sync
    """
    from glcic.experiments.sync import sync

    sync()


@app.command(rich_help_panel=COMPARE)
def champion() -> None:
    """Give the registered model with the best validation PSNR the alias `champion` in MLflow.

    Example: glcic champion
    """
    from glcic.tracking.champion import print_champion

    print_champion()


@app.command(rich_help_panel=COMPARE)
def compare(
    file: Annotated[
        Path, typer.Argument(help="comparison file: systems and, optionally, an ablation")
    ] = paths.COMPARISON,
) -> None:
    """Train several systems under equal conditions and tabulate their scores. Run it again to resume.

    Example: glcic compare comparison.yaml
    """
    from glcic.experiments.compare import compare

    compare(file)


@app.command(rich_help_panel=COMPARE)
def seeds() -> None:
    """Repeat the current configuration with three seeds to measure the spread of its scores.

    Example: glcic seeds
    """
    from glcic.experiments.seeds import repeat

    repeat()


@app.command(rich_help_panel=COMPARE)
def keep(name: Annotated[str, typer.Argument(help="name of the folder, such as celeba-small")]) -> None:
    """Copy the current report to reports/NAME, with its parameters, model card, hashes and HTML page.

    Example: glcic keep my-faces
    """
    from glcic.experiments.keep import keep_report

    keep_report(name)


@app.command(rich_help_panel=COMPARE)
def checkpoints(
    remove: Annotated[str | None, typer.Option(metavar="NAME", help="remove these, or `all`")] = None,
    continue_from: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="let `dvc repro` go on from these, whatever code made them"),
    ] = None,
) -> None:
    """List the checkpoints of trainings, with what they take on the disk.

    Example: glcic checkpoints
    """
    from glcic.experiments import checkpoints

    if remove is not None:
        checkpoints.remove(remove)
    if continue_from is not None:
        checkpoints.continue_from(continue_from)
    if remove is continue_from is None:
        checkpoints.print_checkpoints()


@app.command(rich_help_panel=REPRODUCE)
def verify(report: Report = paths.REPORT.folder) -> None:
    """Rebuild a report in a clean clone of the commit, and check it number by number.

    Takes as long as `dvc repro`. On the processor and with the threads that it was made with, every number must be
    identical; elsewhere tolerances.json applies. The exit status is 1 if the rebuild does not confirm the report.

    Example: glcic verify reports/celeba-small
    """
    from glcic.experiments.verify import verify

    raise typer.Exit(0 if verify(report) else 1)


@app.command(rich_help_panel=REPRODUCE)
def export_test_set(folder: Annotated[Path, typer.Argument(help="where to write; it must not exist")]) -> None:
    """Write the test images and their masks, for another system to complete.

    Example: glcic export-test-set masks
    """
    from glcic.experiments.score import export_test_set

    export_test_set(folder)


@app.command(rich_help_panel=REPRODUCE)
def score(
    folder: Annotated[Path, typer.Argument(help="folder of completions: <mask set>/000000.png and so on")],
    name: Annotated[str, typer.Argument(help="name of the system in the tables")],
) -> None:
    """Score another system's completions of the exported images next to our methods, with intervals.

    Example: glcic score completions "their system"
    """
    from glcic.experiments.score import score_system

    score_system(folder, name)


@app.command(rich_help_panel=REPRODUCE)
def bench(
    peer: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="folder of another implementation, with an adapter.py")
    ] = None,
) -> None:
    """Measure the speed of training, data, evaluation and completion on this machine, and write reports/bench.json.

    Example: glcic bench --peer ../GLCIC-PyTorch
    """
    from glcic.experiments.bench import bench

    bench(peer)


def main() -> None:
    """Entry point: errors that a user can fix are one line, without a traceback."""
    with explained():
        try:
            app()
        except Stopped as stopped:
            print(stopped, file=sys.stderr, flush=True)
            sys.exit(130)


if __name__ == "__main__":
    main()
