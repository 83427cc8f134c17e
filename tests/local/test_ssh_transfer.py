"""Files to and from a guest: whole or not at all, and no trust in the guest's names."""

from __future__ import annotations

import os
import stat
import threading
import time
from typing import TYPE_CHECKING

import paramiko
import pytest
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from tests.fakes.sshd import ALIAS, Sshd, TcpServer, Told, sshd_in
from vagrantish.errors import HostError, SSHError, TransferError, VxError
from vagrantish.events import Cancelled, Note, Progress
from vagrantish.formats.placement import REFUSED, Placement, place_command, refusal
from vagrantish.ssh import keys
from vagrantish.ssh.client import Client, connect
from vagrantish.ssh.target import Target

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

ODD_NAMES = ("-rf", "with space", "ünï", "quote'\"$HOME", "new\nline", ".hidden", "*")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd_in(tmp_path / "sshd") as sshd:
        yield sshd


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def client(server: Sshd, told: Told) -> Iterator[Client]:
    with connect(server.target(), op=told.op) as client:
        yield client


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A folder that plays the guest's."""
    folder = tmp_path / "guest"
    folder.mkdir()
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "host"
    folder.mkdir()
    return folder


def make_tree(root: Path) -> None:
    root.mkdir()
    for name in ODD_NAMES:
        (root / name).write_bytes(name.encode() + b"\0\xff")
    (root / "bin").mkdir()
    (root / "bin" / "run").write_text("#!/bin/sh\n")
    (root / "bin" / "run").chmod(0o755)
    (root / "bin" / "again").symlink_to("../bin/run")
    (root / "empty").mkdir()
    (root / "private").write_text("secret")
    (root / "private").chmod(0o600)


