"""Files are written whole, and digests tell them apart."""

import errno
from pathlib import Path

import pytest

from glcic.errors import DiskFull
from glcic.files import atomic, digest_of_files, sha256_of, write_text


def test_folders_above_a_file_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b/file.txt", "é\n")
    assert (tmp_path / "a/b/file.txt").read_bytes() == b"\xc3\xa9\n"
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["file.txt"]


def test_a_disk_without_room_for_a_folder_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(DiskFull, match=r"file\.txt"), atomic(tmp_path / "a/file.txt"):
        pass


def test_digests_tell_contents_and_names(tmp_path: Path) -> None:
    for name, text in (("a", ""), ("b", "abc"), ("c", "abc")):
        (tmp_path / name).write_text(text)
    a, b, c = (tmp_path / name for name in "abc")
    assert sha256_of(b) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of FIPS 180-2
    assert sha256_of(b) == sha256_of(c)
    assert len({digest_of_files(files) for files in ([], [a], [b], [c], [b, c], [c, b])}) == 6
