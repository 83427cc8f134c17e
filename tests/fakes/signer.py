"""A publisher's signing key that lives as long as a test: GnuPG in a home of its own."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Signer:
    home: Path
    fingerprint: str

    @property
    def public_key(self) -> bytes:
        """Armored, as publishers ship theirs."""
        return _gpg(self.home, "--armor", "--export", self.fingerprint)

    def detached(self, data: Path, *, armor: bool) -> bytes:
        options = ["--armor"] if armor else []
        return _gpg(self.home, *options, "--output", "-", "--detach-sign", str(data))

    def clear(self, text: str) -> bytes:
        return _gpg(self.home, "--clearsign", data=text.encode())


@contextmanager
def signer() -> Iterator[Signer]:
    # Directly below /tmp: the agent's socket must fit 107 bytes.
    with tempfile.TemporaryDirectory(prefix="vxg", dir="/tmp") as folder:
        home = Path(folder)
        try:
            _gpg(
                home,
                "--quick-generate-key",
                "Test images <test@example.invalid>",
                "ed25519",
                "sign",
            )
            listed = _gpg(home, "--with-colons", "--list-keys").decode()
            (line,) = [line for line in listed.splitlines() if line.startswith("fpr:")]
            yield Signer(home, line.split(":")[9])
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


def _gpg(home: Path, *arguments: str, data: bytes = b"") -> bytes:
    argv = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback",
            "--passphrase", "", *arguments]  # fmt: skip
    done = subprocess.run(argv, input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout
