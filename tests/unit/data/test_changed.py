"""Images, split files and masks that change outside the project, where DVC does not look."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glcic import paths
from glcic.data.changed import check_sources
from glcic.data.sources import celeba
from glcic.data.sources import celeba_layout as layout
from glcic.errors import UserError
from glcic.files import sha256_of
from glcic.masks.files import folder_digest
from glcic.params import Params, validate
from pipeline import download
from support.project import ROOT, default_tree, merge

TREE = default_tree()
DIFFERENT = "these are not the images that data/raw was made of"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with nothing named in the environment."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    for name in ("GLCIC_IMAGES", "GLCIC_CELEBA", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "project"


def with_images(folder: Path, n: int, first: str = "") -> Path:
    """Put files into a folder that pass for images in the stage download, which decodes none."""
    folder.mkdir(exist_ok=True)
    for i in range(n):
        (folder / f"{i:03}.jpg").write_text(f"{first}{i}")
    return folder


def params_of(overlay: Mapping[str, Any] | None = None, **images: Any) -> Params:
    """The defaults with the source image_folder, its parameters, and more."""
    tree = merge(default_tree(), {"download": {"source": "image_folder", "image_folder": images}})
    return validate(merge(tree, overlay or {}), Path("params.yaml"))


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that GLCIC_IMAGES names; data/raw was made of the 10 images in it."""
    folder = with_images(tmp_path / "private set", 10)
    monkeypatch.setenv("GLCIC_IMAGES", str(folder))
    download.main(params_of())
    check_sources(params_of())
    return folder


def add(folder: Path) -> None:
    for i in range(20):
        (folder / f"new {i}.png").write_text("new")


