"""Vagrant's boxes, from files and from catalogs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import bootdisks, own_images
from tests.fakes.fileserver import folder_server
from tests.fakes.own_images import imported, left_in, metadata, tar_of, tree
from tests.fakes.recorder import Recorder, quiet_op
from vagrantish.box.import_job import Wishes
from vagrantish.errors import BoxError, DigestMismatch
from vagrantish.events import Cancel, Op
from vagrantish.model import ArtifactKind, Digest, SeedKind
from vagrantish.paths import VxHome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.fileserver import FolderServer
    from vagrantish.model import Box

_MISSING = bootdisks.missing("mkfs.ext4", "qemu-img")
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {_MISSING}")

RUBY = b'exec("touch", "/tmp/vx-ran-a-vagrantfile")\nVagrant.configure("2") do |config|\n'
X86 = Wishes(name="mine", arch="x86_64")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """box.img with cloud-init in it, and old.img without."""
    folder = tmp_path_factory.mktemp("images")
    for name, cloud_init in (("box", True), ("old", False)):
        raw = own_images.disk(folder / f"{name}.raw", tree("debian", cloud_init=cloud_init))
        bootdisks.run("qemu-img", "convert", "-O", "qcow2", raw, folder / f"{name}.img")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FolderServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    with folder_server(folder) as running:
        yield running


def disk_of(box: Box) -> str:
    return box.artifacts[ArtifactKind.DISK].digest.hex


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refused(home: VxHome, what: Path | str, wishes: Wishes = X86) -> str:
    with pytest.raises(BoxError) as caught:
        imported(home, what, quiet_op(), wishes=wishes)
    assert left_in(home) == []
    return caught.value.message


# --- .box files -----------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["", "gz", "xz"])
@pytest.mark.parametrize("provider", ["libvirt", "qemu"])
def test_a_box_with_cloud_init_is_taken(
    home: VxHome, images: Path, tmp_path: Path, provider: str, packing: str
) -> None:
    members: dict[str, Path | bytes] = {
        "./metadata.json": metadata(provider=provider),
        "./Vagrantfile": RUBY,
        "./info.json": b"{",
        "./box.img": images / "box.img",
    }

    box = imported(
        home, tar_of(tmp_path / "v.box", members, packing=packing), quiet_op(), wishes=X86
    )

    assert (box.user, box.seed, box.disk_boots) == ("vagrant", SeedKind.CLOUD_INIT, True)
    assert disk_of(box) == sha256(images / "box.img")
    assert not Path("/tmp/vx-ran-a-vagrantfile").exists()


def test_the_user_is_read_from_the_vagrantfile_which_is_not_run(
    home: VxHome, images: Path, tmp_path: Path
) -> None:
    members: dict[str, Path | bytes] = {
        "box.img": images / "box.img",
        "Vagrantfile": RUBY + b"  config.ssh.username = 'admin'\nend\n",
        "metadata.json": metadata(),
    }

    assert imported(home, tar_of(tmp_path / "v.box", members), quiet_op()).user == "admin"
    assert not Path("/tmp/vx-ran-a-vagrantfile").exists()


def test_the_disk_that_metadata_names_is_taken_whatever_it_is_called(
    home: VxHome, images: Path, tmp_path: Path
) -> None:
    members: dict[str, Path | bytes] = {
        "root-disk": images / "box.img",
        "metadata.json": metadata(disks=[{"path": "root-disk", "name": "r"}]),
    }

    box = imported(home, tar_of(tmp_path / "v.box", members), quiet_op())

    assert disk_of(box) == sha256(images / "box.img")


def test_a_box_that_only_vagrants_key_opens_is_refused(
    home: VxHome, images: Path, tmp_path: Path
) -> None:
    members: dict[str, Path | bytes] = {
        "metadata.json": metadata(), "box.img": images / "old.img",
    }  # fmt: skip
    box = tar_of(tmp_path / "v.box", members)

    with pytest.raises(BoxError, match="Vagrant's key, which everybody has") as caught:
        imported(home, box, quiet_op())

    assert "Install cloud-init in the image" in caught.value.hint
    assert imported(home, box, quiet_op(), wishes=Wishes(name="mine", seed=SeedKind.NONE))


def test_an_xhyve_box_brings_its_own_kernel(home: VxHome, images: Path, tmp_path: Path) -> None:
    members: dict[str, Path | bytes] = {
        "metadata.json": metadata(provider="xhyve"),
        "vmlinuz": own_images.KERNEL + b"theirs",
        "initrd.gz": own_images.INITRD,
        "block0.img": images / "box.raw",
    }

    box = imported(home, tar_of(tmp_path / "v.box", members), quiet_op())

    assert box.artifacts[ArtifactKind.KERNEL].path.read_bytes().endswith(b"theirs")
    assert (box.disk_boots, box.cmdline) == (
        False, "earlyprintk=serial console=ttyS0 root=/dev/vda1 ro",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("meta", "others", "why"),
    [
        (metadata(provider="virtualbox"), {"box.ovf": b"x"}, "it is for VirtualBox"),
        (metadata(provider="vmware_desktop"), {}, "it is for VMware"),
        (metadata(provider="hyperv"), {}, "it is for Hyper-V"),
        (metadata(provider="parallels"), {}, "it is for Parallels"),
        (metadata(provider="docker\x1b[2J"), {}, 'for the provider "docker?[2j"'),
        (b"{}", {"box.ovf": b"x"}, "it is for VirtualBox"),
        (b"[", {"box.img": b"x"}, "metadata.json is no JSON"),
        (b"[" * 100_000, {"box.img": b"x"}, "metadata.json is no JSON"),
        (b"[]", {"box.img": b"x"}, "metadata.json is no JSON object"),
        (b" " * (2 << 20), {}, "metadata.json is bigger than"),
        (metadata(), {}, "it has no disk"),
        (metadata(disks=[{"path": "a.img"}, {"path": "b.img"}]), {"a.img": b"", "b.img": b""},
         "it has 2 disks (a.img, b.img)"),
        (metadata(disks=[{"path": "../../etc/passwd"}]), {"box.img": b""}, "which is not in it"),
        (metadata(provider="xhyve"), {"vmlinuz": b""}, "no disk like block0.img"),
        (metadata(), {"box.img": b"KDMV" + bytes(600)}, "box.img in v.box is a vmdk disk"),
    ],
)  # fmt: skip
def test_boxes_vx_cannot_take_are_refused_by_what_they_are(
    home: VxHome, tmp_path: Path, meta: bytes, others: dict[str, bytes], why: str
) -> None:
    told = refused(home, tar_of(tmp_path / "v.box", {"metadata.json": meta} | others))

    assert why in told
    assert "\x1b" not in told


def test_a_box_without_metadata_is_taken_for_virtualboxs(home: VxHome, tmp_path: Path) -> None:
    members = {"Vagrantfile": b"", "box-disk1.vmdk": b"KDMV"}

    assert "it is for VirtualBox" in refused(home, tar_of(tmp_path / "v.box", members))


def test_a_foreign_box_is_refused_before_its_disk_is_unpacked(home: VxHome, tmp_path: Path) -> None:
    box = tar_of(tmp_path / "v.box", {"metadata.json": metadata(provider="parallels")})
    whole = box.read_bytes()[:1024]
    box.write_bytes(whole + b"this is no header".ljust(512, b"x"))

    assert "it is for Parallels" in refused(home, box)


def test_a_cut_box_is_refused(home: VxHome, images: Path, tmp_path: Path) -> None:
    members: dict[str, Path | bytes] = {"metadata.json": metadata(), "box.img": images / "box.img"}
    box = tar_of(tmp_path / "v.box", members, packing="gz")
    box.write_bytes(box.read_bytes()[:-2000])

    assert "v.box is a damaged archive" in refused(home, box)


# --- catalogs -------------------------------------------------------------------------------


def provider(url: str, **fields: object) -> dict[str, object]:
    return {"name": "libvirt", "url": url, "architecture": "amd64"} | fields


def catalog(*versions: tuple[str, dict[str, object]], **fields: object) -> bytes:
    entries = [{"version": number, "providers": [one]} | fields for number, one in versions]
    return json.dumps(
        {"name": "Tester/Deb_12", "description": "A box", "versions": entries}
    ).encode()


def publish(server: FolderServer, images: Path, data: bytes) -> str:
    """The address of the catalog; the box lies beside it."""
    members: dict[str, Path | bytes] = {"metadata.json": metadata(), "box.img": images / "box.img"}
    tar_of(server.folder / "v.box", members)
    (server.folder / "deb").write_bytes(data)
    return f"{server.url}/deb"


def test_the_newest_version_of_a_catalog_is_fetched_and_verified(
    home: VxHome, server: FolderServer, images: Path
) -> None:
    url = publish(server, images, b"")
    promised: dict[str, Any] = {
        "checksum_type": "sha256", "checksum": sha256(server.folder / "v.box"),
    }  # fmt: skip
    offers = [
        (version, provider("v.box", **promised)) for version in ("1.9.0", "1.10.0", "2.0-rc1")
    ]
    (server.folder / "deb").write_bytes(catalog(*offers))

    box = imported(home, url, quiet_op(), wishes=Wishes(arch="x86_64"))

    assert (box.label, box.description) == ("tester-deb_12@1.10.0", "A box")
    assert box.origin == f"{server.url}/v.box"
    (source,) = box.sources
    assert (source.part, source.member, source.url) == ("disk", "box.img", f"{server.url}/v.box")
    assert (source.pinned, source.fetched.verified) == (f"sha256:{promised['checksum']}", "pinned")
    assert list(home.downloads.iterdir()) == []


def test_a_version_is_asked_for_by_its_first_parts(
    home: VxHome, server: FolderServer, images: Path
) -> None:
    offers = [(version, provider("v.box")) for version in ("1.9.0", "1.10.0", "2.0-rc1")]
    url = publish(server, images, catalog(*offers))

    def found(version: str) -> str:
        wishes = Wishes(arch="x86_64", version=version)
        return imported(home, url, quiet_op(), wishes=wishes).version

    assert [found("1.9"), found("2.0-rc1")] == ["1.9.0", "2.0-rc1"]


def test_a_file_that_is_not_the_catalogs_is_refused(
    home: VxHome, server: FolderServer, images: Path
) -> None:
    wrong = provider("v.box", checksum_type="sha512", checksum="0" * 128)
    url = publish(server, images, catalog(("1", wrong)))

    with pytest.raises(DigestMismatch):
        imported(home, url, quiet_op(), wishes=Wishes(arch="x86_64"))


def test_a_weak_checksum_is_told_and_a_digest_makes_up_for_it(
    home: VxHome, server: FolderServer, images: Path
) -> None:
    weak = provider("v.box", checksum_type="md5", checksum="0" * 32)
    url = publish(server, images, catalog(("1", weak)))
    watched = Recorder()
    digest = sha256(server.folder / "v.box")

    imported(home, url, Op(watched, Cancel()), wishes=Wishes(arch="x86_64"))
    box = imported(
        home, url, quiet_op(),
        wishes=Wishes(
            name="pinned", arch="x86_64", provider="libvirt",
            digest=Digest(algorithm="sha256", hex=digest),
        ),
    )  # fmt: skip

    assert any("no more than its md5, which verifies nothing" in note for note in watched.notes())
    assert f"--digest sha256:{digest} holds it" in watched.notes()[-1]
    assert box.sources[0].pinned == f"sha256:{digest}"


@pytest.mark.parametrize(
    ("data", "wishes", "why"),
    [
        (catalog(("1", provider("x", name="virtualbox"))), X86, "for virtualbox, not for libvirt"),
        (catalog(("1", provider("x", architecture="arm64"))), X86, "for aarch64, not for x86_64"),
        (catalog(("1", provider("x"))), Wishes(version="2", arch="x86_64"), "no version 2: it has 1"),
        (catalog(("1", provider("x"))), Wishes(provider="hyperv"), "it is for Hyper-V"),
        (catalog(("1", provider("x")), status="revoked"), X86, "no version of it is active"),
        (catalog(("1-rc1", provider("x"))), X86, "no version that is released"),
        (catalog(("1", provider("x", checksum_type="sha256", checksum="zz"))), X86, "64 hexadecimal"),
        (b'{"no": "catalog"}', X86, 'it has no "versions"'),
        (b'{"versions": ', X86, "it is no JSON"),
        (b'{"versions": []}' + b" " * (21 << 20), X86, "bigger than a catalog may be"),
    ],
)  # fmt: skip
def test_catalogs_without_a_fitting_box_say_what_they_have(
    home: VxHome, tmp_path: Path, data: bytes, wishes: Wishes, why: str
) -> None:
    (tmp_path / "catalog.json").write_bytes(data)

    assert why in refused(home, tmp_path / "catalog.json", wishes)


def test_a_catalog_that_leads_to_no_address_is_told(
    home: VxHome, server: FolderServer, images: Path, tmp_path: Path
) -> None:
    offer = catalog(("1", provider("https://[::1/v\x1b.box")))
    (tmp_path / "catalog.json").write_bytes(offer)

    for place in (tmp_path / "catalog.json", publish(server, images, offer)):
        assert "leads to https://[::1/v?.box, which is no address" in refused(home, place, X86)


def test_a_catalog_on_this_host_may_name_a_file_beside_it(
    home: VxHome, images: Path, tmp_path: Path
) -> None:
    members: dict[str, Path | bytes] = {"metadata.json": metadata(), "box.img": images / "box.img"}
    tar_of(tmp_path / "v.box", members)
    good = provider("v.box", checksum_type="sha256", checksum=sha256(tmp_path / "v.box"))
    (tmp_path / "good.json").write_bytes(catalog(("3", good)))
    bad = provider("v.box", checksum_type="sha256", checksum="0" * 64)
    (tmp_path / "bad.json").write_bytes(catalog(("3", bad)))

    assert "is not the promised file" in refused(home, tmp_path / "bad.json")
    assert imported(home, tmp_path / "good.json", quiet_op(), wishes=Wishes()).version == "3"


def test_a_catalog_from_the_web_cannot_name_a_file_of_this_host(
    home: VxHome, server: FolderServer, images: Path, tmp_path: Path
) -> None:
    url = publish(server, images, catalog(("1", provider(f"file://{tmp_path}/served/v.box"))))

    assert "only http and https are known" in refused(home, url)
