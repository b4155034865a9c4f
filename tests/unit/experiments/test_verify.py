"""A report beside its rebuild: the comparison alone, and `glcic verify` with real rebuilds of a tiny project."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from glcic.errors import UserError
from glcic.evaluation.tables import write_methods
from glcic.experiments.verify import (
    Verdict,
    altered_files,
    compare,
    compare_files,
    confirmed,
    read_numbers,
    read_tolerances,
    summary,
    table,
)
from support.project import ROOT, Project

PSNR = ("metrics.json", "test", "center", "psnr")
SSIM = ("methods.csv", "center", "telea", "ssim")
STAGES = (
    "pretrain_generator",
    "pretrain_discriminators",
    "train_joint",
    "evaluate",
    "report",
)  # after download and crop


def write_report(folder: Path, psnr: float | None = 26.4) -> Path:
    """A report of seven numbers, one of them undefined."""
    (folder / "curves").mkdir(parents=True)
    (folder / "curves/train_joint.csv").write_text("step\n2\n")
    metrics = {"test": {"center": {"l1_hole": 6.5, "psnr": psnr, "ssim": None}}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    scores: dict[str, float | None] = {"l1_hole": 14.0, "l1": 3.5, "psnr": None, "ssim": 0.7}
    (folder / "methods.csv").write_text(write_methods({"center": {"telea": scores}}))
    return folder


@pytest.mark.parametrize(
    ("rebuilt", "tolerance", "verdict"),
    [
        (26.4, None, Verdict.IDENTICAL),
        (26.4, 0.0, Verdict.IDENTICAL),
        (26.7, 0.3, Verdict.WITHIN),  # though 26.7 - 26.4 is a little more than 0.3
        (26.1, 0.3, Verdict.WITHIN),
        (26.7, 0.29, Verdict.DIFFERENT),
        (26.400001, None, Verdict.DIFFERENT),
        (None, 0.3, Verdict.DIFFERENT),
    ],
)
def test_each_number_has_its_verdict(
    tmp_path: Path, rebuilt: float | None, tolerance: float | None, verdict: Verdict
) -> None:
    report = read_numbers(write_report(tmp_path / "report"))
    other = read_numbers(write_report(tmp_path / "rebuilt", psnr=rebuilt))
    compared = compare(report, other, {} if tolerance is None else {PSNR: tolerance})
    assert len(compared) == 7
    assert {number.name for number in compared if number.verdict is not Verdict.IDENTICAL} <= {PSNR}
    assert next(number for number in compared if number.name == PSNR).verdict is verdict
    assert confirmed(compared) == (verdict is not Verdict.DIFFERENT)
    line = next(line for line in table(compared).splitlines() if line.startswith("metrics.json test.center.psnr "))
    assert line.split()[2:4] == ["26.400000", "null" if rebuilt is None else f"{rebuilt:.6f}"]
    assert line.endswith(verdict.value)
    assert f"1 {verdict}" in summary(tmp_path, compared) or verdict is Verdict.IDENTICAL


def test_undefined_on_both_sides_is_identical(tmp_path: Path) -> None:
    numbers = read_numbers(write_report(tmp_path / "report", psnr=None))
    assert {number.verdict for number in compare(numbers, dict(numbers), {})} == {Verdict.IDENTICAL}


def test_what_one_side_lacks_is_said(tmp_path: Path) -> None:
    whole = read_numbers(write_report(tmp_path / "report"))
    part = {name: value for name, value in whole.items() if name != SSIM}
    compared = compare(part, whole, {})
    assert compared[-1].verdict is Verdict.NOT_REPORTED  # not compared
    assert confirmed(compared)
    assert "1 not in the report" in summary(Path("reports"), compared)
    compared = compare(whole, part, {})
    assert compared[-1].verdict is Verdict.NOT_REBUILT  # a claim that nothing bears out
    assert not confirmed(compared)
    last = " ".join(table(compared).splitlines()[-1].split())
    assert last == "methods.csv center.telea.ssim 0.700000 – – – not in the rebuild"
    (tmp_path / "report/methods.csv").unlink()
    assert {name[0] for name in read_numbers(tmp_path / "report")} == {"metrics.json"}


@pytest.mark.parametrize("report", [ROOT / "reports", ROOT / "reports/celeba-small"], ids=["default", "celeba-small"])
def test_reports_state_a_tolerance_for_every_number(report: Path) -> None:
    assert read_numbers(report).keys() <= read_tolerances(report).keys()


def test_curves_and_further_tables_are_compared_byte_by_byte(tmp_path: Path) -> None:
    report, rebuilt = write_report(tmp_path / "report"), write_report(tmp_path / "rebuilt")
    assert compare_files(report, rebuilt) == {"curves/train_joint.csv": "byte-identical"}
    (rebuilt / "curves/train_joint.csv").write_text("step\n3\n")
    (report / "curves/old.csv").write_text("step\n")
    (rebuilt / "curves/new.csv").write_text("step\n")
    for folder, digest in ((report, "a"), (rebuilt, "b")):
        (folder / "masks.csv").write_text(f"sha256\n{digest}\n")
    (rebuilt / "intervals.csv").write_text("mean\n")
    assert compare_files(report, rebuilt) == {
        "masks.csv": "other bytes",
        "intervals.csv": "not in the report",
        "curves/new.csv": "not in the report",
        "curves/old.csv": "not in the rebuild",
        "curves/train_joint.csv": "other bytes",
    }


def test_other_holes_and_altered_tables_are_found(tmp_path: Path) -> None:
    report, rebuilt = write_report(tmp_path / "report"), write_report(tmp_path / "rebuilt")
    for name in ("masks.csv", "intervals.csv"):
        for folder in (report, rebuilt):
            (folder / name).write_text("as it was\n")

    def altered() -> list[str]:
        compared = compare(read_numbers(report), read_numbers(rebuilt), {})
        found = altered_files(compare_files(report, rebuilt), compared)
        confirms = not found and confirmed(compared)
        assert ("NOT confirmed" not in summary(report, compared, found)) == confirms
        return found

    assert altered() == []
    (report / "intervals.csv").write_text("otherwise\n")
    assert altered() == ["intervals.csv does not follow from the same scores"]
    change(rebuilt, 0.1)  # another processor: intervals move with the scores
    assert altered() == []
    (report / "masks.csv").write_text("otherwise\n")
    assert altered() == ["masks.csv has other holes"]
    (report / "masks.csv").unlink()
    assert altered() == []


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("metrics.json", None, "metrics.json: no such file"),
        ("metrics.json", "{", "metrics.json is not valid JSON"),
        ("metrics.json", "[1]", "metrics.json: must be an object"),
        ("metrics.json", "{}", "metrics.json: no numbers"),
        ("metrics.json", '{"test": {"psnr": NaN}}', "metrics.json: NaN is not a number"),
        ("metrics.json", '{"test": {"psnr": 1e999}}', "metrics.json: test.psnr: must be a finite number"),
        ("metrics.json", '{"test": {"psnr": "26"}}', "metrics.json: test.psnr: must be a finite number"),
        ("metrics.json", '{"test": {"psnr": true}}', "metrics.json: test.psnr: must be a finite number"),
        ("methods.csv", "mask_set,method,l3\ncenter,telea,1\n", "methods.csv is not a table of"),
        ("methods.csv", "mask_set,method,l1_hole,l1,psnr,ssim\nc,t,1,1,x,1\n", "methods.csv is not a table of.*'x'"),
        ("methods.csv", "mask_set,method,l1_hole,l1,psnr,ssim\nc,t,1,1,nan,1\n", "methods.csv: c.t.psnr: must be"),
        ("tolerances.json", '{"about": "x", "metrics.json": {"psnr": -1}}', "metrics.json.psnr: must be 0 or more"),
        ("tolerances.json", '{"metrics.json": {"psnr": null}}', "metrics.json.psnr: must be 0 or more"),
        ("tolerances.json", "0.3", "tolerances.json: must be an object"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, file: str, text: str | None, said: str) -> None:
    report = write_report(tmp_path)
    if text is None:
        (report / file).unlink()
    else:
        (report / file).write_text(text)
    with pytest.raises(UserError, match=said):
        read_tolerances(report) if file == "tolerances.json" else read_numbers(report)


def test_tolerances_have_the_numbers_names(tmp_path: Path) -> None:
    assert read_tolerances(tmp_path) == {}
    tree = {"about": "why", "metrics.json": {"test": {"center": {"psnr": 0.3}}}}
    (tmp_path / "tolerances.json").write_text(json.dumps(tree))
    assert read_tolerances(tmp_path) == {PSNR: 0.3}


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
    return next(line for line in printed.splitlines() if line.startswith(f"{number} ")).split()


def change(report: Path, difference: float) -> None:
    """Change a reported number by hand: PSNR of `completion` on the test split's centre."""
    metrics: dict[str, Any] = json.loads((report / "metrics.json").read_text())
    metrics["test"]["center"]["psnr"] += difference
    (report / "metrics.json").write_text(json.dumps(metrics))


