"""Commands in a guest: streams, timeouts, cancelling, connections that die."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.fakes.sshd import Sshd, Told, sshd_in
from vagrantish.errors import CommandTimeout, SSHError, TransferError
from vagrantish.events import Cancelled
from vagrantish.ssh.client import Client, connect
from vagrantish.ssh.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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


def running(mark: str) -> list[list[str]]:
    """Command lines that hold ``mark``, save those that only carry it as a script."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if mark in words and process.status() != psutil.STATUS_ZOMBIE:
            found.append(words)
    return found


def wait_until_gone(mark: str) -> list[list[str]]:
    deadline = time.monotonic() + 5
    while running(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    return running(mark)


def test_megabytes_on_both_streams_neither_block_nor_fill_memory(
    client: Client, told: Told
) -> None:
    sizes = [0, 0]

    def count(stream: int, data: bytes) -> None:
        sizes[stream] += len(data)

    result = client.exec(
        "head -c 20000000 /dev/zero & head -c 20000000 /dev/zero >&2; wait",
        on_stdout=lambda data: count(0, data),
        on_stderr=lambda data: count(1, data),
        op=told.op,
    )

    assert (sizes, result.exit_status) == ([20_000_000, 20_000_000], 0)
    assert len(result.stdout) == len(result.stderr) == 65536


def test_binary_goes_through_both_ways_unchanged(client: Client, told: Told) -> None:
    data = bytes(range(256)) * 4000

    result = client.exec("cat", stdin=data, op=told.op)

    assert result.stdout == data


def test_input_of_megabytes_while_the_command_writes_as_much(client: Client, told: Told) -> None:
    result = client.exec("cat", stdin=b"x" * 6_000_000, op=told.op)

    assert len(result.stdout) == 6_000_000


def test_a_command_that_reads_nothing_does_not_wait_for_its_input(
    client: Client, told: Told
) -> None:
    result = client.exec("echo done", stdin=b"x" * 50_000_000, op=told.op)

    assert (result.stdout, result.exit_status) == (b"done\n", 0)


def test_input_that_fails_ends_the_command_and_is_what_is_raised(
    client: Client, told: Told
) -> None:
    def input_that_fails() -> Iterator[bytes]:
        yield b"some"
        raise TransferError("the file shrank")

    with pytest.raises(TransferError, match="shrank"):
        client.exec("cat >/dev/null; sleep 3101", stdin=input_that_fails(), op=told.op)

    assert wait_until_gone("3101") == []


def test_without_input_a_command_sees_its_end(client: Client, told: Told) -> None:
    assert client.exec("cat; echo ended", op=told.op).stdout == b"ended\n"


def test_a_command_ended_by_a_signal_has_no_exit_status(client: Client, told: Told) -> None:
    assert client.exec("kill -9 $$", group=False, op=told.op).exit_status == -1
    assert client.exec("kill -9 $$", op=told.op).exit_status == 137


def test_a_daemon_that_keeps_the_output_open_does_not_hold_the_command(
    client: Client, told: Told
) -> None:
    began = time.monotonic()

    result = client.exec("sleep 3102 & echo started", op=told.op)

    assert time.monotonic() - began < 2.5
    assert result.stdout == b"started\n"
    assert len(running("3102")) == 1
    client.exec("kill $(pgrep -f '[s]leep 3102')", op=told.op)


def test_a_timeout_ends_children_and_grandchildren_and_says_what_ran(
    client: Client, told: Told
) -> None:
    began = time.monotonic()

    with pytest.raises(CommandTimeout, match=r"within 0\.5 s") as caught:
        client.exec("(sh -c 'sleep 3103; true') & sleep 3104", timeout_s=0.5, op=told.op)

    assert time.monotonic() - began < 4
    assert {"sleep 3103", "sleep 3104"} <= set(caught.value.running)
    assert running("3103") + running("3104") == []


def test_a_timeout_ends_what_ignores_being_asked(client: Client, told: Told) -> None:
    with pytest.raises(CommandTimeout):
        client.exec("trap '' TERM; while :; do sleep 3105; done", timeout_s=0.5, op=told.op)

    assert wait_until_gone("3105") == []


def test_a_script_may_tidy_up_when_its_time_is_over(
    client: Client, told: Told, tmp_path: Path
) -> None:
    done = tmp_path / "tidied"

    with pytest.raises(CommandTimeout):
        client.exec(f"trap 'echo yes >{done}; exit' TERM; sleep 3106", timeout_s=0.5, op=told.op)

    assert done.read_text() == "yes\n"


def test_the_connection_is_good_for_more_after_a_timeout(client: Client, told: Told) -> None:
    with pytest.raises(CommandTimeout):
        client.exec("sleep 3107", timeout_s=0.2, op=told.op)

    assert client.exec("echo still here", op=told.op).stdout == b"still here\n"


def test_cancelling_is_noticed_at_once_and_leaves_nothing_running(
    client: Client, told: Told
) -> None:
    threading.Timer(0.5, told.cancel.set).start()
    began = time.monotonic()

    with pytest.raises(Cancelled):
        client.exec("sleep 3108", op=told.op)

    assert time.monotonic() - began < 2.5
    assert wait_until_gone("3108") == []


def test_cancelling_while_a_flood_comes_ends_it(client: Client, told: Told) -> None:
    threading.Timer(0.3, told.cancel.set).start()

    with pytest.raises(Cancelled):
        client.exec("yes 3109", on_stdout=len, op=told.op)

    assert wait_until_gone("3109") == []


def test_a_sink_that_fails_ends_the_command(client: Client, told: Told) -> None:
    def full(_data: bytes) -> None:
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError, match="no room"):
        client.exec("echo x; sleep 3110", on_stdout=full, op=told.op)

    assert wait_until_gone("3110") == []


def test_a_connection_cut_in_a_command_is_said_and_stderr_stays_clean(
    client: Client, server: Sshd, told: Told, capfd: pytest.CaptureFixture[str]
) -> None:
    threading.Timer(0.4, server.cut).start()
    began = time.monotonic()

    with pytest.raises(SSHError, match="connection to the guest ended"):
        client.exec("sleep 3", op=told.op)
    with pytest.raises(SSHError, match="connection to the guest is gone"):
        client.exec("true", op=told.op)

    assert time.monotonic() - began < 2.5
    assert capfd.readouterr().err == ""


def test_a_guest_that_hangs_is_noticed(server: Sshd, told: Told) -> None:
    with connect(server.target(), op=told.op) as client:
        client.pulse = Pulse(client._transport, quiet_s=0.2, silence_s=0.6)
        threading.Timer(0.3, server.freeze).start()
        began = time.monotonic()

        with pytest.raises(SSHError, match="has not answered"):
            client.exec("sleep 30", op=told.op)

        assert time.monotonic() - began < 8


def test_a_silent_command_is_not_taken_for_a_guest_that_hangs(client: Client, told: Told) -> None:
    client.pulse = Pulse(client._transport, quiet_s=0.1, silence_s=0.5)

    assert client.exec("sleep 2; echo awake", op=told.op).stdout == b"awake\n"


def test_words_with_quotes_newlines_and_dollars_arrive_as_they_are(
    client: Client, told: Told
) -> None:
    command = "printf '%s|' \"it's\" '$HOME' '`id`' 'two\nlines' 'back\\slash'"

    assert client.exec(command, op=told.op).stdout == b"it's|$HOME|`id`|two\nlines|back\\slash|"
