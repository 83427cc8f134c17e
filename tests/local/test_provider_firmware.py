"""UEFI on this host: found by descriptors or by place, and told when it is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vagrantish.model import Firmware
from vagrantish.provider import firmware

CODE = b"\0" * 40 + b"_FVH" + b"\0" * 4052


def descriptor(**changes: Any) -> dict[str, Any]:
    """In the shape of Debian's 60-edk2-x86_64.json."""
    return {
        "description": "UEFI firmware for x86_64",
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            "executable": {"filename": "/f/CODE.fd", "format": "raw"},
            "nvram-template": {"filename": "/f/VARS.fd", "format": "raw"},
        },
        "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
        "features": ["acpi-s3", "verbose-dynamic"],
        **changes,
    }


PAIR = Firmware(code=Path("/f/CODE.fd"), vars=Path("/f/VARS.fd"))
FLASH = descriptor()["mapping"]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, PAIR),
        ({"features": ["secure-boot", "requires-smm"]}, None),
        ({"features": ["enrolled-keys"]}, None),
        ({"features": None}, None),
        ({"interface-types": ["bios"]}, None),
        ({"targets": [{"architecture": "aarch64", "machines": ["virt-*"]}]}, None),
        ({"targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*"]}]}, None),
        ({"targets": [3, {"architecture": "x86_64", "machines": [4]}]}, None),
        ({"mapping": FLASH | {"device": "memory"}}, None),
        ({"mapping": FLASH | {"executable": {"filename": "/f/C.qcow2", "format": "qcow2"}}}, None),
        ({"mapping": FLASH | {"executable": {"filename": "relative", "format": "raw"}}}, None),
        ({"mapping": FLASH | {"nvram-template": 3}}, None),
        (
            {"mapping": FLASH | {"nvram-template": None, "mode": "stateless"}},
            Firmware(code=Path("/f/CODE.fd")),
        ),
        ({"mapping": []}, None),
    ],
)
def test_a_descriptor_is_taken_that_asks_nothing_more_of_the_machine(
    changes: dict[str, Any], found: Firmware | None
) -> None:
    assert firmware.usable(descriptor(**changes)) == found


def test_descriptors_come_by_their_numbers_and_the_stronger_folder_hides(tmp_path: Path) -> None:
    etc, share = tmp_path / "etc", tmp_path / "share"
    for folder, name, text in (
        (share, "60-plain.json", json.dumps({"is": "plain"})),
        (share, "50-hidden.json", json.dumps({"is": "hidden"})),
        (etc, "50-hidden.json", json.dumps({"is": "stronger"})),
        (share, "10-damaged.json", "{"),
        (share, "11-none.json", "[]"),
        (share, "12-deep.json", "[" * 100_000),
        (share, "13-bytes.json", "\udcff"),
        (share, "readme.txt", "{}"),
    ):
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    (share / "14-folder.json").mkdir()

    found = list(firmware.descriptors((etc, tmp_path / "missing", share)))

    assert [one["is"] for one in found] == ["stronger", "plain"]


def test_places_are_known_for_those_who_bring_none_of_their_own() -> None:
    qemu = list(firmware.places("qemu", (Path("/opt/homebrew"),)))

    assert qemu[0].code == Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
    assert qemu[-1].code == Path("/opt/homebrew/share/qemu/edk2-x86_64-code.fd")
    assert all(pair.vars is not None for pair in qemu)
    assert list(firmware.places("bhyve", ()))[-1].code == Path(
        "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd"
    )
    assert not list(firmware.places("vfkit", (Path("/usr"),)))
    assert firmware.find("xhyve") == Firmware(code=None)


@pytest.mark.parametrize(
    ("code", "template"),
    [
        ("OVMF_CODE.fd", "OVMF_VARS.fd"),
        ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
        ("ovmf-x86_64-code.bin", "ovmf-x86_64-vars.bin"),
        ("edk2-x86_64-code.fd", "edk2-i386-vars.fd"),
    ],
)
def test_variables_are_looked_for_beside_the_code(tmp_path: Path, code: str, template: str) -> None:
    assert firmware.template_beside(tmp_path / code) is None

    (tmp_path / template).write_bytes(CODE)

    assert firmware.template_beside(tmp_path / code) == tmp_path / template


def test_code_is_never_taken_for_its_own_variables(tmp_path: Path) -> None:
    (tmp_path / "BHYVE_UEFI.fd").write_bytes(CODE)

    assert firmware.template_beside(tmp_path / "BHYVE_UEFI.fd") is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "does not exist"),
        (b"", "has 0 bytes"),
        (CODE[:-1], "has 4095 bytes"),
        (bytes(4096), "holds no firmware volume"),
        (CODE, ""),
    ],
)
def test_a_file_that_is_no_firmware_is_told(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "CODE.fd"
    if content is not None:
        path.write_bytes(content)

    assert firmware.problem(path, is_code=True).startswith(why)
    assert bool(firmware.problem(path, is_code=True)) == bool(why)


def test_a_folder_and_a_giant_are_none_either(tmp_path: Path) -> None:
    assert firmware.problem(tmp_path, is_code=True) == "is not a file"
    with (tmp_path / "big").open("wb") as big:
        big.truncate(1 << 40)
    assert "far too big" in firmware.problem(tmp_path / "big", is_code=False)


def test_the_package_is_named_where_there_is_none() -> None:
    assert "apt-get install ovmf" in firmware.install_hint(
        "qemu", lambda name: name * (name == "apt-get")
    )
    assert "[boot] firmware" in firmware.install_hint("qemu", lambda _: None)
    assert "bhyve-firmware" in firmware.install_hint("bhyve")
