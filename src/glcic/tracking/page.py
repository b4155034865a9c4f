"""What MLflow's page shows of the experiment: by itself it shows neither a parameter nor a score."""

import json

RUN_COLUMNS = [
    "metrics.`val/center/psnr`",
    "metrics.`test/center/psnr`",
    "metrics.`test/center/ssim`",
    "metrics.`test/center/l1_hole`",
    "metrics.`test/box/psnr`",
    "params.`preset`",
    "params.`seed`",
    "attributes.`Duration`",
]
VIEW = "scores"  # the Makefile's `ui` opens it: viewStateShareKey=scores


def _view() -> str:
    widths = dict.fromkeys(RUN_COLUMNS, 140)
    state = {"selectedColumns": RUN_COLUMNS, "columnOrder": RUN_COLUMNS, "columnWidths": widths}
    return json.dumps({"name": "Scores", "createdAt": 0, "state": json.dumps(state)})


# Tags of the experiment that MLflow's page reads: a banner in Markdown, and a view of the table of runs.
PAGE = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": "One row per configuration of `params.yaml`: tick two and press **Compare**.",
    f"mlflow.sharedViewState.{VIEW}": _view(),
}
