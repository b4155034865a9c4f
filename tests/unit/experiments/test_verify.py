"""A report beside its rebuild: what is said of every number."""

import json
from pathlib import Path

import pytest

from glcic import paths
from glcic.errors import UserError
from glcic.experiments.verify import (
    SAME_METRICS,
    Verdict,
    _at_hand,
    _environment,
    altered_files,
    compare,
    compare_files,
    confirmed,
    read_numbers,
    read_tolerances,
    rule_for,
    summary,
    table,
)
from glcic.params import Params, validate
from glcic.paths import ReportFolder
from glcic.tracking import made_on
from support.project import ROOT, default_tree, merge
from support.reports import change, write_report

PSNR = ("metrics.json", "test", "psnr")
SSIM = ("methods.csv", "center", "telea", "ssim")


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
    line = next(line for line in table(compared).splitlines() if "metrics.json test.psnr " in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:3] == ["26.400000", "null" if rebuilt is None else f"{rebuilt:.6f}"]
    assert cells[-1] == verdict.value
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
    assert last == "| methods.csv center.telea.ssim | 0.700000 | – | – | – | not in the rebuild |"
    (tmp_path / "report/methods.csv").rename(tmp_path / "report/validation.csv")
    assert {name[0] for name in read_numbers(tmp_path / "report")} == {"metrics.json", "validation.csv"}
    (tmp_path / "report/validation.csv").unlink()
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


def test_tables_of_an_older_report_need_not_have_newer_metrics(tmp_path: Path) -> None:
    older, newer = tmp_path / "older", tmp_path / "newer"
    rows = ["mask_set,method,metric,mean", "box,completion,psnr,25.0", "box,completion,swd,90.0"]
    for folder, text in ((older, rows[:2]), (newer, rows)):
        folder.mkdir()
        (folder / "intervals.csv").write_text("\n".join(text) + "\n")
    said = compare_files(older, newer)
    assert said["intervals.csv"] == SAME_METRICS
    assert altered_files(said, []) == []
    assert altered_files(compare_files(newer, older), []) == ["intervals.csv does not follow from the same scores"]
    (older / "intervals.csv").write_text("\n".join(rows[:2]).replace("25.0", "25.1") + "\n")
    assert compare_files(older, newer)["intervals.csv"] == "other bytes"


def test_other_masks_and_altered_tables_are_found(tmp_path: Path) -> None:
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
    assert altered() == ["masks.csv has other masks"]
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
    tree = {"about": "why", "metrics.json": {"test": {"psnr": 0.3}}}
    (tmp_path / "tolerances.json").write_text(json.dumps(tree))
    assert read_tolerances(tmp_path) == {PSNR: 0.3}


def test_a_clone_finds_the_files_that_the_commit_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As named where the commit has them; here where it has not; and where nothing is, here, too."""
    here, clone = tmp_path / "here", tmp_path / "clone"
    for folder in (here / "data/masks", here / "data/split", here / "committed", clone / "committed"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("GLCIC_IMAGES", "data/masks")
    own = {"celeba_dir": "~/data/split", "image_folder": "nowhere"}
    tree = merge(default_tree(), {"runtime": own, "download": {"image_folder": {"split_file": "data/split"}}})
    tree["masks"] = {"name": "files", "folder": "data/masks", "sha256": "0" * 64}
    tree["evaluate"] |= {"mask_sets": ["files"], "mask_folder": {"folder": "committed", "sha256": "0" * 64}}
    found = _at_hand(validate(tree, paths.PARAMS), clone)
    assert found["runtime"]["celeba_dir"] == str(here / "data/split")
    assert found["runtime"]["image_folder"] == str(here / "nowhere")
    assert found["download"]["image_folder"]["split_file"] == str(here / "data/split")
    assert found["masks"]["folder"] == str(here / "data/masks")
    assert found["evaluate"]["mask_folder"]["folder"] == "committed"
    tree["masks"] = [{"weight": 1.0, "name": "half"}, {"weight": 2.0, **tree["masks"]}]
    tree["pretrain_generator"]["init"] = {"path": "data/split", "sha256": "0" * 64}
    found = _at_hand(validate(tree, paths.PARAMS), clone)
    assert found["masks"][1]["folder"] == str(here / "data/masks")
    assert found["pretrain_generator"]["init"]["path"] == str(here / "data/split")
    assert _environment()["GLCIC_IMAGES"] == str(here / "data/masks")
    assert _at_hand(validate(default_tree(), paths.PARAMS), clone) == default_tree()


@pytest.fixture
def params() -> Params:
    return Params.model_validate(default_tree())


@pytest.fixture
def made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: Params) -> Path:
    """A report that was made on this machine, and that states a tolerance of 0.6 dB."""
    monkeypatch.chdir(tmp_path)
    report = write_report(Path("reports"))
    (report / "figures").mkdir()
    for path in (paths.REPORT.figure, *map(paths.REPORT.curve, paths.TRAINING_STAGES)):
        path.write_text(path.name)
    for stage in made_on.STAGES:
        made_on.record(stage, made_on.begin(stage, made_on.machine("cpu", params.runtime)))
    (report / "tolerances.json").write_text(json.dumps({"about": "", "metrics.json": {"test": {"psnr": 0.6}}}))
    return report


def judged(report: Path, tmp_path: Path, params: Params) -> tuple[str, str]:
    """What is said of a rebuild whose PSNR is 0.3 dB higher: before it, and in the summary."""
    rule = rule_for(report, params)
    rebuilt = read_numbers(write_report(tmp_path / "rebuilt", psnr=26.7))
    return rule.said, summary(report, compare(read_numbers(report), rebuilt, rule.tolerances), rule=rule.short)


def test_on_the_same_processor_identical_is_demanded(made_here: Path, tmp_path: Path, params: Params) -> None:
    said, found = judged(made_here, tmp_path, params)
    assert said.endswith("with as many threads: every number must be identical")
    demanded = "made on such a processor, with as many threads: identical demanded"
    assert found == f"reports is NOT confirmed: 7 numbers, 6 identical, 1 different; {demanded}"


def test_on_another_processor_tolerances_judge(made_here: Path, tmp_path: Path, params: Params) -> None:
    entries = json.loads(ReportFolder(made_here).made_on.read_text())
    for entry in entries.values():
        entry["processor"] = "EPYC"
    ReportFolder(made_here).made_on.write_text(json.dumps(entries))
    said, found = judged(made_here, tmp_path, params)
    assert said.startswith("processor EPYC there, ")
    assert said.endswith(" here; numbers are judged by reports/tolerances.json")
    assert found == (
        "reports is confirmed: 7 numbers, 6 identical, 1 within tolerance; judged by reports/tolerances.json"
    )


def test_with_other_threads_tolerances_judge(made_here: Path, tmp_path: Path, params: Params) -> None:
    runtime = params.runtime.model_copy(update={"num_threads": 1})
    said, found = judged(made_here, tmp_path, params.model_copy(update={"runtime": runtime}))
    assert said.startswith("threads 2 there, 1 here; ")
    assert "1 within tolerance" in found


def test_without_a_record_tolerances_judge_and_without_these_nothing_does(
    made_here: Path, tmp_path: Path, params: Params
) -> None:
    ReportFolder(made_here).made_on.unlink()
    said, found = judged(made_here, tmp_path, params)
    assert said.startswith("reports/made_on.json does not say what made the results of pretrain_generator, ")
    assert "1 within tolerance" in found
    (made_here / "tolerances.json").unlink()
    rule = rule_for(made_here, params)
    assert rule.said.endswith("reports/tolerances.json: no such file; only identical numbers count")
    assert rule.tolerances == {}