def snapshot(root: Path) -> dict[str, tuple[str, int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        if path.is_symlink():
            found[str(path.relative_to(root))] = ("link", 0, os.fsencode(os.readlink(path)))
        elif path.is_dir():
            found[str(path.relative_to(root))] = ("folder", stat.S_IMODE(info.st_mode), b"")
        else:
            data = path.read_bytes()
            found[str(path.relative_to(root))] = ("file", stat.S_IMODE(info.st_mode), data)
    return found


# --- to the guest ----------------------------------------------------------------------------


def test_a_file_arrives_with_its_bytes_and_mode(
    client: Client, told: Told, here: Path, there: Path
) -> None:
    (here / "run").write_bytes(os.urandom(3_000_000))
    (here / "run").chmod(0o750)

    client.put(here / "run", str(there / "run"), op=told.op)

    assert (there / "run").read_bytes() == (here / "run").read_bytes()
    assert stat.S_IMODE((there / "run").stat().st_mode) == 0o750
    done = [e for e in told.recorder.events if isinstance(e, Progress)][-1]
    assert (done.done, done.total, done.unit) == (3_000_000, 3_000_000, "B")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_file_may_have_any_name(
    client: Client, told: Told, here: Path, there: Path, name: str
) -> None:
    (here / name).write_text("x")

    client.put(here / name, str(there), op=told.op)
    client.get(str(there / name), here / "back", op=told.op)

    assert os.listdir(there) == [name]
    assert (here / "back").read_text() == "x"


def test_a_file_replaces_another_whole(client: Client, told: Told, here: Path, there: Path) -> None:
    (here / "new").write_text("new")
    (there / "f").write_text("old and longer")

    client.put(here / "new", str(there / "f"), mode=0o600, op=told.op)

    assert (there / "f").read_text() == "new"
    assert stat.S_IMODE((there / "f").stat().st_mode) == 0o600
    assert os.listdir(there) == ["f"]


def test_an_empty_file_is_a_file(client: Client, told: Told, here: Path, there: Path) -> None:
    (here / "empty").touch()

    client.put(here / "empty", str(there / "empty"), op=told.op)

    assert (there / "empty").read_bytes() == b""


def test_a_connection_cut_in_an_upload_leaves_nothing(
    client: Client, server: Sshd, told: Told, here: Path, there: Path
) -> None:
    (here / "big").write_bytes(b"x" * 400_000_000)
    threading.Thread(target=once_begun, args=(there, server.cut)).start()

    with pytest.raises(SSHError):
        client.put(here / "big", str(there / "big"), op=told.op)

    deadline = time.monotonic() + 5
    while os.listdir(there) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert os.listdir(there) == []


def test_cancelling_an_upload_leaves_nothing(
    client: Client, told: Told, here: Path, there: Path
) -> None:
    (here / "big").write_bytes(b"x" * 400_000_000)
    threading.Thread(target=once_begun, args=(there, told.cancel.set)).start()

    with pytest.raises(Cancelled):
        client.put(here / "big", str(there / "big"), op=told.op)

    assert os.listdir(there) == []


def once_begun(there: Path, act: Callable[[], object]) -> None:
    """Act as soon as the guest has begun to write."""
    deadline = time.monotonic() + 30
    while not os.listdir(there) and time.monotonic() < deadline:
        time.sleep(0.002)
    act()


@pytest.mark.parametrize(
    ("remote", "why"),
    [("{}/no/such/f", "there is no folder"), ("~nobody/f", "only the home of the ssh user")],
)
def test_a_place_that_cannot_be_is_said(
    client: Client, told: Told, here: Path, there: Path, remote: str, why: str
) -> None:
    (here / "f").touch()

    with pytest.raises(TransferError, match=why):
        client.put(here / "f", remote.format(there), op=told.op)


def test_what_is_not_there_cannot_be_sent(client: Client, told: Told, here: Path) -> None:
    with pytest.raises(TransferError, match="does not exist"):
        client.copy_in(here / "nothing", "/tmp/x", op=told.op)


def test_a_device_is_not_sent(client: Client, told: Told, here: Path) -> None:
    os.mkfifo(here / "pipe")

    with pytest.raises(TransferError, match="neither a file nor a folder"):
        client.copy_in(here / "pipe", "/tmp/x", op=told.op)


def test_a_folder_arrives_as_it_is(client: Client, told: Told, here: Path, there: Path) -> None:
    make_tree(here / "tree")

    client.put_tree(here / "tree", str(there / "copy"), op=told.op)

    assert snapshot(there / "copy") == snapshot(here / "tree")
    assert os.listdir(there) == ["copy"]


def test_a_folder_goes_into_a_folder_and_leaves_what_is_there(
    client: Client, told: Told, here: Path, there: Path
) -> None:
    make_tree(here / "tree")
    (there / "tree" / "bin").mkdir(parents=True)
    (there / "tree" / "bin" / "other").write_text("theirs")
    (there / "elsewhere").write_text("not to be touched")
    (there / "tree" / "private").symlink_to(there / "elsewhere")

    client.put_tree(here / "tree", str(there), op=told.op)

    expected = snapshot(here / "tree")
    found = snapshot(there / "tree")
    assert found.pop("bin/other")[2] == b"theirs"
    assert found == expected
    assert (there / "elsewhere").read_text() == "not to be touched"


def test_links_that_lead_out_and_special_files_are_left_out_and_said(
    client: Client, told: Told, here: Path, there: Path
) -> None:
    (here / "tree" / "sub").mkdir(parents=True)
    (here / "tree" / "out").symlink_to("/etc/passwd")
    (here / "tree" / "sub" / "up").symlink_to("../../host")
    (here / "tree" / "sub" / "trick").symlink_to("x/../../..")
    (here / "tree" / "sub" / "fine").symlink_to("../other")
    os.mkfifo(here / "tree" / "pipe")

    client.put_tree(here / "tree", str(there / "tree"), op=told.op)

    assert sorted(snapshot(there)) == ["tree", "tree/sub", "tree/sub/fine"]
    notes = told.texts(Note, "text")
    assert len(notes) == 4
    assert all(note.startswith("Left out: ") for note in notes)


def test_what_did_not_arrive_whole_is_not_put_in_place(
    client: Client, told: Told, there: Path
) -> None:
    placement = Placement(kind="file", destination=f"{there}/f", name="f", check="1000", mode=0o644)

    result = client.exec(place_command(placement), stdin=b"x" * 999, op=told.op)

    assert (result.exit_status, refusal(result.stderr)) == (
        REFUSED,
        f"not all of {there}/f arrived",
    )
    assert os.listdir(there) == []


# --- from the guest --------------------------------------------------------------------------


def test_a_file_comes_back_with_its_bytes_and_mode(
    client: Client, told: Told, here: Path, there: Path
) -> None:
    (there / "f").write_bytes(os.urandom(3_000_000))
    (there / "f").chmod(0o4751)

    client.get(str(there / "f"), here / "f", op=told.op)

    assert (here / "f").read_bytes() == (there / "f").read_bytes()
    assert stat.S_IMODE((here / "f").stat().st_mode) == 0o751


def test_paths_start_at_the_home_of_the_user(
    client: Client, told: Told, here: Path, tmp_path: Path
) -> None:
    home = client.exec("cd && pwd", op=told.op).stdout.decode().strip()
    name = f".vx-test-{tmp_path.name}"
    (here / name).write_text("x")
    try:
        client.put(here / name, f"~/{name}", op=told.op)
        client.get(f"~/{name}", here / "one", op=told.op)
        client.get(name, here / "two", op=told.op)
    finally:
        client.exec(f"rm -f {home}/{name}", op=told.op)

    assert (here / "one").read_text() == (here / "two").read_text() == "x"


def test_a_folder_comes_back_as_it_is(client: Client, told: Told, here: Path, there: Path) -> None:
    make_tree(there / "tree")

    client.copy_out(str(there / "tree"), here / "copy", op=told.op)

    assert snapshot(here / "copy") == snapshot(there / "tree")
    assert os.listdir(here) == ["copy"]


def test_a_folder_comes_into_a_folder_and_leaves_what_is_there(
    client: Client, told: Told, here: Path, there: Path
) -> None:
    make_tree(there / "tree")
    (here / "tree" / "bin").mkdir(parents=True)
    (here / "tree" / "bin" / "other").write_text("ours")

    client.get_tree(str(there / "tree"), here, op=told.op)

    found = snapshot(here / "tree")
    assert found.pop("bin/other")[2] == b"ours"
    assert found == snapshot(there / "tree")
    assert os.listdir(here) == ["tree"]


def test_a_link_of_ours_is_not_followed_by_what_comes(
    client: Client, told: Told, here: Path, there: Path, tmp_path: Path
) -> None:
    (there / "tree" / "etc").mkdir(parents=True)
    (there / "tree" / "etc" / "passwd").write_text("theirs")
    (tmp_path / "precious").mkdir()
    (here / "tree").mkdir()
    (here / "tree" / "etc").symlink_to(tmp_path / "precious")

    with pytest.raises(TransferError, match="is a link here and a folder in the guest"):
        client.get_tree(str(there / "tree"), here, op=told.op)

    assert os.listdir(tmp_path / "precious") == []


def test_what_the_guest_has_not_or_may_not_show_is_said(
    client: Client, told: Told, here: Path, there: Path
) -> None:
    os.mkfifo(there / "pipe")

    for remote, why in (("nothing", "does not exist"), ("pipe", "is not a file")):
        with pytest.raises(TransferError, match=why):
            client.copy_out(str(there / remote), here / "x", op=told.op)

    assert os.listdir(here) == []


def test_a_place_of_ours_that_cannot_be_written_is_said(
    client: Client, told: Told, here: Path, there: Path
) -> None:
    (there / "f").touch()

    with pytest.raises(TransferError, match="there is no folder"):
        client.get(str(there / "f"), here / "no" / "such", op=told.op)
    with pytest.raises(HostError, match="File name too long"):
        client.get(str(there / "f"), here / ("x" * 300), op=told.op)


def test_cancelling_a_download_leaves_nothing(
    client: Client, told: Told, here: Path, there: Path
) -> None:
    with (there / "big").open("wb") as file:
        file.truncate(3_000_000_000)
    threading.Timer(0.3, told.cancel.set).start()

    with pytest.raises(Cancelled):
        client.get(str(there / "big"), here / "big", op=told.op)

    assert os.listdir(here) == []


def test_a_connection_cut_in_a_download_leaves_nothing(
    client: Client, server: Sshd, told: Told, here: Path, there: Path
) -> None:
    with (there / "big").open("wb") as file:
        file.truncate(3_000_000_000)
    threading.Timer(0.3, server.cut).start()

    with pytest.raises(SSHError, match="connection to the guest is gone"):
        client.get(str(there / "big"), here / "big", op=told.op)

    assert os.listdir(here) == []


# --- a guest that lies -----------------------------------------------------------------------


class Liar(paramiko.SFTPServerInterface):
    """Claims that every path is a folder holding what the test says."""

    names: tuple[tuple[str, int], ...] = ()

    def stat(self, path: str) -> paramiko.SFTPAttributes:
        attributes = paramiko.SFTPAttributes()
        attributes.st_mode = stat.S_IFDIR | 0o755
        return attributes

    lstat = stat

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes]:
        found = []
        for name, mode in self.names:
            attributes = paramiko.SFTPAttributes()
            attributes.filename, attributes.st_mode, attributes.st_size = name, mode, 0
            found.append(attributes)
        return found

    def readlink(self, path: str) -> str:
        return "/etc"


class Open(paramiko.ServerInterface):
    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[Target]:
    """A server of our own making, whose listings are whatever ``Liar.names`` says."""
    pair, user = keys.generate("host"), keys.generate("user")
    folder = tmp_path / "liar"
    folder.mkdir()
    for name, data in (("host", pair.private), ("user", user.private)):
        (folder / name).write_bytes(data)
    (folder / "known").write_text(keys.known_hosts_line(ALIAS, pair.public))
    host_key = paramiko.Ed25519Key.from_private_key_file(str(folder / "host"))
    transports = []

    def serve(sock: socket.socket) -> None:
        transport = paramiko.Transport(sock)
        transports.append(transport)
        transport.add_server_key(host_key)
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, sftp_si=Liar)
        transport.start_server(server=Open())

    tcp = TcpServer(serve)
    yield Target(
        address_host="127.0.0.1",
        address_port=tcp.port,
        user="anybody",
        key_file=folder / "user",
        known_hosts=folder / "known",
        alias=ALIAS,
    )
    tcp.close()
    for transport in transports:
        transport.close()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", "", "..\0"])