CHANGES: dict[str, tuple[Callable[[Path], object], int]] = {
    "added": (add, 30),
    "removed": (lambda folder: (folder / "003.jpg").unlink(), 9),
    "renamed": (lambda folder: (folder / "003.jpg").rename(folder / "3.jpg"), 10),
    "edited": (lambda folder: (folder / "003.jpg").write_text("E"), 10),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_images_are_found_until_they_are_taken(images: Path, change: str) -> None:
    changed, number = CHANGES[change]
    changed(images)
    with pytest.raises(UserError, match=rf"{DIFFERENT} \(was \w{{12}}…, 10 images; is \w{{12}}…, {number} images\)"):
        check_sources(params_of())
    download.main(params_of())
    check_sources(params_of())


def test_another_source_is_found_however_it_is_named(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = with_images(tmp_path / "other", 12, "other")
    by_parameter = params_of({"runtime": {"image_folder": str(other)}})
    check_sources(by_parameter)  # the environment comes first
    monkeypatch.setenv("GLCIC_IMAGES", str(other))
    with pytest.raises(UserError, match=r"12 images\): `dvc repro --force --single-item download` takes the new ones"):
        check_sources(params_of())
    monkeypatch.delenv("GLCIC_IMAGES")
    with pytest.raises(UserError, match=DIFFERENT):
        check_sources(by_parameter)


def test_the_same_images_elsewhere_or_in_a_zip_are_the_same(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", images)
    images.rename(tmp_path / "moved")
    for source in (archive, str(tmp_path / "moved")):
        monkeypatch.setenv("GLCIC_IMAGES", source)
        check_sources(params_of())


def test_a_source_that_does_not_exist_is_an_error_and_none_is_not(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLCIC_IMAGES", "/no/such")
    for there in (True, False):
        with pytest.raises(UserError, match="/no/such does not exist: name a folder or a zip with GLCIC_IMAGES"):
            check_sources(params_of())
        check_sources(validate(TREE, Path("params.yaml")))  # synthetic faces are from nowhere
        if there:
            shutil.rmtree(paths.RAW)
    monkeypatch.delenv("GLCIC_IMAGES")
    check_sources(params_of())


def test_without_images_or_a_record_of_them_any_source_is_good(images: Path, tmp_path: Path) -> None:
    add(images)
    paths.SOURCE.unlink()  # as of images that an older version made
    check_sources(params_of())
    paths.SOURCE.write_text("{")
    with pytest.raises(UserError, match=r"source\.json: damaged .* `dvc repro --force --single-item download` makes"):
        check_sources(params_of())


def test_a_changed_parameter_is_left_to_dvc(images: Path) -> None:
    add(images)
    check_sources(params_of(split_ratios=[0.5, 0.25, 0.25]))
    check_sources(params_of({"seed": 7}))
    with pytest.raises(UserError, match=DIFFERENT):
        check_sources(params_of({"evaluate": {"figure_rows": 1}}))


def test_only_the_first_process_of_a_machine_checks(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(images)
    monkeypatch.setenv("LOCAL_RANK", "1")
    check_sources(params_of())
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(UserError, match=DIFFERENT):
        check_sources(params_of())


def split(train: int, val: int, test: int) -> str:
    splits = [0] * train + [1] * val + [2] * test
    return "".join(f"{i:03}.jpg {number}\n" for i, number in enumerate(splits))


def test_a_split_file_edited_in_place_is_found(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLCIC_IMAGES", str(with_images(tmp_path / "set", 30)))
    params, file = params_of(split_file="split.txt"), project / "split.txt"
    file.write_text(split(20, 5, 5))
    download.main(params)
    check_sources(params)
    file.write_text(split(10, 5, 15))
    for named in (True, False):
        with pytest.raises(
            UserError, match=r"split\.txt: this is not the split file that data/raw was made with \(was"
        ):
            check_sources(params)
        if named:
            monkeypatch.delenv("GLCIC_IMAGES")
    file.unlink()
    check_sources(params)  # of others, who have the results
    file.write_text(split(20, 5, 5))
    check_sources(params)


def test_the_record_has_no_name_of_the_users(images: Path, project: Path, tmp_path: Path) -> None:
    private = tmp_path / "private split.txt"
    private.write_text(split(6, 2, 2))
    download.main(params_of(split_file=str(private)))
    check_sources(params_of(split_file=str(private)))
    files = {path.name: path.read_bytes() for path in paths.RAW.iterdir()}
    assert files.keys() == {layout.IMAGES, layout.PARTITION, "source.json"}
    assert json.loads(files["source.json"])["images"]["number"] == 10
    for content in files.values():
        assert b"private" not in content
    for path in (project / ".glcic").rglob("*"):
        assert path.is_dir() or b"private" not in path.read_bytes()


def test_the_check_loads_nothing_heavy(images: Path) -> None:
    code = """
import sys
from pathlib import Path
from glcic.data.changed import check_sources
from glcic.params import load
check_sources(load(Path(sys.argv[1])))
assert not {"torch", "mlflow", "dvc", "pandas", "PIL", "requests"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, ROOT / "params.yaml"], check=True)


# --- data/raw is what the last run made -----------------------------------------------------------


def test_nothing_of_an_earlier_source_stays(images: Path, tmp_path: Path) -> None:
    """The outputs may be read-only links into DVC's cache."""
    kept = {}
    (paths.RAW / layout.IDENTITY).write_text("000.jpg 1\n")
    for path in sorted(paths.RAW.iterdir()):
        kept[path.name] = path.read_bytes()
        os.link(path, tmp_path / path.name)
        path.chmod(0o444)
    add(images)
    download.main(params_of())
    assert {path.name for path in paths.RAW.iterdir()} == kept.keys() - {layout.IDENTITY}
    for name, content in kept.items():
        assert (tmp_path / name).read_bytes() == content
    assert (paths.RAW / layout.IMAGES).read_bytes() != kept[layout.IMAGES]


# --- CelebA ---------------------------------------------------------------------------------------


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that GLCIC_CELEBA names, with stand-ins for two of the official files; data/raw is made of them."""
    folder = with_images(tmp_path / "set", 4)
    shutil.make_archive(str(tmp_path / "celeba/img_align_celeba"), "zip", folder)
    (tmp_path / "celeba/list_eval_partition.txt").write_text(split(2, 1, 1))
    (tmp_path / "identity_CelebA.txt").write_text("000.jpg 1\n")
    for constant, at in {"ZIP": "celeba", "PARTITION": "celeba", "IDENTITY": "."}.items():
        file = getattr(celeba, constant)
        monkeypatch.setattr(celeba, constant, replace(file, md5=layout.md5_of(tmp_path / at / file.name)))
    monkeypatch.setattr(celeba, "_from_drive", lambda cache, file, target: refuse())
    monkeypatch.setenv("GLCIC_CELEBA", str(tmp_path / "celeba"))
    download.main(CELEBA)
    check_sources(CELEBA)
    return tmp_path / "celeba"


def refuse() -> None:
    raise UserError("asked")


CELEBA = validate(merge(default_tree(), {"download": {"source": "celeba"}}), Path("params.yaml"))


def test_another_file_of_celeba_is_found(official: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("img_align_celeba.zip", "list_eval_partition.txt"):
        before = (official / name).read_bytes()
        (official / name).write_bytes(before + b"\n")
        with pytest.raises(UserError, match=rf"{name}: this is not the file that data/raw was made of \(MD5 was"):
            check_sources(CELEBA)
        (official / name).unlink()
        check_sources(CELEBA)  # as if a mirror had been asked for it
        (official / name).write_bytes(before)
    subset = merge(default_tree(), {"download": {"source": "celeba", "celeba": {"allow_subset": True}}})
    (official / "img_align_celeba.zip").write_bytes(b"")
    check_sources(validate(merge(subset, {"download": {"celeba": {"zip_md5": "0" * 32}}}), Path("params.yaml")))


def test_an_identity_file_that_comes_later_is_found(official: Path) -> None:
    (official / "identity_CelebA.txt").write_text("not the official one")
    check_sources(CELEBA)
    shutil.copy(official.parent / "identity_CelebA.txt", official)
    with pytest.raises(UserError, match="data/raw was made before this file was there"):
        check_sources(CELEBA)
    download.main(CELEBA)
    check_sources(CELEBA)
    assert (paths.RAW / layout.IDENTITY).exists()


def test_a_folder_of_celeba_that_does_not_exist_is_an_error_and_none_is_not(
    official: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(official)
    with pytest.raises(UserError, match="celeba does not exist: name a folder with GLCIC_CELEBA"):
        check_sources(CELEBA)
    monkeypatch.delenv("GLCIC_CELEBA")
    check_sources(CELEBA)


def test_celeba_comes_back_from_dvcs_cache(official: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file there is not taken."""
    from dvc.repo import Repo

    with Repo.init(no_scm=True) as repo:
        for path in (paths.RAW / layout.IMAGES, paths.RAW / layout.PARTITION):
            cached = Path(repo.cache.local.oid_to_path(layout.md5_of(path)))
            cached.parent.mkdir(parents=True)
            shutil.copy(path, cached)
    before = {path.name: path.read_bytes() for path in paths.RAW.iterdir()}
    monkeypatch.delenv("GLCIC_CELEBA")
    download.main(CELEBA)
    assert {path.name: path.read_bytes() for path in paths.RAW.iterdir()} == before
    assert cached == celeba.in_dvc_cache(celeba.PARTITION.md5)
    cached.write_text("damaged")
    with pytest.raises(UserError, match=r"list_eval_partition\.txt of CelebA cannot be obtained .*has the MD5 .*asked"):
        download.main(CELEBA)


# --- masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["masks", "masks.1", "evaluate.mask_folder"])
def test_changed_masks_are_found(project: Path, field: str) -> None:
    folder = project / "data/my masks"
    folder.mkdir(parents=True)
    hole = np.zeros((4, 4), dtype=np.uint8)
    hole[1:3, 1:3] = 255
    Image.fromarray(hole).save(folder / "1.png")
    given = {"folder": "data/my masks", "sha256": folder_digest(folder)}
    tree = default_tree()
    if field == "masks":
        tree["masks"] = {"name": "files", **given}
    elif field == "masks.1":
        tree["masks"] = [{"weight": 1.0, "name": "half"}, {"weight": 0.5, "name": "files", **given}]
    else:
        merge(tree, {"evaluate": {"mask_sets": ["files"]}})
        tree["evaluate"]["mask_folder"] = given
    params = validate(tree, Path("params.yaml"))
    check_sources(params)
    (folder / "notes.txt").write_text("no mask")
    check_sources(params)
    Image.fromarray(hole).save(folder / "2.png")
    with pytest.raises(UserError, match=rf"its masks are not those of {field}\.sha256; if they are meant, set it to"):
        check_sources(params)
    (folder / "2.png").unlink()
    check_sources(params)
    shutil.rmtree(folder)
    check_sources(params)


# --- weights --------------------------------------------------------------------------------------


def test_changed_weights_that_a_training_starts_from_are_found(project: Path) -> None:
    path = project / "mine.safetensors"
    path.write_bytes(b"weights")
    tree = default_tree()
    tree["pretrain_generator"]["init"] = {"path": "mine.safetensors", "sha256": sha256_of(path)}
    params = validate(tree, Path("params.yaml"))
    check_sources(params)
    path.write_bytes(b"others")
    with pytest.raises(UserError, match=rf"pretrain_generator\.init\.sha256; .* set that to {sha256_of(path)}"):
        check_sources(params)
    path.unlink()
    check_sources(params)  # the stage says so if it needs them
