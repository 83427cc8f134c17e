"""Finds, makes and removes machines.

A machine is a folder ``$VX_HOME/machines/ID``; the project names it in ``.vx/NAME``, so a moved
project still finds its own. Looking must stay cheap: it is most of ``vx status``.
"""

from __future__ import annotations

import os

from vagrantish.errors import MachineError
from vagrantish.machine.record import Record, is_id, read
from vagrantish.paths import MachineLayout, VxHome, project_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractContextManager
    from pathlib import Path

    from vagrantish.events import Op

_ID_FILE_MAX = 64


class MachineStore:
    def __init__(self, home: VxHome) -> None:
        self.home = home

    def layout(self, record: Record) -> MachineLayout:
        return self.home.machine(record.id)

    def find(self, project_root: Path, name: str) -> Record | None:
        """The machine of this project, also when the project was moved or lost its ``.vx``.

        A *copied* project finds nothing: the machine stays with the original.
        Raises MachineError when the record is damaged.
        """
        machine_id = _read_id(project_state(project_root) / name)
        record = read(self.home.machine(machine_id).record) if machine_id else None
        if record is not None and record.name == name:
            here = record.project == str(project_root)
            if here or not self._is_claimed_elsewhere(record, project_root):
                return record
        return self._find_by_project(project_root, name)

    def all(self) -> tuple[Record, ...]:
        """Every machine whose record can be read, by project and name."""
        records = []
        for machine_id in self._ids():
            try:
                record = read(self.home.machine(machine_id).record)
            except MachineError:
                continue  # `vx status` in its own project says what is wrong with it
            if record is not None:
                records.append(record)
        return tuple(sorted(records, key=lambda record: (record.project, record.name)))

    def by_id(self, machine_id: str) -> Record | None:
        """The machine with this id, in whatever project. Raises MachineError when it is damaged."""
        return read(self.home.machine(machine_id).record) if is_id(machine_id) else None

    def left_over(self, project_root: Path, names: Collection[str]) -> tuple[Record, ...]:
        """Machines of this project that are none of ``names``: the Xhyvefile lost them since."""
        try:
            there = os.listdir(project_state(project_root))
        except OSError:
            there = [r.name for r in self.all() if r.project == str(project_root)]
        found = []
        for name in sorted(set(there).difference(names)):
            try:
                record = self.find(project_root, name)
            except MachineError:
                continue  # naming it tells what is wrong with it
            if record is not None:
                found.append(record)
        return tuple(found)

    def artifacts_in_use(self) -> set[str]:
        """Digests of the artifacts that machines were made from."""
        return {digest for record in self.all() for digest in record.artifact_digests.values()}

    def lock(self, project_root: Path, name: str, *, op: Op) -> AbstractContextManager[None]:
        """Held while a machine is changed; it exists before the machine does."""
        from hashlib import sha256

        from vagrantish.locks import hold

        place = os.path.realpath(project_root)  # one lock, by whatever link the project is reached
        key = sha256(f"{place}\0{name}".encode(errors="surrogateescape")).hexdigest()[:16]
        return hold(self.home.locks / f"machine-{key}.lock", what=f"machine {name}", op=op)

    def create(
        self, record: Record, secrets: dict[str, bytes], project_root: Path, *, op: Op
    ) -> None:
        """Make the machine's folder, whole or not at all; ``secrets`` are files of mode 0600.

        Raises HostError.
        """
        from vagrantish.files import host_errors, make_dir, staging, write_atomic

        make_dir(self.home.root, mode=0o700)
        make_dir(self.home.machines, mode=0o700)
        with staging(self.home.tmp) as folder:
            layout = MachineLayout(folder)
            for file_name, content in secrets.items():
                write_atomic(folder / file_name, content, mode=0o600)
            write_atomic(layout.record, record.to_json(), mode=0o600)
            with host_errors(f"make machine {record.name}"):
                os.rename(folder, self.layout(record).directory)
        self.claim(record, project_root, op=op)

    def claim(self, record: Record, project_root: Path, *, op: Op) -> None:
        """Tie the machine to the project's present place, in both directions.

        Where the project's folder cannot be written, the record alone must do: then the machine
        is found for as long as the project stays where it is.
        """
        from vagrantish.errors import HostError

        try:
            self._name_in_project(record, project_root)
        except HostError as error:
            op.warn(
                f"{error.message}; should this project be moved, it will not find its "
                f"machine {record.name} again"
            )
        if record.project != str(project_root):
            record.project = str(project_root)
            self.save(record)

    def save(self, record: Record) -> None:
        from vagrantish.files import write_atomic

        write_atomic(self.layout(record).record, record.to_json(), mode=0o600)

    def delete(self, record: Record, project_root: Path) -> None:
        """Remove the machine and its disk. Nothing of it may run any more."""
        from contextlib import suppress

        from vagrantish.files import host_errors, staging

        with staging(self.home.tmp) as folder, host_errors(f"remove machine {record.name}"):
            os.rename(self.layout(record).directory, folder / record.id)
        id_file = project_state(project_root) / record.name
        if _read_id(id_file) == record.id:
            # In a folder that cannot be written it may stay: it leads nowhere now.
            with suppress(OSError):
                id_file.unlink()

    def _name_in_project(self, record: Record, project_root: Path) -> None:
        from vagrantish.files import make_dir, sweep_staged, write_atomic

        id_file = project_state(project_root) / record.name
        if _read_id(id_file) == record.id:
            return
        make_dir(id_file.parent)
        sweep_staged(id_file)
        ignore = id_file.parent / ".gitignore"
        if not ignore.exists():
            write_atomic(ignore, b"*\n")
        write_atomic(id_file, f"{record.id}\n".encode())

    def _ids(self) -> list[str]:
        try:
            return sorted(entry for entry in os.listdir(self.home.machines) if is_id(entry))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise MachineError(f"cannot read {self.home.machines}: {error.strerror}") from error

    def _find_by_project(self, project_root: Path, name: str) -> Record | None:
        wanted = (str(project_root), name)
        return next((r for r in self.all() if (r.project, r.name) == wanted), None)

    @staticmethod
    def _is_claimed_elsewhere(record: Record, project_root: Path) -> bool:
        from pathlib import Path

        original = Path(record.project)
        try:
            if original.samefile(project_root):
                return False
        except OSError:
            return False
        return _read_id(project_state(original) / record.name) == record.id


def _read_id(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            text = file.read(_ID_FILE_MAX).decode("ascii", "replace").strip()
    except OSError:
        return None
    return text if is_id(text) else None
