"""Verification of a report: rebuild it in a clean clone and compare every number.

A report is a folder with `metrics.json`, `methods.csv`, `validation.csv`, `curves/*.csv`, `made_on.json` and
`tolerances.json`. Where the report was made on such a processor with as many threads, numbers must be identical.
Elsewhere tolerances apply: the file has the keys of the first three, and for each number the largest difference that
the processor and the number of threads account for (tools/measure_tolerances.py).
"""

import json
import math
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from ruamel.yaml import YAML

from glcic import paths
from glcic.errors import UserError
from glcic.evaluation.tables import read_methods
from glcic.experiments.repository import dvc, git, head_commit, uncommitted
from glcic.inference.completer import device_of
from glcic.params import Params, leaves, load, load_report
from glcic.paths import REPORT, ReportFolder
from glcic.report.formatting import markdown
from glcic.tracking import made_on
from glcic.training.code import described, mixed
from glcic.training.stop import Stopped, StopRequest

METRICS_FILE, MANIFEST_FILE = REPORT.metrics.name, REPORT.manifest.name
METHODS_FILES = (REPORT.validation.name, REPORT.methods.name)
DERIVED = tuple(path.name for path in (REPORT.intervals, REPORT.differences, REPORT.slices))  # computed from the scores
ABOUT = "about"  # in tolerances.json: a sentence on their origin

MIXING = (
    "DVC_",
    "MLFLOW_",
)  # prefixes of environment variables that would point the rebuild to files outside the clone

# Parameters that may name the user's files.
USERS_FILES = (
    ("runtime", "celeba_dir"),
    ("runtime", "image_folder"),
    ("download", "image_folder", "split_file"),
    ("masks", "folder"),
    ("evaluate", "mask_folder", "folder"),
    ("pretrain_generator", "init", "path"),
)

ALL_SETS = "all"  # in place of a mask set: the mean over all mask sets

Name = tuple[str, ...]  # of a number: its file, then its keys in the file
Numbers = dict[Name, float | None]  # None where a score is undefined


def place(name: Name) -> tuple[str, str, str, str]:
    """Split, mask set, method and metric of a number."""
    file, *keys = name
    if file == METRICS_FILE:  # means over the mask sets, of the final method
        split, metric = keys
        return split, ALL_SETS, "completion", metric
    mask_set, method, metric = keys
    return "test" if file == REPORT.methods.name else "val", mask_set, method, metric


class Verdict(StrEnum):
    """Result of the comparison for one number."""

    IDENTICAL = "identical"
    WITHIN = "within tolerance"
    DIFFERENT = "different"
    NOT_REPORTED = "not in the report"
    NOT_REBUILT = "not in the rebuild"


FAILED = (Verdict.DIFFERENT, Verdict.NOT_REBUILT)  # the rebuild does not confirm the report


@dataclass(frozen=True)
class Compared:
    """A number of a report and its rebuilt value, in the number's own unit.

    Attributes:
        name: file and keys of the number.
        reported: value in the report.
        rebuilt: value in the rebuild.
        tolerance: None if none is stated.
        verdict: result of the comparison.
    """

    name: Name
    reported: float | None
    rebuilt: float | None
    tolerance: float | None
    verdict: Verdict

    @property
    def difference(self) -> float | None:
        """Rebuilt minus reported value; None if one of them is missing or undefined."""
        if self.reported is None or self.rebuilt is None:
            return None
        return _difference(self.reported, self.rebuilt)


def read_numbers(report: Path) -> Numbers:
    """Read all numbers of a report's metrics.json and, if present, validation.csv and methods.csv.

    Raises:
        UserError: there is no metrics.json, or a file is invalid.
    """
    metrics = ReportFolder(report).metrics
    if not metrics.is_file():
        raise UserError(f"{metrics}: no such file; name the folder of a report, like reports")
    numbers = metrics_numbers(_text(metrics), str(metrics))
    for table in (report / name for name in METHODS_FILES):
        if table.exists():
            numbers |= methods_numbers(_text(table), table.name, str(table))
    return numbers


def metrics_numbers(text: str, place: str) -> Numbers:
    """Numbers of a metrics.json file by name.

    Args:
        text: contents of the file.
        place: the file, named in errors.

    Raises:
        UserError: it is not valid JSON, is empty, or has values other than finite numbers and null.
    """
    numbers = {(METRICS_FILE, *keys): value for keys, value in _leaves(_tree(text, place), place)}
    if not numbers:
        raise UserError(f"{place}: no numbers in it; {_RESTORE}")
    return numbers


