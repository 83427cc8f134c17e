"""The keys of guests that take none from vx: told, checked, pinned."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.lifecycle.test_spec import BOX, MACHINE
from vagrantish.errors import MachineError
from vagrantish.lifecycle import access, connect
from vagrantish.lifecycle.access import KeysUnknown
from vagrantish.machine.record import Record
from vagrantish.model import SeedKind, SSHConfig
from vagrantish.paths import MachineLayout
from vagrantish.ssh import keys

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJmtbZFnZwXBbNtHGOvCoMBDGyKyGoo0AyXKVZ1FkuvD"


@pytest.fixture
def layout(tmp_path: Path) -> MachineLayout:
    found = MachineLayout(tmp_path / "m")
    found.directory.mkdir()
    public = keys.generate("host").public
    found.host_key.with_name("host_ed25519.pub").write_text(f"{public}\n")
    return found


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "mine"
    path.write_bytes(keys.generate("me").private)
    path.chmod(0o600)
    return path


def record(ssh: dict[str, object]) -> Record:
    return Record(
        id="0123abcd", uuid="u", name="web", project="/p", provider="qemu", mac="52:54:00:00:00:01",
        created_at="", user="me", box={}, ssh=ssh,
    )  # fmt: skip


def test_a_guest_nobody_told_the_keys_of_is_not_started(layout: MachineLayout) -> None:
    with pytest.raises(KeysUnknown, match="vx trusts none on first use") as caught:
        access.check(MACHINE, BOX, layout)

    assert "`host_key`" in caught.value.hint
    assert f"put {layout.directory}/id_ed25519.pub into" in caught.value.hint


def test_one_that_takes_keys_needs_none_told(layout: MachineLayout) -> None:
    machine = replace(MACHINE, ssh=SSHConfig(key=Path("/nowhere"), host_key=HOST_KEY))

    access.check(machine, replace(BOX, seed=SeedKind.OVERLAY), layout)

    fields = access.ssh_fields(machine, SeedKind.OVERLAY)
    assert (fields["key"], fields["host_key"]) == ("", "")


def test_what_is_told_is_pinned_and_used(layout: MachineLayout, key: Path) -> None:
    machine = replace(MACHINE, ssh=SSHConfig(key=key, host_key=HOST_KEY))
    access.check(machine, BOX, layout)
    mine = record(access.ssh_fields(machine, BOX.seed))

    access.pin(mine, layout)

    assert layout.known_hosts.read_text() == f"vx-0123abcd {HOST_KEY}\n"
    assert connect.target_of(mine, layout, "h", 1).key_file == key


def test_without_that_it_is_the_machines_own_again(layout: MachineLayout) -> None:
    layout.known_hosts.write_text(f"vx-0123abcd {HOST_KEY}\n")
    mine = record(access.ssh_fields(MACHINE, BOX.seed))

    access.pin(mine, layout)

    own = layout.host_key.with_name("host_ed25519.pub").read_text().split()[1]
    assert layout.known_hosts.read_text() == f"vx-0123abcd ssh-ed25519 {own}\n"
    assert connect.target_of(mine, layout, "h", 1).key_file == layout.user_key


def test_a_machine_of_before_has_its_own_keys(layout: MachineLayout) -> None:
    assert connect.target_of(record({}), layout, "h", 1).key_file == layout.user_key


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file"),
        (lambda path: path.chmod(0o644), "may be read by others"),
        (lambda path: path.write_text("nonsense"), "is no private key"),
        (lambda path: path.write_text(HOST_KEY), "is a public key: name the file without .pub"),
    ],
)
def test_a_private_key_that_cannot_be_used_is_told_before_a_start(
    layout: MachineLayout, key: Path, spoil: object, why: str
) -> None:
    assert callable(spoil)
    spoil(key)
    machine = replace(MACHINE, ssh=SSHConfig(key=key, host_key=HOST_KEY))

    with pytest.raises(MachineError, match=why) as caught:
        access.check(machine, BOX, layout)

    assert str(key) in caught.value.message


def test_a_passphrase_is_never_asked_for(layout: MachineLayout, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
    machine = replace(MACHINE, ssh=SSHConfig(key=key, host_key=HOST_KEY))

    with pytest.raises(MachineError, match="has a passphrase"):
        access.check(machine, BOX, layout)
