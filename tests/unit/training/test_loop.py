"""The loop: resuming and going on are bit-identical, stopping is clean, schedules and estimates do what they say."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from glcic.data.batches import TrainingBatches, validation_batches
from glcic.data.packed import PackedImages
from glcic.errors import UserError
from glcic.params import Adadelta, Params, TrainJoint
from glcic.phases.train_joint import TrainJointPhase
from glcic.training import loop
from glcic.training.checkpoints import Checkpoints, checkpoint_key, extendable
from glcic.training.finished import settle
from glcic.training.loop import TrainState, start_fabric, train
from glcic.training.optimizers import build_optimizer, lr_factor, set_lr
from glcic.training.stop import Stopped
from support.networks import generator, global_local
from support.project import TINY, Project, default_tree, merge


def params(**joint: Any) -> Params:
    return Params.model_validate(merge(merge(default_tree(), TINY), {"train_joint": joint}))


PARAMS = params()
# Everything that a step carries to the next one, beside networks and optimizers. In its first six steps the tiny
# discriminator is right less often than by chance, so a threshold must lie lower than users may set it.
STATEFUL = {"ema_decay": 0.5, "d_skip_accuracy": 0.4925, "max_grad_norm": 0.1, "grad_accum_steps": 2}


class Watcher:
    """Sees where a training starts, and can raise a signal after a given validation."""

    def __init__(self, kill_at: int = 0) -> None:
        self.kill_at = kill_at
        self.started_at = -1

    def see(self, state: TrainState) -> None:
        if self.started_at < 0:
            self.started_at = state.step
        elif state.step == self.kill_at:
            os.kill(os.getpid(), signal.SIGTERM)


def run(
    cropped: Project, checkpoints: Checkpoints, watcher: Watcher, section: TrainJoint = PARAMS.train_joint
) -> tuple[TrainJointPhase, TrainState]:
    """Train the joint phase, the one with most state; for 6 steps unless told otherwise."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1)
    G, D = generator(0.0625), global_local(16, 8, 3, 2, 0.0625)
    phase = TrainJointPhase(fabric, G, D, section, PARAMS.gan, PARAMS.input, [0.5] * 3)
    folder = cropped.folder / "data" / "images"
    batches = TrainingBatches(
        PackedImages(folder, "train"),
        seed=0,
        stage="train_joint",
        batch_size=section.batch_size,
        masks=PARAMS.masks,
        augmentation=PARAMS.augmentation,
        local_window=8,
    )
    fixed = validation_batches(
        PackedImages(folder, "val"), seed=0, num_images=4, batch_size=4, masks=PARAMS.masks, local_window=8
    )
    state = TrainState()
    for state in train(
        phase, batches, fixed, section, checkpoints, num_workers=0, parent=os.getppid(), score="val_psnr"
    ):
        watcher.see(state)
    return phase, state


def weights(phase: TrainJointPhase) -> dict[str, Tensor]:
    """Networks, moving averages and memory of a phase."""
    modules = {**phase.networks, **{f"average of {name}": average for name, average in phase.averages.items()}}
    tensors = {f"{n}.{k}": v.clone() for n, module in modules.items() for k, v in module.state_dict().items()}
    return tensors | phase.memory


@pytest.mark.parametrize(("kill_at", "changes"), [(2, {}), (4, {}), (2, STATEFUL), (4, STATEFUL)])
def test_resuming_is_bit_identical(cropped: Project, tmp_path: Path, kill_at: int, changes: dict[str, Any]) -> None:
    """Also of what a moving average, skipped steps and batches in parts carry from step to step."""
    section = PARAMS.train_joint.model_copy(update=changes)
    phase, whole = run(cropped, Checkpoints(tmp_path / "whole", "train_joint", "f" * 64), Watcher(), section)
    expected = weights(phase)
    if changes:
        assert len(set(phase.memory["accuracies"].tolist())) > 1  # there is something to lose
        assert 0 < sum(point["d_skipped"] for point in whole.curve) < len(whole.curve)

    checkpoints, watcher = Checkpoints(tmp_path / "cut", "train_joint", "f" * 64), Watcher(kill_at)
    with pytest.raises(Stopped, match=f"step {kill_at} of 6"):
        run(cropped, checkpoints, watcher, section)
    watcher = Watcher()
    phase, resumed = run(cropped, checkpoints, watcher, section)
    assert watcher.started_at == kill_at
    assert [point["step"] for point in resumed.curve] == [2, 4, 6]
    assert_same(phase, resumed, expected, whole)


