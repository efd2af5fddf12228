#!/usr/bin/env bash
# Everything this repository does, from a bare machine with Python 3.11 or newer.
#   ./run_all.sh [run] [options]   run the notebooks, refresh figures, print the claims  (--help for options)
#   ./run_all.sh test [options]    run the tests (options go to pytest)
#   ./run_all.sh lab               open the notebooks in JupyterLab
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export MPLBACKEND=Agg TOKENIZERS_PARALLELISM=false PYTHONHASHSEED=0 PYDEVD_DISABLE_FILE_VALIDATION=1

# The environment: .venv of this folder, made and filled when the pins are new.
venv="$here/.venv"
stamp="$(cat "$here/pyproject.toml" "$here/constraints.txt" | cksum)"
if [ "$(cat "$venv/.stamp" 2>/dev/null || true)" != "$stamp" ]; then
  python="${PYTHON:-python3}"
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "error: Python 3.11 or newer is needed; install it, or name it: PYTHON=python3.12 ./run_all.sh" >&2
    exit 1
  fi
  echo "preparing $venv (once, a few minutes) ..."
  "$python" -m venv "$venv"
  # torch first: where its pinned build is at hand, nothing larger is fetched for its sake
  "$venv/bin/python" -m pip install -q --disable-pip-version-check "$(grep '^torch==' "$here/constraints.txt")" -c "$here/constraints.txt"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check -c "$here/constraints.txt" -e "$here"
  echo "$stamp" > "$venv/.stamp"
fi
export PATH="$venv/bin:$PATH"
export VIRTUAL_ENV="$venv"
export JUPYTER_PATH="$venv/share/jupyter"

command="run"
case "${1:-}" in run | test | lab) command="$1"; shift ;; esac
cd "$here"
case "$command" in
  run) exec python -m emotion_concepts.runner "$@" ;;
  test) exec python -m pytest --nbval-lax tests notebooks "$@" ;;
  lab) exec jupyter lab notebooks "$@" ;;
esac
