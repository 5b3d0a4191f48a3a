"""Fetch jars for an image: ``fetch_jars.py --into FOLDER "URL#sha256=HEX URL#sha1=HEX …"``.

Checksums are ``sha256``, ``sha512`` or ``sha1``, which Maven Central publishes for every jar. A jar without one, or
whose content is not what it says, ends the build. No jars is fine.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import urllib.request
from pathlib import Path

_JAR = re.compile(
    r"(?P<url>(https|file)://\S+/(?P<name>[\w.+-]+\.jar))"
    r"#(?P<checksum>sha1=[0-9a-f]{40}|sha256=[0-9a-f]{64}|sha512=[0-9a-f]{128})"
)


def fetch(given: str, into: Path) -> str:
    """Fetch one jar; returns its file name.

    Raises:
        ValueError: ``given`` is not URL#CHECKSUM, or the content has another checksum; nothing is left behind.
        OSError: it cannot be fetched.
    """
    match = _JAR.fullmatch(given)
    if match is None:
        raise ValueError(f"expected https://…/NAME.jar#sha256=<64 hex> (or sha1, sha512), got {given!r}")
    target = into / match["name"]
    algorithm, expected = match["checksum"].split("=")
    digest = hashlib.new(algorithm)
    part = target.with_suffix(".part")
    with urllib.request.urlopen(match["url"], timeout=60) as answer, part.open("wb") as file:  # noqa: S310 - checked
        while block := answer.read(1 << 20):
            digest.update(block)
            file.write(block)
    if digest.hexdigest() != expected:
        part.unlink()
        raise ValueError(f"{match['url']}: expected {algorithm} {expected}, got {digest.hexdigest()}; not kept")
    part.rename(target)
    return target.name


def main(arguments: list[str] | None = None) -> int:
    """Fetch all; 0, or 1 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="fetch_jars.py", description=__doc__)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("jars", help="URL#sha256=HEX with white space between; may be empty")
    options = parser.parse_args(arguments)
    try:
        for given in options.jars.split():
            sys.stdout.write(f"{fetch(given, options.into)}\n")
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