def assert_same(phase: TrainJointPhase, state: TrainState, expected: dict[str, Tensor], whole: TrainState) -> None:
    """Curve, last and best weights, to the bit."""
    assert state.curve == whole.curve
    actual = weights(phase)
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    for name, best in whole.best["generator"].items():
        assert torch.equal(best, state.best["generator"][name])


def test_finished_training_is_found_finished(cropped: Project, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "train_joint", "f" * 64)
    phase, _ = run(cropped, checkpoints, Watcher())
    watcher = Watcher()
    again, _ = run(cropped, checkpoints, watcher)
    assert watcher.started_at == 6
    assert all(torch.equal(a, b) for a, b in zip(weights(phase).values(), weights(again).values(), strict=True))


def of_steps(steps: int, **changes: Any) -> TrainJoint:
    return PARAMS.train_joint.model_copy(update={"steps": steps, "lr_schedule": "constant", **changes})


@pytest.mark.parametrize(
    ("shorter", "changes"), [(4, {}), (5, {}), (3, STATEFUL)], ids=["on the grid", "off the grid", "stateful"]
)
def test_a_longer_training_goes_on_from_a_shorter_one(
    cropped: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], shorter: int, changes: dict[str, Any]
) -> None:
    """Bit-identical, also where the shorter one's last validation is none of the longer one's."""
    phase, whole = run(
        cropped, Checkpoints(tmp_path / "whole", "train_joint", "f" * 64), Watcher(), of_steps(7, **changes)
    )
    expected = weights(phase)

    checkpoints, models = Checkpoints(tmp_path / "two", "train_joint", "f" * 64), tmp_path / "models"
    _, short = run(cropped, checkpoints, Watcher(), of_steps(shorter, **changes))
    assert short.curve[-1]["step"] == shorter
    models.mkdir()
    checkpoints.finish(models, extendable=True)
    settle(tmp_path / "two", "train_joint", models)
    capsys.readouterr()
    watcher = Watcher()
    phase, longer = run(cropped, checkpoints, watcher, of_steps(7, **changes))
    assert watcher.started_at == shorter
    assert f"train_joint: goes on from the finished training of {shorter} steps" in capsys.readouterr().out
    assert [point["step"] for point in longer.curve] == [2, 4, 6, 7]
    assert_same(phase, longer, expected, whole)
    assert checkpoints.finished is None  # what the checkpoint is of now has not been recorded


def test_a_shorter_training_starts_from_nothing(cropped: Project, tmp_path: Path) -> None:
    phase, whole = run(cropped, Checkpoints(tmp_path / "whole", "train_joint", "f" * 64), Watcher(), of_steps(3))
    expected = weights(phase)
    checkpoints = Checkpoints(tmp_path / "two", "train_joint", "f" * 64)
    run(cropped, checkpoints, Watcher(), of_steps(6))
    watcher = Watcher()
    phase, shorter = run(cropped, checkpoints, watcher, of_steps(3))
    assert watcher.started_at == 0
    assert_same(phase, shorter, expected, whole)


def test_only_a_constant_rate_lets_trainings_of_any_length_share_a_folder() -> None:
    def key(steps: int, **changes: Any) -> str:
        section = of_steps(steps, **changes).model_dump(mode="json")
        return checkpoint_key("train_joint", {"seed": 0, "train_joint": section}, [])

    assert key(3) == key(6) != key(6, batch_size=8)
    for falling in ("linear", "cosine"):
        assert key(3, lr_schedule=falling) != key(6, lr_schedule=falling)
        assert not extendable(of_steps(3, lr_schedule=falling).model_dump())
    assert key(0) != key(6), "a skipped phase is no training"


def test_a_training_resumed_after_its_last_step_validates_there(cropped: Project, tmp_path: Path) -> None:
    """As one whose process died between the last checkpoint and writing its models."""
    checkpoints = Checkpoints(tmp_path, "train_joint", "f" * 64)
    section = PARAMS.train_joint.model_copy(update={"steps": 5})  # its rate falls
    phase, whole = run(cropped, checkpoints, Watcher(), section)
    expected = weights(phase)
    saved = checkpoints.load(torch.device("cpu"))
    assert saved is not None
    assert [point["step"] for point in saved["train_state"]["curve"]] == [2, 4]
    phase, resumed = run(cropped, checkpoints, Watcher(), section)
    assert_same(phase, resumed, expected, whole)


