#!/usr/bin/env bash
# Spark 4 needs Java 17 or newer. Installs it where that asks no questions (root or passwordless sudo, with apt);
# otherwise says in one line what to install.
set -euo pipefail

major() { java -version 2>&1 | sed -nE 's/.*version "([0-9]+).*/\1/p' | head -1; }

if command -v java >/dev/null && [ "$(major)" -ge 17 ] 2>/dev/null; then exit 0; fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then as_root="sudo -n"; fi
if command -v apt-get >/dev/null && $as_root true 2>/dev/null; then
  echo "installing Java 17 or newer (openjdk headless, apt-get)"
  $as_root apt-get update -qq || true
  for package in openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless; do
    if DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq "$package" >/dev/null 2>&1; then break; fi
  done
fi
if command -v java >/dev/null && [ "$(major)" -ge 17 ] 2>/dev/null; then exit 0; fi
echo "Java 17 or newer is needed for Spark and could not be installed here; install it, e.g.: sudo apt-get install openjdk-17-jre-headless" >&2
exit 1
