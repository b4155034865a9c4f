"""What rows are marked with, beside MLflow's own names."""

from pathlib import Path

from glcic.files import digest_of_files

FINGERPRINT = "glcic.fingerprint"  # of the parameters: by it a row is found
FINISHED = "glcic.finished."  # followed by the stage: its curve is whole
MODELS = "glcic.models."  # followed by the stage: SHA-256 of the weights it ended in
SECONDS, RATE = "seconds", "images_per_second"  # metrics of a stage that its curve file does not have
CONTINUED = "glcic.continued."  # followed by the stage: the step at which a longer training took over
CACHED = "glcic.cached."  # followed by the stage: name of the row that trained it, or `unknown`
WEIGHTS = "glcic.weights"  # of a row or a registered version: SHA-256 of the completion network's file
ALARM = "alarm."  # followed by the alarm: what the curve of the joint phase says has gone wrong
COMPLETE = "glcic.complete"  # digest of the outputs that the row was completed from
OUT = "dvc."  # followed by an output's path: the hash that dvc.lock has of it


def digest_of_models(folder: Path) -> str:
    """SHA-256 over the weights files of a folder, which are byte-stable: two rows with the same trained the same."""
    return digest_of_files(sorted(folder.glob("*.safetensors")))
