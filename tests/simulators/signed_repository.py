"""A small real TUF repository on disk, and an HTTP server on 127.0.0.1 that serves it and counts requests."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp

Files = Mapping[str, tuple[bytes, Mapping[str, str]]]


class SignedRepository:
    """Signs whatever it is told to; ``folder`` is what a gateway serves as its root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._metadata = folder / "tuf" / "metadata"
        self._targets = folder / "tuf" / "targets"
        self._metadata.mkdir(parents=True)
        self._targets.mkdir(parents=True)
        self._signers = {role: CryptoSigner.generate_ed25519() for role in ("root", "timestamp", "snapshot", "targets")}
        self._files: dict[str, TargetFile] = {}
        self._version = 0
        root = Root(consistent_snapshot=True, expires=_in_days(365))
        for role, signer in self._signers.items():
            root.add_key(signer.public_key, role)
        self.root = self._signed("root", root)
        (self._metadata / "1.root.json").write_bytes(self.root)

    def publish(self, order: Mapping[str, Any] | bytes | None, files: Files, *, timestamp_days: float = 7.0) -> None:
        """Sign the order (bytes go in as they are) and ``files`` beside what was published before."""
        for path, (content, announced) in files.items():
            self._add(path, content, announced)
        if order is not None:
            content = order if isinstance(order, bytes) else json.dumps(order).encode()
            self._add("flight_delay/channel.json", content, {})
        self._commit(timestamp_days)

    def forget(self, prefix: str) -> None:
        """Sign a state without the files below ``prefix``."""
        self._files = {path: file for path, file in self._files.items() if not path.startswith(prefix)}
        self._commit(7.0)

    def stored(self, path: str) -> Path:
        """Where the bytes of a target lie."""
        folder, _, name = path.rpartition("/")
        return self._targets / folder / f"{self._files[path].hashes['sha256']}.{name}"

    @property
    def timestamp(self) -> Path:
        return self._metadata / "timestamp.json"

    @property
    def targets(self) -> Path:
        return self._metadata / f"{self._version}.targets.json"

    def _add(self, path: str, content: bytes, announced: Mapping[str, str]) -> None:
        file = TargetFile.from_data(path, content, ["sha256"])
        file.unrecognized_fields["custom"] = dict(announced)
        self._files[path] = file
        stored = self.stored(path)
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_bytes(content)

    def _commit(self, timestamp_days: float) -> None:
        self._version += 1
        number = self._version
        targets = self._signed("targets", Targets(number, None, _in_days(90), dict(self._files)))
        (self._metadata / f"{number}.targets.json").write_bytes(targets)
        snapshot = self._signed("snapshot", Snapshot(number, None, _in_days(90), {"targets.json": MetaFile(number)}))
        (self._metadata / f"{number}.snapshot.json").write_bytes(snapshot)
        hashes = {"sha256": hashlib.sha256(snapshot).hexdigest()}
        meta = MetaFile(number, len(snapshot), hashes)
        self.timestamp.write_bytes(self._signed("timestamp", Timestamp(number, None, _in_days(timestamp_days), meta)))

    def _signed(self, role: str, signed: Signed) -> bytes:
        metadata: Metadata[Any] = Metadata(signed)
        metadata.sign(self._signers[role])
        return metadata.to_bytes()


class Server:
    """A running file server; ``requests`` are the paths asked for."""

    def __init__(self, url: str, requests: list[str]) -> None:
        self.url = url
        self.requests = requests


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """Serve ``folder`` on a free port until the block ends."""
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body are two writes; without this each answer waits 40 ms for an acknowledgement.
        disable_nagle_algorithm = True

        def log_request(self, *_arguments: object) -> None:
            requests.append(self.path)

        def log_message(self, *_arguments: object) -> None:
            """An error is logged as a request too; nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_address[1]}", requests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _in_days(days: float) -> dt.datetime:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).replace(microsecond=0)