@pytest.mark.parametrize("kind", [stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK])
def test_a_name_that_leads_out_is_refused(
    liar: Target, told: Told, here: Path, name: str, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Liar, "names", ((name, kind | 0o644),))

    with connect(liar, op=told.op) as client, pytest.raises(TransferError, match="no file can be"):
        client.get_tree("/tree", here / "tree", op=told.op)

    assert os.listdir(here) == []


def test_the_same_name_twice_is_refused(
    liar: Target, told: Told, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Liar, "names", (("a", stat.S_IFDIR | 0o755), ("a", stat.S_IFDIR | 0o755)))

    with connect(liar, op=told.op) as client, pytest.raises(VxError):
        client.get_tree("/tree", here / "tree", op=told.op)

    assert os.listdir(here) == []


def test_endless_nesting_ends(
    liar: Target, told: Told, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Liar, "names", (("a", stat.S_IFDIR | 0o755),))

    with connect(liar, op=told.op) as client, pytest.raises(TransferError, match="nested more"):
        client.get_tree("/tree", here / "tree", op=told.op)

    assert os.listdir(here) == []


def test_devices_and_links_that_lead_out_are_left_out_and_said(
    liar: Target, told: Told, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFLNK)
    monkeypatch.setattr(Liar, "names", tuple((f"n{kind}", kind | 0o666) for kind in kinds))

    with connect(liar, op=told.op) as client:
        client.get_tree("/tree", here / "tree", op=told.op)

    assert os.listdir(here / "tree") == []
    assert len(told.texts(Note, "text")) == len(kinds)
