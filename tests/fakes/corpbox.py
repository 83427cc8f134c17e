"""A published box of a few bytes, called corp: its files on a server, its definition in a catalog."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.fakes.tinybox import ARCH, kernel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.fakes.http import FileServer

OTHER_ARCH = "aarch64" if ARCH == "x86_64" else "x86_64"


class Corp:
    """``corp@1.BUILD`` for each build that is published; each build's kernel is another file."""

    def __init__(self, server: FileServer, catalog: Path) -> None:
        self.server = server
        self.catalog = catalog

    def publish(
        self,
        *builds: str,
        more: Mapping[str, bytes] | None = None,
        name: str = "corp",
        top: str = "",
        pinned: bool = True,
    ) -> None:
        """Serve these builds, and define no others. ``more``: parts besides the kernel."""
        lines = [f'name = "{name}"', 'user = "me"', top]
        parts = {
            part: self._url(name, "{build}", part, "{arch}") for part in ("kernel", *(more or ()))
        }
        lines += [f'{part}.url = "{url}"' for part, url in parts.items()]
        lines.append("[release.1]")
        for build in builds:
            lines.append(f"[release.1.build.{build}]")
            for arch in (ARCH, OTHER_ARCH):
                files = {"kernel": kernel() + f"{build} for {arch}".encode()} | dict(more or {})
                promises = [self._serve(name, build, part, arch, files[part]) for part in files]
                lines.append(f"{arch} = {{ {', '.join(promises) if pinned else ''} }}")
        folder = self.catalog / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "box.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def path(
        self, build: str, part: str = "kernel", *, arch: str = ARCH, name: str = "corp"
    ) -> str:
        return f"/{name}/{build}/{part}-{arch}"

    def url(self, build: str, part: str = "kernel", *, arch: str = ARCH, name: str = "corp") -> str:
        return self.server.url + self.path(build, part, arch=arch, name=name)

    def digest(self, build: str, part: str = "kernel", *, arch: str = ARCH) -> str:
        return digest_of(self.server.files[self.path(build, part, arch=arch)])

    def _url(self, name: str, build: str, part: str, arch: str) -> str:
        return self.url(build, part, arch=arch, name=name)

    def _serve(self, name: str, build: str, part: str, arch: str, data: bytes) -> str:
        self.server.files[self.path(build, part, arch=arch, name=name)] = data
        return f'{part}.digest = "{digest_of(data)}", {part}.size = {len(data)}'


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
