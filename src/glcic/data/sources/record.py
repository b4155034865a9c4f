"""Record of what `data/raw` was made of: by content, without a path or a name of the user's files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glcic.errors import UserError
from glcic.files import write_text
from glcic.params import Params

TAKE = "`dvc repro --force --single-item download`"  # what makes data/raw anew


def write_record(path: Path, params: Params, made_of: Mapping[str, Any]) -> None:
    """Write what the images were made of.

    Args:
        path: the file to write.
        params: the parameters that made them.
        made_of: what they were made of, as plain data; depends on the source.
    """
    record = {"source": params.download.source, "parameters": _parameters(params), **made_of}
    write_text(path, json.dumps(record, indent=2, sort_keys=True) + "\n")


def read_record(path: Path, params: Params) -> dict[str, Any] | None:
    """Read what the images were made of.

    Returns:
        None where nothing is known of that: there are no images, or they were made before there was a record, or with
        other parameters, in which case DVC makes them anew.

    Raises:
        UserError: the record is damaged.
    """
    if not path.exists():
        return None
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        same = record["parameters"] == _parameters(params)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error}); {TAKE} makes it anew") from None
    return record if same else None


def _parameters(params: Params) -> str:
    """SHA-256 of the parameters that decide what the stage takes from a source; not readable, for paths in them."""
    section = params.download
    if section.source == "celeba":  # the seed decides nothing here
        decisive: Any = [section.source, section.celeba.allow_subset, section.celeba.zip_md5]
    else:
        decisive = [section.source, params.seed, getattr(section, section.source).model_dump(mode="json")]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()
