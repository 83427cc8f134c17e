"""The publishers on loopback: their folders, names, checksum files, signatures and redirects.

Each host is the first part of a path. ``definitions`` writes the shipped boxes once more, for what
is served here: the addresses, digests and keys are replaced, all else is what users get.
"""

from __future__ import annotations

import json
import re
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fakes import upstream_sums as sums
from tests.fakes.fileserver import folder_server
from tests.fakes.signer import signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.fakes.fileserver import FolderServer
    from tests.fakes.images import Images
    from tests.fakes.signer import Signer

BOXES = Path(__file__).resolve().parents[2] / "boxes"
_HOST = re.compile(r"https?://(?=[a-z])")
FEDORA = "pub/fedora/linux/releases/44/Cloud/x86_64/images"
VAGRANT = "vagrantcloud.com/api/v2/vagrant/tester/debian"
_BOX = "vagrantcloud.com/tester/boxes/debian/versions/{version}/providers/libvirt/amd64/vagrant.box"


@dataclass(frozen=True)
class Published:
    """One file of a publisher's, and where it stands in the box's definition."""

    box: str
    release: str
    build: str
    path: str  # host and path
    algorithm: str
    publish: Callable[[Path, str, Signer], None]  # what lies beside the file: it, algorithm, key


@dataclass(frozen=True)
class Upstream:
    server: FolderServer
    served: Mapping[str, Published]
    unpacked: Mapping[str, Path]  # kernel and initrd beside Ubuntu's disk
    signer: Signer

    @property
    def url(self) -> str:
        return self.server.url

    def address(self, box: str) -> str:
        return f"{self.url}/{self.served[box].path}"

    def file(self, box: str) -> Path:
        return self.server.folder / self.served[box].path

    def digest(self, box: str) -> str:
        algorithm = self.served[box].algorithm
        return f"{algorithm}:{sums.digest(self.file(box), algorithm)}"

    @property
    def catalog_address(self) -> str:
        """The Vagrant catalog's."""
        return f"{self.url}/{VAGRANT}"

    def trust(self, keys: Path) -> None:
        """Put the signing key where vx looks for keys of the user's: VX_HOME/keys."""
        keys.mkdir(parents=True, exist_ok=True)
        (keys / "test.asc").write_bytes(self.signer.public_key)

    def definitions(self, folder: Path, *, pinned: bool = True) -> Path:
        """A catalog for what is served; unpinned, the checksum files and signatures must vouch."""
        for box, published in self.served.items():
            text = _toml(self._definition(box, published, pinned=pinned))
            (folder / box).mkdir(parents=True)
            (folder / box / "box.toml").write_text(text, encoding="utf-8")
        if self.unpacked:
            (folder / "ubuntu-files").mkdir()
            text = _toml(self._ubuntu_files(pinned=pinned))
            (folder / "ubuntu-files/box.toml").write_text(text, encoding="utf-8")
        return folder

    def _ubuntu_files(self, *, pinned: bool) -> dict[str, Any]:
        """A box of Ubuntu's disk that boots the kernel and initrd published beside it."""
        table = self._definition("ubuntu", _UBUNTU, pinned=pinned)
        table |= {"name": "ubuntu-files", "disk_boots": False}
        here: dict[str, Any] = {"disk": self._promise(self.file("ubuntu"), "sha256")}
        for part, file in self.unpacked.items():
            address = f"{self.url}/{file.relative_to(self.server.folder).as_posix()}"
            table[part] = {"url": address, "check": table["disk"]["check"]}
            here[part] = self._promise(file, "sha256")
        build = table["release"][_UBUNTU.release]["build"][_UBUNTU.build]
        build["x86_64"] = here if pinned else {}
        return table

    def _promise(self, file: Path, algorithm: str) -> dict[str, Any]:
        digest = f"{algorithm}:{sums.digest(file, algorithm)}"
        return {"digest": digest, "size": file.stat().st_size}

    def _definition(self, box: str, published: Published, *, pinned: bool) -> dict[str, Any]:
        here = self._promise(self.file(box), published.algorithm) if pinned else {}
        given = _OWN_BOXES.get(box) or (BOXES / box / "box.toml").read_text(encoding="utf-8")
        table: dict[str, Any] = self._moved(tomllib.loads(given))
        line = table["release"][published.release]
        build = {**line["build"][published.build], "x86_64": here}
        build.pop("aarch64", None)
        line["build"] = {published.build: build}
        return table | {"default": published.release, "release": {published.release: line}}

    def _moved(self, value: Any) -> Any:
        """Addresses are this server's, and this server's key has signed."""
        if isinstance(value, dict):
            return {
                key: [self.signer.fingerprint] if key == "keys" else self._moved(below)
                for key, below in value.items()
            }
        if isinstance(value, list):
            return [self._moved(item) for item in value]
        return _HOST.sub(f"{self.url}/", value) if isinstance(value, str) else value