def methods_numbers(text: str, file: str, place: str) -> Numbers:
    """Numbers of a methods.csv file, or of another file with its columns, by name.

    Args:
        text: contents of the file.
        file: name of the file, which begins the numbers' names.
        place: the file, named in errors.

    Raises:
        UserError: it is not such a table, or has values other than finite numbers and empty cells.
    """
    try:
        scores = read_methods(text)
    except (KeyError, ValueError) as error:
        raise UserError(f"{place} is not a table of mask sets, methods and scores: {error}; {_RESTORE}") from None
    return {(file, *keys): value for keys, value in _leaves(scores, place)}


def read_tolerances(report: Path) -> dict[Name, float]:
    """Tolerances of a report, by the numbers' names; empty if it has no tolerances.json.

    Raises:
        UserError: the file is invalid, or a tolerance is not a number of 0 or more.
    """
    path = ReportFolder(report).tolerances
    if not path.exists():
        return {}
    tree = {key: value for key, value in _tree(_text(path), str(path)).items() if key != ABOUT}
    tolerances = {}
    for name, value in _leaves(tree, str(path)):
        if value is None or value < 0:
            raise UserError(f"{path}: {'.'.join(name)}: must be 0 or more; correct it, or remove it to state none")
        tolerances[name] = value
    return tolerances


def compare(
    reported: Mapping[Name, float | None], rebuilt: Mapping[Name, float | None], tolerances: Mapping[Name, float]
) -> list[Compared]:
    """Compare all numbers, in the order of the report. Without a tolerance, only equal numbers are confirmed."""
    compared = []
    for name in dict.fromkeys([*reported, *rebuilt]):
        before, after, tolerance = (numbers.get(name) for numbers in (reported, rebuilt, tolerances))
        if name not in reported:
            verdict = Verdict.NOT_REPORTED
        elif name not in rebuilt:
            verdict = Verdict.NOT_REBUILT
        elif before == after:
            verdict = Verdict.IDENTICAL
        elif before is None or after is None or tolerance is None:
            verdict = Verdict.DIFFERENT
        else:
            verdict = Verdict.WITHIN if abs(_difference(before, after)) <= tolerance else Verdict.DIFFERENT
        compared.append(Compared(name, before, after, tolerance, verdict))
    return compared


def _difference(before: float, after: float) -> float:
    return round(after - before, 12)  # 0.3 - 0.1 is 0.2, not 0.19999999999999998


def confirmed(compared: Iterable[Compared]) -> bool:
    """Whether the rebuild has every number of the report, within its tolerance."""
    return not any(number.verdict in FAILED for number in compared)


def table(compared: Sequence[Compared]) -> str:
    """Format the comparison as a Markdown table, one number per line."""
    header = ("number", "reported", "rebuilt", "difference", "tolerance", "verdict")
    rows = [
        [
            f"{number.name[0]} {'.'.join(number.name[1:])}",
            "–" if number.verdict is Verdict.NOT_REPORTED else _shown(number.reported, ".6f"),
            "–" if number.verdict is Verdict.NOT_REBUILT else _shown(number.rebuilt, ".6f"),
            "–" if number.difference is None else _shown(number.difference, "+.6g" if number.difference else ".0f"),
            "–" if number.tolerance is None else _shown(number.tolerance, ".6g"),
            number.verdict.value,
        ]
        for number in compared
    ]
    return markdown(header, rows)


def _shown(value: float | None, form: str) -> str:
    return "null" if value is None else format(value, form)


@dataclass(frozen=True)
class Rule:
    """What is demanded of a rebuild.

    Attributes:
        said: the rule and its reason, for a note before the rebuild.
        short: the rule, for the summary.
        tolerances: largest differences by the numbers' names; without one, a number must be identical.
    """

    said: str
    short: str
    tolerances: Mapping[Name, float]


def rule_for(report: Path, params: Params) -> Rule:
    """Choose what is demanded here of a report's rebuild.

    Args:
        report: folder of the report.
        params: parameters of the rebuild, with the runtime section used here.

    Raises:
        UserError: the report's tolerances are invalid.
    """
    files = ReportFolder(report)
    tolerances = read_tolerances(report)
    differing = made_on.differences(files, made_on.machine(str(device_of(params.runtime.accelerator)), params.runtime))
    if not differing:
        same = "on such a processor, with as many threads"
        return Rule(f"{report} was made {same}: every number must be identical", f"made {same}: identical demanded", {})
    why = "; ".join(differing)
    if not files.tolerances.exists():
        return Rule(
            f"{why}; {files.tolerances}: no such file; only identical numbers count",
            f"identical demanded, for want of {files.tolerances}",
            {},
        )
    return Rule(f"{why}; numbers are judged by {files.tolerances}", f"judged by {files.tolerances}", tolerances)


