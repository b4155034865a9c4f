"""How long the checkpoint of a finished training stays.

At first each one does: should DVC be killed before it has recorded the stage, the stage finds its work done. Once a
later stage has started from its models it goes, unless a longer training may go on from it (see `checkpoints.py`). Of
those the newest stays, one per stage: networks, optimisers and the best weights, about four times the models.

This only ever removes checkpoints, and without one a training ends in the same weights, later. No stage need list
this file, therefore.
"""

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from glcic.training.checkpoints import Scratch, content_hash


def settle(root: Path, stage: str, models: Path) -> None:
    """A later stage has started from `models`: keep or remove the checkpoint of the training they are of.

    What stays of earlier trainings of the stage goes as well. Trainings that have not finished keep their
    checkpoint, as do those that another process is at, and those from whose models no later stage has started.

    Args:
        root: scratch folder of the project.
        stage: whose models they are.
        models: folder of its outputs.
    """
    digest = content_hash({}, [models])
    found = Scratch.all_finished(root, stage)
    of_models = [scratch for scratch in found if scratch.finished and scratch.finished.models == digest]
    if not of_models:  # they are from DVC's cache
        return
    for scratch in found:
        # A folder that somebody is training in is left alone; while we hold its lock, nobody begins to.
        with suppress(Timeout), FileLock(scratch.lock_file, timeout=0):
            finished = scratch.finished
            if finished is None:
                continue
            if scratch is of_models[-1] and finished.extendable:
                scratch.remember(replace(finished, settled=True))
            elif finished.settled or finished.models == digest:
                shutil.rmtree(scratch.folder, ignore_errors=True)
