"""`glcic verify` with real rebuilds of a tiny project."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from support.project import ROOT, Project
from support.reports import change, write_report

STAGES = (
    "pretrain_generator",
    "pretrain_discriminators",
    "train_joint",
    "evaluate",
    "report",
)  # after download and crop


def commit(project: Project, message: str) -> None:
    project.git("add", "-A")
    project.git("-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-qm", message)


def verify(project: Project, report: str, temporary: Path, expect: int) -> str:
    temporary.mkdir(exist_ok=True)
    return project.run(sys.executable, "-m", "glcic.cli", "verify", report, expect=expect, TMPDIR=str(temporary))


def clones(folder: Path) -> list[Path]:
    """What verifying has left there; torch leaves folders of its own."""
    return list(folder.glob("glcic-verify-*"))


def line_of(printed: str, number: str) -> list[str]:
    """The cells of a number's line."""
    line = next(line for line in printed.splitlines() if line.startswith(f"| {number} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def make_report(project: Project) -> Path:
    """Run the pipeline, state a tolerance, and commit; returns the folder of the report."""
    for stage in STAGES:
        project.stage(stage)
    tolerances = {"about": "by hand", "metrics.json": {"test": {"psnr": 0.5}}}
    (project.folder / "reports/tolerances.json").write_text(json.dumps(tolerances))
    commit(project, "report")
    return project.folder / "reports"


@pytest.mark.long
def test_rebuild_confirms_a_report(project: Project, tmp_path: Path) -> None:
    make_report(project)
    before = project.bytes_of("reports/**/*.*", "params.yaml")
    temporary = tmp_path / "temporary"
    printed = verify(project, "reports", temporary, expect=0)
    assert "Running stage 'download'" in printed
    assert "Running stage 'evaluate'" in printed
    assert "note:" not in printed
    assert printed.count("byte-identical") == 7  # masks, intervals, differences, slices and three curves
    same = "made on such a processor, with as many threads: identical demanded"
    assert printed.splitlines()[-1] == f"reports is confirmed: 168 numbers, 168 identical; {same}"
    assert project.bytes_of("reports/**/*.*", "params.yaml") == before
    assert not clones(temporary)


def test_rebuild_finds_a_changed_number(project: Project, tmp_path: Path) -> None:
    """A report from elsewhere, with parameters of its own; one number is changed within the tolerance, one beyond."""
    reports = make_report(project)
    second = reports / "second"
    second.mkdir()
    for name in ("metrics.json", "methods.csv", "validation.csv", "tolerances.json"):
        shutil.copy(reports / name, second)
    shutil.copy(project.folder / "params.yaml", second)
    change(second, 0.4)
    methods = (second / "methods.csv").read_text().replace("center,telea,4,", "center,telea,4,1")
    (second / "methods.csv").write_text(methods)
    project.set({"seed": 5, "tracking": {"enabled": True}})  # not of that report
    temporary = tmp_path / "temporary"
    printed = verify(project, "reports/second", temporary, expect=1)
    for number in ("validation.csv box.completion.ssim", "methods.csv box.telea.l1"):
        assert line_of(printed, number)[3] == "0"
        assert line_of(printed, number)[-1] == "identical"
    assert line_of(printed, "metrics.json test.psnr")[3:] == ["-0.4", "0.5", "within tolerance"]
    assert line_of(printed, "methods.csv center.telea.l1_hole")[-2:] == ["–", "different"]
    assert printed.count("not in the report\n") == 7  # masks, intervals, differences, slices and three curves
    said = "reports/second is NOT confirmed: 168 numbers, 166 identical, 1 within tolerance, 1 different"
    assert "reports/second/made_on.json does not say what made the results of pretrain_generator" in printed
    assert printed.splitlines()[-1] == f"{said}; judged by reports/second/tolerances.json"
    assert not (project.folder / "mlflow.db").exists()
    assert not clones(temporary)


def test_failed_rebuild_is_kept_and_a_stopped_one_removed(project: Project, tmp_path: Path) -> None:
    """The rebuild is by the code of the commit, which here is broken, and not by that of the working tree."""
    write_report(project.folder / "reports/some")
    assert "params.yaml: no such file; put" in verify(project, "reports/some", tmp_path / "t", expect=1)
    shutil.copy(project.folder / "params.yaml", project.folder / "reports/some")
    source = project.folder / "src/glcic/data/sources/celeba_layout.py"
    text = source.read_text()
    source.write_text('raise SystemExit("broken in the commit")\n')
    commit(project, "broken")
    source.write_text(text)
    printed = verify(project, "reports/some", tmp_path / "t", expect=1)
    assert "not committed and so not verified: src/glcic/data/sources/celeba_layout.py" in printed
    assert "tolerances.json: no such file; only identical numbers count" in printed
    assert "broken in the commit" in printed
    (kept,) = clones(tmp_path / "t")
    assert f"kept in {kept.resolve()}" in printed
    assert (kept / "dvc.yaml").exists()
    shutil.rmtree(kept)

    source.write_text("import time\n\ntime.sleep(600)\n")
    commit(project, "slow")
    command = [sys.executable, "-m", "glcic.cli", "verify", "reports/some"]
    process = project.start(*command, TMPDIR=str(tmp_path / "t"))
    deadline = time.monotonic() + 120
    while not any("pipeline.download" in line for line in running(tmp_path / "t")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "the rebuild is removed" in printed
    assert not clones(tmp_path / "t")
    assert running(tmp_path / "t") == []


def running(folder: Path) -> list[str]:
    """Command lines of all processes that work below the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if folder.resolve() in Path(process.cwd()).parents:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            pass
    return found


def test_what_verify_needs_is_said(tmp_path: Path, project: Project) -> None:
    assert "nothing/metrics.json: no such file; name the folder" in verify(project, "nothing", tmp_path, expect=1)
    write_report(project.folder / "reports", psnr=1.0)
    shutil.rmtree(project.folder / ".git")
    assert "no git commit here" in verify(project, "reports", tmp_path, expect=1)
    (project.folder / "params.yaml").unlink()
    assert "params.yaml: no such file; run from the project's root" in verify(project, "reports", tmp_path, expect=1)


@pytest.mark.long
def test_the_reports_of_this_repository_are_confirmed(tmp_path: Path) -> None:
    """Rebuilds the default report from the commit; minutes."""
    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "clone"], check=True)
    (tmp_path / "temporary").mkdir()
    process = subprocess.run(
        [sys.executable, "-m", "glcic.cli", "verify"],
        cwd=tmp_path / "clone",
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    assert "reports is confirmed" in process.stdout
    assert not clones(tmp_path / "temporary")
