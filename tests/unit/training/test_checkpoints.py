"""Checkpoints: found by parameters and inputs, intact or not loaded, kept as long as they are of use; their lock."""

import os
import shutil
import threading
from pathlib import Path

import pytest
import torch

from glcic.errors import UserError
from glcic.files import sha256_of
from glcic.training.checkpoints import (
    ASIDE,
    Checkpoints,
    checkpoint_key,
    code_and_inputs,
    content_hash,
    saved_in,
)
from glcic.training.code import UNKNOWN, Version, changed, described, mixed, version_of
from glcic.training.finished import settle
from support.project import ROOT

CPU = torch.device("cpu")
STEPS = 100_000


def at(root: Path, letter: str = "f") -> Checkpoints:
    return Checkpoints(root, "train_joint", letter * 64)


def save(checkpoints: Checkpoints, *steps: int) -> None:
    """Save one checkpoint after the other; its weights tell its step."""
    for step in steps:
        checkpoints.save({"step": step, "weights": torch.full((1000,), float(step))}, step)


def step_of(checkpoints: Checkpoints) -> int | None:
    """Step of the checkpoint that is loaded, and whose weights belong to it."""
    state = checkpoints.load(CPU)
    if state is None:
        return None
    assert torch.equal(state["weights"], torch.full((1000,), float(state["step"])))
    return int(state["step"])


