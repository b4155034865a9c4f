#!/usr/bin/env bash
# On the offline machine: packs the results in pieces of at most 15 MB in FOLDER. To unpack them:
# `cat results.tar.gz.* | tar xz`. Usage: bash .carry/scripts/results.sh FOLDER
set -euo pipefail
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$HOME/glcic/project"
tar cz --exclude='pretrain_generator/*_last*' --exclude='discriminator_*' \
    params.yaml data/images/summary.json models reports/curves reports/samples reports/made_on.json | split -b 15m -d -a 2 - "$out/results.tar.gz."
ls -l "$out"
