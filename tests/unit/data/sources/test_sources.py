"""Where raw images come from: CelebA's official files, and any folder or zip of images. Needs no network."""

import errno
import hashlib
import io
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from gdown.exceptions import FileURLRetrievalError
from PIL import Image

from glcic.data.sources import celeba
from glcic.data.sources import celeba_layout as layout
from glcic.data.sources.celeba import fetch_celeba
from glcic.data.sources.image_folder import gather_images
from glcic.errors import UserError
from glcic.experiments.presets import preset_params
from glcic.files import atomic
from pipeline import download
from support.project import ROOT


def noise(seed: int, side: int = 8) -> bytes:
    """A PNG that does not compress."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_zip(path: Path, images: dict[str, bytes]) -> str:
    """Write a zip and give its MD5."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in images.items():
            archive.writestr(name, data)
    return layout.md5_of(path)


def no_space(*arguments: Any, **options: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


# --- the layout -----------------------------------------------------------------------------------


def test_rows_may_have_crlf_and_names_with_spaces(tmp_path: Path) -> None:
    path = tmp_path / "partition.txt"
    path.write_bytes(b"000001.jpg 0\r\nmy holiday/a  b.jpg   2\r\n\r\nc.png\t1\n")
    assert layout.read_partition(path) == {"000001.jpg": 0, "my holiday/a  b.jpg": 2, "c.png": 1}


@pytest.mark.parametrize("line", ["b.jpg", "b.jpg 3", "b.jpg -1", "b.jpg x", "a.jpg 1"])
def test_a_malformed_row_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "partition.txt"
    path.write_text(f"a.jpg 0\n{line}\n")
    with pytest.raises(UserError, match=r"partition\.txt, line 2"):
        layout.read_partition(path)


def test_identities_may_exceed_the_number_of_splits(tmp_path: Path) -> None:
    path = tmp_path / "identity.txt"
    path.write_text("a.jpg 2880\n")
    assert layout.read_identity(path) == {"a.jpg": 2880}


def test_members_are_the_images_sorted(tmp_path: Path) -> None:
    names = ["b/x.JPG", "a.webp", "notes.txt", "__MACOSX/b/x.jpg", "b/._x.jpg", ".cache/y.png", "b/"]
    write_zip(tmp_path / "images.zip", {name: b"" for name in names})
    assert layout.members(tmp_path / "images.zip") == ["a.webp", "b/x.JPG"]


def test_split_of_knows_celebas_folder_and_prefers_the_full_name() -> None:
    assert layout.split_of("img_align_celeba/1.jpg", {"1.jpg": 2}) == 2
    assert layout.split_of("img_align_celeba/1.jpg", {"1.jpg": 2, "img_align_celeba/1.jpg": 1}) == 1
    with pytest.raises(UserError, match=r"mine\.txt has no row for the image other/1\.jpg"):
        layout.split_of("other/1.jpg", {"1.jpg": 2}, file="mine.txt")


def test_atomic_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with atomic(path) as temporary:
        temporary.write_text("old")
        assert temporary.suffix == ".txt"
        assert not path.exists()

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_sources_import_neither_torch_nor_mlflow() -> None:
    code = (
        "import sys; from glcic.data.sources import celeba, image_folder; print({'torch', 'mlflow'} & set(sys.modules))"
    )
    source = str(Path(layout.__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": source}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr


# --- CelebA ---------------------------------------------------------------------------------------


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tiny files under the official names, whose MD5s stand in for the official ones."""
    folder = tmp_path / "official"
    folder.mkdir()
    images = {f"img_align_celeba/00000{i}.jpg": noise(i, side=150) for i in range(1, 5)}
    write_zip(folder / "img_align_celeba.zip", images)
    (folder / "list_eval_partition.txt").write_bytes(b"000001.jpg 0\r\n000002.jpg 0\r\n000003.jpg 1\r\n")
    (folder / "identity_CelebA.txt").write_bytes(b"000001.jpg 7\r\n")
    for constant in ("ZIP", "PARTITION", "IDENTITY"):
        file = getattr(celeba, constant)
        monkeypatch.setattr(celeba, constant, replace(file, md5=layout.md5_of(folder / file.name)))
    monkeypatch.setattr(celeba, "PAUSES", ())
    return folder


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., Path]:
    """`fetch_celeba` into a folder of the test, without Drive and with nothing named unless said so."""

    def call(**options: Any) -> Path:
        folder = tmp_path / "raw"
        folder.mkdir(exist_ok=True)
        defaults: dict[str, Any] = {
            "local": None,
            "mirrors": [],
            "subset_md5": None,
            "use_drive": False,
        }
        fetch_celeba(folder, cache=tmp_path / "cache", **(defaults | options))
        return folder

    return call


def assert_fetched(folder: Path, official: Path) -> None:
    names = {"images.zip": "img_align_celeba.zip"} | {
        name: name for name in ("list_eval_partition.txt", "identity_CelebA.txt")
    }
    assert {path.name for path in folder.iterdir()} == set(names)
    for ours, theirs in names.items():
        assert (folder / ours).read_bytes() == (official / theirs).read_bytes()


@dataclass
class Mirror:
    """What the HTTP server does and has seen."""

    folder: Path
    url: str = ""
    cut: int | None = None  # close the connection after so many bytes of a body
    ranges: bool = True
    failures: int = 0  # so many requests are answered with 503
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # (name, Range)
    sent: Counter[str] = field(default_factory=Counter)  # bytes of bodies by name


@pytest.fixture
def mirror(official: Path) -> Iterator[Mirror]:
    state = Mirror(official)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, asked = self.path.rpartition("/")[2], self.headers.get("Range")
            state.requests.append((name, asked))
            path = state.folder / name
            if state.failures or self.path != f"/celeba/{name}" or not path.exists():
                code = 503 if state.failures else 404
                state.failures = max(0, state.failures - 1)  # before the answer, upon which the next request may come
                self.send_error(code)
                return
            body = path.read_bytes()
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            part = body[start:][: state.cut]
            self.wfile.write(part)
            state.sent[name] += len(part)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/celeba"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_celeba_from_a_local_folder(official: Path, fetch: Callable[..., Path]) -> None:
    folder = fetch(local=official)
    assert_fetched(folder, official)
    # DVC makes its outputs read-only, which must not reach the user's own file.
    assert (folder / "images.zip").stat().st_ino != (official / "img_align_celeba.zip").stat().st_ino


def test_the_identity_file_is_optional(
    official: Path, fetch: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    (official / "identity_CelebA.txt").unlink()
    with caplog.at_level(logging.WARNING):
        folder = fetch(local=official)
    assert {path.name for path in folder.iterdir()} == {"images.zip", "list_eval_partition.txt"}
    assert "identity_CelebA.txt" in caplog.text


def test_celeba_from_a_file_mirror(official: Path, fetch: Callable[..., Path], tmp_path: Path) -> None:
    spaced = official.rename(tmp_path / "a mirror")
    assert_fetched(fetch(mirrors=[spaced.as_uri()]), spaced)


def test_celeba_from_an_http_mirror(mirror: Mirror, fetch: Callable[..., Path]) -> None:
    assert_fetched(fetch(mirrors=[mirror.url]), mirror.folder)


def test_an_interrupted_download_is_continued_by_the_next_call(
    mirror: Mirror, fetch: Callable[..., Path], tmp_path: Path
) -> None:
    size = (mirror.folder / "img_align_celeba.zip").stat().st_size
    mirror.cut = 2 * celeba.CHUNK
    with pytest.raises(UserError, match=r"img_align_celeba\.zip"):
        fetch(mirrors=[mirror.url])
    have = (tmp_path / "cache" / "img_align_celeba.zip.part").stat().st_size
    assert 0 < have <= 2 * celeba.CHUNK < size
    assert list((tmp_path / "raw").iterdir()) == []

    mirror.cut = None
    mirror.sent.clear()
    assert_fetched(fetch(mirrors=[mirror.url]), mirror.folder)
    assert mirror.sent["img_align_celeba.zip"] == size - have
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_lost_connection_is_tried_again_where_it_broke(
    mirror: Mirror, fetch: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celeba, "PAUSES", (0.0,) * 3)
    mirror.cut = 2 * celeba.CHUNK  # of every response: the zip needs three
    assert_fetched(fetch(mirrors=[mirror.url]), mirror.folder)
    asked = [wanted for name, wanted in mirror.requests if name == "img_align_celeba.zip"]
    assert len(asked) > 1
    assert asked[0] is None
    assert all(asked[1:])


def test_an_overloaded_mirror_is_asked_again_but_not_for_a_missing_file(
    mirror: Mirror, fetch: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celeba, "PAUSES", (0.0,))
    mirror.failures = 1
    (mirror.folder / "identity_CelebA.txt").unlink()
    fetch(mirrors=[mirror.url])
    count = Counter(name for name, _ in mirror.requests)
    assert count == {"img_align_celeba.zip": 2, "list_eval_partition.txt": 1, "identity_CelebA.txt": 1}


def test_a_mirror_without_ranges_starts_again(mirror: Mirror, fetch: Callable[..., Path], tmp_path: Path) -> None:
    leave_part(tmp_path, (mirror.folder / "img_align_celeba.zip").read_bytes()[:1000])
    mirror.ranges = False
    assert_fetched(fetch(mirrors=[mirror.url]), mirror.folder)
    assert [name for name, _ in mirror.requests].count("img_align_celeba.zip") == 1


def test_a_download_that_was_complete_is_not_repeated(
    mirror: Mirror, fetch: Callable[..., Path], tmp_path: Path
) -> None:
    leave_part(tmp_path, (mirror.folder / "img_align_celeba.zip").read_bytes())
    assert_fetched(fetch(mirrors=[mirror.url]), mirror.folder)
    assert mirror.sent["img_align_celeba.zip"] == 0


def test_a_broken_beginning_is_thrown_away(mirror: Mirror, fetch: Callable[..., Path], tmp_path: Path) -> None:
    leave_part(tmp_path, b"<html>" * 100)
    assert_fetched(fetch(mirrors=[mirror.url]), mirror.folder)


def test_a_wrong_download_does_not_stay(mirror: Mirror, fetch: Callable[..., Path], tmp_path: Path) -> None:
    (mirror.folder / "img_align_celeba.zip").write_bytes(b"<html>")
    with pytest.raises(UserError, match=f"{mirror.url}/img_align_celeba.zip has the MD5"):
        fetch(mirrors=[mirror.url])
    assert not list((tmp_path / "cache").glob("*.part"))


def leave_part(tmp_path: Path, beginning: bytes) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "img_align_celeba.zip.part").write_bytes(beginning)


def test_a_wrong_md5_is_explained(official: Path, fetch: Callable[..., Path]) -> None:
    expected = celeba.ZIP.md5
    found = write_zip(official / "img_align_celeba.zip", {"img_align_celeba/000001.jpg": noise(1)})
    with pytest.raises(UserError) as caught:
        fetch(local=official)
    message = str(caught.value)
    assert str(official / "img_align_celeba.zip") in message
    assert f"{found}, expected {expected}" in message
    assert "delete" in message
    assert f"download.celeba.allow_subset: true and download.celeba.zip_md5: {found}" in message


def test_a_wrong_text_file_is_not_called_a_subset(official: Path, fetch: Callable[..., Path]) -> None:
    (official / "list_eval_partition.txt").write_text("<html>quota</html>")
    with pytest.raises(UserError, match=r"list_eval_partition\.txt has the MD5") as caught:
        fetch(local=official)
    assert "subset" not in str(caught.value)


def test_a_wrong_file_in_one_place_leads_to_the_next(mirror: Mirror, fetch: Callable[..., Path]) -> None:
    local = mirror.folder.parent / "local"
    shutil.copytree(mirror.folder, local)
    (local / "img_align_celeba.zip").write_bytes(b"<html>")
    assert_fetched(fetch(local=local, mirrors=[f"{mirror.url}/"]), mirror.folder)
    assert {name for name, _ in mirror.requests} == {"img_align_celeba.zip"}


def test_a_subset_is_accepted_only_when_said_so(official: Path, fetch: Callable[..., Path]) -> None:
    found = write_zip(official / "img_align_celeba.zip", {"img_align_celeba/000001.jpg": noise(1)})
    for refused in ({}, {"subset_md5": "0" * 32}):
        with pytest.raises(UserError, match="allow_subset"):
            fetch(local=official, **refused)
    assert_fetched(fetch(local=official, subset_md5=found), official)


@pytest.mark.parametrize("allow_subset", [True, False])
def test_the_md5_of_a_subset_counts_only_where_a_subset_is_wanted(
    allow_subset: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}
    monkeypatch.setattr(download, "fetch_celeba", lambda folder, **options: found.update(options) or {})
    params = preset_params("default", ROOT / "presets")
    section = params.download.celeba.model_copy(update={"allow_subset": allow_subset, "zip_md5": "0" * 32})
    source = params.download.model_copy(update={"source": "celeba", "celeba": section})
    monkeypatch.chdir(tmp_path)
    download.main(params.model_copy(update={"download": source}))
    assert found["subset_md5"] == ("0" * 32 if allow_subset else None)


def test_a_corrupt_zip_is_refused_even_with_the_right_md5(official: Path, fetch: Callable[..., Path]) -> None:
    broken = (official / "img_align_celeba.zip").read_bytes()[:-100]
    (official / "img_align_celeba.zip").write_bytes(broken)
    with pytest.raises(UserError, match="not an intact zip"):
        fetch(local=official)
    with pytest.raises(UserError, match="not a readable zip"):
        fetch(local=official, subset_md5=hashlib.md5(broken).hexdigest())


def test_when_all_places_fail_the_message_says_what_to_do(
    mirror: Mirror, fetch: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: Any) -> None:
        raise FileURLRetrievalError("Too many users\n\thave viewed this file")

    monkeypatch.setattr(celeba.gdown, "download", refuse)
    (mirror.folder / "img_align_celeba.zip").unlink()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError) as caught:
        fetch(local=empty, mirrors=[mirror.url, "ftp://nowhere"], use_drive=True)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{empty / 'img_align_celeba.zip'} does not exist" in message
    assert f"{mirror.url}/img_align_celeba.zip: HTTP 404" in message
    assert "ftp://nowhere" in message
    assert "Google Drive: Too many users have viewed this file" in message
    assert "put img_align_celeba.zip and list_eval_partition.txt into a folder" in message.lower()
    assert "GLCIC_CELEBA=/path/to/folder or runtime.celeba_dir" in message
    assert list((tmp_path / "raw").iterdir()) == []


def test_celeba_from_drive(official: Path, fetch: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files = {file.drive_id: file.name for file in (celeba.ZIP, celeba.PARTITION, celeba.IDENTITY)}

    def download(*, id: str, output: str, **options: Any) -> None:
        shutil.copyfile(official / files.pop(id), output)

    monkeypatch.setattr(celeba.gdown, "download", download)
    assert_fetched(fetch(use_drive=True), official)
    assert not files


def test_drive_is_not_asked_for_a_subset(fetch: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celeba.gdown, "download", lambda **options: pytest.fail("Drive was asked"))
    with pytest.raises(UserError, match=r"runtime\.celeba_dir"):
        fetch(use_drive=True, subset_md5="0" * 32)


def test_a_full_disk_leaves_nothing_half_written_of_a_copy(
    official: Path, fetch: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        no_space()

    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(UserError, match="disk is full"):
        fetch(local=official, mirrors=[official.as_uri()])
    assert list((tmp_path / "raw").iterdir()) == []


def test_a_full_disk_keeps_what_was_downloaded(
    mirror: Mirror, fetch: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(source: Path, target: Path) -> None:  # as a move to another file system does
        target.write_bytes(source.read_bytes()[:100])
        no_space()

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "move", half)
        with pytest.raises(UserError, match="disk is full"):
            fetch(mirrors=[mirror.url])
    assert list((tmp_path / "raw").iterdir()) == []
    assert_fetched(fetch(mirrors=[mirror.url]), mirror.folder)
    assert mirror.sent["img_align_celeba.zip"] == (mirror.folder / "img_align_celeba.zip").stat().st_size


# --- any images -----------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, bytes]:
    """Ten images in a folder `photos` with things beside them that are none; by name."""
    images = {f"{sub}im {i}{suffix}": noise(i) for i, (sub, suffix) in enumerate([("", ".png"), ("b/", ".JPG")] * 5)}
    clutter = ["notes.txt", ".hidden.jpg", "b/.cache/x.jpg", "__MACOSX/x.jpg"]
    for name, data in (images | dict.fromkeys(clutter, b"-")).items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return images


@pytest.fixture
def gather(tmp_path: Path, photos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`gather_images` from `photos` into a new folder of the test."""
    monkeypatch.chdir(tmp_path)  # where it remembers their digests

    def call(to: str = "raw", **options: Any) -> Path:
        folder = tmp_path / to
        folder.mkdir()
        defaults: dict[str, Any] = {
            "source": tmp_path / "photos",
            "split_ratios": (0.6, 0.2, 0.2),
            "split_file": None,
            "seed": 3,
        }
        gather_images(folder, **(defaults | {"digest": None} | options))
        return folder

    return call


def test_a_folder_of_images(gather: Callable[..., Path], photos: dict[str, bytes]) -> None:
    folder = gather()
    with zipfile.ZipFile(folder / layout.IMAGES) as archive:
        assert archive.namelist() == sorted(photos)
        assert {name: archive.read(name) for name in photos} == photos
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    partition = layout.read_partition(folder / layout.PARTITION)
    assert list(partition) == sorted(photos)
    assert Counter(partition.values()) == {0: 6, 1: 2, 2: 2}


def test_a_zip_of_images_gives_the_same_bytes_as_their_folder(
    gather: Callable[..., Path], photos: dict[str, bytes], tmp_path: Path
) -> None:
    names = sorted(photos, reverse=True)
    write_zip(tmp_path / "photos.zip", {name: photos[name] for name in names} | {"__MACOSX/._x.jpg": b""})
    first, second = gather("first"), gather("second", source=tmp_path / "photos.zip")
    for name in (layout.IMAGES, layout.PARTITION):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_packed_bytes_are_the_same_for_ever(gather: Callable[..., Path], tmp_path: Path) -> None:
    for path in sorted((tmp_path / "photos").rglob("*")):
        if path.is_file():
            path.write_bytes(path.name.encode())
    # A version that packs or draws otherwise would give everyone's data another MD5 and retrain everything.
    folder = gather(digest="b906771779a34e0bd2ceb184a08f6335")
    assert layout.md5_of(folder / layout.PARTITION) == "3137ac4916ad035d6c6b61b96f5653f5"


def test_the_seed_decides_the_split(gather: Callable[..., Path]) -> None:
    texts = [(gather(str(i), seed=seed) / layout.PARTITION).read_text() for i, seed in enumerate((3, 3, 4))]
    assert texts[0] == texts[1] != texts[2]


def test_a_split_file_decides_the_split(gather: Callable[..., Path], photos: dict[str, bytes], tmp_path: Path) -> None:
    rows = {name: i % 3 for i, name in enumerate(photos)}
    (tmp_path / "mine.txt").write_text("".join(f"{name} {split}\r\n" for name, split in rows.items()))
    folder = gather(split_file=tmp_path / "mine.txt")
    assert layout.read_partition(folder / layout.PARTITION) == rows


def test_an_image_without_a_row_is_named(gather: Callable[..., Path], photos: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("".join(f"{name} 0\n" for name in photos if name != "b/im 3.JPG"))
    with pytest.raises(UserError, match=r"mine\.txt has no row for the image b/im 3\.JPG"):
        gather(split_file=tmp_path / "mine.txt")


def test_an_empty_split_is_refused(gather: Callable[..., Path], tmp_path: Path, photos: dict[str, bytes]) -> None:
    with pytest.raises(UserError, match=r"10 images .* test split.* download\.image_folder\.split_ratios"):
        gather("a", split_ratios=(0.8, 0.18, 0.02))
    (tmp_path / "mine.txt").write_text("".join(f"{name} {i % 2}\n" for i, name in enumerate(photos)))
    with pytest.raises(UserError, match=r"10 images .* test split.*mine\.txt"):
        gather("b", split_file=tmp_path / "mine.txt")


def test_a_source_without_images_is_refused(gather: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist.*runtime\.image_folder"):
        gather("a", source=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no images.*runtime\.image_folder"):
        gather("b", source=tmp_path / "empty")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"broken\.zip is not a readable zip"):
        gather("c", source=tmp_path / "broken.zip")


def test_a_damaged_image_in_a_zip_is_named(
    gather: Callable[..., Path], photos: dict[str, bytes], tmp_path: Path
) -> None:
    write_zip(tmp_path / "photos.zip", photos)
    damaged = bytearray((tmp_path / "photos.zip").read_bytes())
    damaged[60] ^= 0xFF
    (tmp_path / "photos.zip").write_bytes(damaged)
    with pytest.raises(UserError, match=r"im 0\.png cannot be read"):
        gather(source=tmp_path / "photos.zip")
    assert list((tmp_path / "raw").iterdir()) == []


def test_a_name_that_no_line_can_hold_is_refused(gather: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "photos" / "two\nlines.png").write_bytes(b"-")
    with pytest.raises(UserError, match="rename"):
        gather()


def test_names_in_any_script_are_kept(gather: Callable[..., Path], tmp_path: Path) -> None:
    name = "Bildschirmfoto um 1.00\u202fPM – 顔.png"  # macOS puts such a narrow space into screenshots
    (tmp_path / "photos" / name).write_bytes(b"-")
    folder = gather()
    assert name in layout.members(folder / layout.IMAGES)
    assert name in layout.read_partition(folder / layout.PARTITION)


def test_another_digest_is_refused_with_the_one_found(gather: Callable[..., Path], tmp_path: Path) -> None:
    found = layout.md5_of(gather("a") / layout.IMAGES)
    with pytest.raises(UserError, match=rf"{found}, expected {'0' * 32}.*zip_md5: {found}"):
        gather("b", digest="0" * 32)
    assert list((tmp_path / "b").iterdir()) == []
    gather("c", digest=found)


def test_a_full_disk_leaves_nothing_half_packed(
    gather: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile.ZipFile, "writestr", no_space)
    with pytest.raises(UserError, match="disk is full"):
        gather()
    assert list((tmp_path / "raw").iterdir()) == []
