"""`vx box list --available`, and `vx box info` of what is not in the store yet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.fakes.http import file_server
from tests.fakes.tinybox import ARCH, box_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

SUM = "sha256:" + "ab" * 32
CORP = f"""
name = "corp"
description = "Ours"
user = "me"
disk_boots = true
root = "disk"
seed = "cloud-init"
disk.url = "https://example.org/corp-{{version}}.img"
disk.mirrors = ["https://two.example.org/{{file}}"]
defaults.memory = "1GiB"

[release.2]
aliases = ["newest"]
eol = "2030"
[release.2.build.5]
x86_64 = {{ digest = "{SUM}", size = 1048576 }}
"""


def catalog(cli: Cli, tmp_path: Path, text: str = CORP) -> None:
    (tmp_path / "boxes" / "corp").mkdir(parents=True)
    (tmp_path / "boxes" / "corp" / "box.toml").write_text(text, "utf-8")
    configure(cli, str(tmp_path / "boxes"))


def configure(cli: Cli, *catalogs: str) -> None:
    cli.home.mkdir(exist_ok=True)
    (cli.home / "config.toml").write_text(f"catalogs = {json.dumps(catalogs)}\n", "utf-8")


def test_what_can_be_had_is_listed(cli: Cli) -> None:
    told = cli("box", "list", "--available")

    lines = told.out.splitlines()
    assert lines[0].split() == ["NAME", "VERSION", "ARCH", "ENDS", "DESCRIPTION"]
    names = [line.split()[0] for line in lines[1:]]
    assert names == sorted(names)
    assert {"ubuntu", "centos", "tinycore", "rhel", "micro"} <= set(names)
    assert any(line.startswith("ubuntu") and "also noble" in line for line in lines)
    assert any(line.split()[:3] == ["alma", "9.8.20260526", "aarch64"] for line in lines)
    assert (told.status, told.err) == (0, "")


def test_a_users_catalog_is_listed_with_the_rest(cli: Cli, tmp_path: Path) -> None:
    catalog(cli, tmp_path)

    told = cli("box", "list", "--available")

    (line,) = (line for line in told.out.splitlines() if line.startswith("corp"))
    assert line.split(None, 4) == ["corp", "2.5", "x86_64", "2030", "Ours, also newest"]


def test_scripts_get_every_release(cli: Cli, tmp_path: Path) -> None:
    catalog(cli, tmp_path)

    answer = cli("box", "list", "--available", "--json").answer

    assert answer["schema"] == "vx.box-available/1"
    (corp,) = (box for box in answer["boxes"] if box["name"] == "corp")
    assert corp == {
        "name": "corp", "description": "Ours", "origin": str(tmp_path / "boxes"),
        "default": "2", "obtain": "",
        "releases": [{
            "release": "2", "aliases": ["newest"], "eol": "2030",
            "versions": [{"version": "2.5", "arch": "x86_64"}],
        }],
    }  # fmt: skip


def test_a_broken_definition_is_told_and_hides_nothing(cli: Cli, tmp_path: Path) -> None:
    catalog(cli, tmp_path, "name = 5\n[release]\n")

    told = cli("box", "list", "--available")

    assert told.status == 0
    assert "ubuntu" in told.out
    assert "warning: box.toml of" in told.err
    assert '"name" is a string' in told.err


def test_a_catalog_that_is_gone_is_told(cli: Cli, tmp_path: Path) -> None:
    configure(cli, str(tmp_path / "gone"))

    told = cli("box", "list", "--available")

    assert "ubuntu" in told.out
    assert "gone cannot be read" in told.err


def test_a_wrong_catalog_is_a_mistake_in_the_settings(cli: Cli) -> None:
    configure(cli, "boxes")

    told = cli("box", "list", "--available", "--json")

    assert (told.status, told.error["code"]) == (3, "config")
    assert "config.toml:1: `catalogs`" in told.error["message"]


def test_a_catalog_of_the_web_is_fetched_again_with_refresh(cli: Cli) -> None:
    with file_server() as server:
        server.files["/c.toml"] = CORP.encode()
        configure(cli, f"{server.url}/c.toml")

        assert "corp" in cli("box", "list", "--available").out
        server.files["/c.toml"] = CORP.replace("build.5", "build.6").encode()
        assert "2.5" in cli("box", "list", "--available").out
        assert "2.6" in cli("box", "list", "--refresh").out


def test_a_box_that_is_not_in_the_store_is_explained(cli: Cli, tmp_path: Path) -> None:
    catalog(cli, tmp_path)

    told = cli("box", "info", "corp@newest", "--arch", "x86_64")

    assert told.status == 0
    rows = [line.split(None, 1) for line in told.out.splitlines()]
    assert ["name", "corp"] in rows
    assert ["state", "not in the store"] in rows
    assert ["version", "2.5"] in rows
    assert ["release", "2, also newest"] in rows
    assert ["disk", "https://example.org/corp-2.5.img"] in rows
    assert ["or", "https://two.example.org/corp-2.5.img"] in rows
    assert ["digest", SUM] in rows
    assert ["size", "1MiB"] in rows
    assert ["memory", "1GiB"] in rows
    assert ["used", "by       no machine"] in rows


def test_scripts_learn_all_a_box_in_the_store_says_and_more(cli: Cli, tmp_path: Path) -> None:
    catalog(cli, tmp_path)
    cli("box", "add", str(box_folder(tmp_path)))

    stored = cli("box", "info", "tiny", "--json").answer
    answer = cli("box", "info", "corp", "--arch", "x86_64", "--json").answer

    assert stored.keys() <= answer.keys() | {"disk_cmdline", "kernel_release", "sources"}
    assert answer["schema"] == "vx.box-info/1"
    assert (answer["version"], answer["in_store"], answer["size"]) == ("2.5", False, 1 << 20)
    assert answer["artifacts"]["disk"]["digest"] == SUM
    assert answer["artifacts"]["disk"]["urls"][1] == "https://two.example.org/corp-2.5.img"
    assert answer["versions"] == ["2.5"]


def test_a_box_in_the_store_comes_before_its_definition(cli: Cli, tmp_path: Path) -> None:
    catalog(cli, tmp_path, CORP.replace('"corp"', '"tiny"'))
    (tmp_path / "boxes" / "corp").rename(tmp_path / "boxes" / "tiny")
    cli("box", "add", str(box_folder(tmp_path)))

    assert "not in the store" not in cli("box", "info", "tiny").out
    assert "not in the store" in cli("box", "info", "tiny@2", "--arch", ARCH).out


def test_a_box_of_the_users_own_files_says_where_they_are_got(cli: Cli) -> None:
    told = cli("box", "info", "rhel@9.4", "--arch", "x86_64")

    assert "version       9.4" in told.out
    assert "access.redhat.com" in told.out
    assert "processor     x86-64-v2" in told.out
    assert cli("box", "info", "rhel@9.4", "--arch", "x86_64", "--json").answer["artifacts"] == {}


def test_how_an_unpinned_file_is_verified_is_said(cli: Cli) -> None:
    told = cli("box", "info", "tinycore@16-x86", "--arch", "x86_64")

    assert "boot/vmlinuz of https://distro.ibiblio.org/" in told.out
    assert "by nothing: what comes first is kept" in told.out


def test_a_name_nobody_knows_is_told_with_one_that_is_close(cli: Cli) -> None:
    told = cli("box", "info", "ubunto", "--json")

    assert (told.status, told.error["code"]) == (4, "box-not-found")
    assert 'Did you mean "ubuntu"?' in told.error["hint"]
    wrong = cli("box", "info", "ubuntu@1.1", "--arch", "x86_64", "--json")
    assert "ubuntu has no version 1.1" in wrong.error["message"]
