#!/usr/bin/env bash
# On the offline machine: runs the given stages, one after the other, without DVC and MLflow, for at most LIMIT seconds in
# total. A stopped training saves its checkpoint, and the same call resumes it; a finished stage is skipped.
# STEPS="GENERATOR DISCRIMINATORS JOINT" sets the numbers of steps first (a training that has begun then starts over).
# Usage: LIMIT=540 bash .carry/scripts/train.sh STAGE…      Exit status 75: stopped by the limit, call it again.
set -uo pipefail
keep=$HOME/glcic
cd "$keep/project" || exit 1
export GLCIC_CELEBA=$keep/celeba PYTHONPATH=$keep/site:src:. PYTHONUNBUFFERED=1
if [ -n "${STEPS:-}" ]; then
    python3 - $STEPS <<'PY' || exit 1
import sys
from pathlib import Path

from glcic.experiments.presets import commented_yaml, write_params

path = Path("params.yaml")
tree = commented_yaml().load(path)
for stage, steps in zip(("pretrain_generator", "pretrain_discriminators", "train_joint"), sys.argv[1:], strict=True):
    if tree[stage]["steps"] != int(steps):
        tree[stage]["steps"] = int(steps)
        (Path.home() / "glcic" / f"ended-{stage}").unlink(missing_ok=True)
write_params(tree, path)
PY
fi
end=$((SECONDS + ${LIMIT:-540}))
for stage in "$@"; do
    [ -e "$keep/ended-$stage" ] && continue
    left=$((end - SECONDS))
    [ "$left" -gt 20 ] || { echo "no time left before $stage"; exit 75; }
    echo "$stage, at most $left s"
    timeout --signal=TERM --kill-after=25 "$left" python3 -m "pipeline.$stage"
    code=$?
    case $code in
        0) touch "$keep/ended-$stage" ;;
        124 | 137) echo "$stage: stopped by the limit"; exit 75 ;;
        *) echo "$stage: exit status $code"; exit "$code" ;;
    esac
done
nvidia-smi --query-gpu=name,memory.used --format=csv,noheader 2>/dev/null || true
