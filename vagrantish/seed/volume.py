"""Writes a seed as the small ISO 9660 volume that cloud-init looks for."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from vagrantish.files import host_errors, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LABEL = "cidata"

_SECTOR = 2048
_DESCRIPTORS = 16  # the sector of the first volume descriptor
_DIRECTORY_DATE = bytes((80, 1, 1, 0, 0, 0, 0))  # 1980-01-01 UTC; ECMA-119 9.1.5
_VOLUME_DATE = b"1980010100000000\0"  # ECMA-119 8.4.26.1
_VOLUME_DATES = (813, 830, 864)  # made, changed, effective; the one between says "never expires"


def write_seed(files: Mapping[str, bytes], target: Path) -> bool:
    """Whether ``target`` had to be replaced: it is left alone where it holds just these files.

    Only its owner can read it, for the machine's private host key is in it. Raises HostError.
    """
    data = volume(files)
    with host_errors(f"read {target}"):
        try:
            if target.read_bytes() == data and target.stat().st_mode & 0o777 == 0o600:
                return False
        except FileNotFoundError:
            pass  # the first time
    write_atomic(target, data, mode=0o600)
    return True


def volume(files: Mapping[str, bytes]) -> bytes:
    """The files in the volume's root, with Rock Ridge and Joliet names.

    The same files give the same bytes, on every host and at any time.
    """
    import pycdlib

    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for number, (name, data) in enumerate(sorted(files.items())):
        iso.add_fp(
            BytesIO(data),
            len(data),
            f"/FILE{number}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
            file_mode=0o100400,
        )
    image = BytesIO()
    iso.write_fp(image)
    iso.close()
    return _with_fixed_dates(bytearray(image.getvalue()))


def _with_fixed_dates(image: bytearray) -> bytes:
    """pycdlib puts the time and the host's time zone everywhere, and offers no other."""
    sector = _DESCRIPTORS
    while (kind := image[sector * _SECTOR]) != 255:
        at = sector * _SECTOR
        if kind in (1, 2):  # primary, and Joliet's
            for offset in _VOLUME_DATES:
                image[at + offset : at + offset + len(_VOLUME_DATE)] = _VOLUME_DATE
            _fix_record(image, at + 156)
            for record in _records(image, at + 156):
                _fix_record(image, record)
        sector += 1
    return bytes(image)


def _records(image: bytearray, folder: int) -> Iterator[int]:
    """Where the records of a folder lie, whose own record is at ``folder``."""
    at = int.from_bytes(image[folder + 2 : folder + 6], "little") * _SECTOR
    end = at + int.from_bytes(image[folder + 10 : folder + 14], "little")
    while at < end:
        if image[at] == 0:  # none crosses a sector's end
            at += _SECTOR - at % _SECTOR
            continue
        yield at
        at += image[at]


def _fix_record(image: bytearray, at: int) -> None:
    image[at + 18 : at + 25] = _DIRECTORY_DATE
    end = at + image[at]
    name = image[at + 32]
    entry = at + 33 + name + (1 - name % 2)
    if image[entry : entry + 2] == b"SP":
        entry += 7
    while entry + 4 <= end and image[entry + 2] >= 4:  # System Use entries, SUSP 1.12 section 4
        if image[entry : entry + 2] == b"TF":
            dates = image[entry + 2] - 5
            image[entry + 5 : entry + 5 + dates] = _DIRECTORY_DATE * (dates // 7)
        entry += image[entry + 2]