def summary(report: Path, compared: Sequence[Compared], altered: Sequence[str] = (), rule: str = "") -> str:
    """One line with the number of each verdict, the overall result and the rule by which it was found.

    Args:
        report: folder of the report.
        compared: the compared numbers.
        altered: result of `altered_files`.
        rule: the rule in short.
    """
    counts = Counter(number.verdict for number in compared)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    verdict = "confirmed" if confirmed(compared) and not altered else "NOT confirmed"
    return "; ".join([f"{report} is {verdict}: {len(compared)} numbers, {said}", *altered, *([rule] if rule else [])])


SAME = "byte-identical"
SAME_METRICS = "identical in the metrics that the report has"


def compare_files(report: Path, rebuilt: Path) -> dict[str, str]:
    """Compare the bytes of all curves and of the tables that are not compared number by number, file → result."""
    folders = (report, rebuilt)
    tables = [name for name in (MANIFEST_FILE, *DERIVED) if any((folder / name).exists() for folder in folders)]
    curves = {
        path.relative_to(folder).as_posix() for folder in folders for path in ReportFolder(folder).curves.glob("*.csv")
    }
    said = {}
    for name in [*tables, *sorted(curves)]:
        before, after = report / name, rebuilt / name
        if not before.exists():
            said[name] = Verdict.NOT_REPORTED.value
        elif not after.exists():
            said[name] = Verdict.NOT_REBUILT.value
        else:
            said[name] = SAME if before.read_bytes() == after.read_bytes() else "other bytes"
            if said[name] != SAME and name in DERIVED and _same_rows(before, after):
                said[name] = SAME_METRICS
    return said


def _same_rows(before: Path, after: Path) -> bool:
    """Whether a table has the rows that a rebuild has of its metrics: an older report lacks some metrics."""
    try:
        reported, rebuilt = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in (before, after))
    except ValueError:  # no table
        return False
    if "metric" not in reported or "metric" not in rebuilt:
        return False
    return reported.equals(rebuilt[rebuilt["metric"].isin(reported["metric"])].reset_index(drop=True))


def altered_files(said: Mapping[str, str], compared: Sequence[Compared]) -> list[str]:
    """Describe the files, besides the numbers, that contradict a report.

    The masks must be the same everywhere. Tables computed from the scores have no tolerance, but must be identical if
    all scores are.
    """
    kept = {name: how for name, how in said.items() if how not in (SAME, SAME_METRICS, Verdict.NOT_REPORTED.value)}
    found = [f"{MANIFEST_FILE} has other masks"] if MANIFEST_FILE in kept else []
    if all(number.verdict in (Verdict.IDENTICAL, Verdict.NOT_REPORTED) for number in compared):
        found += [f"{name} does not follow from the same scores" for name in DERIVED if name in kept]
    return found


_RESTORE = "restore it, or rebuild it with `dvc repro`"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text: {error}; {_RESTORE}") from None


def _tree(text: str, place: str) -> dict[str, Any]:
    def refuse(constant: str) -> NoReturn:
        raise UserError(f"{place}: {constant} is not a number that can be compared; write null for undefined values")

    try:
        tree = json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise UserError(f"{place} is not valid JSON: {error}; correct it or restore it") from None
    if not isinstance(tree, dict):
        raise UserError(f"{place}: must be an object of objects of numbers; {_RESTORE}")
    return tree


def _leaves(tree: Mapping[str, Any], place: str) -> Iterator[tuple[Name, float | None]]:
    for name, value in leaves(tree):
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number and value is not None:
            raise UserError(
                f"{place}: {'.'.join(name)}: must be a finite number or undefined, not {value!r}; correct it"
            )
        yield name, float(value) if number else None


def verify(report: Path) -> bool:
    """Rebuild a report in a clean clone, and print for each number whether it is confirmed.

    The code is that of the checked-out commit. Parameters and numbers are those of the report in the working tree, so
    a number changed by hand is found. Nothing from DVC's cache here is used.

    Args:
        report: folder of the report; its own params.yaml is used if it has one.

    Returns:
        Whether the whole report is confirmed.

    Raises:
        Stopped: a signal arrived; nothing of the rebuild is left.
        UserError: the report is invalid, or the rebuild failed.
    """
    with StopRequest() as stop:
        try:
            return _verify(report, stop)
        except Stopped:
            raise Stopped("stopped; the rebuild is removed, nothing was verified") from None


