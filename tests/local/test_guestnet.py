"""Looking for a guest in real files, with the machine's own note."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.hyve import leases as bootpd
from vagrantish import proc
from vagrantish.paths import MachineLayout
from vagrantish.provider import running
from vagrantish.provider.guestnet import arp, find, vmnet

if TYPE_CHECKING:
    from pathlib import Path

MAC = "5a:94:ef:00:00:07"


@pytest.fixture
def layout(tmp_path: Path) -> MachineLayout:
    return MachineLayout(tmp_path)


def note(layout: MachineLayout, **facts: Any) -> None:
    process = proc.identify(os.getpid())
    known = {"mac": MAC, "hostname": "web", "ssh_port": 22, "leases": str(layout.directory / "l")}
    running.write_note(
        layout,
        {"schema": running.SCHEMA, **running.identity_fields(process), **known, **facts},
    )


def lease(layout: MachineLayout, address: str, mac: str = MAC, **more: Any) -> None:
    made = bootpd.Lease(
        address=address, mac=bytes.fromhex(mac.replace(":", "")), **{"expires": bootpd.expiry(), **more}
    )  # fmt: skip
    bootpd.record(layout.directory / "l", made)


def seen(layout: MachineLayout) -> list[str]:
    return [f"{a.host}:{a.port}" for a in find.candidates_of(layout).addresses]


def test_a_lease_is_seen_as_soon_as_the_file_has_it(layout: MachineLayout) -> None:
    note(layout, ssh_port=2022)

    assert seen(layout) == []
    assert MAC in find.candidates_of(layout).note

    lease(layout, "192.168.64.6", mac="5a:94:ef:00:00:08")
    assert seen(layout) == []

    lease(layout, "192.168.64.7")
    assert seen(layout) == ["192.168.64.7:2022"]

    lease(layout, "192.168.64.9", expires=bootpd.expiry() + 60)
    assert seen(layout) == ["192.168.64.9:2022", "192.168.64.7:2022"]
    assert find.candidates_of(layout).note == f"lease of {MAC} in {layout.directory / 'l'}"


def test_where_ssh_was_answered_before_is_tried_first(layout: MachineLayout) -> None:
    note(layout)
    lease(layout, "127.64.0.7")
    lease(layout, "127.64.0.9", expires=bootpd.expiry() + 60)
    assert seen(layout) == ["127.64.0.9:22", "127.64.0.7:22"]

    running.note_address(layout, "127.64.0.7", 22)

    assert seen(layout) == ["127.64.0.7:22", "127.64.0.9:22"]
    assert not find.candidates_of(layout).certain


def test_a_file_that_did_not_change_is_not_read_again(layout: MachineLayout) -> None:
    note(layout)
    lease(layout, "192.168.64.7")
    file = layout.directory / "l"
    seen(layout)
    was = file.stat()

    file.write_bytes(file.read_bytes().replace(b"192.168.64.7", b"192.168.64.8"))
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert seen(layout) == ["192.168.64.7:22"]

    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns + 1))
    assert seen(layout) == ["192.168.64.8:22"]


def test_a_note_of_an_address_that_is_none_is_passed_over(layout: MachineLayout) -> None:
    lease(layout, "192.168.64.7")

    for odd in (7, {}, {"host": 7}, {"host": None, "port": 22}, ["192.168.64.9"]):
        note(layout, address=odd)
        assert seen(layout) == ["192.168.64.7:22"]


def test_without_a_mac_what_changed_since_the_snapshot_is_found(layout: MachineLayout) -> None:
    lease(layout, "192.168.64.6", mac="5a:94:ef:00:00:08")
    note(layout, mac="", leases_before=find.snapshot_of(str(layout.directory / "l")))

    assert seen(layout) == []

    lease(layout, "192.168.64.7")

    assert seen(layout) == ["192.168.64.7:22"]


@pytest.mark.parametrize("facts", [{"ssh_port": None}, {"mac": 7, "hostname": [], "uuid": "x"}])
def test_a_note_that_tells_nothing_finds_nothing(
    layout: MachineLayout, facts: dict[str, Any]
) -> None:
    note(layout, **facts)
    lease(layout, "192.168.64.7")

    assert seen(layout) == []


def test_a_file_that_is_none_or_cannot_be_read_has_no_leases(layout: MachineLayout) -> None:
    note(layout)
    os.mkfifo(layout.directory / "l")

    assert seen(layout) == []

    assert vmnet.read(layout.directory / "missing").host is None
    assert vmnet.read(layout.directory).host is None


def test_a_leases_file_that_is_missing_or_closed_is_told(layout: MachineLayout) -> None:
    note(layout)
    assert find.candidates_of(layout).note.endswith("/l, which is not there")

    (layout.directory / "l").touch()
    assert find.candidates_of(layout).note.endswith("/l")

    if os.geteuid() != 0:  # root reads what it likes
        (layout.directory / "l").chmod(0)
        assert find.candidates_of(layout).note.endswith("/l, which cannot be read")


def test_arp_is_asked_by_its_whole_path_and_never_for_long(tmp_path: Path) -> None:
    program = tmp_path / "arp"
    program.write_text('#!/bin/sh\necho "? (192.168.64.7) at 5a:94:ef:0:0:7 on $1"\n')
    program.chmod(0o755)
    hung = tmp_path / "hung"
    hung.write_text("#!/bin/sh\nexec sleep 60\n")
    hung.chmod(0o755)

    many = tmp_path / "many"
    many.write_text(
        "#!/bin/sh\n"
        'for a in 1 2 3 4; do for b in $(seq 250); do echo "? (10.0.$a.$b) at 2:0:0:0:$a:1 on en0"; '
        "done; done\n"
    )
    many.chmod(0o755)
    assert len(arp.look((str(many),))) == 1000

    (found,) = arp.look((str(tmp_path / "missing"), str(program)))
    assert (found.ip, found.device) == ("192.168.64.7", "-an")
    assert arp.look((str(tmp_path / "missing"),)) == ()

    began = time.monotonic()
    assert arp.look((str(hung),)) == ()
    assert time.monotonic() - began < 30
