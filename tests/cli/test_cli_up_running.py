"""``vx up`` of a machine that runs already; what runs is only a process with its name."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_cli_left_over import make
from vagrantish import proc
from vagrantish.paths import VxHome
from vagrantish.provider import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Cli


@pytest.fixture
def up(cli: Cli) -> Iterator[Cli]:
    """A machine of QEMU's that is ready."""
    cli.xhyvefile('box = "micro"\n')
    layout = VxHome(cli.home).machine(make(cli, "default").id)
    layout.host_key.with_name(f"{layout.host_key.name}.pub").write_text("ssh-ed25519 AAAA\n")
    with subprocess.Popen(["sleep", "300"]) as guest:
        process = proc.identify(guest.pid)
        assert process is not None
        note = running.note_of(process, ("127.0.0.1", 2222), ())
        running.write_note(layout, {**note, "ready": True})
        yield cli
        guest.kill()


def test_another_provider_than_it_runs_under_is_told_to_wait_for_a_reload(up: Cli) -> None:
    told = up("up", "--provider", "xhyve", "--no-provision")

    assert told.status == 0, told.err
    assert "runs under qemu: `vx reload --provider xhyve default`" in told.err


@pytest.mark.parametrize("provider", ["qemu", "auto"])
def test_one_it_may_keep_is_no_news(up: Cli, provider: str) -> None:
    told = up("up", "--provider", provider, "--no-provision")

    assert told.status == 0, told.err
    assert "reload" not in told.err
