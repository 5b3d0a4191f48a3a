#!/usr/bin/env bash
# The browser tests drive Debian's Chromium. Installs it where that asks no questions; otherwise says what to install.
set -euo pipefail
if command -v chromium >/dev/null; then exit 0; fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then as_root="sudo -n"; fi
if command -v apt-get >/dev/null && $as_root true 2>/dev/null; then
  echo "installing chromium for the browser tests (apt-get)"
  $as_root apt-get update -qq || true
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq chromium >/dev/null 2>&1 || true
fi
if command -v chromium >/dev/null; then exit 0; fi
echo "Chromium is needed for the browser tests; install it, e.g.: sudo apt-get install chromium" >&2
exit 1
