"""The command `glcic`: apply presets, complete photos, verify reports, score other systems' completions."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from glcic.errors import UserError
from glcic.experiments.presets import apply_preset
from glcic.training.stop import Stopped

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
PRESETS = Path("presets")
WEIGHTS = Path("models/train_joint/completion_last.safetensors")  # of the last `make repro`
REPORT = Path("reports")  # likewise
PIPELINE = Path("pipeline")


@app.command()
def preset(
    name: Annotated[str, typer.Argument(help="a file of presets/, without .yaml; none: list them")] = "",
    params: Annotated[Path, typer.Option(help="the file to write")] = Path("params.yaml"),
) -> None:
    """Write params.yaml from the defaults and a preset, and show what changed; without a name, list the presets."""
    if not name:
        from glcic.experiments.catalogue import preset_table  # imports torch, which takes seconds

        typer.echo(preset_table(PRESETS))
        return
    for dotted, before, after in apply_preset(name, PRESETS, params):
        typer.echo(f"{dotted}: {before} → {after}")
    typer.echo(f"{params} is now preset {name}; run `dvc repro`")


@app.command()
def complete(
    image: Annotated[Path, typer.Argument(help="photo to complete")],
    mask: Annotated[Path, typer.Argument(help="image of the same size, white where the photo is to be completed")],
    output: Annotated[Path, typer.Argument(help="where to write the completed photo")],
    weights: Annotated[Path, typer.Option(help="weights of a completion network")] = WEIGHTS,
    blend: Annotated[
        bool, typer.Option("--blend", help="blend the completion into its surroundings (Poisson)")
    ] = False,
) -> None:
    """Complete a photo with trained weights; pixels outside the hole stay as they are."""
    from glcic.inference.photo import complete_photo  # imports torch, which takes seconds

    complete_photo(image, mask, output, weights, blended=blend)
    typer.echo(f"wrote {output}")


@app.command()
def verify(
    report: Annotated[Path, typer.Argument(help="folder of a report, like reports or reports/celeba-small")] = REPORT,
) -> None:
    """Rebuild a report in a clean clone of the commit, and say number by number whether it is confirmed.

    Takes as long as `make repro`. Exit status 1 if the report says what the rebuild does not.
    """
    _in_its_place("verify", str(report))


@app.command()
def export(folder: Annotated[Path, typer.Argument(help="where to write; it must not exist")]) -> None:
    """Write the test images with their holes, for another system to complete."""
    _in_its_place("export", str(folder))


@app.command()
def score(
    folder: Annotated[Path, typer.Argument(help="its completions: <mask set>/000000.png and so on")],
    name: Annotated[str, typer.Argument(help="what the system is called in the tables")],
) -> None:
    """Score another system's completions of the exported images beside our methods, with intervals."""
    _in_its_place("score", str(folder), name)


@app.command()
def compare(
    file: Annotated[Path, typer.Argument(help="systems, and perhaps an ablation")] = Path("comparison.yaml"),
) -> None:
    """Train all systems of a comparison file and write their tables and figure; goes on where it was interrupted."""
    from glcic.experiments.compare import compare

    compare(file)


@app.command()
def seeds() -> None:
    """Repeat the configuration with three seeds; write the scores and the tolerances that they give."""
    from glcic.experiments.seeds import repeat

    repeat()


def _in_its_place(command: str, *arguments: str) -> None:
    """Run a command of the pipeline in this process's place: so Ctrl-C and the exit status are its own.

    The library imports no pipeline.
    """
    if not (path := PIPELINE / f"{command}.py").exists():
        raise UserError(f"{path}: no such file; run `glcic {command}` from the project's root")
    os.execv(sys.executable, [sys.executable, "-m", f"pipeline.{command}", *arguments])


def main() -> None:
    """Entry point: what a user can put right is one line, never a traceback."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Stopped:
        sys.exit(130)


if __name__ == "__main__":
    main()
