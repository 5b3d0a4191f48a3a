"""Which distribution an imported module comes from, and at which version.

The lock answers first, by name, and only then what is installed here: Airflow's image has no torch, the training pod
has, and both must find the same version. It also is what makes the answer cheap, since no metadata is read for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from slipway.errors import ConfigurationError

UNKNOWN = "unknown"
"""The version of what is neither pinned nor installed. Such an import is recorded by its top-level name instead of left
out: pinning it, or installing it here, changes what the code may do, and is then seen."""

PROVIDERS: Mapping[str, tuple[str, ...]] = {
    "attr": ("attrs",),
    "bs4": ("beautifulsoup4",),
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "databricks": ("databricks-sdk",),
    "dateutil": ("python-dateutil",),
    "dns": ("dnspython",),
    "dotenv": ("python-dotenv",),
    "functorch": ("torch",),
    "git": ("gitpython",),
    "google.auth": ("google-auth",),
    "google.protobuf": ("protobuf",),
    "google.rpc": ("googleapis-common-protos",),
    "graphql": ("graphql-core",),
    "grpc": ("grpcio",),
    "grpc_status": ("grpcio-status",),
    "jose": ("python-jose",),
    "jwt": ("pyjwt",),
    "lakectl": ("lakefs",),
    "magic": ("python-magic",),
    "mpl_toolkits": ("matplotlib",),
    "multipart": ("python-multipart",),
    "OpenSSL": ("pyopenssl",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
    "PIL": ("pillow", "pillow-simd"),
    "pkg_resources": ("setuptools",),
    "psycopg2": ("psycopg2-binary",),
    "pylab": ("matplotlib",),
    "pyspark": ("pyspark-client", "pyspark-connect"),
    "serial": ("pyserial",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "slugify": ("python-slugify",),
    "tensorflow": ("tensorflow-cpu", "tensorflow-intel", "tensorflow-macos"),
    "tensorrt": ("tensorrt-cu12", "tensorrt-cu13"),
    "torchgen": ("torch",),
    "upath": ("universal-pathlib",),
    "usb": ("pyusb",),
    "websocket": ("websocket-client",),
    "yaml": ("pyyaml",),
    "zmq": ("pyzmq",),
}
"""Module -> distributions that provide it, where their names differ; beside one named as the module."""

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:===?|@)\s*([^\s;#\\]+)")


def normalised(name: str) -> str:
    """A distribution's name as indexes compare it (PyPA's "Names and normalization", once PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: Path) -> dict[str, str]:
    """What a lock in pip's requirements format pins: normalised name -> version, or the address of ``name @ address``.

    Several pins of one name, for several platforms, are given together.

    Raises:
        ConfigurationError: the lock cannot be read.
    """
    try:
        text = lock.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"expected the dependency lock at {lock}: {error}; `make lock` writes it from what is installed"
        ) from error
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := _PIN.match(line.strip()):
            found.setdefault(normalised(match[1]), set()).add(match[2])
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def versions(modules: Iterable[str], pinned: Mapping[str, str]) -> dict[str, str]:
    """The distributions that imported modules come from: normalised name -> version, sorted.

    Args:
        modules: absolute dotted names as imported, Python's own left out. Of ``a.b`` both ``a`` and ``a-b`` are
            looked for, since distributions of a namespace are named that way.
        pinned: normalised name -> version. A pin wins over what is installed, which may differ between machines.

    A module of no distribution that could be found is recorded under its top-level name as :data:`UNKNOWN`.
    """
    wanted = sorted(set(modules))
    by_pin = {module: _pinned(module, pinned) for module in wanted}
    # `from google import protobuf` names `google` too, a namespace that belongs to nobody.
    spaces = {parent for module, found in by_pin.items() if found for parent in _prefixes(module)}
    versions: dict[str, str] = {}
    for module, found in by_pin.items():
        if found or module not in spaces:
            versions |= found or _installed(module) or {module.split(".", 1)[0]: UNKNOWN}
    return dict(sorted(versions.items()))


def _pinned(module: str, pinned: Mapping[str, str]) -> dict[str, str]:
    return {name: pinned[name] for name in _named(module) if name in pinned}


def _prefixes(module: str) -> Iterator[str]:
    parts = module.split(".")
    yield from (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))


def _named(module: str) -> Iterator[str]:
    """Names of distributions that may provide a module, by its name alone."""
    for prefix in _prefixes(module):
        yield normalised(prefix)
        yield from PROVIDERS.get(prefix, ())


def _installed(module: str) -> dict[str, str]:
    from importlib import metadata  # slow to import, and seldom needed

    found = {}
    for name in _named(module):
        try:
            found[name] = metadata.version(name)
        except (metadata.PackageNotFoundError, ValueError):
            continue
    return found or _by_files(module)


def _by_files(module: str) -> dict[str, str]:
    """The installed distributions whose files are the module's; of a namespace those that own its deepest part."""
    from importlib import machinery, metadata

    if machinery.PathFinder.find_spec(module.split(".", 1)[0]) is None:
        return {}
    records = [(item, item.read_text("RECORD") or "") for item in metadata.distributions()]
    for prefix in reversed(list(_prefixes(module))):
        path = prefix.replace(".", "/")
        owns = re.compile(rf"^{re.escape(path)}(?:/|(?:\.[\w-]+)?\.(?:py|so|pyd),)", re.MULTILINE)
        # Megabytes of records: looking for the plain text first is several times faster.
        owners = {normalised(item.name): item.version for item, text in records if path in text and owns.search(text)}
        if owners:
            return owners
    return {}
