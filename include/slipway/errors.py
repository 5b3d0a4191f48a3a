"""Everything that can go wrong in Slipway, as one tree.

A message says what was expected, what came, and what to do next. ``retryable`` tells a scheduler whether
trying the same thing again can help: bad data stays bad, an unreachable service may come back.

* SlipwayError

  x ConfigurationError

  x UnavailableError (retryable)

  x DataError
    + EmptyPartitionError
    + UnreadableDataError
    + ContractError

  x LakeError
    + LakeNotFoundError
    + LakeConflictError
    + LakeDeniedError

  x PodError
    + PodFailedError
    + PodDeadlineError
    + PodResultError

  x ModelError

  x CompileError
    + ParityError

  x RegistryError

  x EvidenceError
    + DisputedError
    + UnrecordedError
    + NotReproducibleError
    + DivergedError

  x ReleaseError
    + RolledBackError
    + ChannelError
    + UnknownDeviceError

  x DeviceError
    + UntrustedError
    + IncompatibleError
    + SelfTestError
"""

from __future__ import annotations

from collections.abc import Sequence


class SlipwayError(Exception):
    """Base of every error Slipway raises on purpose."""

    retryable: bool = False


class ConfigurationError(SlipwayError):
    """A pipeline, manifest or setting is not what its schema asks for."""


class UnavailableError(SlipwayError):
    """A service did not answer; nothing was changed."""

    retryable = True


class DataError(SlipwayError):
    """The data itself is wrong; running again on the same data cannot help."""


class EmptyPartitionError(DataError):
    """The feed has no rows for a partition that must have some."""


class UnreadableDataError(DataError):
    """An object is truncated or not in the format its name promises."""


class ContractError(DataError):
    """A dataset does not satisfy its contract."""


class LakeError(SlipwayError):
    """lakeFS refused or failed a request."""


class LakeNotFoundError(LakeError):
    """A repository, reference or object does not exist."""


class LakeConflictError(LakeError):
    """Both sides of a merge changed the same paths."""

    def __init__(self, message: str, paths: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.paths = tuple(paths)


class LakeDeniedError(LakeError):
    """Credentials are missing, wrong, or not allowed to do this."""


class PodError(SlipwayError):
    """A pod did not do its work."""


class PodFailedError(PodError):
    """The pod's container ended with a non-zero exit code."""


class PodDeadlineError(PodError):
    """The pod ran longer than its ``activeDeadlineSeconds``."""


class PodResultError(PodError):
    """The pod ended well but its result file is missing or does not verify."""


class ModelError(SlipwayError):
    """A model module or a trained model is not usable."""


class CompileError(SlipwayError):
    """A model could not be compiled for a target."""


class ParityError(CompileError):
    """A compiled artifact leaves the pipeline's bounds compared with the PyTorch model."""


class RegistryError(SlipwayError):
    """The model registry refused or holds something inconsistent."""


class EvidenceError(SlipwayError):
    """A statement, signature or bundle does not prove what it should."""


class DisputedError(EvidenceError):
    """Two statements claim the same fingerprint with different outputs."""


class UnrecordedError(EvidenceError):
    """The ledger has no statement about what was asked."""


class NotReproducibleError(EvidenceError):
    """What a past version was made with is not to be had here."""


class DivergedError(EvidenceError):
    """A past version that was made again is not what was stated."""


class ReleaseError(SlipwayError):
    """A release cannot go on."""


class RolledBackError(ReleaseError):
    """A gate failed and the fleet was returned to the previous version."""


class ChannelError(ReleaseError):
    """The channel's keys or metadata are missing or inconsistent."""


class UnknownDeviceError(ReleaseError):
    """No device of that id ever enrolled or reported."""


class DeviceError(SlipwayError):
    """The device refused or could not apply an update; it keeps the version it has."""


class UntrustedError(DeviceError):
    """Metadata or an artifact does not verify."""


class IncompatibleError(DeviceError):
    """An artifact was made for other hardware or another runtime."""


class SelfTestError(DeviceError):
    """The golden batch gave other answers on this device than it should."""
