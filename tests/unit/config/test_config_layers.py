"""What settings come to: layers, machines, templates and the values they become."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vagrantish.config.load import load
from vagrantish.errors import ConfigError, NoXhyvefile, UsageError
from vagrantish.model import (
    ArtifactKind,
    BootConfig,
    BoxParts,
    BoxRef,
    Digest,
    FileStep,
    Forward,
    QemuOptions,
    RunWhen,
    SeedKind,
    ShellStep,
    SSHConfig,
)
from vagrantish.render import render_file

if TYPE_CHECKING:
    from tests.unit.config.conftest import Settings

BOX = "box = 'micro'\n"
HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_what_is_not_set_has_its_default(settings: Settings) -> None:
    machine = settings.machine(BOX)

    assert (machine.name, machine.index, machine.box) == ("default", 1, BoxRef(name="micro"))
    assert (machine.cpus, machine.memory_bytes, machine.disk_bytes) == (1, 512 << 20, None)
    assert (machine.hostname, machine.message, machine.providers) == ("default", "", ("auto",))
    assert machine.boot == BootConfig(cmdline="", timeout_s=300, stall_s=60)
    assert machine.ssh == SSHConfig(connect_timeout_s=15)
    assert (machine.forwards, machine.steps, machine.needs) == ((), (), ())
    assert (machine.halt_timeout_s, machine.qemu) == (60, QemuOptions())
    assert (machine.primary, machine.autostart) == (False, True)


def test_the_stronger_layer_wins(settings: Settings) -> None:
    layers: dict[str, Any] = {"box": {"cpus": 2}}
    assert settings.machine(BOX, **layers).cpus == 2

    layers["user"] = "cpus = 3"
    assert settings.machine(BOX, **layers).cpus == 3

    assert settings.machine(f"{BOX}cpus = 4", **layers).cpus == 4

    text = f"{BOX}cpus = 4\n[machines.web]\ncpus = 5"
    assert settings.machine(text, **layers).cpus == 5

    layers["local"] = "cpus = 6"
    assert settings.machine(text, **layers).cpus == 6

    layers["local"] = "cpus = 6\n[machines.web]\ncpus = 7"
    assert settings.machine(text, **layers).cpus == 7

    layers["sets"] = ["cpus=8"]
    assert settings.machine(text, **layers).cpus == 8

    layers["sets"] = ["cpus=8", "machines.web.cpus=9", "cpus=10"]
    assert settings.machine(text, **layers).cpus == 9


def test_tables_are_merged_key_by_key(settings: Settings) -> None:
    machine = settings.machine(
        f"{BOX}[boot]\ncmdline = 'a'\nstall = '1s'\n[machines.web.boot]\ncmdline = 'b'",
        local="boot.timeout = '5m'",
        sets=["boot.stall=2s"],
    )

    assert machine.boot == BootConfig(cmdline="b", timeout_s=300, stall_s=2)


def test_lists_of_tables_add_up_and_other_lists_are_replaced(settings: Settings) -> None:
    machine = settings.machine(
        f"{BOX}qemu.extra_args = ['-a', '-b']\n[[forward]]\nguest = 1\nhost = 1\n"
        "[[machines.web.forward]]\nguest = 2\nhost = 2\n",
        user="[[forward]]\nguest = 9\nhost = 9",
        local="qemu.extra_args = ['-c']\n[[forward]]\nguest = 3\nhost = 3",
        sets=["forward=[{guest = 4, host = 4}]"],
    )

    assert [forward.guest for forward in machine.forwards] == [9, 1, 2, 3, 4]
    assert machine.qemu.extra_args == ("-c",)


def test_each_machine_has_its_own_settings(settings: Settings) -> None:
    project = settings.load(
        f"{BOX}cpus = 2\n[machines.web]\ncount = 2\nhostname = 'h{{{{ machine.index }}}}'\n"
        "[machines.db]\ncpus = 1\nneeds = ['web']\nautostart = false\n[machines.lb]\nneeds = 'web-2'\nprimary = true\n"
    ).project

    assert [machine.name for machine in project.machines] == ["web-1", "web-2", "db", "lb"]
    assert [machine.index for machine in project.machines] == [1, 2, 1, 1]
    assert [machine.cpus for machine in project.machines] == [2, 2, 1, 2]
    assert [machine.hostname for machine in project.machines] == ["h1", "h2", "db", "lb"]
    assert [machine.needs for machine in project.machines] == [
        (), (), ("web-1", "web-2"), ("web-2",),
    ]  # fmt: skip
    assert [machine.primary for machine in project.machines] == [False, False, False, True]
    assert [machine.autostart for machine in project.machines] == [True, True, False, True]
    assert (project.root, project.file, project.name) == (settings.root, settings.file, "shop")


@pytest.mark.parametrize(
    ("name", "hostname"),
    [("a_b", "a-b"), ("Web.1", "Web.1"), ("a-", "a"), ("a._b", "a.b"), ("a.-.b_", "a.b"), ("x", "x")],
)  # fmt: skip
def test_a_machines_name_is_made_a_hosts_name(settings: Settings, name: str, hostname: str) -> None:
    machine = settings.machine(f"{BOX}[machines.'{name}']")

    assert machine.hostname == hostname


def test_templates_are_rendered_for_each_machine_and_converted(settings: Settings) -> None:
    machine = settings.machine(
        """\
