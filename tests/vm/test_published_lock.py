"""A project's lock brings up the same machine in another, empty home, without a network."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Vx
from tests.fakes import tinycore
from tests.fakes.upstream import Upstream, upstream
from vagrantish.ssh import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.vm.conftest import Publishers

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

SCRIPT = b"#!/bin/sh\necho from the web >/opt/told\n"


def artifacts(vx: Vx) -> set[str]:
    return {path.name for path in (vx.home / "artifacts").glob("*/*")}


def another(vx: Vx, home: Path) -> Vx:
    """A second checkout of the project, by somebody with an empty home."""
    folder = vx.folder.with_name(f"checkout-{home.name}")
    folder.mkdir()
    for name in ("Xhyvefile", "Xhyvefile.lock"):
        shutil.copy(vx.folder / name, folder)
    return Vx(home=home, folder=folder)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Upstream]:
    """Tiny Core's mirrors, which a test may close."""
    if tinycore.MISSING:
        pytest.skip(f"needs {tinycore.MISSING}")
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "setup.sh").write_bytes(SCRIPT)
    with upstream(folder, {"tinycore": tinycore.cached().folder}) as server:
        yield server


def test_a_second_home_boots_the_locked_machine_offline(
    tiny: Upstream, new_home: Callable[[Path], Path], tmp_path: Path
) -> None:
    catalog = tiny.definitions(tmp_path / "catalog")
    first = Vx(home=new_home(catalog), folder=tmp_path / "project")
    first.folder.mkdir()
    digest = hashlib.sha256(SCRIPT).hexdigest()
    first.xhyvefile(
        'box = "tinycore@16"\nmemory = "256MiB"\n[qemu]\naccel = "tcg"\n[boot]\nstall = "200s"\n'
        f'[[provision]]\nurl = "{tiny.url}/setup.sh"\ndigest = "sha256:{digest}"\n'
    )
    first.run("fetch")

    second = another(first, new_home(catalog))
    second.run("fetch", "--locked")
    assert artifacts(second) == artifacts(first)
    assert len(artifacts(second)) == 4
    # Both the network and the publisher's newer builds are out of reach from here on.
    tiny.server.redirects["/"] = "/gone/"
    asked = len(tiny.server.requests)
    second.run("up", "--locked", "--offline", timeout=600)

    assert second.run("ssh", "-c", "id -un; cat /opt/told").stdout == "tc\nfrom the web\n"
    assert len(tiny.server.requests) == asked
    assert (second.folder / "Xhyvefile.lock").read_bytes() == (
        first.folder / "Xhyvefile.lock"
    ).read_bytes()

    third = another(first, new_home(catalog))
    told = third.run("up", "--locked", "--offline", status=4).stderr
    assert told.count("vx: error:") == 1
    assert "offline" in told
    assert "tinycore" in told.lower()
    assert artifacts(third) == set()


def test_disks_and_the_kernels_in_them_are_the_same_in_every_home(
    published: Vx, publishers: Publishers, new_home: Callable[[Path], Path]
) -> None:
    published.xhyvefile(
        '[machines.a]\nbox = "debian@12"\n[machines.b]\nbox = "ubuntu"\n'
        '[machines.c]\nbox = "ubuntu-files"\n[machines.d]\nbox = "alpine-netboot"\n'
    )
    published.run("fetch")
    other = another(published, new_home(publishers.catalog))

    other.run("fetch", "--locked", "--json")

    assert artifacts(other) == artifacts(published)
    # Two disks, the kernel and initrd of all three Debians, and Alpine's initrd.
    assert len(artifacts(other)) == 5
    other.run("fetch", "--locked", "--offline")


def test_a_netboot_pair_is_booted_as_far_as_it_goes(published: Vx) -> None:
    """There is no sshd in it: that is told, with what the console said last."""
    host_key = keys.generate("nobody").public
    published.xhyvefile(
        'box = "alpine-netboot"\nmemory = "256MiB"\n[qemu]\naccel = "tcg"\n'
        f'[ssh]\nhost_key = "{host_key}"\n'
    )

    told = published.run("up", status=7, timeout=300).stderr

    assert "netboot: reached the end of init" in told
    (console,) = published.home.glob("machines/*/console.log")
    assert "netboot: command line console=ttyS0" in console.read_text(errors="replace")
