"""The network of the stand-in for xhyve: MACs, addresses, DHCP as it passes, the leases file."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.hyve import leases, net
from tests.fakes.hyve.bootpd import Bootpd
from tests.fakes.hyve.dhcp import Granted, Server, message_of
from tests.fakes.hyve.pcap import BadCapture, PcapReader

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="all of 127/8 is Linux's")

ROOT = Path(__file__).resolve().parents[2]
UUID = "8e4b2a10-1c9d-4f0a-9a3e-5b1f0c2d7e88"
MAC = bytes.fromhex("0a05001b cf32")
PORT = 20022
HANG_S = 20.0


# --- MACs ------------------------------------------------------------------------------------


def test_a_uuid_keeps_its_mac_however_it_is_written(tmp_path: Path) -> None:
    mac = net.mac_of(UUID, tmp_path)

    assert net.mac_of(UUID.upper(), tmp_path) == mac
    assert net.mac_of(UUID, tmp_path / "another") == mac


def test_a_mac_may_be_there_before_the_guest(tmp_path: Path) -> None:
    (tmp_path / net.MACS).write_text(f'{{"{UUID.upper()}": "2:a:0:1b:cf:32"}}')

    assert net.mac_of(UUID, tmp_path) == "02:0a:00:1b:cf:32"


@given(st.uuids())
def test_a_mac_is_one_of_a_local_station(uuid: object) -> None:
    mac = net.new_mac(str(uuid))

    assert re.fullmatch(r"([0-9a-f]{2}:){4}cf:32", mac)
    assert int(mac[:2], 16) & 3 == 2


# --- addresses -------------------------------------------------------------------------------


def test_an_address_is_the_lowest_that_is_free_and_then_kept(tmp_path: Path) -> None:
    block = net.block_of(tmp_path)
    first = net.claim_address("02:00:00:00:cf:32", tmp_path, PORT)
    second = net.claim_address("06:00:00:00:cf:32", tmp_path, PORT)
    with first.hold, second.hold:
        assert (first.outside, first.inside) == (f"{block}.2", "192.168.64.2")
        assert second.outside == f"{block}.3"

    third = net.claim_address("0a:00:00:00:cf:32", tmp_path, PORT)
    again = net.claim_address("06:00:00:00:cf:32", tmp_path, PORT)
    with third.hold, again.hold:
        assert (third.outside, again.outside) == (f"{block}.4", f"{block}.3")


def test_an_address_where_somebody_listens_is_passed_over(tmp_path: Path) -> None:
    block = net.block_of(tmp_path)
    with socket.create_server((f"{block}.2", PORT + 1)):
        claimed = net.claim_address("02:00:00:00:cf:32", tmp_path, PORT + 1)

    with claimed.hold:
        assert claimed.outside == f"{block}.3"


def test_where_the_port_is_taken_everywhere_the_complaint_says_so(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=rf"0\.0\.0\.0:{port}.*FAKE_XHYVE_SSH_PORT"):
            net.claim_address("02:00:00:00:cf:32", tmp_path, port)


def test_a_full_pool_gives_what_a_gone_guest_had(tmp_path: Path) -> None:
    block = net.block_of(tmp_path)
    table = ", ".join(f'"gone {host}": "{block}.{host}"' for host in range(2, 251))
    (tmp_path / net.ADDRESSES).write_text(f"{{{table}}}")

    claimed = net.claim_address("02:00:00:00:cf:32", tmp_path, PORT + 2)

    with claimed.hold:
        assert claimed.outside == f"{block}.2"
    assert '"gone 2"' not in (tmp_path / net.ADDRESSES).read_text()


def test_doubles_that_start_at_once_get_addresses_of_their_own(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.fakes.hyve import net\n"
        f"claimed = net.claim_address(sys.argv[1], Path({str(tmp_path)!r}), {PORT + 3})\n"
        "print(claimed.outside, flush=True); sys.stdin.read()"
    )
    started = [_python(program, f"02:00:00:00:0{number}:32") for number in range(4)]

    got = {process.stdout.readline().strip() for process in started if process.stdout}
    for process in started:
        process.communicate(timeout=HANG_S)

    assert got == {f"{net.block_of(tmp_path)}.{host}" for host in range(2, 6)}


# --- the leases file -------------------------------------------------------------------------


def test_a_lease_is_written_as_bootpd_writes_it() -> None:
    lease = leases.Lease(address="127.64.7.2", mac=MAC, name="web-1", expires=0x68A0C1F4)

    assert leases.text_of(lease) == (
        "{\n\tname=web-1\n\tip_address=127.64.7.2\n\thw_address=1,a:5:0:1b:cf:32\n"
        "\tidentifier=1,a:5:0:1b:cf:32\n\tlease=0x68a0c1f4\n}\n"
    )


def test_a_client_with_a_duid_shows_no_mac() -> None:
    duid = leases.duid_of(MAC)
    text = leases.text_of(leases.Lease(address="127.64.7.2", mac=MAC, client_id=duid, expires=1))

    assert "name=" not in text
    assert len(re.findall(r"=ff,(?:[0-9a-f]{1,2}:){4}0:2:0:0:ab:11:", text)) == 2


def test_other_leases_stay_below_the_new_one() -> None:
    def lease(address: str, name: str) -> leases.Lease:
        return leases.Lease(address=address, mac=MAC, name=name, expires=1)

    text = leases.with_lease("", lease("127.64.7.2", "old"))
    text = leases.with_lease(text, lease("127.64.7.22", "other"))
    text = leases.with_lease(text, lease("127.64.7.2", "new"))

    assert re.findall("name=(.*)", text) == ["new", "other"]


@given(st.text())
def test_no_name_adds_a_line(name: str) -> None:
    text = leases.text_of(leases.Lease(address="127.64.7.2", mac=MAC, name=name, expires=1))

    assert len(text.splitlines()) - ("\tname=" in text) == 6


def test_leases_written_at_once_are_all_there(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.fakes.hyve import leases\n"
        "for host in range(20):\n"
        "    address = f'127.64.{sys.argv[1]}.{host}'\n"
        "    lease = leases.Lease(address=address, mac=b'123456', expires=1)\n"
        f"    leases.record(Path({str(tmp_path / 'leases')!r}), lease)"
    )
    for process in [_python(program, str(number)) for number in range(3)]:
        process.communicate(timeout=HANG_S)

    assert (tmp_path / "leases").read_text().count("ip_address=") == 60
    assert (tmp_path / "leases").stat().st_mode & 0o777 == 0o644


# --- captures and DHCP -----------------------------------------------------------------------


def capture(*packets: bytes) -> bytes:
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65536, 1)
    return header + b"".join(
        struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet for packet in packets
    )


def frame(
    *, reply: bool, kind: int, xid: int = 7, address: str = "0.0.0.0", options: bytes = b""
) -> bytes:
    bootp = struct.pack(">BBBBI", 2 if reply else 1, 1, 6, 0, xid) + bytes(8)
    bootp += bytes(map(int, address.split("."))) + bytes(8) + MAC + bytes(10 + 64 + 128)
    dhcp = bootp + b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + options + b"\xff"
    ports = (67, 68) if reply else (68, 67)
    udp = struct.pack(">HHHH", *ports, 8 + len(dhcp), 0) + dhcp
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + bytes(8)
    return b"\xff" * 6 + MAC + b"\x08\x00" + ip + udp


HOST_NAME = b"\x00\x0c\x05web-1"
CLIENT_ID = b"\x3d\x07\x01" + MAC
ASKED = frame(reply=False, kind=3, options=HOST_NAME + CLIENT_ID)
ACKED = frame(reply=True, kind=5, address="192.168.64.9")
GRANTED = Granted(mac=MAC, address="192.168.64.9", host_name="web-1", client_id=b"\x01" + MAC)


@given(st.lists(st.binary(max_size=200), max_size=5), st.integers(1, 60))
def test_packets_come_out_whole_however_the_file_grows(packets: list[bytes], step: int) -> None:
    data, reader = capture(*packets), PcapReader()

    read = [p for at in range(0, len(data), step) for p in reader.feed(data[at : at + step])]

    assert read == packets


@pytest.mark.parametrize(
    "data", [b"not a capture at all, but long", capture() + b"\xff" * 16], ids=["magic", "size"]
)
def test_what_is_no_capture_is_refused(data: bytes) -> None:
    with pytest.raises(BadCapture):
        PcapReader().feed(data)


def test_an_ack_grants_what_the_request_asked_for() -> None:
    server = Server()

    assert server.see(ASKED) is None
    assert server.see(frame(reply=True, kind=2, address="192.168.64.9")) is None  # an offer
    assert server.see(frame(reply=True, kind=5)) is None  # an answer to INFORM
    assert server.see(ACKED) == GRANTED


def test_an_ack_to_nobody_known_has_no_name() -> None:
    server = Server()
    server.see(frame(reply=False, kind=3, xid=8, options=HOST_NAME))

    granted = server.see(ACKED)

    assert granted is not None
    assert (granted.host_name, granted.client_id) == ("", b"")


@given(st.binary(max_size=60), st.integers(0, len(ASKED)), st.integers(0, len(ASKED)))
def test_damaged_packets_are_no_messages_or_whole_ones(noise: bytes, at: int, cut: int) -> None:
    damaged = (ASKED[:at] + noise + ASKED[at + len(noise) :])[:cut]

    message = message_of(damaged)

    assert message is None or len(message.mac) == 6


# --- all together ----------------------------------------------------------------------------


def test_the_lease_appears_at_the_ack_with_the_address_outside(tmp_path: Path) -> None:
    address = net.Address(
        outside="127.64.7.9", inside="192.168.64.9", port=22, hold=socket.socket()
    )
    file = tmp_path / "folder" / "leases"
    reading, writing = os.pipe()
    Bootpd(file=file, address=address).follow(reading)

    os.write(writing, capture(ASKED))
    time.sleep(0.1)
    assert not file.exists()
    os.write(writing, capture(ACKED)[24:])
    text = _appearing(file)
    os.close(writing)
    address.hold.close()

    assert "name=web-1\n\tip_address=127.64.7.9\n\thw_address=1,a:5:0:1b:cf:32\n" in text


def test_a_late_lease_of_a_duid_comes_later_and_as_one(tmp_path: Path) -> None:
    file = tmp_path / "leases"
    reading, writing = os.pipe()
    Bootpd(file=file, address=None, delay_s=0.3, duid=True).follow(reading)

    os.write(writing, capture(ASKED, ACKED))
    os.close(writing)
    time.sleep(0.1)
    assert not file.exists()

    assert "ip_address=192.168.64.9\n\thw_address=ff," in _appearing(file)


def test_a_broken_capture_is_still_read_to_its_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    Bootpd(file=tmp_path / "leases", address=None).follow(reading)

    for _ in range(4):  # more than a pipe holds: a reader that gave up would stop this
        os.write(writing, b"x" * 40000)
    os.close(writing)

    deadline = time.monotonic() + HANG_S
    said = ""
    while "fake xhyve: leases: not a capture" not in said:
        assert time.monotonic() < deadline
        time.sleep(0.01)
        said += capfd.readouterr().err


def _appearing(file: Path) -> str:
    deadline = time.monotonic() + HANG_S
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return file.read_text()


def _python(program: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
