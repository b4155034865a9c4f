"""Removal of the checkpoints of finished trainings.

At first, every checkpoint is kept: if DVC is killed before it has recorded the stage, the next run finds the work done.
Once a later stage has started from the models, the checkpoint is removed, unless a longer training may continue from it
(see `checkpoints.py`). Of those, the newest is kept, one per stage: networks, optimizers and the best weights, about
four times the size of the models. What was set aside is left alone.

This module only removes checkpoints, and without a checkpoint a training ends in the same weights, only later.
Therefore no stage needs to list this file as a dependency.
"""

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from glcic.training.checkpoints import Checkpoints, content_hash


def settle(root: Path, stage: str, models: Path) -> None:
    """Keep or remove the checkpoint of a training, once a later stage has started from its models.

    Checkpoints that were kept of the stage's earlier trainings are removed as well. Unfinished trainings keep their
    checkpoints, as do trainings in progress and those from whose models no later stage has started.

    Args:
        root: folder of the project's checkpoints and locks.
        stage: name of the stage that trained the models.
        models: folder of its outputs.
    """
    digest = content_hash({}, [models])
    found = Checkpoints.all_finished(root, stage)
    of_models = [one for one in found if one.finished and one.finished.models == digest]
    if not of_models:  # the models are from DVC's cache
        return
    for checkpoints in found:
        # Skip a folder in which another process is training; while we hold the lock, none can start there.
        with suppress(Timeout), FileLock(checkpoints.lock_file, timeout=0):
            finished = checkpoints.finished
            if finished is None:
                continue
            if checkpoints is of_models[-1] and finished.extendable:
                checkpoints.remember(replace(finished, settled=True))
            elif finished.settled or finished.models == digest:
                shutil.rmtree(checkpoints.folder, ignore_errors=True)
