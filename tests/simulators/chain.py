"""The statements of one version: ingest, features, train, export, compile per target, register, release."""

import datetime as dt
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from slipway.identity.digest import sha256_bytes
from slipway.ledger.envelope import sign
from slipway.ledger.statement import Statement
from slipway.ledger.trust import ROLES, Trust, TrustedKey, role_of
from tests.simulators.statements import NOON, statement

FIRST = dt.date(2013, 1, 1)
START = NOON - dt.timedelta(days=1)


def fixed_key(name: str) -> CryptoSigner:
    """A key that is the same for ever; everybody knows it."""
    seed = hashlib.sha256(f"slipway test key: {name}".encode()).digest()
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(seed))


SIGNERS = {role: fixed_key(role) for role in ROLES}
TRUST = Trust.of(*(TrustedKey(SIGNERS[role].public_key, role, created=START) for role in ROLES))


def _file(*words: str) -> dict[str, str]:
    name = "/".join(words)
    return {name: sha256_bytes(f"content of {name}".encode())}


def chain(days: int = 2, targets: tuple[str, ...] = ("x86-cpu", "x86-cpu-int8")) -> list[Statement]:
    """Oldest first; the last is the release."""
    made: list[Statement] = []

    def add(stage, subject, materials, outputs):
        finished = START + dt.timedelta(seconds=len(made) + 1)
        made.append(statement(stage, subject, materials=materials, outputs=outputs, finished=finished))
        return outputs

    features: dict[str, str] = {}
    for day in (str(FIRST + dt.timedelta(days=number)) for number in range(days)):
        raw = add("ingest", day, _file("feed", day), _file("raw", day, "flights") | _file("raw", day, "weather"))
        features |= add("features", day, raw, _file("features", day, "part-0.parquet"))
    model = add("train", "run 1", features, _file("train", "model.safetensors"))
    onnx = add("export", "run 1", model, _file("export", "model.onnx"))
    compiled: dict[str, str] = {}
    for target in targets:
        compiled |= add("compile", target, onnx, _file(target, "model.bin"))
    version = add("register", "version 1", compiled, compiled | _file("version", "manifest.json"))
    add("release", "version 1", version, _file("channel.json"))
    return made


def signed(statements):
    """Their envelopes, each by the key of its role."""
    return [sign(one, SIGNERS[role_of(one.stage)]) for one in statements]
