"""CelebA's official files: from a folder, from mirrors, or from the authors' Google Drive.

Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015. For non-commercial research only.
"""

import logging
import shutil
import time
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial as bind
from pathlib import Path
from typing import Any

import gdown
import requests
from filelock import FileLock
from gdown.exceptions import DownloadError
from tqdm import tqdm

from glcic.data.sources import celeba_layout as layout
from glcic.errors import DISK_FULL, DiskFull, UserError, full_disk_explained
from glcic.files import atomic
from glcic.paths import ROOT

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OfficialFile:
    """A file of CelebA.

    Attributes:
        name: the authors' name.
        target: its name in our layout.
        drive_id: its id on Google Drive.
        md5: MD5 in hexadecimal.
        optional: whether a training can do without it.
    """

    name: str
    target: str
    drive_id: str
    md5: str
    optional: bool = False


# Names, Google Drive ids and MD5s are from torchvision 0.29, torchvision/datasets/celeba.py.
ZIP = OfficialFile(
    "img_align_celeba.zip", layout.IMAGES, "0B7EVK8r0v71pZjFTYXZWM3FlRnM", "00d2c5bc6d35e252742224ab0c1e8fcb"
)
PARTITION = OfficialFile(
    "list_eval_partition.txt", layout.PARTITION, "0B7EVK8r0v71pY0NSMzRuSXJEVkk", "d32c9cbf5e040fd4025c592c306e6668"
)
IDENTITY = OfficialFile(
    "identity_CelebA.txt",
    layout.IDENTITY,
    "1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS",
    "32bd1bd63d3c78cd57e08160ec5ed1e2",
    True,
)

TIMEOUT = 30.0  # seconds without a byte before a connection counts as lost
PAUSES = (1.0, 3.0, 9.0)  # seconds before each retry at a mirror
CHUNK = 1 << 16  # bytes

# A place writes one official file to the given path, or raises UserError or OSError with the reason why it cannot.
Place = Callable[[OfficialFile, Path], None]


def fetch_celeba(
    folder: Path,
    *,
    local: Path | None,
    mirrors: Sequence[str],
    subset_md5: str | None,
    cache: Path,
    use_drive: bool = True,
) -> dict[str, Any]:
    """Put CelebA's zip, its partition file and, if available, its identity file into a folder.

    Each file comes from the first place that has it with the right MD5: DVC's cache, then `local`, then `mirrors` in
    order, then Google Drive.

    Args:
        folder: an existing folder for the files.
        local: a folder with the official files, if any.
        mirrors: base URLs (http, https or file).
        subset_md5: MD5 of a zip with fewer images, to use instead of the official one.
        cache: folder for unfinished downloads, which the next call continues.
        use_drive: whether to try Google Drive.

    Returns:
        `md5`: MD5 of each file by the authors' name; `missing`: names of the files that no place has.

    Raises:
        UserError: no place has the zip or the partition file, or the disk is full.
    """
    images = replace(ZIP, md5=subset_md5) if subset_md5 else ZIP
    files, missing = (images, PARTITION, IDENTITY), []
    for file in files:
        cached = in_dvc_cache(file.md5)
        places: list[Place] = [bind(_from_file, cached)] if cached else []
        places += [bind(_from_folder, local)] if local else []
        places += [bind(_from_mirror, base, cache) for base in mirrors]
        # Google Drive has only the whole set, and users with a subset have all its files in one place.
        if use_drive and not subset_md5:
            places += [bind(_from_drive, cache)]
        with full_disk_explained(folder, cache):
            if not _obtain(file, folder / file.target, places):
                missing.append(file.name)
    return {"md5": {file.name: file.md5 for file in files}, "missing": missing}


def _obtain(file: OfficialFile, target: Path, places: Sequence[Place]) -> bool:
    """Get `file` from the first place that has it; if none does, report the reasons of all of them.

    Returns:
        Whether it was got; False only if it is optional.
    """
    refusals = []
    for place in places:
        try:
            place(file, target)
            return True
        except DiskFull:
            raise
        except (UserError, OSError) as error:  # errors of requests are OSErrors too
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise
            refusals.append(" ".join(str(error).split()))
    said = "; ".join(refusals) or "no folder and no mirror is named"
    if file.optional:
        log.warning("%s, which is optional, is missing: %s", file.name, said)
        return False
    raise UserError(
        f"{file.name} of CelebA cannot be obtained ({said}). Put {ZIP.name} and {PARTITION.name} into a folder "
        "and name it with GLCIC_CELEBA=/path/to/folder or runtime.celeba_dir, then run dvc repro again"
    )


