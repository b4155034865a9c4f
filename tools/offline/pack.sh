#!/usr/bin/env bash
# Fills .carry/ in the project's root with what an offline machine (PyTorch with CUDA) lacks: .carry/scripts, .carry/wheels,
# .carry/lists, and CelebA's zip in pieces of at most 40 MB, .carry/1, .carry/2 … Git ignores the folder.
# Usage, from the project's root: tools/offline/pack.sh FOLDER_WITH_CELEBA
# PYTHON_VERSION is that of the offline machine; default 3.12.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
celeba=${1:?usage: tools/offline/pack.sh FOLDER_WITH_CELEBA}
for file in img_align_celeba.zip list_eval_partition.txt; do
    [ -e "$celeba/$file" ] || { echo "$celeba/$file: no such file; name the folder that contains CelebA" >&2; exit 2; }
done
rm -rf .carry
mkdir -p .carry/scripts .carry/wheels .carry/lists
cp "$here"/{receive,train,results}.sh .carry/scripts/
for list in list_eval_partition.txt identity_CelebA.txt; do
    if [ -e "$celeba/$list" ]; then cp "$celeba/$list" .carry/lists/; fi
done
(cd "$celeba" && md5sum img_align_celeba.zip) > .carry/lists/md5
split -b 38m -d -a 2 "$celeba/img_align_celeba.zip" .carry/piece.
n=0
for piece in .carry/piece.*; do n=$((n + 1)); mkdir ".carry/$n"; mv "$piece" ".carry/$n/"; done
# Packages that images with PyTorch usually lack, in the versions of requirements.lock.
names='pydantic|pydantic-core|annotated-types|typing-inspection|ruamel-yaml|lightning-fabric|lightning-utilities|gdown|beautifulsoup4|safetensors'
for wanted in $(grep -E "^($names)==" requirements.lock | sed 's/ *;.*//') soupsieve; do
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --python-version "${PYTHON_VERSION:-3.12}" --implementation cp --platform manylinux_2_28_x86_64 \
        --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d .carry/wheels "$wanted" 2> >(grep -v WARNING >&2)
done
du -sh .carry/*
