"""Every file name under VX_HOME and a project's ``.vx``, once."""

from __future__ import annotations

import os
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# A Unix socket's path, with its final NUL, must fit sockaddr_un: 104 bytes on macOS, 108 on Linux.
SOCKET_PATH_MAX = 103


class VxHome:
    """The folder vx keeps everything in."""

    __slots__ = ("root",)

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> VxHome:
        given = env.get("VX_HOME")
        return cls(Path(os.path.abspath(os.path.expanduser(given or "~/.vx"))))

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def machines(self) -> Path:
        return self.root / "machines"

    @property
    def boxes(self) -> Path:
        """``<name>/<version>/<arch>/box.json``."""
        return self.root / "boxes"

    @property
    def artifacts(self) -> Path:
        """``sha256/<hex>``: the bytes of every box, once each, read-only."""
        return self.root / "artifacts"

    @property
    def raw_copies(self) -> Path:
        """``<hex>``: the qcow2 artifact of that sha256 as a raw disk; safe to delete at any time."""
        return self.artifacts / "raw"

    @property
    def projects(self) -> Path:
        """A file for each lock of a project that was seen here, holding the lock's path."""
        return self.root / "projects"

    @property
    def downloads(self) -> Path:
        """Partial downloads; safe to delete at any time."""
        return self.root / "downloads"

    @property
    def keys(self) -> Path:
        """OpenPGP public keys the user adds to those that ship with vx."""
        return self.root / "keys"

    @property
    def catalogs(self) -> Path:
        """What was fetched of the user's catalogs, one file each; safe to delete at any time."""
        return self.root / "catalogs"

    @property
    def scripts(self) -> Path:
        """``<algorithm>/<hex>``: provisioning scripts from the web; safe to delete at any time."""
        return self.root / "scripts"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def host(self) -> Path:
        """What was measured about this host: safe to delete at any time."""
        return self.root / "host"

    @property
    def tmp(self) -> Path:
        """Staging; whatever nobody holds locked is swept."""
        return self.root / "tmp"

    @property
    def bug_log(self) -> Path:
        return self.root / "bug.log"

    def machine(self, machine_id: str) -> MachineLayout:
        return MachineLayout(self.machines / machine_id)


class MachineLayout:
    """The files of one machine, all in its own folder."""

    __slots__ = ("directory",)

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def record(self) -> Path:
        return self.directory / "machine.json"

    @property
    def process(self) -> Path:
        """Pid, start time and program of the hypervisor; written when it runs."""
        return self.directory / "process.json"

    @property
    def steps(self) -> Path:
        """What became of each provisioning step."""
        return self.directory / "steps.json"

    @property
    def pid_file(self) -> Path:
        """Written by the hypervisor itself, or as it by its supervisor just before it begins."""
        return self.directory / "vm.pid"

    @property
    def qmp_socket(self) -> Path:
        return self.directory / "qmp.sock"

    @property
    def rest_socket(self) -> Path:
        """Where vfkit is asked and told."""
        return self.directory / "rest.sock"

    @property
    def loader_folder(self) -> Path:
        """What bhyve's boot loader reads: grub.cfg and device.map."""
        return self.directory / "loader"

    @property
    def console_socket(self) -> Path:
        return self.directory / "con.sock"

    @property
    def console_log(self) -> Path:
        """What the guest wrote to its serial port since it was last started, or the end of that."""
        return self.directory / "console.log"

    @property
    def previous_console_log(self) -> Path:
        return self.directory / "console.log.1"

    @property
    def provider_log(self) -> Path:
        """What the hypervisor itself had to say."""
        return self.directory / "provider.log"

    @property
    def provider_out(self) -> Path:
        """Its standard output, where that is a file of its own."""
        return self.directory / "provider.out"

    @property
    def job(self) -> Path:
        """What the supervisor is to run."""
        return self.directory / "job.json"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor, and by what it started, as long as they live."""
        return self.directory / "supervisor.lock"

    @property
    def ended(self) -> Path:
        """How the last run ended, as the supervisor saw it."""
        return self.directory / "ended.json"

    @property
    def tunnel_job(self) -> Path:
        """Which ports ssh is to forward, and how."""
        return self.directory / "tunnel.json"

    @property
    def tunnel_state(self) -> Path:
        """Which processes do that."""
        return self.directory / "tunnel.state"

    @property
    def tunnel_lock(self) -> Path:
        """Held by the process that keeps the forwards open."""
        return self.directory / "tunnel.lock"

    @property
    def tunnel_log(self) -> Path:
        """What it and ssh had to say."""
        return self.directory / "tunnel.log"

    @property
    def tunnel_socket(self) -> Path:
        """There while the forwards are open."""
        return self.directory / "fwd.sock"

    @property
    def boot_note(self) -> Path:
        """Why the last boot failed; not there when it did not."""
        return self.directory / "boot.json"

    @property
    def start_lock(self) -> Path:
        """Held while a hypervisor is being started."""
        return self.directory / "start.lock"

    @property
    def console_lock(self) -> Path:
        """Held by the one terminal that is attached to the console."""
        return self.directory / "console.lock"

    @property
    def disk(self) -> Path:
        return self.directory / "disk.img"

    @property
    def initrd(self) -> Path:
        """The box's initrd with this machine's overlay appended."""
        return self.directory / "initrd"

    @property
    def kernel(self) -> Path:
        """A kernel found on the machine's own disk, where that is not the box's."""
        return self.directory / "kernel"

    @property
    def disk_initrd(self) -> Path:
        """The initrd that goes with ``kernel``."""
        return self.directory / "initrd.disk"

    @property
    def seed(self) -> Path:
        """The volume cloud-init reads."""
        return self.directory / "seed.iso"

    @property
    def firmware_vars(self) -> Path:
        """UEFI's variables, which the guest writes."""
        return self.directory / "uefi-vars.fd"

    def link(self, name: str) -> Path:
        """Leads to a file whose own path a hypervisor cannot take."""
        return self.directory / f"link.{name}"

    @property
    def user_key(self) -> Path:
        return self.directory / "id_ed25519"

    @property
    def host_key(self) -> Path:
        return self.directory / "host_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"


def project_state(project_root: Path) -> Path:
    """The project's own folder: one file a machine, holding the machine's id."""
    return project_root / ".vx"
