"""The values vx is made of: frozen, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vagrantish.paths import MachineLayout


class ArtifactKind(StrEnum):
    KERNEL = "kernel"
    INITRD = "initrd"
    DISK = "disk"


class SeedKind(StrEnum):
    """How a box takes its first-boot data."""

    OVERLAY = "overlay"  # an extra cpio segment appended to the initrd
    TINYCORE = "tinycore"  # the same, laid out as Tiny Core's own scripts expect it
    CLOUD_INIT = "cloud-init"  # a volume labelled cidata, attached as one more disk
    NONE = "none"  # not at all: the box must know its user and keys already


class RootKind(StrEnum):
    """Where a box keeps its root file system."""

    RAM = "ram"  # gone at every halt, unless the machine has a disk the box moves it to
    DISK = "disk"


class BootMode(StrEnum):
    """What puts the guest's kernel into memory."""

    KERNEL = "kernel"  # the hypervisor itself, from a kernel and an initrd on the host
    UEFI = "uefi"  # firmware, which finds a boot loader on the disk
    FBSD = "fbsd"  # FreeBSD's own loader, run on the host


class RunWhen(StrEnum):
    CHANGED = "changed"
    ONCE = "once"
    ALWAYS = "always"
    NEVER = "never"


# --- boxes -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Digest:
    algorithm: str  # "sha256" or "sha512"
    hex: str  # lower case

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True, kw_only=True)
class BoxRef:
    """``name[@version]``; version None means the newest in the store."""

    name: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name


@dataclass(frozen=True, kw_only=True)
class BoxParts:
    """A box given in the Xhyvefile by its own files: absolute paths or URLs."""

    sources: Mapping[ArtifactKind, str]
    digests: Mapping[ArtifactKind, Digest] = field(default_factory=dict)
    cmdline: str = ""
    user: str | None = None
    seed: SeedKind = SeedKind.NONE
    boot: BootMode = BootMode.KERNEL  # as its machine is booted: what the disk need not hold


@dataclass(frozen=True, kw_only=True)
class Artifact:
    kind: ArtifactKind
    digest: Digest
    size_bytes: int
    path: Path  # in the store, read-only


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A file a box brings along beside what is booted, such as a Tiny Core extension."""

    name: str  # "openssh.tcz"
    digest: Digest
    size_bytes: int
    path: Path  # in the store, read-only


@dataclass(frozen=True, kw_only=True)
class Check:
    """How a download is verified where no digest of it is pinned."""

    sums_url: str  # a file of checksums; "" when only a signature over the file itself exists
    name: str  # what the file is called there, to the letter
    signature_url: str = ""  # detached; "": none, or the checksums are clear-signed
    signed: str = ""  # what the signature is over: "", "sums" or "file"
    keys: tuple[str, ...] = ()  # fingerprints that may have signed, upper case


@dataclass(frozen=True, kw_only=True)
class Remote:
    """One file on the web."""

    urls: tuple[str, ...]  # the publisher's own, then mirrors in the order they are tried
    digest: Digest | None  # of the file as it is served; None: ``check``, else trusted on first use
    size_bytes: int | None = None  # None: not known beforehand
    check: Check | None = None


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came of a Remote, and how it was verified."""

    url: str  # the one that gave it
    sha256: str  # hex, of the file as it was served
    size_bytes: int
    verified: str  # "pinned", "signed by FINGERPRINT", "checksums of HOST", "first use"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where an artifact or an extension of a box came from."""

    part: str  # "kernel", "initrd", "disk", or an extension's name
    url: str  # the publisher's own, whichever mirror gave it
    fetched: Fetched
    member: str = ""  # the path inside the archive or image it was taken from
    pinned: str = ""  # the digest that was promised for the download, if one was


@dataclass(frozen=True, kw_only=True)
class LockedFile:
    """One download of a locked box."""

    part: str  # as in Source
    digest: Digest  # of the file as it is served; of the artifact where there is no URL
    url: str = ""  # "" for a file of a box that was built or added from here
    size_bytes: int | None = None  # None: not known when it was locked
    member: str = ""


@dataclass(frozen=True, kw_only=True)
class LockedBoot:
    """How a box boots that was added from an address, and so has no definition."""

    user: str
    seed: SeedKind
    root: RootKind
    cmdline: str
    console: str
    cpu_level: str
    disk_boots: bool
    boot: BootMode = BootMode.KERNEL


@dataclass(frozen=True, kw_only=True)
class LockedBox:
    """What a project boots where its Xhyvefile says ``name@asked``, for one architecture."""

    name: str
    asked: str  # "" when the Xhyvefile leaves it open
    arch: str
    version: str
    files: tuple[LockedFile, ...]
    boots: LockedBoot | None = None  # None: its definition says how it boots

    @property
    def local(self) -> bool:
        """Whether it cannot be fetched: built from a host's packages, or added from a file."""
        return not any(file.url for file in self.files)


@dataclass(frozen=True, kw_only=True)
class LockedScript:
    """A provisioning script from the web; its digest is the Xhyvefile's."""

    url: str
    digest: Digest


