#!/bin/sh
# The environment of `make run`: sh envs/create.sh PYTHON VENV TORCH WHAT [STAMP]
# TORCH: cpu, cu126, cu130 ...; empty: the torch that PYTHON has, else cpu.
set -eu
python=$1 venv=$2 torch=$3 what=$4 stamp=${5:-ready}
folder=$(dirname "$0")

"$python" - <<'PY' || exit 1
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(f"twirlscope needs Python 3.11 to 3.13, got {sys.version.split()[0]}; try: make run PYTHON=python3.12")
PY

pinned=$(sed -n 's/^torch==//p' "$folder/constraints.txt")
present=$("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null || true)
if [ -z "$torch" ]; then
    if [ -n "$present" ]; then torch=present; else torch=cpu; fi
fi

if [ ! -x "$venv/bin/python" ]; then
    options=$([ "$torch" = present ] && echo --system-site-packages || true)
    echo "environment: creating $venv ($("$python" --version), torch $([ "$torch" = present ] && echo "$present, as it is" || echo "$pinned, $torch build"))"
    # shellcheck disable=SC2086
    "$python" -m venv $options "$venv" || { echo "environment: the module venv is missing (Debian: apt install python3-venv)" >&2; exit 1; }
fi
pip="$venv/bin/python -m pip --quiet --quiet --disable-pip-version-check"

constraints=$venv/constraints.txt
if [ "$torch" = present ]; then
    grep -v '^torch==' "$folder/constraints.txt" > "$constraints"
    echo "torch==$present" >> "$constraints"
else
    cp "$folder/constraints.txt" "$constraints"
    if ! "$venv/bin/python" -c 'import torch' 2>/dev/null; then
        echo "environment: torch $pinned, $torch build"
        # a package index or folder that pip already knows may carry this build; else uv knows where each build lies
        $pip install --no-deps "torch==$pinned+$torch" 2>/dev/null || {
            $pip install uv
            "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --torch-backend="$torch" "torch==$pinned"
        }
    fi
fi
echo "environment: packages for $what (a few minutes, once)"
$pip install -c "$constraints" -e "$what"
touch "$venv/$stamp"
