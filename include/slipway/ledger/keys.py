"""The private keys that sign statements: one for what is built, one for what is approved.

A key is named by the path of a PEM file (PKCS#8, no passphrase, readable by its owner alone) or by a URI of
securesystemslib: ``hsm:2?label=TOKEN`` (PKCS#11), ``awskms:KEY``, ``gcpkms:projects/…/cryptoKeyVersions/1``,
``azurekms://VAULT.vault.azure.net/keys/NAME/VERSION``. A key signs only if the trust file names its public half.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import AWSSigner, AzureSigner, CryptoSigner, GCPSigner, HSMSigner, Key, Signer

from slipway.connections import SigningKeys, is_uri
from slipway.errors import ConfigurationError
from slipway.ledger.trust import ROLES, Role, Trust, TrustedKey
from slipway.release.channel_files import LocalFiles, exclusive

_LIBRARIES = {
    "hsm": "python-pkcs11",
    "awskms": "boto3",
    "gcpkms": "google-cloud-kms",
    "azurekms": "azure-identity azure-keyvault-keys",
}
_LOCK = ".signing.lock"
_OTHERS_MAY = 0o007
Answer = TypeVar("Answer")


def ensure_keys(keys: SigningKeys) -> SigningKeys:
    """Make the private key files that are missing, and name every key file in the trust file; returns ``keys``.

    Existing keys are never touched. Processes that do this at once take turns, and a file is there whole or not at
    all. Keys that are URIs are left to whoever made them (``slipway keys trust``).

    Raises:
        ConfigurationError: an existing key or trust file cannot be used.
        UnavailableError: another process holds the folder for longer than a minute.
    """
    with exclusive(Path(keys.trust).parent / _LOCK):
        for role in ROLES:
            path = Path(keys.of(role))
            if is_uri(keys.of(role)):
                continue
            made = None
            if not path.exists():
                made = dt.datetime.now(dt.UTC)
                _files(path.parent).write(path.name, CryptoSigner.generate_ed25519().private_bytes)
            _add(Path(keys.trust), TrustedKey(_of_file(path).public_key, role, created=made))
    return keys


def trust_key(trust: Path, role: Role, name: str, pin: str | None = None) -> TrustedKey:
    """Name the public half of a key, given by path or URI, in a trust file; harmless when it is there.

    Raises:
        ConfigurationError: the key cannot be read, or is trusted for the other role.
    """
    with exclusive(trust.parent / _LOCK):
        return _add(trust, TrustedKey(public_key(name, pin), role))


def expire_key(trust: Path, keyid: str, moment: dt.datetime) -> TrustedKey:
    """Believe a key only for what finished before a time; its id may be shortened.

    Raises:
        ConfigurationError: the trust file names no such key, or several.
    """
    with exclusive(trust.parent / _LOCK):
        known = Trust.load(trust)
        found = [key for key in known.keys.values() if key.keyid.startswith(keyid)]
        if len(found) != 1:
            raise ConfigurationError(f"expected {trust} to name one key {keyid}…, it names {len(found)}")
        expiring = replace(found[0], expires=moment)
        _files(trust.parent).write(trust.name, known.including(expiring).dumps())
    return expiring


def signer(keys: SigningKeys | None, role: Role) -> Signer:
    """What signs for a role. A key in an HSM or a KMS is asked for its public half, so make it once per process.

    Raises:
        ConfigurationError: no keys are named, the key cannot be read, a library is missing, or the trust file does
            not name it for the role.
    """
    if keys is None:
        raise ConfigurationError(
            "this ledger has no keys, so nothing can be recorded: name build_key, approval_key and trust in the extras "
            "of connection slipway_ledger"
        )
    name = keys.of(role)
    made = _of_uri(name, keys.pin) if is_uri(name) else _of_file(Path(name))
    known = Trust.load(Path(keys.trust)).keys.get(made.public_key.keyid)
    if known is None or known.role != role:
        raise ConfigurationError(
            f"expected {keys.trust} to trust key {made.public_key.keyid[:12]} ({name}) for the role {role}, it "
            f"{'does not name it' if known is None else f'has the role {known.role}'}; run "
            f"`slipway keys trust {role} {name}`"
        )
    if known.expires is not None and known.expires <= dt.datetime.now(dt.UTC):
        raise ConfigurationError(
            f"key {known.keyid[:12]} ({name}) expired {known.expires}: nothing it signs now would be believed; name "
            f"another in extra {role}_key of slipway_ledger, and run `slipway keys trust {role} KEY`"
        )
    return made


def public_key(name: str, pin: str | None = None) -> Key:
    """The public half of a private key, by its path or URI.

    Raises:
        ConfigurationError: it cannot be read, or a library is missing.
    """
    return _imported(name, pin)[1] if is_uri(name) else _of_file(Path(name)).public_key


def _add(path: Path, key: TrustedKey) -> TrustedKey:
    trust = Trust.load(path) if path.exists() else Trust({})
    known = trust.keys.get(key.keyid, key)
    if known.role != key.role:
        raise ConfigurationError(
            f"expected a key of its own for the role {key.role}: {path} trusts {key.keyid[:12]} for {known.role}; "
            "who builds must not be able to approve"
        )
    if key.keyid not in trust.keys:
        _files(path.parent).write(path.name, trust.including(key).dumps())
    return known


def _files(folder: Path) -> LocalFiles:
    return LocalFiles(folder, file_mode=0o600, folder_mode=0o700)


def _of_file(path: Path) -> CryptoSigner:
    try:
        mode, content = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"expected a private key at {path}: {error.strerror}") from error
    if mode & _OTHERS_MAY:
        raise ConfigurationError(f"{path} holds a private key, but others may read it; run: chmod 600 {path}")
    try:
        return CryptoSigner(load_pem_private_key(content, None))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"expected a private key in PEM form without a passphrase at {path}, got something else; restore it"
        ) from error


def _of_uri(name: str, pin: str | None) -> Signer:
    whole, public = _imported(name, pin)
    return _asked(name, lambda: Signer.from_priv_key_uri(whole, public, _secrets(pin)))


def _imported(name: str, pin: str | None) -> tuple[str, Key]:
    """The URI completed (a token's label, a key's version), and the public half."""
    uri = urlsplit(name)
    if uri.scheme not in _LIBRARIES:
        raise ConfigurationError(f"expected a path or a URI of {', '.join(_LIBRARIES)}, got {name!r}")
    vault_key = uri.path.strip("/").split("/")
    ask: dict[str, Callable[[], tuple[str, Key]]] = {
        "hsm": lambda: HSMSigner.import_(
            int(uri.path) if uri.path else None, dict(parse_qsl(uri.query)).get("label"), _secrets(pin)
        ),
        "awskms": lambda: AWSSigner.import_(uri.path),
        "gcpkms": lambda: GCPSigner.import_(uri.path),
        "azurekms": lambda: AzureSigner.import_(uri.netloc.split(".")[0], vault_key[1]),
    }
    return _asked(name, ask[uri.scheme])


def _secrets(pin: str | None) -> Callable[[str], str]:
    def answer(what: str) -> str:
        if pin is None:
            raise ConfigurationError(f"the key needs its {what}; write it into extra hsm_pin of slipway_ledger")
        return pin

    return answer


def _asked(name: str, ask: Callable[[], Answer]) -> Answer:
    """What an HSM or a KMS answers; its libraries raise what they like."""
    try:
        return ask()
    except UnsupportedLibraryError as error:
        libraries = _LIBRARIES[name.partition(":")[0]]
        raise ConfigurationError(f"key {name} needs a library that is not here: pip install {libraries}") from error
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(f"key {name} cannot be used: {type(error).__name__}: {error}") from error