def test_the_last_two_are_kept_and_the_newest_is_loaded(tmp_path: Path) -> None:
    checkpoints = at(tmp_path)
    assert step_of(checkpoints) is None
    save(checkpoints, 100, 200, 300)
    assert [one.step for one in checkpoints.saved] == [200, 300]
    assert step_of(checkpoints) == 300
    assert all(sha256_of(one.path) == one.sha256 for one in checkpoints.saved)
    save(checkpoints, 50)  # a training that starts again, as after --force
    assert step_of(checkpoints) == 50


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGE = {
    "half": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "random": lambda data: bytes((31 * k * k + 7 * k) % 251 for k in range(len(data))),
    "text": lambda data: b"not a checkpoint\n",
    "a bit in the pickle": lambda data: flipped(data, data.index(b"weights")),
    "a bit in a tensor": lambda data: flipped(data, data.index(torch.full((8,), 200.0).numpy().tobytes()) + 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_one_costs_an_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    """The last one falls back to the one before, in a sentence; it is removed, so that the next save keeps the good."""
    checkpoints = at(tmp_path)
    save(checkpoints, 100, 200)
    newest = checkpoints.saved[-1].path
    newest.write_bytes(DAMAGE[damage](newest.read_bytes()))
    assert step_of(checkpoints) == 100
    said = capsys.readouterr().err
    assert said.startswith(f"train_joint: {newest}: damaged")
    assert said.endswith("goes on from the one before, of step 100\n")
    save(checkpoints, 200)
    assert [one.step for one in checkpoints.saved] == [100, 200]
    assert step_of(checkpoints) == 200
    assert capsys.readouterr().err == ""


def test_two_damaged_ones_start_anew_and_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = at(tmp_path)
    save(checkpoints, 100, 200)
    for one in checkpoints.saved:
        one.path.write_bytes(b"")
    assert step_of(checkpoints) is None
    said = capsys.readouterr().err
    assert said.count("step-100") == said.count("step-200") == 1
    assert said.endswith("starts anew\n")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"models": 1, "other": 2}'])
def test_a_damaged_record_of_the_end_is_none(tmp_path: Path, text: str) -> None:
    checkpoints = at(tmp_path)
    save(checkpoints, 100)
    (checkpoints.folder / "finished.json").write_text(text)
    assert checkpoints.finished is None
    (tmp_path / "models").mkdir()
    settle(tmp_path, "train_joint", tmp_path / "models")
    assert step_of(checkpoints) == 100


CODE = Version(0, "a" * 40, False, {"src/loop.py": "1", "src/losses.py": "1"})
EDITED = Version(0, "b" * 40, True, {"src/loop.py": "2", "src/losses.py": "1"})


def test_what_a_killed_save_left_is_swept(tmp_path: Path) -> None:
    checkpoints = at(tmp_path)
    checkpoints.open(CODE, STEPS)
    save(checkpoints, 100)
    leftover = checkpoints.folder / ".4711-000002-step-200.pt"
    leftover.write_bytes(b"half")
    (checkpoints.folder / ".ipynb_checkpoints").mkdir()  # not ours
    checkpoints.open(CODE, STEPS)
    assert not leftover.exists()
    assert step_of(checkpoints) == 100


def test_the_same_code_goes_on_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = at(tmp_path)
    checkpoints.open(CODE, STEPS)
    save(checkpoints, 100)
    checkpoints.open(Version(0, "c" * 40, False, CODE.files), STEPS)  # another commit, the same files
    assert checkpoints.versions == [CODE]
    assert step_of(checkpoints) == 100
    assert capsys.readouterr() == ("", "")


def test_changed_code_starts_anew_and_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = at(tmp_path)
    checkpoints.open(CODE, STEPS)
    save(checkpoints, 90_000)
    checkpoints.open(EDITED, STEPS)
    assert step_of(checkpoints) is None
    assert checkpoints.versions == [EDITED]
    (aside,) = (tmp_path / "checkpoints" / ASIDE).iterdir()
    assert [one.step for one in saved_in(aside)] == [90_000]
    said = capsys.readouterr().err
    for part in ("checkpoint of step 90000", "changed: src/loop.py)", "0 MB", f"--continue-from {aside.name}"):
        assert part in said
    assert "losses.py" not in said
    save(checkpoints, 100)
    checkpoints.open(CODE, STEPS)  # back again: the other one is set aside as well
    assert len(list((tmp_path / "checkpoints" / ASIDE).iterdir())) == 2


@pytest.mark.parametrize("extendable", [False, True])
def test_a_finished_training_is_set_aside_as_well(tmp_path: Path, extendable: bool) -> None:
    """DVC may have been killed before it recorded the models, or a longer training may want to go on from it."""
    (tmp_path / "models").mkdir()
    checkpoints = at(tmp_path)
    checkpoints.open(CODE, STEPS)
    save(checkpoints, 100, 200)
    checkpoints.finish(tmp_path / "models", extendable=extendable)
    assert [one.step for one in checkpoints.saved] == [200], "the last one alone is of use"
    checkpoints.open(EDITED, STEPS)
    assert step_of(checkpoints) is None
    (aside,) = (tmp_path / "checkpoints" / ASIDE).iterdir()
    assert [one.step for one in saved_in(aside)] == [200]


def test_a_longer_training_is_set_aside_where_fewer_steps_are_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = at(tmp_path)
    checkpoints.open(CODE, 300)
    save(checkpoints, 200)
    checkpoints.open(CODE, 200)
    assert step_of(checkpoints) == 200
    checkpoints.open(CODE, 199)
    assert step_of(checkpoints) is None
    assert (
        "step 200 (199 steps are wanted; raise train_joint.steps before you continue from it)"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "text", ["", "[", "{}", "[1]", '[{"from_step": 0, "commit": null, "dirty": false, "files": []}]']
)
def test_code_that_nobody_knows_is_other_code(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    checkpoints = at(tmp_path)
    checkpoints.open(CODE, STEPS)
    save(checkpoints, 100)
    (checkpoints.folder / "code.json").write_text(text)
    (checkpoints.folder / "continue").touch()
    checkpoints.open(CODE, STEPS)
    assert [(v.from_step, v.commit) for v in checkpoints.versions] == [(0, None), (100, "a" * 40)]
    assert step_of(checkpoints) == 100
    save(checkpoints, 200)
    (checkpoints.folder / "code.json").write_text(text)
    checkpoints.open(CODE, STEPS)
    assert step_of(checkpoints) is None
    assert "changed: a damaged code.json" in capsys.readouterr().err


def test_the_order_to_go_on_holds_until_something_is_saved(tmp_path: Path) -> None:
    """A training that is killed before needs no second order; its code has left no step."""
    checkpoints = at(tmp_path)
    checkpoints.open(CODE, STEPS)
    save(checkpoints, 100)
    (checkpoints.folder / "continue").touch()
    for _ in range(2):
        checkpoints.open(EDITED, STEPS)
        assert step_of(checkpoints) == 100
    checkpoints.open(CODE, STEPS)
    assert checkpoints.versions == [CODE]
    checkpoints.open(EDITED, STEPS)
    save(checkpoints, 200)
    checkpoints.open(EDITED, STEPS)
    assert step_of(checkpoints) == 200
    checkpoints.open(CODE, STEPS)
    assert step_of(checkpoints) is None


def test_an_order_is_for_one_code_and_names_none_that_trains_no_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = at(tmp_path)
    checkpoints.open(CODE, 100)
    save(checkpoints, 100)
    (checkpoints.folder / "continue").touch()
    for _ in range(2):
        checkpoints.open(EDITED, 100)  # nothing is left to train
        assert step_of(checkpoints) == 100
        assert checkpoints.versions == [CODE]
    assert capsys.readouterr() == ("", "")
    checkpoints.open(Version(0, "c" * 40, False, {"src/loop.py": "3"}), 200)
    assert step_of(checkpoints) is None
    assert "set aside" in capsys.readouterr().err


def test_a_training_that_is_repeated_cannot_fall_back_to_the_one_before(tmp_path: Path) -> None:
    checkpoints = at(tmp_path)
    checkpoints.open(CODE, STEPS)
    save(checkpoints, 100, 200)
    checkpoints.started(0)
    assert checkpoints.saved == []
    save(checkpoints, 50)
    assert [one.step for one in checkpoints.saved] == [50]


def test_what_cannot_be_read_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = at(tmp_path)
    save(checkpoints, 100, 200)
    newest = checkpoints.saved[-1].path
    newest.unlink()
    newest.mkdir()  # reading it fails, as on a disk with a bad sector
    assert step_of(checkpoints) == 100
    assert "of step 100" in capsys.readouterr().err


def test_versions_are_those_that_left_steps(tmp_path: Path) -> None:
    checkpoints = at(tmp_path)
    checkpoints.open(CODE, STEPS)
    save(checkpoints, 100, 200)
    (checkpoints.folder / "continue").touch()
    checkpoints.open(EDITED, STEPS)
    assert [(v.from_step, v.commit) for v in checkpoints.versions] == [(0, "a" * 40), (200, "b" * 40)]
    checkpoints.saved[-1].path.write_bytes(b"")
    assert step_of(checkpoints) == 100
    checkpoints.started(100)  # the edited code repeats what the other did from there on
    assert [v.from_step for v in checkpoints.versions] == [0, 100]
    third = Version(0, "c" * 40, False, {"src/loop.py": "3"})
    (checkpoints.folder / "continue").write_text("")
    checkpoints.open(third, STEPS)  # the edited code left nothing
    assert [(v.from_step, v.commit) for v in checkpoints.versions] == [(0, "a" * 40), (100, "c" * 40)]
    checkpoints.started(0)
    assert [(v.from_step, v.commit) for v in checkpoints.versions] == [(0, "c" * 40)]


def test_versions_in_words(tmp_path: Path) -> None:
    assert changed(CODE, EDITED) == ["src/loop.py"]
    assert changed(CODE, Version(0, None, False, {"src/loop.py": "1"})) == ["src/losses.py"]
    entries = [CODE.plain(), Version(200, None, False, {"a": "1"}).plain()]
    assert described("train_joint", entries) == (
        f"train_joint was trained by 2 versions of the code: commit aaaaaaa (code {CODE.sha256[:8]}) from step 0, "
        f"no commit (code {entries[1]['sha256'][:8]}) from step 200"
    )
    assert "unknown code from step 0, commit" in described("train_joint", [UNKNOWN.plain(), CODE.plain()])
    for stage, text in (("train_joint", '{"code": [1, 2]}'), ("pretrain_generator", "{}")):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "params.json").write_text(text)
    assert mixed(tmp_path) == {"train_joint": [1, 2]}


def test_the_key_is_of_parameters_and_inputs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code is apart; of the images counts what summary.json says of them, since reading them all takes long."""
    monkeypatch.chdir(tmp_path)
    files = ("src/glcic/training/loop.py", "data/images/images.npy", "data/images/summary.json", "models/G/weights")
    for name in files:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("1")
    deps = ["src/glcic/training", "data/images", "models/G"]

    def key() -> tuple[str, Version]:
        code, inputs = code_and_inputs(deps)
        return checkpoint_key("s", {"s": {"lr_schedule": "linear", "steps": 1}}, inputs), version_of(code, None)

    before = key()
    assert list(before[1].files) == ["src/glcic/training/loop.py"]
    for name, same_key, same_code in zip(files, (True, True, False, False), (False, True, True, True), strict=True):
        Path(name).write_text("2")
        after = key()
        assert (after[0] == before[0], after[1] == before[1]) == (same_key, same_code), name
        Path(name).write_text("1")
    with pytest.raises(UserError, match="missing: no such file"):
        code_and_inputs(["src/missing"])


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = at(tmp_path)
    save(checkpoints, 1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"disk is full: free space for .*step-2"):
        save(checkpoints, 2)
    assert step_of(checkpoints) == 1
    assert list(checkpoints.folder.iterdir()) == [checkpoints.saved[0].path]


class Trainings:
    """The trainings of one stage, each under a letter: its checkpoint, and the models that it ended in."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, letter: str) -> Checkpoints:
        return Checkpoints(self.root, "train_joint", letter * 64)

    def models(self, letter: str) -> Path:
        folder = self.root / "models" / letter
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights").write_text(letter)
        return folder

    def save(self, letter: str, *, extendable: bool | None = None) -> None:
        """`extendable` None: the training has not finished."""
        save(self.of(letter), 1)
        if extendable is not None:
            self.of(letter).finish(self.models(letter), extendable=extendable)

    def start_later_stage(self, letter: str) -> None:
        settle(self.root, "train_joint", self.models(letter))

    @property
    def there(self) -> str:
        return "".join(letter for letter in "abcdef" if self.of(letter).saved)


def test_a_finished_checkpoint_goes_when_a_later_stage_starts_from_its_models(tmp_path: Path) -> None:
    trainings = Trainings(tmp_path)
    trainings.save("a", extendable=False)
    trainings.save("b", extendable=False)
    trainings.save("c")
    trainings.start_later_stage("a")
    assert trainings.there == "bc"
    trainings.start_later_stage("d")  # of models from DVC's cache
    assert trainings.there == "bc"


def test_the_newest_checkpoint_that_a_longer_training_may_go_on_from_stays(tmp_path: Path) -> None:
    trainings = Trainings(tmp_path)
    trainings.save("a", extendable=True)
    trainings.start_later_stage("a")
    assert trainings.there == "a"
    trainings.save("b", extendable=True)
    trainings.save("c", extendable=True)
    trainings.save("d")
    assert trainings.there == "abcd"
    trainings.start_later_stage("b")  # c's is yet to start, as of another experiment in the queue
    assert trainings.there == "bcd"
    for _ in range(2):  # two later stages start from the same models
        trainings.start_later_stage("c")
        assert trainings.there == "cd"
    trainings.save("e", extendable=False)
    trainings.start_later_stage("e")
    assert trainings.there == "d"


def test_a_checkpoint_in_use_is_left_alone(tmp_path: Path) -> None:
    trainings = Trainings(tmp_path)
    trainings.save("a", extendable=True)
    trainings.start_later_stage("a")
    trainings.save("b", extendable=True)
    with trainings.of("a").locked():
        trainings.start_later_stage("b")
        assert trainings.there == "ab"
    trainings.start_later_stage("b")
    assert trainings.there == "b"


def test_two_trainings_with_the_same_models_leave_one_checkpoint(tmp_path: Path) -> None:
    """As after an edited parameter that happened to change nothing: another key, the same result."""
    trainings = Trainings(tmp_path)
    trainings.save("a", extendable=True)
    trainings.start_later_stage("a")
    save(trainings.of("b"), 1)
    trainings.of("b").finish(trainings.models("a"), extendable=True)
    trainings.start_later_stage("a")
    assert trainings.there == "b"


def test_a_second_trainer_waits_and_says_for_whom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (Checkpoints(tmp_path, "train_joint", "f" * 64) for _ in range(2))
    order: list[str] = []

    def wait() -> None:
        with second.locked():
            order.append("second")

    with first.locked():
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert f"process {os.getpid()} is training this very stage; waiting" in capsys.readouterr().err


def test_fingerprint_covers_parameters_names_and_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("folder") / "a"
    file.parent.mkdir()
    file.write_text("1")
    seen = {content_hash({"seed": 0}, [Path("folder")]), content_hash({"seed": 1}, [Path("folder")])}
    file.write_text("2")
    seen.add(content_hash({"seed": 0}, [Path("folder")]))
    file.rename(file.with_name("b"))
    seen.add(content_hash({"seed": 0}, [Path("folder")]))
    assert len(seen) == 4
    with pytest.raises(UserError, match="missing: no such file"):
        content_hash({}, [Path("missing")])


def test_key_of_a_second_start_is_that_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What .dvcignore names, as what Python compiled at the first start, is no part of a folder of code."""
    monkeypatch.chdir(tmp_path)
    folder = Path("src/glcic/training")
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "loop.py").write_text("1")
    (folder / "finished.py").write_text("1")
    shutil.copy(ROOT / ".dvcignore", ".dvcignore")
    first = content_hash({}, [folder])
    (folder / "__pycache__/loop.pyc").write_text("compiled")
    (folder / "finished.py").write_text("2")
    assert content_hash({}, [folder]) == first
    (folder / "loop.py").write_text("2")
    assert content_hash({}, [folder]) != first
