#!/usr/bin/env bash
# Prepares var/compose for docker/compose.yaml: generates every password and token that is missing (files 0600) and
# makes the folders the containers write to. Safe to run again: what is there is kept.
set -euo pipefail
umask 077
cd "$(dirname "$0")/.."
python="${PYTHON:-.venv/bin/python}"
if ! command -v "$python" >/dev/null; then
  echo "expected a Python with this project's requirements at $python; run \`make setup\`, or name one: PYTHON=… $0" >&2
  exit 1
fi
PYTHONPATH=include exec "$python" docker/make_secrets.py "$@"
