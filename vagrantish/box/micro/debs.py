"""Reads files out of Debian packages without unpacking them to disk."""

from __future__ import annotations

import subprocess
import tarfile
from typing import TYPE_CHECKING

from vagrantish.errors import BoxError, HostError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MERGED = ("bin/", "sbin/", "lib/", "lib64/", "lib32/", "libx32/")


def merged(name: str) -> str:
    """A member's path without "./", below usr/ also where an older package has it outside."""
    name = name.removeprefix("./")
    return f"usr/{name}" if name.startswith(_MERGED) else name


def read(package: Path, wanted: Callable[[str], bool]) -> tuple[dict[str, bytes], dict[str, str]]:
    """The plain files and the links of a package whose merged path is ``wanted``.

    Raises HostError when dpkg-deb cannot be run, BoxError when it cannot read the package.
    """
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    try:
        child = subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(package)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise HostError(f"cannot run dpkg-deb: {error.strerror}") from error
    with child:
        assert child.stdout is not None
        assert child.stderr is not None
        damage = ""
        try:
            with tarfile.open(fileobj=child.stdout, mode="r|") as tar:
                for member in tar:
                    name = merged(member.name)
                    if member.isfile() and wanted(name):
                        content = tar.extractfile(member)
                        assert content is not None
                        files[name] = content.read()
                    elif (member.issym() or member.islnk()) and wanted(name):
                        links[name] = member.linkname
        except tarfile.TarError as error:
            damage = str(error)
        except BaseException:
            child.kill()
            raise
        child.stdout.close()
        said = child.stderr.read().decode("utf-8", "replace").strip()
    if damage or child.returncode:
        raise BoxError(f"cannot read {package.name}: {said or damage}")
    return files, links
