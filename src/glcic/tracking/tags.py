"""Tags and metrics of runs, in addition to MLflow's own."""

from pathlib import Path

from glcic.files import digest_of_files

FINGERPRINT = "glcic.fingerprint"  # of the parameters; used to find a run
FINISHED = "glcic.finished."  # followed by the stage: its curve is complete
MODELS = "glcic.models."  # followed by the stage: SHA-256 of its final weights
SECONDS, RATE = "seconds", "images_per_second"  # metrics of a stage that are not in its curve file
CONTINUED = "glcic.continued."  # followed by the stage: the step at which a longer training continued it
CODE = "glcic.code."  # followed by the stage: the versions of the code that trained it, where they are several
CACHED = "glcic.cached."  # followed by the stage: name of the run that trained it, or `unknown`
WEIGHTS = "glcic.weights"  # of a run or a registered version: SHA-256 of the generator's file
ALARM = "alarm."  # followed by the alarm, after the stage unless it is train_joint: the problem seen in its curve
COMPLETE = "glcic.complete"  # digest of the outputs from which the run was completed
OUT = "dvc."  # followed by an output's path: its hash in dvc.lock


def digest_of_models(folder: Path) -> str:
    """SHA-256 over the weights files of a folder. The files are byte-stable, so equal digests mean equal weights."""
    return digest_of_files(sorted(folder.glob("*.safetensors")))
