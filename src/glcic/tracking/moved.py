"""Stores moved or copied with their project, whose database holds absolute paths to the artifacts."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from glcic.errors import UserError
from glcic.tracking.page import VIEW_TAG

ARTIFACTS = "mlartifacts"
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
# Experiments of this pipeline, by a tag that each of them has.
_MADE = """
    SELECT DISTINCT artifact_location FROM experiments JOIN experiment_tags USING (experiment_id)
    WHERE artifact_location LIKE 'file:///%/' || ? AND key = ?
"""
_BUSY_SECONDS = 60


def follow(root: Path) -> None:
    """Point the database in `root` to the artifacts next to it, so that a copy does not write into the original.

    Does nothing if the store was not moved, or if a tracking server is used. All changes are one transaction.

    Raises:
        UserError: the database cannot be read or written.
    """
    path = root.resolve() / "mlflow.db"
    if os.environ.get("MLFLOW_TRACKING_URI") or not path.is_file():
        return
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as database:
            if _foreign(database, path.parent):
                database.execute("BEGIN IMMEDIATE")
                for folder in _foreign(database, path.parent):  # again: another process may have been first
                    _replace(database, folder, path.parent)
                database.execute("COMMIT")
    except sqlite3.Error as error:
        raise UserError(f"{path}: {error}; it must be a database that MLflow can write; otherwise remove it") from None


def _foreign(database: sqlite3.Connection, root: Path) -> list[Path]:
    """Other folders in which experiments of this pipeline were created."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return []  # another process is creating the store
    made = [urlsplit(location).path for (location,) in database.execute(_MADE, [ARTIFACTS, VIEW_TAG])]
    return [folder for folder in (Path(unquote(path)).parent for path in made) if folder != root]


def _replace(database: sqlite3.Connection, old: Path, new: Path) -> None:
    """Replace a folder at the start of every location, whether it is a URI or a path."""
    for before, after in ((f"{old.as_uri()}/", f"{new.as_uri()}/"), (f"{old}/", f"{new}/")):
        for table, column in _LOCATIONS:
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                [after, len(before) + 1, len(before), before],
            )
