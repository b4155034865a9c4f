#!/usr/bin/env bash
# On the offline machine, from the root of the project's copy there: stores the received files. With a preset, after the last
# piece, it joins and checks CelebA, installs the wheels, applies the preset to a copy of the project, and puts the copy where
# later files do not overwrite it. It may be called again. Usage: bash .carry/scripts/receive.sh [PRESET]
set -euo pipefail
keep=$HOME/glcic
mkdir -p "$keep/celeba"
for piece in .carry/[0-9]*/piece.*; do if [ -e "$piece" ]; then mv "$piece" "$keep/celeba/"; fi; done
if [ -d .carry/lists ]; then cp .carry/lists/* "$keep/celeba/"; fi
[ $# = 1 ] || { ls -l "$keep/celeba"; exit 0; }
[ -e "presets/$1.yaml" ] || { echo "no preset $1" >&2; exit 2; }
if [ ! -e "$keep/celeba/whole" ]; then
    (cd "$keep/celeba" && cat piece.* > img_align_celeba.zip && md5sum -c md5 && touch whole && rm piece.*)
fi
python3 -m pip install -q --upgrade --no-index --no-deps --no-compile --target "$keep/site" .carry/wheels/*.whl
rm -rf "$keep/project" "$keep"/ended-*
mkdir -p "$keep/project"
tar c --exclude=./.carry --exclude=./.venv --exclude=./.git . | tar x -C "$keep/project"
cd "$keep/project"
export PYTHONPATH=$keep/site:src
python3 -m glcic.cli preset "$1"
python3 - "$keep/celeba/md5" "$(nproc)" <<'PY'
import sys
from pathlib import Path

from glcic.experiments.presets import commented_yaml, write_params

path, threads = Path("params.yaml"), int(sys.argv[2])
tree = commented_yaml().load(path)
tree["tracking"]["enabled"] = False
tree["runtime"].update(accelerator="auto", num_threads=threads, num_workers=max(1, threads // 2))
tree["download"]["celeba"].update(allow_subset=True, zip_md5=Path(sys.argv[1]).read_text().split()[0])
for change in write_params(tree, path):
    print(*change)
PY
