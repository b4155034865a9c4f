"""Contents of the user's images: one digest wherever they lie, and no file read twice without need."""

import os
import zipfile
from pathlib import Path

import pytest

from glcic.data.sources import contents, memory
from glcic.data.sources.contents import Contents, contents_of


@pytest.fixture(autouse=True)
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Contents of the images that are read, in order; files count as old enough to be remembered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "SETTLED", -(10**12))
    read: list[bytes] = []
    real = contents.sha256_of_bytes

    def sha256(data: bytes) -> str:
        read.append(data)
        return real(data)

    monkeypatch.setattr(contents, "sha256_of_bytes", sha256)
    return read


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three images, and what is none."""
    folder = tmp_path / "photos"
    for name in ("b/1.jpg", "b/2.PNG", "a.webp", "notes.txt", ".hidden/3.jpg", "b/.4.jpg", "__MACOSX/5.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


IMAGES = [b"a.webp", b"b/1.jpg", b"b/2.PNG"]


def test_only_the_images_count_and_each_is_read_once(photos: Path, reads: list[bytes]) -> None:
    first = contents_of(photos)
    assert first.number == 3
    assert reads == IMAGES
    (photos / "notes.txt").write_text("changed")
    assert contents_of(photos) == first
    assert reads == IMAGES


def test_a_zip_and_another_folder_of_the_same_images_are_the_same(photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(photos.rglob("*"), reverse=True):
            archive.write(path, path.relative_to(photos).as_posix())
    first = contents_of(photos)
    photos.rename(tmp_path / "elsewhere")
    assert contents_of(tmp_path / "photos.zip") == first
    assert contents_of(tmp_path / "elsewhere") == first


def test_of_a_changed_folder_what_changed_is_read(photos: Path, reads: list[bytes]) -> None:
    first = contents_of(photos)
    reads.clear()
    (photos / "b/6.jpg").write_text("new")
    added = contents_of(photos)
    assert (added.number, reads) == (4, [b"new"])
    (photos / "b/6.jpg").unlink()
    assert contents_of(photos) == first
    (photos / "a.webp").rename(photos / "A.webp")
    assert contents_of(photos) != first
    assert reads == [b"new", b"a.webp"]


def test_a_file_replaced_with_its_size_and_time_kept_is_found(photos: Path, reads: list[bytes]) -> None:
    first, path = contents_of(photos), photos / "a.webp"
    before = path.stat()
    path.write_text("A.WEBP")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert contents_of(photos) != first
    assert reads == [*IMAGES, b"A.WEBP"]


def test_a_replaced_zip_is_read(tmp_path: Path, reads: list[bytes]) -> None:
    found = []
    for text in (b"1", b"1", b"2"):
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
            archive.writestr("1.jpg", text)
        found += [contents_of(tmp_path / "photos.zip"), contents_of(tmp_path / "photos.zip")]
    assert found[0] == found[1] == found[2] == found[3] != found[4] == found[5]
    assert reads == [b"1", b"1", b"2"]


def test_a_file_just_written_is_not_remembered(
    photos: Path, reads: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be written again in the same tick of the clock, with the same size."""
    monkeypatch.setattr(memory, "SETTLED", 10**12)
    assert contents_of(photos) == contents_of(photos)
    assert reads == 2 * IMAGES


@pytest.mark.parametrize("damage", ["", "{", "flipped", "not UTF-8"])
def test_a_damaged_memory_is_made_anew(photos: Path, reads: list[bytes], damage: str) -> None:
    first = contents_of(photos)
    files = list(memory.FOLDER.iterdir())
    assert len(files) == 2
    for path in files:
        data = bytearray(path.read_bytes())
        if damage == "flipped":
            data[-10] ^= 1
        path.write_bytes(data if damage == "flipped" else damage.encode("utf-16"))
    assert contents_of(photos) == first
    assert contents_of(photos) == first
    assert reads == 2 * IMAGES


def test_names_that_are_not_utf_8_and_no_images_at_all(tmp_path: Path) -> None:
    assert contents_of(tmp_path) == Contents.of({})
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_text("x")
    assert contents_of(tmp_path).number == 1