def test_a_training_that_dvc_has_recorded_is_repeated_in_earnest(cropped: Project, tmp_path: Path) -> None:
    """`dvc repro --force`, which nothing tells from another start, is to confirm the result."""
    checkpoints, models, watcher = Checkpoints(tmp_path, "train_joint", "f" * 64), tmp_path / "models", Watcher()
    run(cropped, checkpoints, Watcher(), of_steps(2))
    models.mkdir()
    checkpoints.finish(models, extendable=True)
    settle(tmp_path, "train_joint", models)
    run(cropped, checkpoints, watcher, of_steps(2))
    assert watcher.started_at == 0


@pytest.mark.parametrize("changes", [{}, STATEFUL], ids=["plain", "stateful"])
def test_trial_steps_of_the_estimate_are_undone(
    cropped: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
) -> None:
    section = PARAMS.train_joint.model_copy(update=changes)
    phase, _ = run(cropped, Checkpoints(tmp_path / "a", "train_joint", "f" * 64), Watcher(), section)
    assert "about 0.0 minutes" in capsys.readouterr().out
    monkeypatch.setattr(loop, "_announce", lambda *arguments: None)
    untried, _ = run(cropped, Checkpoints(tmp_path / "b", "train_joint", "f" * 64), Watcher(), section)
    assert all(torch.equal(a, b) for a, b in zip(weights(phase).values(), weights(untried).values(), strict=True))


def test_a_checkpoint_that_this_code_cannot_read_is_an_error_that_says_so(cropped: Project, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "train_joint", "f" * 64)
    run(cropped, checkpoints, Watcher(), of_steps(2))
    saved = checkpoints.load(torch.device("cpu"))
    assert saved is not None
    changes: list[dict[str, Any]] = [{"train_state": {"step": 2, "renamed": 1}}, {"networks": {}}, {"optimizers": {}}]
    for change in changes:
        checkpoints.save(saved | change, 2)
        with pytest.raises(UserError, match=r"cannot read the checkpoint.*glcic checkpoints --remove train_joint-ffff"):
            run(cropped, checkpoints, Watcher(), of_steps(4))


def test_no_room_for_checkpoints_stops_before_training(
    cropped: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(loop.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(UserError, match="checkpoints need"):
        run(cropped, Checkpoints(tmp_path, "train_joint", "f" * 64), Watcher())


def test_divergence_is_an_error_that_says_so(cropped: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = TrainJointPhase.step
    monkeypatch.setattr(
        TrainJointPhase, "step", lambda self, parts: {k: v * float("nan") for k, v in original(self, parts).items()}
    )
    with pytest.raises(UserError, match=r"diverged before step 2.*learning rate"):
        run(cropped, Checkpoints(tmp_path, "train_joint", "f" * 64), Watcher())


def test_schedules() -> None:
    assert [lr_factor("linear", k, 4) for k in range(4)] == [1, 0.75, 0.5, 0.25]
    assert [lr_factor("constant", k, 4) for k in range(4)] == [1, 1, 1, 1]
    assert lr_factor("cosine", 0, 4) == 1
    assert lr_factor("cosine", 2, 4) == pytest.approx(0.5)
    assert lr_factor("cosine", 4, 4) == pytest.approx(0)


def test_learning_rate_scales_the_first_one() -> None:
    chosen = Adadelta(name="adadelta", lr=0.8, rho=0.9)
    optimizer = build_optimizer([torch.nn.Parameter(torch.zeros(1))], chosen)
    assert isinstance(optimizer, torch.optim.Adadelta)
    for factor in (0.5, 0.5, 1.0):
        set_lr(optimizer, factor)
        assert optimizer.param_groups[0]["lr"] == 0.8 * factor


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_device_may_choose_faster_algorithms_if_told_so(
    monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda mode, **_: asked.append(mode))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", deterministic)
    start_fabric(PARAMS.runtime.model_copy(update={"deterministic": deterministic}), PARAMS.train_joint)
    assert asked == [deterministic]
    assert torch.backends.cudnn.benchmark == (not deterministic)