def make_report(project: Project) -> Path:
    """Run the pipeline, state a tolerance, and commit; returns the folder of the report."""
    for stage in STAGES:
        project.stage(stage)
    tolerances = {"about": "by hand", "metrics.json": {"test": {"center": {"psnr": 0.5}}}}
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
    assert printed.splitlines()[-1] == "reports is confirmed: 120 numbers, 120 identical"
    assert project.bytes_of("reports/**/*.*", "params.yaml") == before
    assert not clones(temporary)


def test_rebuild_finds_a_changed_number(project: Project, tmp_path: Path) -> None:
    """A report with parameters of its own, of which one number is changed within the tolerance and one beyond."""
    reports = make_report(project)
    second = reports / "second"
    second.mkdir()
    for name in ("metrics.json", "methods.csv", "tolerances.json"):
        shutil.copy(reports / name, second)
    shutil.copy(project.folder / "params.yaml", second)
    change(second, 0.4)
    methods = (second / "methods.csv").read_text().replace("center,telea,", "center,telea,1")
    (second / "methods.csv").write_text(methods)
    project.set({"seed": 5, "tracking": {"enabled": True}})  # not of that report
    temporary = tmp_path / "temporary"
    printed = verify(project, "reports/second", temporary, expect=1)
    for number in ("metrics.json val.box.ssim", "methods.csv box.telea.l1"):
        assert line_of(printed, number)[4] == "0"
        assert line_of(printed, number)[-1] == "identical"
    assert line_of(printed, "metrics.json test.center.psnr")[4:] == ["-0.4", "0.5", "within", "tolerance"]
    assert line_of(printed, "methods.csv center.telea.l1_hole")[-2:] == ["–", "different"]
    assert printed.count("not in the report\n") == 7  # masks, intervals, differences, slices and three curves
    said = "reports/second is NOT confirmed: 120 numbers, 118 identical, 1 within tolerance, 1 different"
    assert printed.splitlines()[-1] == said
    assert not (project.folder / "mlflow.db").exists()
    assert not clones(temporary)


def test_failed_rebuild_is_kept_and_a_stopped_one_removed(project: Project, tmp_path: Path) -> None:
    """The rebuild is by the code of the commit, which here is broken, and not by that of the working tree."""
    write_report(project.folder / "reports/some")
    assert "params.yaml: no such file; put" in verify(project, "reports/some", tmp_path / "t", expect=1)
    shutil.copy(project.folder / "params.yaml", project.folder / "reports/some")
    source = project.folder / "src/glcic/data/sources/raw.py"
    text = source.read_text()
    source.write_text('raise SystemExit("broken in the commit")\n')
    commit(project, "broken")
    source.write_text(text)
    printed = verify(project, "reports/some", tmp_path / "t", expect=1)
    assert "not committed and so not verified: src/glcic/data/sources/raw.py" in printed
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
    (project.folder / "pipeline/verify.py").unlink()
    assert "run `glcic verify` from the project's root" in verify(project, "reports", tmp_path, expect=1)


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