def _verify(report: Path, stop: StopRequest) -> bool:
    reported = read_numbers(report)
    source = parameters_of(report)
    params = here(source)
    rule = rule_for(report, params)
    commit = head_commit()
    print(f"rebuilding {report}, preset {params.preset}, with the code of commit {commit[:7]}")
    changed = uncommitted()
    if unverified := [path for path in changed if path.split("/")[0] in paths.CODE]:
        print(f"note: not committed and so not verified: {', '.join(unverified)}")
    if source == paths.PARAMS and str(source) in changed:
        print(f"note: {source} has uncommitted changes; {report} is rebuilt with them")
    print(rule.said)
    for stage, versions in _versions(report).items():
        print(f"note: {described(stage, versions)}; a rebuild by one version may give other numbers")
    sys.stdout.flush()
    with rebuilt(params, commit, stop) as made:
        compared = compare(reported, read_numbers(made), rule.tolerances)
        files = compare_files(report, made)
        altered = altered_files(files, compared)
        print("", *(f"{name}: {said}" for name, said in files.items()), "", table(compared), "", sep="\n")
        print(summary(report, compared, altered, rule.short), flush=True)
        return confirmed(compared) and not altered


@contextmanager
def rebuilt(params: Params, commit: str, stop: StopRequest, **environment: str) -> Iterator[Path]:
    """Rebuild a report in a clean clone, and yield the folder of the new one, which is removed afterwards.

    Args:
        params: parameters of the rebuild.
        commit: the commit to clone.
        stop: request to stop it.
        environment: environment variables that differ from those here.

    Raises:
        Stopped: a signal arrived; nothing of the rebuild is left.
        UserError: the rebuild failed, and is kept.
    """
    folder = Path(tempfile.mkdtemp(prefix="glcic-verify-")).resolve()
    keep = False
    try:
        project = _clone(commit, folder)
        with (project / paths.PARAMS).open("w", encoding="utf-8") as file:
            YAML(typ="safe").dump(_at_hand(params, project), file)
        dvc("repro", "--force", stop=stop, folder=project, environment=_environment() | environment)
        yield project / paths.REPORT.folder
    except UserError as error:
        stop.check()  # Ctrl-C also reaches git and makes it fail
        keep = True
        raise UserError(f"the rebuild failed and is kept in {folder}; inspect and remove it: {error}") from None
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def parameters_of(report: Path) -> Path:
    """File with the report's parameters: its own, or the project's for the report that the stages write.

    Raises:
        UserError: there is none.
    """
    own = report / paths.PARAMS.name
    if own.exists():
        return own
    if report.resolve() != paths.REPORT.folder.resolve():
        raise UserError(f"{own}: no such file; put the parameters of the report there")
    return paths.PARAMS


def _versions(report: Path) -> dict[str, list[dict[str, Any]]]:
    """Stages that several versions of the code trained: of a kept report, or of the present models."""
    if report.resolve() == paths.REPORT.folder.resolve():
        return mixed(paths.MODELS)
    kept = report / paths.CODE_VERSIONS
    return json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}


def here(source: Path) -> Params:
    """Parameters of a file, with the runtime section used here and without tracking.

    Raises:
        UserError: they are invalid.
    """
    present = load(paths.PARAMS)
    runtime = present.runtime.model_copy(update={"deterministic": True})  # a rebuild that varies confirms nothing
    tracking = present.tracking.model_copy(update={"enabled": False})
    return load_report(source).model_copy(update={"runtime": runtime, "tracking": tracking})


def _at_hand(params: Params, project: Path) -> dict[str, Any]:
    """Parameters as plain data, in which the clone finds the user's files: those that the commit lacks are here."""
    tree: dict[str, Any] = params.model_dump(mode="json")
    for *keys, name in USERS_FILES:
        section: Any = tree
        for key in keys:
            section = section[key] or {}
        for one in section if isinstance(section, list) else [section]:  # several kinds of masks
            path = one.get(name)
            if path is not None and not (project / path).exists():
                one[name] = str(paths.given(path).resolve())
    return tree


def _clone(commit: str, folder: Path) -> Path:
    """Clone the commit without its reports, so that none can pass for rebuilt; returns the project's folder."""
    prefix = git("rev-parse", "--show-prefix").strip()  # not empty if the project is a folder of a larger repository
    git("clone", "--quiet", "--no-checkout", git("rev-parse", "--show-toplevel").rstrip("\n"), str(folder))
    git("-C", str(folder), "checkout", "--quiet", "--detach", commit)
    project = folder / prefix
    shutil.rmtree(project / paths.REPORT.folder, ignore_errors=True)
    # A cache of the clone's own, whatever DVC's global configuration says.
    (project / ".dvc/config.local").write_text("[cache]\n    dir = cache\n", encoding="utf-8")
    return project


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(MIXING)}
    data = {name: str(paths.given(kept[name]).resolve()) for name in ("GLCIC_CELEBA", "GLCIC_IMAGES") if kept.get(name)}
    return kept | data  # relative to the current folder, not to the clone
