#!/usr/bin/env bash
# Everything this repository does, from a bare machine with Python 3.11 or newer.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="$here/.venv"

usage() {
  cat <<'TEXT'
./run_all.sh [run] [options]   run the notebooks, refresh the figures, print the claims
./run_all.sh models [NAME]     list the models known by name: size, memory, minutes, licence, what is here already
./run_all.sh compare A B ...   put the claims of several results side by side
./run_all.sh test [options]    run the tests and the notebooks' check cells (options go to pytest)
./run_all.sh lab [options]     open the notebooks in JupyterLab

Options of run:
  --model M      a name that ./run_all.sh models lists (organism, the shipped one, by default), a hub name (with
                 @revision), a local folder, or a .gguf file
  --base M       the pretrained partner of M ('' for none; by default the one that is known)
  --dtype D      number format of the weights: float32 (default), bfloat16 or float16
  --device D     auto (default), cpu, cuda, mps, or spread (over all devices)
  --system TEXT  system prompt of every chat; '' for none (default: the template's own)
  --profile P    sample, quick, default or paper: how large the run is
  --only NN      this notebook only, such as 03 (repeatable)
  --from NN      this notebook and the later ones
  --stories S    who writes the stories: auto (default), own (the model), shared (the corpus of this repository), or
                 a corpus file; --writer URL: an OpenAI-compatible server (--writer-model NAME)
  --param k=v    set a parameter of a notebook (repeatable)
  --jobs N       notebooks at a time (by default one a core, up to four, for a small model on a CPU; else one)
  --out DIR      folder for results (default: runs/<model>/<profile>)
  --keep         copy the numbers of the run to results/<model>/<profile>
  --fresh        delete earlier results of the chosen notebooks first

An active environment that holds the packages of pyproject.toml is used; otherwise .venv is made here, once, with the
versions of constraints.txt. PYTHON=/path/to/python names the interpreter it is made with.
TEXT
}

die() {
  echo "error: $*" >&2
  exit 1
}

modern() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# Prints the interpreter to make .venv with.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
    if modern "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  die "Python 3.11 or newer is needed; install it, or name it: PYTHON=/path/to/python3.12 ./run_all.sh"
}

# Makes .venv, and installs when the project or its pins are not those of the last installation.
prepare_venv() {
  local python stamp
  stamp="$(cat "$here/pyproject.toml" "$here/constraints.txt" | cksum) $here"
  if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.installed" 2>/dev/null || true)" = "$stamp" ]; then
    return
  fi
  if ! { [ -x "$venv/bin/python" ] && modern "$venv/bin/python" && "$venv/bin/python" -m pip --version; } >/dev/null 2>&1; then
    python="$(find_python)"
    "$python" -m venv --clear "$venv" || die "$python cannot make a virtual environment; install its venv module" \
      "(Debian and Ubuntu: apt install python3-venv)"
  fi
  echo "installing the pinned packages into $venv (once, a few minutes) ..."
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$here/constraints.txt" -e "$here" ||
    die "the packages could not be installed; see pip's message above, then run the same command again"
  echo "$stamp" >"$venv/.installed"
}

command="run"
case "${1:-}" in
  run | models | compare | test | lab) command="$1"; shift ;;
  -h | --help | help) usage; exit 0 ;;
esac
for option in "$@"; do
  if [ "$command" = run ] && { [ "$option" = --help ] || [ "$option" = -h ]; }; then usage; exit 0; fi
done

python=""
if [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && modern python; then
  if unmet="$(python "$here/lib/emotion_suite/environment.py")"; then
    python="python"
  else
    echo "the active environment is not used ($(echo "$unmet" | head -n 1))" >&2
  fi
fi
if [ -z "$python" ]; then
  prepare_venv
  python="$venv/bin/python"
  export VIRTUAL_ENV="$venv" PATH="$venv/bin:$PATH"
fi

# One place for what the numbers and the printing depend on; this clone's code comes before any other installed copy.
export PYTHONPATH="$here/lib${PYTHONPATH:+:$PYTHONPATH}" PYTHONHASHSEED=0 TOKENIZERS_PARALLELISM=false
export PYDEVD_DISABLE_FILE_VALIDATION=1
# glibc else hands each large block back to the system and takes it anew, a tenth of the time of a small model on a CPU.
export MALLOC_MMAP_MAX_="${MALLOC_MMAP_MAX_:-0}" MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-8589934592}"
if [ "$command" != lab ]; then export MPLBACKEND=Agg; fi
exec "$python" -m emotion_suite.runner "$command" "$@"
