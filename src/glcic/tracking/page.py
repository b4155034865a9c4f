"""Layout of the experiment's page in MLflow, which by default shows neither parameters nor scores."""

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
VIEW = "scores"  # opened by the Makefile's `ui`: viewStateShareKey=scores
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"


def _view() -> str:
    widths = dict.fromkeys(RUN_COLUMNS, 140)
    state = {"selectedColumns": RUN_COLUMNS, "columnOrder": RUN_COLUMNS, "columnWidths": widths}
    return json.dumps({"name": "Scores", "createdAt": 0, "state": json.dumps(state)})


# Experiment tags that MLflow's page reads: a banner in Markdown, and a view of the runs table.
PAGE = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": "One run per configuration of `params.yaml`: tick two and press **Compare**.",
    VIEW_TAG: _view(),
}