box = "{{ params.distro }}@{{ params.release }}"
provider = "{{ ['qemu', 'auto'] }}"
cpus = "{{ host.cpus // host.cpus + 1 }}"
memory = "{{ '1GiB' | size * 2 }}B"
disk = "{{ (3 * 1073741824) | size }}"
message = "{{ env.USER }} at {{ project.name }} {{ project.dir }} {{ host.os }} {{ env.get('NOPE', '-') }}"
boot.timeout = "{{ 2 * 60 }}s"
qemu.extra_args = "{{ ['-a', params.distro] }}"
[params]
distro = "ubuntu"
release = 24
[[forward]]
guest = "{{ 80 / 1 }}"
host = "{{ 8000 + machine.index }}"
auto = "{{ machine.name == 'web' }}"
[[provision]]
inline = "echo ${#PATH} {{ machine.name }}"
args = ["{{ params.release + 1 }}"]
env = { A = "{{ params.distro }}", B = 2, C = true, D = 1.5 }
[machines.web]
""",
        env={"USER": "me"},
    )

    assert machine.box == BoxRef(name="ubuntu", version="24")
    assert (machine.providers, machine.cpus) == (("qemu", "auto"), 2)
    assert (machine.memory_bytes, machine.disk_bytes) == (2 << 30, 3 << 30)
    assert machine.message == f"me at shop {settings.root} {os.uname().sysname.lower()} -"
    assert machine.boot.timeout_s == 120
    assert machine.qemu.extra_args == ("-a", "ubuntu")
    assert machine.forwards == (Forward(guest=80, host=8001, auto=True),)
    (step,) = machine.steps
    assert isinstance(step, ShellStep)
    assert (step.inline, step.args) == ("echo ${#PATH} web", ("25",))
    assert step.env == {"A": "ubuntu", "B": "2", "C": "true", "D": "1.5"}


def test_the_context_renders_files_later(settings: Settings) -> None:
    machine = settings.machine(
        f"{BOX}[params]\nport = 8080\n[machines.web]\ncount = 2", env={"HOME": "/home/me"}
    )
    text = (
        "{{ machine.name }} {{ params.port }} {{ env.HOME }} {{ project.name }} {{ host.arch }}\n"
    )

    rendered = render_file(text, machine.context)

    assert rendered == f"web-1 8080 /home/me shop {machine.context['host']['arch']}\n"
    assert json.loads(json.dumps(machine.context)) == machine.context


def test_a_shell_step_has_every_key(settings: Settings) -> None:
    settings.write("setup.sh", "#!/bin/sh\n")
    machine = settings.machine(
        f"""\
{BOX}[[provision]]
name = "setup"
path = "setup.sh"
run = "always"
args = ["a b", "new\\nline"]
sudo = false
timeout = "2m"
retries = 3
sensitive = true
reboot = true
[[provision]]
url = "https://example.com/x.sh"
digest = "SHA256:{HEX}"
""".replace("SHA256", "sha256")
    )

    assert machine.steps == (
        ShellStep(
            name="setup",
            run=RunWhen.ALWAYS,
            path=settings.root / "setup.sh",
            args=("a b", "new\nline"),
            sudo=False,
            timeout_s=120,
            retries=3,
            sensitive=True,
            reboot=True,
        ),
        ShellStep(
            name="shell-2",
            url="https://example.com/x.sh",
            digest=Digest(algorithm="sha256", hex=HEX),
        ),
    )


def test_a_file_step_has_every_key(settings: Settings) -> None:
    settings.write("conf/app.j2")
    settings.write("../home-of-me/.vimrc")
    machine = settings.machine(
        f"""\
{BOX}[[provision]]
type = "file"
source = "conf/app.j2"
destination = "/etc/app.conf"
owner = "www-data:33"
mode = "0640"
template = true
[[provision]]
type = "file"
source = "conf"
destination = "conf"
[[provision]]
type = "file"
source = "~/.vimrc"
destination = ".vimrc"
""",
        env={"HOME": str(settings.root.parent / "home-of-me")},
    )

    first, second, third = machine.steps
    assert first == FileStep(
        name="file-1",
        source=settings.root / "conf/app.j2",
        destination="/etc/app.conf",
        owner="www-data:33",
        mode=0o640,
        template=True,
    )
    assert second == FileStep(name="file-2", source=settings.root / "conf", destination="conf")
    assert isinstance(third, FileStep)
    assert third.source == settings.root.parent / "home-of-me/.vimrc"


def test_steps_keep_their_order_save_for_before_and_after(settings: Settings) -> None:
    entries = {
        "a": "",
        "b": "after = ['d']",
        "c": "",
        "d": "",
        "e": "before = 'a'",
        "f": "after = 'e'",
    }
    text = "".join(
        f"[[provision]]\nname = '{name}'\ninline = 'x'\n{order}\n"
        for name, order in entries.items()
    )

    steps = settings.machine(BOX + text).steps

    assert [step.name for step in steps] == ["c", "d", "b", "e", "a", "f"]


def test_shared_steps_come_before_a_machines_own(settings: Settings) -> None:
    text = (
        f"{BOX}[[machines.web.provision]]\ninline = 'own'\nbefore = 'all'\n"
        "[[provision]]\nname = 'all'\ninline = 'shared'\n[[provision]]\ninline = 'more'"
    )

    machine = settings.machine(text)

    assert [step.name for step in machine.steps] == ["shell-2", "shell-3", "all"]


def test_a_box_may_be_made_of_files_and_urls(settings: Settings) -> None:
    for name in ("vmlinuz", "initrd"):
        settings.write(f"boot/{name}")
    machine = settings.machine(
        f"""\