@contextmanager
def upstream(folder: Path, files: Mapping[str, Path]) -> Iterator[Upstream]:
    """Serves ``files``, by the name of the box: debian, ubuntu, centos, alma, rocky, fedora,
    alpine-netboot; tinycore, a folder as mirrors have it; vagrant, a .box; and beside ubuntu's
    disk ubuntu-kernel and ubuntu-initrd. ``folder`` is empty; the files are linked into it.
    """
    with signer() as key, folder_server(folder) as server:
        served = {}
        for published in _PUBLISHED:
            if published.box in files:
                file = sums.link(folder / published.path, files[published.box])
                published.publish(file, published.algorithm, key)
                served[published.box] = published
        unpacked = _publish_unpacked(folder, files, key)
        if "tinycore" in files:
            sums.link(folder / "tinycorelinux.net", files["tinycore"])
            sums.link(folder / "distro.ibiblio.org/tinycorelinux", files["tinycore"])
            served["tinycore"] = _TINYCORE
        if "vagrant" in files:
            _publish_vagrant(server, files["vagrant"])
        # As Fedora's: whichever mirror is near.
        server.redirects[f"/download.fedoraproject.org/{FEDORA}/"] = f"/mirror.example/{FEDORA}/"
        yield Upstream(server, served, unpacked, key)


def files_of(images: Images) -> dict[str, Path]:
    """Every shape under the names of all who publish it."""
    ubuntu, centos = images.ubuntu(), images.centos()
    return {
        "debian": images.debian(),
        "ubuntu": ubuntu.disk,
        "ubuntu-kernel": ubuntu.kernel,
        "ubuntu-initrd": ubuntu.initrd,
        **dict.fromkeys(("centos", "alma", "rocky", "fedora"), centos),
        "alpine-netboot": images.alpine_netboot(),
        "vagrant": images.vagrant_box().box,
    }


# --- what has folders of its own --------------------------------------------------------------


def _publish_unpacked(folder: Path, files: Mapping[str, Path], key: Signer) -> dict[str, Path]:
    """Ubuntu's kernel files have a list of their own, which the image's does not repeat."""
    if "ubuntu-kernel" not in files:
        return {}
    unpacked = (folder / _UBUNTU.path).parent / "unpacked"
    stem = f"{Path(_UBUNTU.path).stem}-{{}}-generic"
    published = {
        "kernel": sums.link(unpacked / stem.format("vmlinuz"), files["ubuntu-kernel"]),
        "initrd": sums.link(unpacked / stem.format("initrd"), files["ubuntu-initrd"]),
    }
    lines = [f"{sums.digest(file, 'sha256')} *{file.name}\n" for file in published.values()]
    (unpacked / "SHA256SUMS").write_text("".join(lines), encoding="ascii")
    (unpacked / "SHA256SUMS.gpg").write_bytes(key.detached(unpacked / "SHA256SUMS", armor=False))
    return published


