"""A machine of the micro box beside the same guest started by hand.

By hand means: the command that ``vx argv`` prints, with its own files, and the OpenSSH client
knocking every 0.2 s until a command succeeds.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.bench_table import ROOT, Row, Series, timed
from vagrantish import proc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

VX = Path(sys.executable).with_name("vx")
XHYVEFILE = 'box = "micro"\nmemory = "256MiB"\ncpus = 1\n'
READY_LINE = b"vx: ready ssh"  # on the console, when the guest's sshd listens
READY_STAGE = "sshd"  # in vx's events, when it has seen that line
KNOCK_EVERY_S = 0.2  # more often, and attempts would slow each other down
GIVE_UP_S = 120.0
SETTLE_S = 2.0  # a guest that has just come up is busy for a moment, and slower to go down
STARTS = 20  # of a short command


class Bench:
    """A project of one micro machine, and what it takes to run its guest without vx."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.folder = folder
        self.env = os.environ | {"VX_HOME": str(home)}
        self.machines = home / "machines"
        (folder / "Xhyvefile").write_text(XHYVEFILE, encoding="utf-8")

    # --- with vx ------------------------------------------------------------------------------

    def vx(self, *args: str) -> str:
        done = subprocess.run(
            [VX, *args], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            raise SystemExit(f"vx {' '.join(args)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def layout(self) -> Path:
        """The machine's folder."""
        status = json.loads(self.vx("status", "--json"))
        return self.machines / str(status["machines"][0]["id"])

    def up(self, whole: Series, from_spawn: Series, notice: Series) -> None:
        """A new machine to its first command over ssh; also when vx saw that the guest was ready."""
        said = ConsoleWatch(self.machines)
        said.start()
        process = subprocess.Popen(
            [VX, "--events", "up"], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        began = time.monotonic()
        lines, seen_at = [], 0.0
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            event = json.loads(line)
            if event["event"] == "progress" and event["unit"] == READY_STAGE:
                seen_at = event["time"]
        process.wait()
        ended = time.monotonic()
        said.stop()
        if process.returncode != 0:
            raise SystemExit(f"vx up ended with {process.returncode}:\n{''.join(lines)}")
        whole.values.append(ended - began)
        pid = int((self.layout() / "vm.pid").read_text())
        from_spawn.values.append(age_of(pid) - (time.monotonic() - ended))
        if seen_at and said.at:
            # Both saw it by looking again and again, so vx may well be first.
            notice.values.append(max(0.0, seen_at - said.at))

    # --- by hand ------------------------------------------------------------------------------

    def take_parts(self) -> None:
        """Copy what the guest was started from: after ``vx destroy`` it is gone."""
        parts = self.folder / "by-hand"
        parts.mkdir(exist_ok=True)
        layout = self.layout()
        for name in ("initrd", "id_ed25519", "known_hosts"):
            shutil.copy(layout / name, parts / name)
        self.parts = parts
        record = json.loads((layout / "machine.json").read_text())
        self.login = f"{record['user']}@127.0.0.1"
        self.host_alias = f"vx-{record['id']}"
        words: list[str] = json.loads(self.vx("argv", "--json"))["argv"]
        self.words = [word.replace(str(layout), str(parts)) for word in words]

    def start_by_hand(self, port: int) -> None:
        command = list(self.words)
        command[command.index("-netdev") + 1] = f"user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:22"
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def ssh(self, port: int) -> list[str]:
        options = {
            "BatchMode": "yes", "ConnectTimeout": "30", "HostKeyAlias": self.host_alias,
            "IdentitiesOnly": "yes", "IdentityFile": str(self.parts / "id_ed25519"),
            "LogLevel": "ERROR", "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self.parts / "known_hosts"),
        }  # fmt: skip
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return ["ssh", "-F", "none", *words, "-p", str(port), self.login, "true"]

    def by_hand(self, first_command: Series, power_off: Series) -> None:
        port = free_port()
        with timed(first_command):
            self.start_by_hand(port)
            knock(self.ssh(port))
        pid = int((self.parts / "vm.pid").read_text())
        time.sleep(SETTLE_S)
        with timed(power_off):
            press_power_button(self.parts / "qmp.sock")
            while proc.identify(pid):
                time.sleep(0.005)

    def end_by_hand(self) -> None:
        try:
            pid = int((self.folder / "by-hand" / "vm.pid").read_text())
            os.kill(pid, 9)
        except (OSError, ValueError):
            return


class ConsoleWatch(threading.Thread):
    """Notes when the guest's ready line reaches the console's log of the machine being made."""

    def __init__(self, machines: Path) -> None:
        super().__init__(daemon=True)
        self._machines = machines
        self._others = set(machines.glob("*"))
        self._over = threading.Event()
        self.at = 0.0

    def run(self) -> None:
        while not self._over.wait(0.003):
            for machine in set(self._machines.glob("*")) - self._others:
                log = machine / "console.log"
                if log.exists() and READY_LINE in log.read_bytes():
                    self.at = time.time()
                    return

    def stop(self) -> None:
        self._over.set()
        self.join()


def knock(command: Sequence[str]) -> None:
    """Start another ``command`` every 0.2 s until one succeeds.

    An attempt is not waited for: QEMU accepts a connection long before the guest listens, and
    then an early one hangs for seconds.
    """
    deadline = time.monotonic() + GIVE_UP_S
    attempts: list[subprocess.Popen[bytes]] = []
    next_at = 0.0
    try:
        while not any(attempt.poll() == 0 for attempt in attempts):
            now = time.monotonic()
            if now > deadline:
                raise SystemExit(f"no guest answered {GIVE_UP_S:.0f} s long")
            if now >= next_at:
                next_at = now + KNOCK_EVERY_S
                attempts.append(
                    subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                )
            time.sleep(0.005)
    finally:
        for attempt in attempts:
            attempt.kill()
            attempt.wait()


def press_power_button(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(path))
        control.recv(4096)
        for command in ("qmp_capabilities", "system_powerdown"):
            control.sendall(json.dumps({"execute": command}).encode())
            control.recv(4096)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def age_of(pid: int) -> float:
    """Seconds since a process started; exact to a hundredth (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def starts(pairs: Sequence[tuple[Series, Callable[[], object]]], times: int) -> None:
    """Time short commands in turns, so that a busy moment hits all alike."""
    for _, run in pairs:
        run()
    for _ in range(times):
        for series, run in pairs:
            with timed(series):
                run()


def measure(bench: Bench, repetitions: int) -> list[Row]:
    hand_up, vx_up, vx_spawn, notice = Series(), Series(), Series(), Series()
    hand_off, vx_off, again = Series(), Series(), Series()
    bare, version, status, bare_ssh, vx_ssh = Series(), Series(), Series(), Series(), Series()

    def quiet(*command: str | Path) -> Callable[[], object]:
        def run() -> None:
            subprocess.run(
                command, cwd=bench.folder, env=bench.env, check=True,
                stdin=subprocess.DEVNULL, capture_output=True,
            )  # fmt: skip

        return run

    bench.up(Series(), Series(), Series())
    bench.take_parts()
    bench.vx("destroy", "--yes")
    for number in range(1, repetitions + 1):
        print(f"Repetition {number} of {repetitions}", file=sys.stderr)
        bench.by_hand(hand_up, hand_off)
        bench.up(vx_up, vx_spawn, notice)
        bench.take_parts()
        with timed(again):
            bench.vx("up")
        port = int(bench.vx("port", "--guest", "22"))
        starts(
            [(bare_ssh, quiet(*bench.ssh(port))), (vx_ssh, quiet(VX, "ssh", "-c", "true"))], times=3
        )
        if number == 1:
            python = quiet(sys.executable, "-c", "pass")
            starts(
                [(bare, python), (version, quiet(VX, "--version")), (status, quiet(VX, "status"))],
                times=STARTS,
            )
        time.sleep(SETTLE_S)
        with timed(vx_off):
            bench.vx("halt")
        bench.vx("destroy", "--yes")
    return [
        Row("start to first command over ssh", hand_up, vx_up, plus_s=0.5),
        Row("  the same, from QEMU's own start", hand_up, vx_spawn, plus_s=0.5),
        Row("ready guest noticed", Series(), notice, at_most=0.15),
        Row("second `vx up`, nothing to do", Series(), again, at_most=0.3),
        Row("`vx ssh -c true` and plain ssh", bare_ssh, vx_ssh, plus_s=0.25),
        Row("`vx halt` and the power button", hand_off, vx_off, plus_s=0.3),
        Row("`vx --version` and python -c pass", bare, version, times=3),
        Row("`vx status` and python -c pass", bare, status, times=4),
    ]


def rows(repetitions: int) -> list[Row]:
    """Everything of the micro machine."""
    with _bench() as bench:
        print("Preparing the micro box", file=sys.stderr)
        bench.vx("box", "build", "micro")
        return measure(bench, repetitions)


@contextmanager
def _bench() -> Iterator[Bench]:
    """Leaves no guest behind."""
    home = subprocess.run(
        [ROOT / "scripts/home.sh"], check=True, capture_output=True, text=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="vxb-", dir="/tmp") as folder:
        bench = Bench(Path(home), Path(folder))
        try:
            yield bench
        finally:
            bench.end_by_hand()
            subprocess.run(
                [VX, "destroy", "--yes"], cwd=folder, env=bench.env, check=False,
                stdin=subprocess.DEVNULL, capture_output=True,
            )  # fmt: skip
