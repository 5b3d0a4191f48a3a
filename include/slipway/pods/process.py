"""The ``process`` runtime: a pod's container command as a child process of this machine."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from slipway.errors import ConfigurationError, PodDeadlineError, PodFailedError
from slipway.pods.entrypoint import FINAL_CODES
from slipway.pods.manifest import PodManifest, Secrets

_PR_SET_PDEATHSIG = 1


class ProcessPod:
    """One run of a manifest's container as a process group of its own.

    ``kill`` ends the whole group, and so does the end of ``run``. When this process is itself killed, the kernel ends
    the container's command (``PR_SET_PDEATHSIG``, Linux) and that alone: what the command started must notice by
    itself, as a data loader does whose pipe closes.
    """

    def __init__(
        self,
        manifest: PodManifest,
        arguments: Sequence[str],
        secrets: Secrets,
        root: Path,
        *,
        folder: Path | None = None,
    ) -> None:
        self._manifest = manifest
        self._folder = folder
        self._command = [*_interpreted(manifest.container.command), *manifest.container.args, *arguments]
        self._environment = {
            "PATH": os.defpath,
            "HOME": "/tmp",  # noqa: S108 - what the image's non-root user has
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(root / "include"),
            **manifest.environment(secrets),
        }
        self._process: subprocess.Popen[str] | None = None

    def run(self, log: Callable[[str], None]) -> None:
        """Run to the end, passing each line of output to ``log``.

        Raises:
            PodDeadlineError: it ran longer than ``activeDeadlineSeconds`` and was killed.
            PodFailedError: it ended with a non-zero exit code.
            ConfigurationError: the command does not exist on this machine.
        """
        deadline = self._manifest.spec.deadline
        expired = threading.Event()
        try:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 - runs before exec, touches nothing shared
            )
        except OSError as error:
            raise ConfigurationError(f"cannot run {self._command[0]!r} as a process: {error}") from error

        def expire() -> None:
            expired.set()
            self.kill()

        timer = threading.Timer(deadline, expire)
        timer.start()
        try:
            tail = self._follow(log)
            code = self._process.wait()
        finally:
            timer.cancel()
            self.kill()
        if expired.is_set():
            raise PodDeadlineError(
                f"the pod ran longer than activeDeadlineSeconds={deadline} and was killed; "
                "raise the deadline in its manifest or give it less to do"
            )
        if code:
            raise pod_failure(code, tail)

    def kill(self) -> None:
        """Kill the pod's whole process group; harmless when it has ended."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def _follow(self, log: Callable[[str], None]) -> str:
        tail: list[str] = []
        assert self._process is not None and self._process.stdout is not None  # noqa: S101 - set by run
        for line in self._process.stdout:
            log(line.rstrip("\n"))
            tail = [*tail[-4:], line.rstrip("\n")]
        return "\n".join(tail)


def pod_failure(code: int, tail: str) -> PodFailedError:
    """The error for a pod that ended with ``code``; retryable unless the code says its input is wrong."""
    died = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    error = PodFailedError(f"the pod {died}; its last words:\n{tail}")
    error.retryable = code not in FINAL_CODES
    return error


def _interpreted(command: Sequence[str]) -> list[str]:
    # Images have one Python, called `python`; here it is the one that runs this code.
    return [sys.executable if part == "python" else part for part in command[:1]] + list(command[1:])


def _die_with(parent: int) -> None:
    """In the child, before its command: be killed when ``parent`` is, also when that has happened already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel knew
        os._exit(1)