@dataclass(frozen=True, kw_only=True)
class Lock:
    """What Xhyvefile.lock holds."""

    boxes: tuple[LockedBox, ...] = ()
    scripts: tuple[LockedScript, ...] = ()

    def box(self, name: str, asked: str | None, arch: str) -> LockedBox | None:
        wanted = (name, asked or "", arch)
        return next((box for box in self.boxes if (box.name, box.asked, box.arch) == wanted), None)


@dataclass(frozen=True, kw_only=True)
class Part:
    """How one artifact is got: a download, or something inside it."""

    remote: Remote
    member: str = ""  # the path inside a tar archive or an ISO; "": the file itself


@dataclass(frozen=True, kw_only=True)
class Release:
    """One version of a published box for one architecture, as a definition describes it."""

    name: str  # "ubuntu"
    version: str  # dotted, from the release to the build: "24.04.20260705"
    arch: str
    parts: Mapping[ArtifactKind, Part]
    extensions: Mapping[str, Remote]  # in the order they are loaded
    disk_boots: bool  # kernel and initrd are read from the disk, and follow the guest's upgrades
    cmdline: str
    user: str
    seed: SeedKind
    root: RootKind
    console: str = "ttyS0"
    cpu_level: str = "x86-64-v1"
    description: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    boot: BootMode = BootMode.KERNEL


@dataclass(frozen=True, kw_only=True)
class CatalogSource:
    """Where the user keeps definitions of boxes."""

    text: str  # as it is written
    kind: str  # "folder", "web" or "git"
    location: str  # an absolute path or a URL
    branch: str = ""  # or tag, of a "git" one; "": what the server has checked out


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box whose every artifact lies verified in the store."""

    name: str  # "" for one made of BoxParts
    version: str
    arch: str  # "x86_64"
    artifacts: Mapping[ArtifactKind, Artifact]
    cmdline: str
    user: str
    seed: SeedKind
    root: RootKind
    console: str = "ttyS0"
    cpu_level: str = "x86-64-v1"  # what the guest's programs need of the processor
    origin: str = ""  # where it came from, for people
    description: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)  # the box's layer of settings
    extensions: tuple[Extension, ...] = ()  # in the order they are loaded
    disk_boots: bool = False  # kernel and initrd follow those on the machine's own disk
    disk_cmdline: str = ""  # what the disk's own boot loader gives its kernel
    kernel_release: str = ""  # of the kernel found on the disk: "6.1.0-9-amd64"
    sources: tuple[Source, ...] = ()  # what was fetched for it; none when it was added from here
    boot: BootMode = BootMode.KERNEL  # of others it has no kernel, and its disk boots by itself

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}" if self.name else "own files"

    @property
    def named(self) -> str:
        """For the beginning of a sentence."""
        return f"the box {self.label}" if self.name else "the box of own files"

    @property
    def settings(self) -> Mapping[str, Any]:
        """The box's layer of settings, its way to boot among them."""
        if self.boot is BootMode.KERNEL:
            return self.defaults
        given = self.defaults.get("boot", {})
        boot = {"mode": self.boot.value, **given} if isinstance(given, dict) else given
        return {**self.defaults, "boot": boot}

    @property
    def files(self) -> dict[str, Artifact | Extension]:
        """Every file of the box by what it is: "kernel", "disk", an extension's name."""
        found: dict[str, Artifact | Extension] = {str(k): a for k, a in self.artifacts.items()}
        return found | {extension.name: extension for extension in self.extensions}


# --- the project -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Forward:
    guest: int
    host: int  # 0: any free port
    host_ip: str = "127.0.0.1"
    proto: str = "tcp"  # or "udp"
    auto: bool = True  # a taken port may be replaced by a free one near it


@dataclass(frozen=True, kw_only=True)
class BootConfig:
    cmdline: str = ""
    timeout_s: float = 300
    stall_s: float = 60
    kernel: str = "disk"  # or "box": whose, where the machine's own disk has another by now
    mode: BootMode = BootMode.KERNEL
    firmware: Path | None = None  # UEFI code; None: the one found on this host
    firmware_vars: Path | None = None  # what a new machine's variables are copied from
    userboot: Path | None = None  # of FreeBSD, for xhyve


@dataclass(frozen=True, kw_only=True)
class SSHConfig:
    user: str | None = None  # None: the box's
    port: int | None = None  # on the host; None: a free one, kept for the machine's life
    guest_port: int = 22
    forward_agent: bool = False
    extra_keys: tuple[str, ...] = ()  # public keys, one line each
    key: Path | None = None  # private; of a box that takes no key from vx
    host_key: str | None = None  # public, one line; of a box that takes none from vx
    connect_timeout_s: float = 15


@dataclass(frozen=True, kw_only=True)
class ShellStep:
    name: str
    run: RunWhen = RunWhen.CHANGED
    inline: str | None = None
    path: Path | None = None
    url: str | None = None
    digest: Digest | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    sudo: bool = True
    timeout_s: float | None = None
    retries: int = 0
    sensitive: bool = False
    reboot: bool = False