def _publish_vagrant(server: FolderServer, box: Path) -> None:
    """A catalog with a version that is withdrawn, one to take and one to come."""

    def version(number: str, status: str) -> dict[str, Any]:
        path = _BOX.format(version=number)
        file = sums.link(server.folder / path, box)
        libvirt = {
            "name": "libvirt",
            "url": f"{server.url}/{path}",
            "checksum": sums.digest(file, "sha256"),
            "checksum_type": "sha256",
            "architecture": "amd64",
            "default_architecture": True,
        }
        other = {"name": "virtualbox", "architecture": "amd64", "default_architecture": True}
        other |= {"url": f"{server.url}/gone.box", "checksum": "", "checksum_type": ""}
        return {"version": number, "status": status, "providers": [other, libvirt]}

    catalog = {
        "name": "tester/debian",
        "description": "A test image",
        "short_description": "A test image",
        "versions": [
            version("1.10.0", "active"),
            version("1.9.0", "active"),
            version("1.11.0", "revoked"),
            version("2.0.0-rc1", "active"),
        ],
    }
    for path in (VAGRANT, "vagrantcloud.com/tester/debian"):
        file = server.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(catalog), encoding="ascii")


def _toml(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(key)} = {_value(v)}' for key, v in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)  # of texts, numbers and true or false TOML's is the same


# --- who publishes what ----------------------------------------------------------------------

_UBUNTU = Published(
    "ubuntu", "24.04", "20260705",
    "cloud-images.ubuntu.com/releases/noble/release-20260705/ubuntu-24.04-server-cloudimg-amd64.img",
    "sha256", sums.ubuntu_sums,
)  # fmt: skip
_PUBLISHED = (
    Published(
        "debian", "12", "20260712-2537",
        "cloud.debian.org/images/cloud/bookworm/20260712-2537/debian-12-genericcloud-amd64-20260712-2537.qcow2",
        "sha512", sums.sums_text("SHA512SUMS", " "),
    ),
    _UBUNTU,
    Published(
        "centos", "9", "20260720.0",
        "cloud.centos.org/centos/9-stream/x86_64/images/CentOS-Stream-GenericCloud-9-20260720.0.x86_64.qcow2",
        "sha256", sums.centos_sums,
    ),
    Published(
        "rocky", "9.8", "20260525.0",
        "dl.rockylinux.org/pub/rocky/9.8/images/x86_64/Rocky-9-GenericCloud-Base-9.8-20260525.0.x86_64.qcow2",
        "sha256", sums.rocky_sums,
    ),
    Published(
        "alma", "9.8", "20260526",
        "repo.almalinux.org/almalinux/9.8/cloud/x86_64/images/AlmaLinux-9-GenericCloud-9.8-20260526.x86_64.qcow2",
        "sha256", sums.alma_sums,
    ),
    Published(
        "fedora", "44", "1.7",
        f"mirror.example/{FEDORA}/Fedora-Cloud-Base-Generic-44-1.7.x86_64.qcow2",
        "sha256", sums.fedora_sums,
    ),
    Published(
        "alpine-netboot", "3.23", "3",
        "dl-cdn.alpinelinux.org/alpine/v3.23/releases/x86_64/alpine-netboot-3.23.3-x86_64.tar.gz",
        "sha512", sums.alpine_sums,
    ),
)  # fmt: skip
_TINYCORE = Published(
    "tinycore", "16", "2",
    "tinycorelinux.net/16.x/x86_64/release/CorePure64-16.2.iso", "sha256", lambda *_: None,
)  # fmt: skip
# Boxes that vx does not ship.
_OWN_BOXES = {
    "alpine-netboot": """
name = "alpine-netboot"
cmdline = "console={console}"

[file]
url = "https://dl-cdn.alpinelinux.org/alpine/v{release}/releases/{arch}/alpine-netboot-{release}.{build}-{arch}.tar.gz"
check.sums = "{file}.sha512"

[kernel]
member = "boot/vmlinuz-virt"

[initrd]
member = "boot/initramfs-virt"

[release."3.23".build.3]
x86_64 = {}
""",
}
