"""Catalogs from the web and from git: fetched whole, kept, and never run."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.fakes.http import FileServer, file_server
from tests.fakes.recorder import Recorder, quiet_op
from tests.local.test_catalog import definition
from vagrantish.box import catalog, catalog_fetch, reference
from vagrantish.box.catalog_git import blobs_of, clone_argv
from vagrantish.box.catalog_shelf import Kept, chosen, read_kept
from vagrantish.errors import BoxError, FetchError
from vagrantish.events import Cancel, Cancelled, Op
from vagrantish.lifecycle.catalogs import open_catalog
from vagrantish.model import CatalogSource
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, "gz": lambda data: gzip.compress(data, mtime=0), "xz": lzma.compress, "bz2": bz2.compress,
}  # fmt: skip
CORP = definition("corp", "1.0", "1.1").encode()
OTHER = definition("other", "2.0").encode()


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


def web(server: FileServer, path: str) -> CatalogSource:
    url = server.url + path
    return CatalogSource(text=url, kind="web", location=url)


def tar_of(files: dict[str, bytes], *, packed: str = "gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return PACKERS[packed](out.getvalue())


def refresh(home: VxHome, source: CatalogSource) -> Kept:
    return catalog_fetch.refresh(home, source, op=quiet_op())


# --- the web -------------------------------------------------------------------------------


def test_a_single_definition_is_fetched_and_found(home: VxHome, server: FileServer) -> None:
    server.files["/corp.toml"] = CORP
    source = web(server, "/corp.toml")

    refresh(home, source)

    release = catalog.load(home, [source]).find(reference.parse("corp"), "x86_64")
    assert (release.name, release.version) == ("corp", "1.1")


@pytest.mark.parametrize("packed", ["", "gz", "xz", "bz2"])
@pytest.mark.parametrize(
    "root", ["", "./", "boxes/", "catalog-main/", "catalog-main/boxes/"]
)  # as people and as servers of repositories pack it
def test_an_archive_gives_every_definition_in_it(
    home: VxHome, server: FileServer, root: str, packed: str
) -> None:
    server.files["/c.tar"] = tar_of(
        {
            f"{root}corp/box.toml": CORP,
            f"{root}other/box.toml": OTHER,
            f"{root}other/README": b"hello",
        },
        packed=packed,
    )

    assert refresh(home, web(server, "/c.tar")).names() == ("corp", "other")


def test_a_refresh_replaces_the_catalog_whole(home: VxHome, server: FileServer) -> None:
    server.files["/c.tar"] = tar_of({"corp/box.toml": CORP, "other/box.toml": OTHER})
    source = web(server, "/c.tar")
    first = refresh(home, source)
    server.files["/c.tar"] = tar_of({"corp/box.toml": definition("corp", "3.0").encode()})

    second = refresh(home, source)

    assert second.names() == ("corp",)
    assert "release.3" in second.texts["corp"]
    assert second.fetched_at >= first.fetched_at
    assert read_kept(home, source) == second


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cannot be used"),
        (b"<!doctype html><html>404</html>", "HTML page"),
        (b"\0\1\2", "of no kind vx knows"),
        (b"\x89PNG\r\n\x1a\n\xff", "of no kind vx knows"),
        (b'name = "x"\nversion = "1"\narch = "x86_64"\nkernel = "k"\n', "single packed box"),
        (b"name = 5\n[release]\n", '"name" is a string'),
        (tar_of({"README": b"x"}), "holds no definitions"),
        (tar_of({"a/b/c/d/box.toml": CORP}), "holds no definitions"),
        (tar_of({"Bad Name/box.toml": CORP}), "is no box name"),
        (tar_of({"x/box.toml": b"#" * 70000}), "bigger than 64 KiB"),
        (tar_of({"x/box.toml": b"\xff"}), "not UTF-8"),
        (tar_of({"x/box.toml": CORP, "./x/box.toml": CORP}), "twice"),
        (tar_of({"corp/box.toml": CORP})[:60], "damaged archive"),
        (tar_of({"corp/box.toml": CORP}, packed="")[:700], "damaged archive"),
        (tar_of({f"b{n}/box.toml": b"" for n in range(1001)}), "too big"),
        (tar_of({f"b{n}/box.toml": b" " * 65000 for n in range(300)}), "too big"),
        (tar_of({"zeros": bytes(65 << 20)}), "unpacks to more than 64 MiB"),
    ],
)
def test_what_is_no_catalog_is_refused_and_the_old_one_stays(
    home: VxHome, server: FileServer, data: bytes, why: str
) -> None:
    server.files["/c"] = tar_of({"corp/box.toml": CORP})
    source = web(server, "/c")
    kept = refresh(home, source)
    server.files["/c"] = data

    with pytest.raises(BoxError, match=why):
        refresh(home, source)

    assert read_kept(home, source) == kept


def test_links_in_an_archive_are_no_definitions(home: VxHome, server: FileServer) -> None:
    out = io.BytesIO(tar_of({"corp/box.toml": CORP}, packed=""))
    with tarfile.open(fileobj=out, mode="a") as tar:
        link = tarfile.TarInfo("evil/box.toml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        hard = tarfile.TarInfo("evil2/box.toml")
        hard.type, hard.linkname = tarfile.LNKTYPE, "corp/box.toml"
        tar.addfile(hard)
    server.files["/c"] = out.getvalue()

    assert refresh(home, web(server, "/c")).names() == ("corp",)


def test_a_server_that_fails_is_told(home: VxHome, server: FileServer) -> None:
    with pytest.raises(FetchError, match="404"):
        refresh(home, web(server, "/nothing"))

    server.files["/big"] = bytes(catalog_fetch.DOWNLOAD_MAX + 1)
    with pytest.raises(FetchError, match="bigger than 16MiB"):
        refresh(home, web(server, "/big"))


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"schema": 2}', b'{"schema": 1}', b"\xff"])
def test_a_kept_catalog_that_is_damaged_counts_as_never_fetched(
    home: VxHome, server: FileServer, damage: bytes
) -> None:
    server.files["/c"] = CORP
    source = web(server, "/c")
    refresh(home, source)
    (kept,) = home.catalogs.iterdir()

    kept.write_bytes(damage)

    assert read_kept(home, source) is None


# --- git -----------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> None:
    env = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    }  # fmt: skip
    subprocess.run(["git", *words], cwd=folder, env=env, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With a link and a filter that must have no effect."""
    folder = tmp_path / "repo"
    (folder / "boxes" / "corp").mkdir(parents=True)
    (folder / "boxes" / "corp" / "box.toml").write_bytes(CORP)
    (folder / "boxes" / "evil").mkdir()
    (folder / "boxes" / "evil" / "box.toml").symlink_to("/etc/passwd")
    (folder / "boxes" / "huge").mkdir()
    (folder / "boxes" / "huge" / "box.toml").write_bytes(b"#" * 70000)
    (folder / ".gitattributes").write_text("*.toml filter=evil\n", "utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "one")
    git(folder, "checkout", "--quiet", "-b", "next")
    (folder / "boxes" / "corp" / "box.toml").write_text(definition("corp", "5.0"), "utf-8")
    git(folder, "commit", "--quiet", "-a", "-m", "two")
    git(folder, "checkout", "--quiet", "main")
    return folder


def repo_source(folder: Path, branch: str = "") -> CatalogSource:
    url = folder.as_uri()
    tail = f"#{branch}" if branch else ""
    return CatalogSource(text=f"git+{url}{tail}", kind="git", location=url, branch=branch)


def test_a_repository_gives_its_definitions_and_nothing_is_checked_out(
    home: VxHome, repository: Path
) -> None:
    kept = refresh(home, repo_source(repository))

    assert kept.texts == {"corp": CORP.decode()}
    assert list(home.tmp.iterdir()) == []


def test_a_branch_can_be_named(home: VxHome, repository: Path) -> None:
    assert "release.5" in refresh(home, repo_source(repository, "next")).texts["corp"]


def test_git_does_not_work_on_the_repository_vx_is_run_from(
    home: VxHome, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_WORK_TREE", "/nonexistent")

    assert refresh(home, repo_source(repository)).names() == ("corp",)


@pytest.mark.parametrize("branch", ["", "no-such-branch"])
def test_a_repository_that_cannot_be_cloned_is_told(
    home: VxHome, repository: Path, branch: str
) -> None:
    source = repo_source(repository if branch else repository / "nothing", branch)

    with pytest.raises(FetchError, match=r"cannot fetch the catalog git\+file://") as caught:
        refresh(home, source)

    assert "git ls-remote" in caught.value.hint
    assert list(home.tmp.iterdir()) == []


def test_other_protocols_are_refused_by_git_too(home: VxHome) -> None:
    evil = CatalogSource(text="x", kind="git", location="ext::touch /tmp/evil")

    with pytest.raises(FetchError, match="not allowed"):
        refresh(home, evil)


def test_the_address_can_be_no_option(tmp_path: Path) -> None:
    argv = clone_argv(
        CatalogSource(text="x", kind="git", location="--upload-pack=evil", branch="b"), tmp_path
    )

    assert argv[-3:] == ["--", "--upload-pack=evil", str(tmp_path)]
    assert "--branch=b" in argv
    assert "--depth=1" in argv


def test_ctrl_c_ends_git(home: VxHome, repository: Path) -> None:
    cancel = Cancel()
    op = Op(Recorder(), cancel)
    cancel.set()

    with pytest.raises(Cancelled):
        catalog_fetch.refresh(home, repo_source(repository), op=op)


def test_a_listing_is_read_with_care() -> None:
    blob = b"a" * 40
    listing = b"\0".join(
        [
            b"100644 blob %s      12\tcorp/box.toml" % blob,
            b"100755 blob %s      12\tboxes/two words/box.toml" % blob,
            b"120000 blob %s      12\tlink/box.toml" % blob,
            b"160000 commit %s       -\tsub/box.toml" % blob,
            b"100644 blob %s   99999\thuge/box.toml" % blob,
            b"100644 blob %s      12\tcorp/readme" % blob,
            b"nonsense",
            b"",
        ]
    )

    assert blobs_of(listing) == {
        "corp/box.toml": blob.decode(),
        "boxes/two words/box.toml": blob.decode(),
    }


def test_definitions_are_looked_for_from_the_top_down() -> None:
    assert chosen(["a/box.toml", "boxes/b/box.toml"]) == {"a": "a/box.toml"}
    assert chosen(["x/boxes/b/box.toml", "x/a/b/c/box.toml"]) == {"b": "x/boxes/b/box.toml"}
    assert chosen(["x/a/box.toml", "y/b/box.toml"]) == {}
    assert chosen(["box.toml"]) == {}
    assert chosen([]) == {}


# --- joined --------------------------------------------------------------------------------


def configure(home: VxHome, *catalogs: str) -> None:
    home.root.mkdir(exist_ok=True)
    listed = ", ".join(f'"{each}"' for each in catalogs)
    home.config.write_text(f"catalogs = [{listed}]\n", "utf-8")


def test_a_catalog_is_fetched_once_and_again_when_asked(home: VxHome, server: FileServer) -> None:
    server.files["/c"] = CORP
    configure(home, f"{server.url}/c")

    for _ in range(2):
        assert "corp" in open_catalog(home, {}, op=quiet_op()).names()
    assert len(server.asked("/c")) == 1

    open_catalog(home, {}, op=quiet_op(), refresh=True)
    assert len(server.asked("/c")) == 2


def test_a_catalog_that_fails_is_a_warning_and_what_was_kept_is_used(
    home: VxHome, server: FileServer
) -> None:
    server.files["/c"] = CORP
    configure(home, f"{server.url}/c")
    open_catalog(home, {}, op=quiet_op())
    del server.files["/c"]
    recorder = Recorder()

    loaded = open_catalog(home, {}, op=Op(recorder, Cancel()), refresh=True)

    assert any("404" in note for note in recorder.notes())
    assert loaded.find(reference.parse("corp"), "x86_64").version == "1.1"
    assert "ubuntu" in loaded.names()


def test_nothing_is_fetched_offline(home: VxHome, server: FileServer) -> None:
    server.files["/c"] = CORP
    configure(home, f"{server.url}/c")
    recorder = Recorder()
    op = replace(Op(recorder, Cancel()), offline=True)

    for again in (False, True):
        assert "ubuntu" in open_catalog(home, {}, op=op, refresh=again).names()

    assert server.requests == []
    assert all("offline" in note for note in recorder.notes())
    assert len(recorder.notes()) == 2
