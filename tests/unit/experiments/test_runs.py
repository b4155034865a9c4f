"""Runs trained one after another: which are trained, what a failure or a power cut leaves. The training is made up."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from glcic import paths
from glcic.errors import UserError
from glcic.experiments import runs
from glcic.experiments.presets import commented_yaml, read_tree
from glcic.experiments.repository import git
from glcic.experiments.runs import Run, alone, run_of, train
from glcic.training.stop import Stopped, StopRequest
from support.project import ROOT, Project


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project, which the test works in."""
    Project(tmp_path, {})
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.org")


def a_run(name: str, seed: int) -> Run:
    tree = read_tree(commented_yaml(), ROOT / "presets/default.yaml")
    tree["seed"] = seed
    return run_of(name, tree, paths.PARAMS)


def save_experiment(run: Run, stop: StopRequest) -> None:
    """What DVC leaves of a finished experiment: a commit with its parameters, on the one that is checked out."""
    before = paths.PARAMS.read_text()
    paths.PARAMS.write_text(run.text)
    git("stash", "push", "-q")
    head, commit = git("rev-parse", "HEAD").strip(), git("rev-parse", "stash").strip()
    git("stash", "drop", "-q")
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{run.name}", commit)
    paths.PARAMS.write_text(before)


def trained_by(monkeypatch: pytest.MonkeyPatch, training: Callable[[Run, StopRequest], None]) -> list[str]:
    """Let `training` stand for DVC's; returns the names of the runs that it is given."""
    names = []

    def note(run: Run, stop: StopRequest) -> None:
        names.append(run.name)
        training(run, stop)

    monkeypatch.setattr(runs, "_train", note)
    return names


def test_only_what_is_not_done_is_trained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    names = trained_by(monkeypatch, save_experiment)
    first, second = a_run("first", 1), a_run("second", 2)
    with alone("again") as stop:
        save_experiment(first, stop)
        save_experiment(a_run("second", 3), stop)  # other parameters under the same name
        commits = train({"first": first, "second": second}, stop, "again")
        assert names == ["second"]
        assert "second: removing experiment" in capsys.readouterr().out
        assert "seed: 2" in git("show", f"{commits['second']}:params.yaml")
        assert train({"first": first, "second": second}, stop, "again") == commits
    assert names == ["second"]


def test_a_failed_run_is_named_and_the_others_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def training(run: Run, stop: StopRequest) -> None:
        if run.name == "bad":
            raise UserError("no disk")
        save_experiment(run, stop)

    names = trained_by(monkeypatch, training)
    wanted = {name: a_run(name, seed) for seed, name in enumerate(("bad", "good"))}
    with alone("again") as stop, pytest.raises(UserError, match=r"^bad: failed; .* `again` trains"):
        train(wanted, stop, "again")
    assert names == ["bad", "good"]


def test_a_stopped_one_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def training(run: Run, stop: StopRequest) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        stop.check()

    names = trained_by(monkeypatch, training)
    with pytest.raises(Stopped, match="stopped; run `glcic this` to resume"), alone("glcic this") as stop:
        train({name: a_run(name, 1) for name in ("one", "two")}, stop, "glcic this")
    assert names == ["one"]


def test_the_next_call_puts_back_what_a_power_cut_left() -> None:
    before = paths.PARAMS.read_bytes()
    with alone("again"):
        runs._put_params(a_run("cut", 5))
    assert paths.PARAMS.read_bytes() != before
    copy, other = runs.COPIES / "tmpcut", runs.COPIES / "tmpother"
    for made in (copy, other):
        made.mkdir(parents=True)
    (paths.STATE_DIR / "runs-copy").write_text(copy.name)
    git("update-ref", "--create-reflog", runs.STASH, "HEAD")
    with alone("again"):
        assert not git("for-each-ref", runs.STASH)
        assert paths.PARAMS.read_bytes() == before
        assert not copy.exists()
        assert other.exists()  # the user's own
        with pytest.raises(UserError, match="other runs are being trained here"), alone("again"):
            pass


def test_a_failed_git_after_ctrl_c_counts_as_stopped() -> None:
    def interrupted_git() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise UserError("`git show` failed")  # a terminal sends Ctrl-C to git, too

    with pytest.raises(Stopped), alone("again"):
        interrupted_git()


def test_code_that_has_changed_since_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run("old", 1)
    with alone("again") as stop:
        save_experiment(run, stop)
        for name in ("src/glcic/masks/geometry.py", "README.md"):
            with Path(name).open("a") as file:
                file.write("# changed\n")
        subprocess.run(["git", "add", "-A"], check=True)
        git("commit", "-qm", "changed")
        train({"old": run}, stop, "again")
    assert "old was trained before src/glcic/masks/geometry.py changed" in capsys.readouterr().out
