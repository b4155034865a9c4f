"""The one front door: every command is `glcic …`.

A command imports what it needs when it is called, so that help answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from glcic import paths
from glcic.errors import explained
from glcic.training.stop import Stopped

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
USE, COMPARE, REPRODUCE = "Use it", "Runs and experiments", "Reproduce and be compared"


@app.command(rich_help_panel=USE)
def complete(
    image: Annotated[Path, typer.Argument(help="photo to complete")],
    mask: Annotated[Path, typer.Argument(help="image of the same size, white where the photo is to be completed")],
    output: Annotated[Path, typer.Argument(help="where to write the completed photo")],
    weights: Annotated[Path, typer.Option(help="weights of a completion network")] = paths.COMPLETION,
    blend: Annotated[
        bool, typer.Option("--blend", help="blend the completion into its surroundings (Poisson)")
    ] = False,
) -> None:
    """Complete a photo with trained weights; pixels outside the hole stay as they are.

    Example: glcic complete photo.jpg mask.png completed.png --blend
    """
    from glcic.inference.photo import complete_photo

    complete_photo(image, mask, output, weights, blended=blend)
    typer.echo(f"wrote {output}")


@app.command(rich_help_panel=USE)
def presets() -> None:
    """List the presets: what each is, and what its networks cost.

    Example: glcic presets
    """
    from glcic.experiments.presets import preset_table

    typer.echo(preset_table(paths.PRESETS))


@app.command(rich_help_panel=USE)
def preset(
    name: Annotated[str, typer.Argument(help="a file of presets/, without .yaml")],
    params: Annotated[Path, typer.Option(help="the file to write")] = paths.PARAMS,
) -> None:
    """Write params.yaml from the defaults and a preset, and show what changed.

    Example: glcic preset tiny
    """
    from glcic.experiments.presets import apply_preset

    for dotted, before, after in apply_preset(name, paths.PRESETS, params):
        typer.echo(f"{dotted}: {before} → {after}")
    typer.echo(f"{params} is now preset {name}; run `dvc repro`")


Report = Annotated[Path, typer.Argument(help="folder of a report, with its params.yaml if it has its own")]


@app.command(rich_help_panel=USE)
def results(report: Report = paths.REPORT.folder) -> None:
    """Print a report's scores with their intervals, and beside the published ones, in Markdown.

    Example: glcic results reports/celeba-small
    """
    from glcic.experiments.results import print_results

    print_results(report)


@app.command(rich_help_panel=COMPARE)
def sync() -> None:
    """Complete in MLflow what it lacks: rows of stages that DVC took from its cache, and of its experiments.

    Example: glcic sync
    """
    from glcic.experiments.sync import sync

    sync()


@app.command(rich_help_panel=COMPARE)
def champion() -> None:
    """Give the registered model with the best validation PSNR its alias `champion` in MLflow.

    Example: glcic champion
    """
    from glcic.tracking.champion import print_champion

    print_champion()


@app.command(rich_help_panel=COMPARE)
def compare(
    file: Annotated[Path, typer.Argument(help="the comparison: systems, and perhaps an ablation")] = paths.COMPARISON,
) -> None:
    """Train several systems under equal conditions and tabulate them; stopped, it goes on where it was.

    Example: glcic compare comparison.yaml
    """
    from glcic.experiments.compare import compare

    compare(file)


@app.command(rich_help_panel=COMPARE)
def seeds() -> None:
    """Repeat the present configuration with three seeds: how far chance moves its scores, and the tolerances.

    Example: glcic seeds
    """
    from glcic.experiments.seeds import repeat

    repeat()


@app.command(rich_help_panel=COMPARE)
def keep(name: Annotated[str, typer.Argument(help="the folder's name, like celeba-small")]) -> None:
    """Copy the present report to reports/NAME, with its parameters, model card, hashes, and a page of its own.

    Example: glcic keep my-faces
    """
    from glcic.experiments.keep import keep_report

    keep_report(name)


@app.command(rich_help_panel=REPRODUCE)
def verify(report: Report = paths.REPORT.folder) -> None:
    """Rebuild a report in a clean clone of the commit, and say number by number whether it is confirmed.

    Takes as long as `dvc repro`. Exit status 1 if the report says what the rebuild does not.

    Example: glcic verify reports/celeba-small
    """
    from glcic.experiments.verify import verify

    raise typer.Exit(0 if verify(report) else 1)


@app.command(rich_help_panel=REPRODUCE)
def export_test_set(folder: Annotated[Path, typer.Argument(help="where to write; it must not exist")]) -> None:
    """Write the test images with their holes, for another system to complete.

    Example: glcic export-test-set holes
    """
    from glcic.experiments.score import export_test_set

    export_test_set(folder)


@app.command(rich_help_panel=REPRODUCE)
def score(
    folder: Annotated[Path, typer.Argument(help="its completions: <mask set>/000000.png and so on")],
    name: Annotated[str, typer.Argument(help="what the system is called in the tables")],
) -> None:
    """Score another system's completions of the exported images beside our methods, with intervals.

    Example: glcic score completions "their system"
    """
    from glcic.experiments.score import score_system

    score_system(folder, name)


def main() -> None:
    """Entry point: what a user can put right is one line, never a traceback."""
    with explained():
        try:
            app()
        except Stopped as stopped:
            print(stopped, file=sys.stderr, flush=True)
            sys.exit(130)


if __name__ == "__main__":
    main()
