"""`vx box add`: what it may be given, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes import bootdisks, own_images

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

_MISSING = bootdisks.missing("mkfs.ext4")
needs_ext4 = pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {_MISSING}")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_images.disk(tmp_path_factory.mktemp("image") / "ubuntu.img")


@needs_ext4
def test_an_image_is_added_and_explained(cli: Cli, image: Path) -> None:
    told = cli("box", "add", str(image), "--name", "mine", "--version", "1", "--user", "me")

    assert (told.status, told.out) == (0, "")
    assert "ubuntu.img is a raw disk image, 16MiB: Test ubuntu 24.04, kernel 6.8.0" in told.err
    assert told.err.rstrip().endswith('mine@1 is in the store. Use it with: box = "mine"')
    info = cli("box", "info", "mine", "--json").answer
    assert (info["user"], info["seed"], info["root"]) == ("me", "cloud-init", "disk")


@needs_ext4
def test_a_file_wins_over_a_box_of_that_name(cli: Cli, image: Path) -> None:
    (cli.folder / "ubuntu").hardlink_to(image)

    told = cli("box", "add", "ubuntu", "--name", "mine", "--json")

    assert told.answer["origin"] == str(cli.folder / "ubuntu")


@needs_ext4
def test_everything_can_be_said_on_the_command_line(cli: Cli, image: Path) -> None:
    told = cli(
        "box", "add", str(image), "--name", "mine", "--version", "1", "--arch", "x86_64",
        "--user", "me", "--seed", "none", "--cmdline", "console=hvc0", "--json",
    )  # fmt: skip

    answer = told.answer
    assert (answer["user"], answer["seed"], answer["cmdline"]) == ("me", "none", "console=hvc0")


def test_a_disk_of_any_system_is_added_by_how_it_boots(cli: Cli) -> None:
    disk = cli.folder / "bsd.img"
    disk.write_bytes(bytes(1 << 20))
    words = ("--name", "bsd", "--version", "1", "--boot", "uefi", "--user", "me")

    told = cli("box", "add", str(disk), *words)

    assert "a system vx cannot read, booted by UEFI, seed none, user me" in told.err
    assert cli("box", "info", "bsd", "--json").answer["boot"] == "uefi"
    assert "by itself, mode uefi" in cli("box", "info", "bsd").out
    (cli.folder / "Xhyvefile").write_text('box = "bsd"\n')
    explained = cli("config", "explain", "boot.mode").out
    assert "uefi" in explained
    assert "box bsd@1" in explained


@pytest.mark.parametrize(
    ("words", "status", "code", "message"),
    [
        (["ubunto"], 4, "box-not-found", "there is no file ubunto, and no box ubunto is known"),
        (["ubuntu@1.2"], 4, "box-not-found", "ubuntu has no version 1.2"),
        (["generic/debian12"], 4, "box", "there is no generic/debian12"),
        (["./no.qcow2"], 4, "box", "there is no ./no.qcow2"),
        (["ubuntu", "--user", "me"], 2, "usage", "--user is for files and URLs"),
        (["x.img", "--name", "Not A Name"], 2, "usage", "no box name"),
        (["x.img", "--version", "a b"], 2, "usage", "no box version"),
        (["x.img", "--digest", "md5:0"], 2, "usage", "is no digest"),
        (["x.img", "--arch", "sparc"], 2, "usage", "is not one of x86_64, aarch64"),
        (["x.img", "--user", "A B"], 2, "usage", "is not a user name"),
        (["x.img", "--seed", "magic"], 2, "usage", "magic"),
        (["x.img", "--boot", "bios"], 2, "usage", "bios"),
        (["ubuntu", "--boot", "uefi"], 2, "usage", "--boot is for files and URLs"),
        (["x.img", "--cmdline", "a\nb"], 2, "usage", "is not one line of up to"),
        (["ftp://x/y"], 4, "fetch", "only http and https"),
        (["http://vx.invalid/x.img", "--name", "x"], 4, "box", "over plain http"),
    ],
)
def test_what_cannot_be_added_is_told(
    cli: Cli, words: list[str], status: int, code: str, message: str
) -> None:
    told = cli("box", "add", *words, "--json")

    assert (told.status, told.error["code"]) == (status, code)
    assert message in told.error["message"]
    assert told.error["hint"]


def test_a_box_of_vagrants_cloud_is_led_to_its_catalog(cli: Cli) -> None:
    hint = cli("box", "add", "generic/debian12", "--json").error["hint"]

    assert "vx box add https://vagrantcloud.com/api/v2/vagrant/generic/debian12" in hint