@dataclass(frozen=True, kw_only=True)
class FileStep:
    name: str
    run: RunWhen = RunWhen.CHANGED
    source: Path = field()
    destination: str = field()
    owner: str | None = None  # "user" or "user:group"; None: the ssh user
    mode: int | None = None
    template: bool = False


Step = ShellStep | FileStep


@dataclass(frozen=True, kw_only=True)
class CloudInitConfig:
    """The user's own data for cloud-init: ``user_data``, ``path`` or neither."""

    user_data: str | None = None
    path: Path | None = None
    first_boot_only: bool = True


@dataclass(frozen=True, kw_only=True)
class QemuOptions:
    """The ``[qemu]`` table."""

    binary: str | None = None
    accel: str = "auto"  # or "kvm", "hvf", "tcg"
    cpu: str | None = None
    machine: str | None = None
    extra_args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class XhyveOptions:
    """The ``[xhyve]`` table, and the ``[hyperkit]`` table."""

    binary: str | None = None
    root: str = "auto"  # how it becomes root for vmnet: or "sudo", "never"
    leases: str | None = None  # None: where macOS's bootpd keeps them
    extra_args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class VfkitOptions:
    """The ``[vfkit]`` table."""

    binary: str | None = None
    leases: str | None = None
    extra_args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BhyveOptions:
    """The ``[bhyve]`` table."""

    binary: str | None = None
    root: str = "auto"
    bridge: str = "bridge0"  # the guest's tap device becomes a member of it
    leases: str | None = None  # of the DHCP server on that bridge
    extra_args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MachineConfig:
    name: str
    index: int
    box: BoxRef | BoxParts
    providers: tuple[str, ...]  # in order of preference; ("auto",) leaves it to vx
    cpus: int
    memory_bytes: int
    disk_bytes: int | None
    hostname: str
    message: str
    boot: BootConfig
    halt_timeout_s: float
    ssh: SSHConfig
    forwards: tuple[Forward, ...]
    steps: tuple[Step, ...]  # in the order they run
    qemu: QemuOptions
    primary: bool
    autostart: bool
    needs: tuple[str, ...]
    cloud_init: CloudInitConfig = field(default_factory=CloudInitConfig)
    xhyve: XhyveOptions = field(default_factory=XhyveOptions)
    hyperkit: XhyveOptions = field(default_factory=XhyveOptions)
    vfkit: VfkitOptions = field(default_factory=VfkitOptions)
    bhyve: BhyveOptions = field(default_factory=BhyveOptions)
    context: Mapping[str, Any]  # names templates may use


@dataclass(frozen=True, kw_only=True)
class Project:
    root: Path
    file: Path
    name: str
    machines: tuple[MachineConfig, ...]


# --- machines --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Disk:
    path: Path
    format: str  # "raw" or "qcow2"
    serial: str  # what the guest finds it by: /dev/disk/by-id/virtio-SERIAL
    readonly: bool = False


@dataclass(frozen=True, kw_only=True)
class Firmware:
    """UEFI: its code, and its variables, which the guest writes."""

    code: Path | None  # None where the provider brings its own, or none was found
    vars: Path | None = None  # None: they are not kept


@dataclass(frozen=True, kw_only=True)
class FbsdLoader:
    """FreeBSD's boot loader as a library of the host."""

    userboot: Path | None  # None where the provider brings its own
    volume: Path  # what it loads from: the machine's first disk


@dataclass(frozen=True, kw_only=True)
class VmSpec:
    """All a provider must know to run a machine."""

    id: str
    name: str
    uuid: str
    arch: str
    cpus: int
    memory_bytes: int
    kernel: Path | None  # None: ``firmware`` or ``fbsd`` boots it
    initrd: Path | None
    cmdline: str
    disks: tuple[Disk, ...]
    mac: str  # "" where the host chooses it and that is not known yet
    ssh_port: int  # on the host; 0: any free port
    ssh_port_fixed: bool  # whether a taken ssh_port is an error
    forwards: tuple[Forward, ...]
    cpu_level: str
    qemu: QemuOptions
    layout: MachineLayout
    hostname: str = ""
    guest_ssh_port: int = 22
    firmware: Firmware | None = None
    fbsd: FbsdLoader | None = None
    xhyve: XhyveOptions = field(default_factory=XhyveOptions)
    hyperkit: XhyveOptions = field(default_factory=XhyveOptions)
    vfkit: VfkitOptions = field(default_factory=VfkitOptions)
    bhyve: BhyveOptions = field(default_factory=BhyveOptions)


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the guest's sshd is reached from the host."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Where the guest may be reached, the likeliest first."""

    addresses: tuple[Address, ...]
    certain: bool  # whether nobody else can answer there
    note: str = ""  # how they were found, for people


@dataclass(frozen=True, kw_only=True)
class ExecResult:
    command: str
    exit_status: int
    stdout: bytes
    stderr: bytes
    seconds: float
