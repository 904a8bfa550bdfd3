#!/bin/sh
# The environment of `make run`: sh envs/create.sh PYTHON VENV TORCH WHAT STAMP
# TORCH: cpu, cu126, cu130 ...; empty: what VENV has, else what PYTHON has, else cpu.
set -eu
python=$1 venv=$2 wanted=$3 what=$4 stamp=$5
folder=$(dirname "$0")
version='from importlib.metadata import version; print(version("torch"))'

"$python" - <<'PY' || exit 1
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(f"twirlscope needs Python 3.11 to 3.13, got {sys.version.split()[0]}; try: make run PYTHON=python3.12")
PY

if [ ! -x "$venv/bin/python" ]; then
    echo "environment: creating $venv ($("$python" --version))"
    "$python" -m venv "$venv" || { echo "environment: the module venv is missing (Debian: apt install python3-venv)" >&2; exit 1; }
    if [ -z "$wanted" ] && "$python" -c "$version" >/dev/null 2>&1; then
        # the packages of PYTHON's environment, and of those that it sees itself, are seen from ours, after our own
        "$python" - > "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/outer.pth" <<'PY'
import pathlib, sysconfig
folder = pathlib.Path(sysconfig.get_path("purelib"))
outer = folder / "outer.pth"
print(folder, outer.read_text() if outer.exists() else "", sep="\n")
PY
    fi
fi
pip="$venv/bin/python -m pip --quiet --quiet --disable-pip-version-check"

have=$("$venv/bin/python" -c "$version" 2>/dev/null || true)
if [ -z "$have" ] && [ -z "$wanted" ]; then wanted=cpu; fi
case "$have" in
    *"+$wanted") ;;
    *)  if [ -n "$wanted" ]; then
            pinned=$(sed -n 's/^torch==//p' "$folder/constraints.txt")
            echo "environment: torch $pinned, $wanted build"
            # a package index or folder that pip already knows may carry this build; else uv knows where each build lies
            $pip install --no-deps "torch==$pinned+$wanted" 2>/dev/null || {
                $pip install uv
                "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --torch-backend="$wanted" "torch==$pinned"
            }
        fi ;;
esac
have=$("$venv/bin/python" -c "$version")
sed "s/^torch==.*/torch==$have/" "$folder/constraints.txt" > "$venv/constraints.txt"

echo "environment: torch $have; packages for $what (a few minutes, once)"
$pip install -c "$venv/constraints.txt" -e "$what"
touch "$venv/$stamp"