[box]
kernel = "boot/vmlinuz"
initrd = "{settings.root}/boot/initrd"
disk = "https://example.com/root.img"
cmdline = "quiet"
user = "me"
seed = "overlay"
digest = {{ disk = "sha256:{HEX.upper()}" }}
"""
    )

    assert machine.box == BoxParts(
        sources={
            ArtifactKind.KERNEL: str(settings.root / "boot/vmlinuz"),
            ArtifactKind.INITRD: str(settings.root / "boot/initrd"),
            ArtifactKind.DISK: "https://example.com/root.img",
        },
        digests={ArtifactKind.DISK: Digest(algorithm="sha256", hex=HEX)},
        cmdline="quiet",
        user="me",
        seed=SeedKind.OVERLAY,
    )


def test_a_box_table_is_merged_down_to_the_nearest_name(settings: Settings) -> None:
    settings.write("k")
    settings.write("i")

    merged = settings.machine("box.kernel = 'k'", local="box.initrd = 'i'", user="box = 'x'").box
    replaced = settings.machine("box.kernel = 'k'", local="box = 'micro@2'").box
    parts = settings.machine("box = 'x'", sets=["box.kernel=k", "box.initrd=i"]).box

    assert isinstance(merged, BoxParts)
    assert set(merged.sources) == {ArtifactKind.KERNEL, ArtifactKind.INITRD}
    assert replaced == BoxRef(name="micro", version="2")
    assert isinstance(parts, BoxParts)
    assert set(parts.sources) == {ArtifactKind.KERNEL, ArtifactKind.INITRD}


def test_the_box_of_each_machine_is_asked_for_its_settings(settings: Settings) -> None:
    asked: list[str] = []

    def defaults(box: BoxRef | BoxParts) -> tuple[str, dict[str, Any]]:
        asked.append(str(box))
        return f"box {box}", {"memory": "64MiB" if "small" in str(box) else "2GiB"}

    settings.write(
        "Xhyvefile", "box = 'small@1'\n[machines.a]\n[machines.b]\nbox = 'big'\n[machines.c]\n"
    )
    loaded = load(settings.file, home=settings.home, env={}, box_defaults=defaults)

    assert asked == ["small@1", "big"]
    assert [machine.memory_bytes >> 20 for machine in loaded.project.machines] == [64, 2048, 64]
    assert loaded.explain("memory", "b").origin == "box big"


BOX_MAY_NOT = [
    ({"forward": [{"guest": 1, "host": 1}]}, "box micro@1: a box cannot set `forward`"),
    ({"provision": [{"inline": "x"}]}, "box micro@1: a box cannot set `provision`"),
    ({"qemu": {"binary": "/tmp/x"}}, "box micro@1: a box cannot set `qemu.binary`"),
    ({"qemu": {"extra_args": ["-x"]}}, "box micro@1: a box cannot set `qemu.extra_args`"),
    ({"qemu": {"cpu": "max"}}, "box micro@1: a box cannot set `qemu.cpu`"),
    ({"qemu": {"machine": "virt,dumpdtb=/x"}}, "box micro@1: a box cannot set `qemu.machine`"),
    ({"ssh": {"forward_agent": True}}, "box micro@1: a box cannot set `ssh.forward_agent`"),
    ({"ssh": {"extra_keys": []}}, "box micro@1: a box cannot set `ssh.extra_keys`"),
    ({"box": "other"}, "box micro@1: a box cannot set `box`"),
    ({"box": {"kernel": "x"}}, "box micro@1: a box cannot set `box`"),
    ({"params": {}}, "box micro@1: unknown key `params`"),
    ({"machines": {}}, "box micro@1: unknown key `machines`"),
    ({"memroy": "1GiB"}, "box micro@1: unknown key `memroy` (did you mean `memory`?)"),
    ({"memory": 1}, 'box micro@1: `memory` must be a size such as "512MiB", got 1'),
    ({"message": "{{ env.HOME }}"}, "box micro@1: a box's `message` cannot be a template"),
    ({"boot": 1}, "box micro@1: `boot` is a table: write [boot], got 1"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "problem"), BOX_MAY_NOT)
def test_a_box_cannot_reach_beyond_its_machine(
    settings: Settings, table: dict[str, Any], problem: str
) -> None:
    assert problem in settings.problems(
        f"{BOX}[machines.a]\n[machines.b]", box=table, env={"HOME": "x"}
    )


def test_a_box_may_set_what_its_machine_needs(settings: Settings) -> None:
    machine = settings.machine(
        BOX,
        box={
            "cpus": 2, "memory": "1GiB", "disk": "4GiB", "message": "hello",
            "boot": {"cmdline": "quiet", "timeout": "9m"}, "halt": {"timeout": "1s"},
            "ssh": {"user": "core", "connect_timeout": "1s"},
        },
    )  # fmt: skip

    assert (machine.cpus, machine.ssh.user, machine.ssh.connect_timeout_s) == (2, "core", 1)
    assert machine.boot == BootConfig(cmdline="quiet", timeout_s=540, stall_s=60)


@pytest.mark.parametrize(
    ("sets", "problem"),
    [
        (["cpus=many"], '--set: `cpus` must be a whole number from 1 to 64, got "many"'),
        (["cpuz=1"], "--set: unknown key `cpuz` (did you mean `cpus`?)"),
        (["forward.0.guest=1"], "--set: `forward` is a list of tables: --set cannot reach into one of them"),
        (["machines.wbe.cpus=1"], "--set: there is no machine `wbe` (did you mean `web`?)"),
        (["machines.xyzzy.cpus=1"], "--set: there is no machine `xyzzy` (there are web, db)"),
        (["machines.web-1.cpus=1"], "--set: there is no machine `web-1` (did you mean `web`?)"),
        (["boot=fast"], '--set: `boot` is a table: write [boot], got "fast"'),
    ],
)  # fmt: skip
def test_a_wrong_set_is_a_problem(settings: Settings, sets: list[str], problem: str) -> None:
    (told,) = settings.problems(f"{BOX}[machines.web]\n[machines.db]", sets=sets)

    assert told.startswith(problem)


@pytest.mark.parametrize("item", ["", "cpus", "=2", "a b=2", "a.=2", "[a]=2", "x\ny=2"])
def test_a_set_that_is_no_assignment_is_a_usage_error(settings: Settings, item: str) -> None:
    with pytest.raises(UsageError, match="not KEY=VALUE"):
        settings.load(BOX, sets=[item])


def test_a_set_reaching_into_a_value_is_a_usage_error(settings: Settings) -> None:
    with pytest.raises(UsageError, match="reaches into boot"):
        settings.load(BOX, sets=["boot=1", "boot.timeout=1s"])


def test_the_value_of_a_set_is_toml_or_else_text(settings: Settings) -> None:
    machine = settings.machine(
        BOX,
        sets=["memory=1GiB", 'message="2"', "provider=['qemu']", "boot.cmdline=a=b c # d",
              "qemu.extra_args=['-a', '-b']", "hostname={{ project.name }}"],
    )  # fmt: skip

    assert (machine.memory_bytes, machine.message) == (1 << 30, "2")
    assert (machine.providers, machine.boot.cmdline) == (("qemu",), "a=b c # d")
    assert (machine.qemu.extra_args, machine.hostname) == (("-a", "-b"), "shop")


def test_a_set_cannot_smuggle_in_another_key(settings: Settings) -> None:
    machine = settings.machine(BOX, sets=["message=1\ncpus=9"])

    assert (machine.message, machine.cpus) == ("1\ncpus=9", 1)


def test_machines_and_versions_are_no_matter_of_the_users_own_file(settings: Settings) -> None:
    told = settings.problems(BOX, user="requires = '>=9'\n[machines.web]\ncpus = 1")

    assert told == [
        "config.toml:1: `requires` belongs in a project's Xhyvefile",
        "config.toml:2: `machines` belongs in a project's Xhyvefile",
    ]


def test_a_local_file_may_add_a_machine(settings: Settings) -> None:
    loaded = settings.load(f"{BOX}[machines.web]", local="[machines.mine]\ncpus = 3")

    assert [machine.name for machine in loaded.project.machines] == ["web", "mine"]


def test_another_file_has_its_own_local_one(settings: Settings) -> None:
    settings.write("dev.toml", BOX)
    settings.write("dev.toml.local", "cpus = 'x'")

    with pytest.raises(ConfigError, match=r"dev\.toml\.local:1: `cpus`"):
        load(settings.root / "dev.toml", home=settings.home, env={}, box_defaults=lambda _: None)


def test_a_relative_path_is_made_absolute(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.write("Xhyvefile", BOX)
    monkeypatch.chdir(settings.root)

    loaded = load(Path("Xhyvefile"), home=settings.home, env={}, box_defaults=lambda _: None)

    assert loaded.project.root == settings.root


def test_no_file_is_told_with_what_to_do(settings: Settings) -> None:
    with pytest.raises(NoXhyvefile) as caught:
        load(settings.file, home=settings.home, env={}, box_defaults=lambda _: None)

    assert "vx init" in caught.value.hint


@pytest.mark.parametrize("name", ["Xhyvefile", "Xhyvefile.local"])
def test_a_folder_in_a_files_place_is_told(settings: Settings, name: str) -> None:
    settings.write("Xhyvefile", BOX)
    (settings.root / name).unlink(missing_ok=True)
    (settings.root / name).mkdir()

    with pytest.raises(ConfigError, match="is a folder"):
        load(settings.file, home=settings.home, env={}, box_defaults=lambda _: None)


def test_a_project_in_the_root_folder_has_a_name(settings: Settings) -> None:
    assert settings.load(BOX).project.name == "shop"


@pytest.mark.parametrize(
    ("requires", "told"),
    [
        (">=9", "Xhyvefile:1: this project requires vx >=9, and this is vx "),
        (">=0.1, <0.1", "Xhyvefile:1: this project requires vx >=0.1, <0.1, and this is vx "),
        ("0.1", 'Xhyvefile:1: `requires` is no list of versions: "0.1" (write requires = ">=0.1")'),
        ("~=0.1", 'Xhyvefile:1: `requires` is no list of versions: "~=0.1"'),
        (">=0.*", 'Xhyvefile:1: `requires` is no list of versions: ">=0.*"'),
        ("", 'Xhyvefile:1: `requires` is no list of versions: ""'),
    ],
)  # fmt: skip
def test_another_version_is_asked_for_before_all_else(
    settings: Settings, requires: str, told: str
) -> None:
    (problem,) = settings.problems(f"requires = '{requires}'\nsomething_new = 1\n")

    assert problem.startswith(told)


def test_requires_is_text(settings: Settings) -> None:
    assert settings.problems("requires = 1") == [
        'Xhyvefile:1: `requires` must be text such as ">=0.1", got 1'
    ]
