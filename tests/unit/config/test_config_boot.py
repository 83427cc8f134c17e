"""How a machine boots, as the Xhyvefile and its box say it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vagrantish.model import BootMode, BoxParts

if TYPE_CHECKING:
    from tests.unit.config.conftest import Settings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJmtbZFnZwXBbNtHGOvCoMBDGyKyGoo0AyXKVZ1FkuvD"
PAGE = Path(__file__).resolve().parents[3] / "docs/other-systems.md"
NISTP = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAAA="


def test_paths_are_found_from_the_projects_folder(settings: Settings) -> None:
    machine = settings.machine(
        "box = 'a'\n[boot]\nmode = 'uefi'\nfirmware = 'CODE.fd'\nfirmware_vars = '/f/VARS.fd'\n"
        "userboot = 'userboot.so'\n[ssh]\nkey = 'keys/id'\nguest_port = 2022\n"
    )

    assert machine.boot.mode is BootMode.UEFI
    assert machine.boot.firmware == settings.root / "CODE.fd"
    assert machine.boot.firmware_vars == Path("/f/VARS.fd")
    assert machine.boot.userboot == settings.root / "userboot.so"
    assert (machine.ssh.key, machine.ssh.guest_port) == (settings.root / "keys/id", 2022)


def test_a_box_says_how_it_boots_and_the_xhyvefile_has_the_last_word(settings: Settings) -> None:
    box = {"boot": {"mode": "uefi"}}

    assert settings.machine("box = 'a'", box=box).boot.mode is BootMode.UEFI
    text = "box = 'a'\n[boot]\nmode = 'fbsd'"
    assert settings.machine(text, box=box).boot.mode is BootMode.FBSD


def test_the_examples_for_other_systems_are_right(settings: Settings) -> None:
    examples = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for disk in re.findall(r'disk = "([^"]+)"', "".join(examples)):
        settings.write(disk)

    machines = [
        settings.machine(text if "box =" in text else f"box = 'micro'\n{text}") for text in examples
    ]

    assert {machine.boot.mode for machine in machines} == {BootMode.UEFI, BootMode.FBSD}


def test_a_box_names_no_firmware_and_no_key(settings: Settings) -> None:
    for table in ({"boot": {"firmware": "/f"}}, {"ssh": {"key": "/k"}}, {"ssh": {"host_key": KEY}}):
        assert "a box cannot set" in settings.problems("box = 'a'", box=table)[0]


def test_a_box_of_own_files_is_known_to_need_no_kernel(settings: Settings) -> None:
    settings.write("disk.img")
    machine = settings.machine("box = { disk = 'disk.img' }\n[boot]\nmode = 'uefi'")

    assert isinstance(machine.box, BoxParts)
    assert machine.box.boot is BootMode.UEFI


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (KEY, KEY),
        (f"{KEY} root@guest", KEY),
        (f"[127.0.0.1]:2222 {KEY}", KEY),
        (NISTP, NISTP),
    ],
)
def test_a_host_key_is_taken_as_sshd_and_ssh_keyscan_write_it(
    settings: Settings, given: str, kept: str
) -> None:
    assert settings.machine(f"box = 'a'\n[ssh]\nhost_key = '{given}'").ssh.host_key == kept


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nonsense",
        "ssh-ed25519 ",
        "ssh-dss AAAAB3NzaC1kc3M=",
        KEY.replace("ssh-ed25519", "ssh-rsa"),
    ],
)
def test_what_is_no_host_key_is_refused_without_being_shown(settings: Settings, given: str) -> None:
    (told,) = settings.problems(f"box = 'a'\n[ssh]\nhost_key = '{given}'")

    assert "Xhyvefile:3: `ssh.host_key` must be the line of a public host key" in told
    assert "nonsense" not in told
    assert "AAAAB3" not in told