def in_dvc_cache(md5: str) -> Path | None:
    """Path of the file with this MD5 in DVC's cache, which keeps the outputs of earlier runs; None if it has none."""
    # Without it, every change of preset would download CelebA anew, since dvc.yaml keeps DVC itself from bringing back
    # data/raw: it would bring back any images that it has seen with the same parameters.
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo(str(ROOT)) as repo:
            path = Path(repo.cache.local.oid_to_path(md5))
    except NotDvcRepoError:
        return None
    return path if path.is_file() else None


def _from_folder(source: Path, file: OfficialFile, target: Path) -> None:
    """Copy from a folder."""
    _from_file(source / file.name, file, target)


def _from_file(path: Path, file: OfficialFile, target: Path) -> None:
    """Copy a file. (No link: DVC makes its outputs read-only, and with them the user's own file.)"""
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    _check(path, file, origin=str(path))
    with atomic(target) as temporary:
        shutil.copyfile(path, temporary)


def _from_mirror(base: str, cache: Path, file: OfficialFile, target: Path) -> None:
    """Download from a mirror, continuing an earlier call's unfinished download in the cache."""
    address = urllib.parse.urlsplit(base)
    if address.scheme == "file":
        return _from_folder(Path(urllib.request.url2pathname(address.path)), file, target)
    url = f"{base.rstrip('/')}/{file.name}"
    with _locked(cache / f"{file.name}.part") as part:
        continued = part.exists()
        _download(url, part)
        if continued and layout.md5_of(part) != file.md5:
            part.unlink()  # its beginning may be damaged or from another mirror: start over
            _download(url, part)
        _check_or_remove(part, file, origin=url)
        with atomic(target) as temporary:
            shutil.move(part, temporary)


def _from_drive(cache: Path, file: OfficialFile, target: Path) -> None:
    """Download from the authors' Google Drive, which often refuses because its quota is exhausted."""
    with _locked(cache / "drive" / file.name) as path:
        try:
            gdown.download(id=file.drive_id, output=str(path), resume=True, timeout=TIMEOUT)
        except (DownloadError, requests.RequestException) as error:
            raise UserError(f"Google Drive: {error}") from error
        _check_or_remove(path, file, origin="Google Drive's file")
        with atomic(target) as temporary:
            shutil.move(path, temporary)


def _download(url: str, part: Path) -> None:
    """Download a URL into `part`, continuing what is there; retry a few times after temporary failures."""
    for pause in (*PAUSES, None):
        try:
            return _continue(url, part)
        except requests.RequestException as error:
            if pause is None or not _may_pass(error):
                raise UserError(f"{url}: {_reason(error)}") from error
            time.sleep(pause)


def _continue(url: str, part: Path) -> None:
    """Request the bytes that `part` lacks, once."""
    have = part.stat().st_size if part.exists() else 0
    # With a compressed transfer, the offsets of a range would not be offsets in the file.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is missing at the end; the MD5 tells whether the file is right
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            have = 0  # a server that does not support ranges sends the whole file again
        total = have + int(response.headers.get("Content-Length", 0))
        bar = tqdm(desc=part.stem, initial=have, total=total or None, unit="B", unit_scale=True, disable=None)
        with part.open("ab" if have else "wb") as out, bar:
            for chunk in response.iter_content(CHUNK):
                out.write(chunk)
                bar.update(len(chunk))


def _may_pass(error: requests.RequestException) -> bool:
    """Whether a retry may help: after a lost connection or an overloaded server, but not for a missing file."""
    if error.response is not None:
        return error.response.status_code in {408, 429} or error.response.status_code >= 500
    passing = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, passing)


def _reason(error: requests.RequestException) -> str:
    response = error.response
    return str(error) if response is None else f"HTTP {response.status_code} {response.reason}"


def _check(path: Path, file: OfficialFile, origin: str) -> None:
    """Raise UserError unless `path` has the MD5 of `file` and, if it is the zip, can be read."""
    found = layout.md5_of(path)
    if found == file.md5:
        if file.target == layout.IMAGES:
            layout.members(path)
        return
    remedy = "delete or replace that file"
    if file.target == layout.IMAGES and zipfile.is_zipfile(path):
        remedy += (
            ", or, if it is meant to hold fewer images, set download.celeba.allow_subset: true and "
            f"download.celeba.zip_md5: {found}"
        )
    elif file.target == layout.IMAGES:
        remedy = f"it is not an intact zip: {remedy}"
    raise UserError(f"{origin} has the MD5 {found}, expected {file.md5}: {remedy}")


def _check_or_remove(download: Path, file: OfficialFile, origin: str) -> None:
    """Check a finished download, and remove a wrong one, which the next call could only continue."""
    try:
        _check(download, file, origin)
    except UserError:
        download.unlink()
        raise


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """Lock a download, so that a second process waits for it instead of writing to it as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        yield path
