"""UEFI for guests: files of the host that hypervisors run before anything on a disk."""

from __future__ import annotations

import json
import os
import shutil
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vagrantish.model import Firmware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_PAGE = 4096
_MOST = 64 << 20
_VOLUME_MARK = b"_FVH"  # EFI_FIRMWARE_VOLUME_HEADER.Signature
_DESCRIPTOR_MAX = 64 << 10
_DESCRIPTORS_MAX = 100
# Features of a descriptor that its guest would have to be made for.
_DEMANDING = ("requires-smm", "secure-boot", "enrolled-keys")
_MACHINE = "pc-q35-"  # as descriptors name what "q35" stands for

# Code and what a machine's variables begin as, in the order they are looked for. "{prefix}" is
# where QEMU is installed.
_PLACES = {
    "qemu": (
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),  # Debian, Ubuntu
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),  # Fedora
        ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),  # Arch
        ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
        ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),  # SUSE
        ("{prefix}/share/qemu/edk2-x86_64-code.fd", "{prefix}/share/qemu/edk2-i386-vars.fd"),
    ),
    "bhyve": (
        (
            "/usr/local/share/uefi-firmware/BHYVE_UEFI_CODE.fd",
            "/usr/local/share/uefi-firmware/BHYVE_UEFI_VARS.fd",
        ),
        ("/usr/local/share/uefi-firmware/BHYVE_UEFI.fd", ""),
    ),
}  # fmt: skip
_PREFIXES = ("/opt/homebrew", "/usr/local", "/opt/local", "/usr")


def find(provider: str, program: str | None = None) -> Firmware:
    """What this host has for ``provider``, without Secure Boot; ``vars`` is the template.

    ``code`` is None where there is none, and where the hypervisor brings its own. ``program`` is
    that of QEMU where it is not the one on PATH.
    """
    prefixes = prefixes_of(program)
    if provider == "qemu":
        for described in descriptors(descriptor_folders(prefixes)):
            found = usable(described)
            if found is not None and _are_there(found):
                return found
    for found in places(provider, prefixes):
        if _are_there(found):
            return found
    return Firmware(code=None)


def template_beside(code: Path, program: str | None = None) -> Path | None:
    """What a machine's variables begin as where its user names the code; None: nothing fits."""
    for described in descriptors(descriptor_folders(prefixes_of(program))):
        pair = _pair_of(described)
        if pair is not None and pair.code == code and pair.vars is not None and pair.vars.is_file():
            return pair.vars
    names = [code.name.replace("CODE", "VARS"), code.name.replace("code", "vars")]
    if code.name.startswith("edk2-"):
        names.append("edk2-i386-vars.fd")  # QEMU ships one for both
    beside = [code.with_name(name) for name in names if name != code.name]
    return next((path for path in beside if path.is_file()), None)


def problem(path: Path, *, is_code: bool) -> str:
    """What is wrong with a file that is to be UEFI's code or variables, for people; "" if nothing."""
    try:
        if not path.is_file():
            return "is not a file" if path.exists() else "does not exist"
        size = path.stat().st_size
        if size == 0 or size % _PAGE:
            return f"has {size} bytes, and a flash image is a whole number of {_PAGE}-byte pages"
        if size > _MOST:
            return f"has {size} bytes, which is far too big"
        if is_code and _VOLUME_MARK not in path.read_bytes():
            return "holds no firmware volume of UEFI"
        with path.open("rb"):
            return ""
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def install_hint(provider: str, which: Callable[[str], str | None] = shutil.which) -> str:
    """How this system gets UEFI."""
    if provider == "bhyve":
        return "Install it: `pkg install bhyve-firmware`, or name one: [boot] firmware."
    for manager, command in _INSTALL.items():
        if which(manager):
            return f"Install it: `{command}`, or name one: [boot] firmware."
    return "Name a file of it: [boot] firmware."


_INSTALL = {
    "brew": "brew install qemu",
    "apt-get": "sudo apt-get install ovmf",
    "dnf": "sudo dnf install edk2-ovmf",
    "zypper": "sudo zypper install qemu-ovmf-x86_64",
    "pacman": "sudo pacman -S edk2-ovmf",
    "apk": "sudo apk add ovmf",
}


# --- where to look ---------------------------------------------------------------------------


def prefixes_of(program: str | None) -> tuple[Path, ...]:
    """Where QEMU may be installed, the one that is used first."""
    found = shutil.which(os.path.expanduser(program or "qemu-system-x86_64"))
    own = [Path(found).parent.parent, Path(os.path.realpath(found)).parent.parent] if found else []
    return tuple(dict.fromkeys((*own, *(Path(prefix) for prefix in _PREFIXES))))


def places(provider: str, prefixes: Iterable[Path]) -> Iterator[Firmware]:
    for code, template in _PLACES.get(provider, ()):
        for prefix in prefixes if "{prefix}" in code else (Path("/"),):
            made = [Path(text.format(prefix=prefix)) for text in (code, template) if text]
            yield Firmware(code=made[0], vars=made[1] if len(made) > 1 else None)


def descriptor_folders(prefixes: Iterable[Path]) -> tuple[Path, ...]:
    """The strongest first (docs/interop/firmware.json in QEMU)."""
    return (Path("/etc/qemu/firmware"), *(prefix / "share/qemu/firmware" for prefix in prefixes))


def descriptors(folders: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """By name, as their numbers order them; a stronger folder's hides those of its name.

    What cannot be read or is none is passed over: it is the distribution's, and others will do.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.json"))[:_DESCRIPTORS_MAX]:
            found.setdefault(path.name, path)
    for name in sorted(found):
        try:
            with found[name].open("rb") as file:
                described = json.loads(file.read(_DESCRIPTOR_MAX))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(described, dict):
            yield described


# --- what a descriptor says ------------------------------------------------------------------


def usable(described: dict[str, Any], arch: str = "x86_64") -> Firmware | None:
    """UEFI in raw flash images that asks nothing more of the machine; None for all else."""
    features = described.get("features")
    if not isinstance(features, list) or any(feature in features for feature in _DEMANDING):
        return None
    kinds, targets = described.get("interface-types"), described.get("targets")
    if not isinstance(kinds, list) or "uefi" not in kinds or not isinstance(targets, list):
        return None
    if not any(_is_for(target, arch) for target in targets):
        return None
    return _pair_of(described)


def _is_for(target: object, arch: str) -> bool:
    if not isinstance(target, dict) or target.get("architecture") != arch:
        return False
    machines = target.get("machines")
    return isinstance(machines, list) and any(
        isinstance(machine, str) and fnmatchcase(f"{_MACHINE}9.0", machine) for machine in machines
    )


def _pair_of(described: dict[str, Any]) -> Firmware | None:
    mapping = described.get("mapping")
    if not isinstance(mapping, dict) or mapping.get("device") != "flash":
        return None
    code, template = _raw_file(mapping.get("executable")), _raw_file(mapping.get("nvram-template"))
    if code is None or (template is None and mapping.get("mode") != "stateless"):
        return None
    return Firmware(code=code, vars=template)


def _raw_file(described: object) -> Path | None:
    if not isinstance(described, dict) or described.get("format") != "raw":
        return None
    name = described.get("filename")
    return Path(name) if isinstance(name, str) and os.path.isabs(name) else None


def _are_there(found: Firmware) -> bool:
    return all(path is None or os.access(path, os.R_OK) for path in (found.code, found.vars))
