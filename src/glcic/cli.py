"""The command `glcic`: apply presets, complete photos, verify reports."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from glcic.errors import UserError
from glcic.presets import apply_preset

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
PRESETS = Path("presets")
WEIGHTS = Path("models/train_joint/completion_last.safetensors")  # of the last `make repro`
REPORT = Path("reports")  # likewise
VERIFIER = Path("pipeline/verify.py")


@app.command()
def preset(
    name: Annotated[str, typer.Argument(help="a file of presets/, without .yaml; none: list them")] = "",
    params: Annotated[Path, typer.Option(help="the file to write")] = Path("params.yaml"),
) -> None:
    """Write params.yaml from the defaults and a preset, and show what changed; without a name, list the presets."""
    if not name:
        from glcic.catalogue import preset_table  # imports torch, which takes seconds

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
) -> None:
    """Complete a photo with trained weights; pixels outside the hole stay as they are."""
    from glcic.photo import complete_photo  # imports torch, which takes seconds

    complete_photo(image, mask, output, weights)
    typer.echo(f"wrote {output}")


@app.command()
def verify(
    report: Annotated[Path, typer.Argument(help="folder of a report, like reports or reports/celeba-small")] = REPORT,
) -> None:
    """Rebuild a report in a clean clone of the commit, and say number by number whether it is confirmed.

    Takes as long as `make repro`. Exit status 1 if the report says what the rebuild does not.
    """
    if not VERIFIER.exists():
        raise UserError(f"{VERIFIER}: no such file; run `glcic verify` from the project's root")
    # In this process's place, so that Ctrl-C and the exit status are the verifier's; the library imports no pipeline.
    os.execv(sys.executable, [sys.executable, "-m", "pipeline.verify", str(report)])


def main() -> None:
    """Entry point: what a user can put right is one line, never a traceback."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
