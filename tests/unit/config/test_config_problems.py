"""What is wrong with settings, each told with its line; and everything at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.config.conftest import Settings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ+8mVVkHUoK0P2WCJwzCtlXB0KMG2NU3tSd5UmVGc0u me@here"
HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

# text after box = "micro" on line 1 → what is told
ONE_PROBLEM = [
    # names
    ("cpu = 2", "Xhyvefile:2: unknown key `cpu` (did you mean `cpus`?)"),
    ("[boot]\ntimout = '1s'", "Xhyvefile:3: unknown key `timout` in [boot] (did you mean `timeout`?)"),
    ("[boot]\nmemory = '1GiB'", "Xhyvefile:3: unknown key `memory` in [boot] (a machine's `memory` is written above the first [table])"),
    ("[[forward]]\nguest = 1\nhost = 1\nport = 2", "Xhyvefile:5: unknown key `port` in [[forward]]"),
    ("[machines.web]\ncpuz = 2", "Xhyvefile:3: unknown key `cpuz` in [machines.web] (did you mean `cpus`?)"),
    ("xyzzy = 1", "Xhyvefile:2: unknown key `xyzzy`"),
    ('"\\u001b[2J" = 1', "Xhyvefile:2: unknown key `\\x1b[2J`"),
    ("primary = true", "Xhyvefile:2: `primary` belongs in a [machines.NAME] table"),
    ("count = 2", "Xhyvefile:2: `count` belongs in a [machines.NAME] table"),
    ("[machines.web]\nrequires = '>=0.1'", "Xhyvefile:3: `requires` belongs above the [machines] tables"),
    ("[machines.web.params]\na = 1", "Xhyvefile:2: `params` belongs above the [machines] tables"),
    # what is to come
    ("[[share]]\nhost = '.'", "Xhyvefile:2: `share` is not built yet in vx 0.1: remove it"),
    ("[[disks]]\nname = 'a'", "Xhyvefile:2: `disks` is not built yet in vx 0.1: remove it"),
    ("[[probe]]\nrun = 'a'", "Xhyvefile:2: `probe` is not built yet in vx 0.1: remove it"),
    ("[[trigger]]\nwhen = 'before:up'", "Xhyvefile:2: `trigger` is not built yet in vx 0.1: remove it"),
    ("[boot]\nmode = 'bios'", 'Xhyvefile:3: `boot.mode` must be "kernel", "uefi" or "fbsd", got "bios"'),
    ("[xhyve]\nroot = 'su'", 'Xhyvefile:3: `xhyve.root` must be "auto", "sudo" or "never", got "su"'),
    ("[bhyve]\nbridge = ''", "Xhyvefile:3: `bhyve.bridge` must be text on one line, not empty: it is empty"),
    ("[[machines.web.share]]\nhost = '.'", "Xhyvefile:2: `share` is not built yet in vx 0.1: remove it"),
    ("[[provision]]\ntype = 'ansible'\nplaybook = 'x'", 'Xhyvefile:3: `provision.type` "ansible" is not built yet in vx 0.1: use "shell" or "file"'),
    # kinds
    ("cpus = '2'", 'Xhyvefile:2: `cpus` must be a whole number from 1 to 64, got "2"'),
    ("cpus = 0", "Xhyvefile:2: `cpus` must be a whole number from 1 to 64, got 0"),
    ("cpus = 65", "Xhyvefile:2: `cpus` must be a whole number from 1 to 64, got 65"),
    ("cpus = true", "Xhyvefile:2: `cpus` must be a whole number from 1 to 64, got true"),
    ("cpus = 1.5", "Xhyvefile:2: `cpus` must be a whole number from 1 to 64, got 1.5"),
    ("cpus = 2024-01-01", "Xhyvefile:2: `cpus` must be a whole number from 1 to 64, got a date or time"),
    ("cpus = [2]", "Xhyvefile:2: `cpus` must be a whole number from 1 to 64, got a list"),
    ("memory = 512", 'Xhyvefile:2: `memory` must be a size such as "512MiB", got 512'),
    ("memory = '512'", 'Xhyvefile:2: `memory` must be a size such as "512MiB": "512" has no unit: write "512MiB" or "512GiB"'),
    ("memory = '1Gb'", 'unknown unit "Gb" in "1Gb": use KiB'),
    ("memory = '31MiB'", 'Xhyvefile:2: `memory` must be 32MiB to 16TiB, got "31MiB"'),
    ("memory = '99999999TiB'", 'Xhyvefile:2: `memory` must be 32MiB to 16TiB, got "99999999TiB"'),
    (f"memory = '{'9' * 500}MiB'", "Xhyvefile:2: `memory` must be a size"),
    ("disk = '1KiB'", 'Xhyvefile:2: `disk` must be 1MiB to 64TiB, got "1KiB"'),
    ("[boot]\ntimeout = 300", 'Xhyvefile:3: `boot.timeout` must be a duration such as "90s" or "5m", got 300'),
    ("[boot]\ntimeout = '0s'", 'Xhyvefile:3: `boot.timeout` must be "0.1s" to "604800s", got "0s"'),
    ("[boot]\nstall = 'soon'", 'Xhyvefile:3: `boot.stall` must be a duration such as "90s" or "5m": "soon" is not a number with a unit'),
    ("boot = 'fast'", 'Xhyvefile:2: `boot` is a table: write [boot], got "fast"'),
    ("forward = 80", "Xhyvefile:2: `forward` is a list of tables: write [[forward]]"),
    ("[forward]\nguest = 80", "Xhyvefile:2: `forward` is a list of tables: write [[forward]]"),
    ("forward = [80]", "Xhyvefile:2: `forward` is a list of tables: write [[forward]]"),
    ("params = 1", "Xhyvefile:2: `params` is a table: write [params]"),
    ("machines = 1", "Xhyvefile:2: `machines` holds tables: write [machines.NAME]"),
    ("machines.web = 1", "Xhyvefile:2: the machine `web` is a table: write [machines.NAME]"),
    ("provider = 'quemu'", 'Xhyvefile:2: `provider` must be "auto", "qemu", "xhyve", "hyperkit", "vfkit" or "bhyve", got "quemu" (did you mean "qemu"?)'),
    ("provider = 3", "Xhyvefile:2: `provider` must be a list, got 3"),
    # texts that end up in command lines and files
    ("hostname = 'a_b'", 'Xhyvefile:2: `hostname` must be a host name: letters, digits, - and ., got "a_b"'),
    ("hostname = '-a'", 'Xhyvefile:2: `hostname` must be a host name: letters, digits, - and ., got "-a"'),
    ("hostname = ''", 'Xhyvefile:2: `hostname` must be a host name: letters, digits, - and ., got ""'),
    (f"hostname = '{'a' * 65}'", "Xhyvefile:2: `hostname` must be a host name"),
    ('hostname = "a\\nb"', 'Xhyvefile:2: `hostname` must be a host name: letters, digits, - and ., got "a\\x0ab"'),
    ('message = "\\u001b[2J"', "Xhyvefile:2: `message` must be text: it holds a control character"),
    ('[boot]\ncmdline = "a\\nb"', "Xhyvefile:3: `boot.cmdline` must be text on one line: it holds an end of line"),
    (f"[boot]\ncmdline = '{'a' * 3000}'", "`boot.cmdline` must be text on one line: it has 3000 characters, 2046 are allowed"),
    ('[ssh]\nuser = "a b"', 'Xhyvefile:3: `ssh.user` must be the name of a user, such as "vagrant", got "a b"'),
    ('[ssh]\nuser = "a\\nProxyCommand x"', "Xhyvefile:3: `ssh.user` must be the name of a user"),
    ("[ssh]\nuser = '-l'", "Xhyvefile:3: `ssh.user` must be the name of a user"),
    ("[ssh]\nport = 0", "Xhyvefile:3: `ssh.port` must be a whole number from 1 to 65535, got 0"),
    ("[ssh]\nextra_keys = 'x'", "Xhyvefile:3: `ssh.extra_keys` must be a list, got"),
    ('[qemu]\nextra_args = ["-a\\u0000"]', "Xhyvefile:3: `qemu.extra_args` must be text on one line: it holds"),
    ("[qemu]\naccel = 'kwm'", 'got "kwm" (did you mean "kvm"?)'),
    ("[qemu]\nbinary = ' '", "Xhyvefile:3: `qemu.binary` must be text on one line, not empty: it is empty"),
    # forwards
    ("[[forward]]\nguest = 0\nhost = 1", "Xhyvefile:3: `forward.guest` must be a whole number from 1 to 65535, got 0"),
    ("[[forward]]\nguest = 70000\nhost = 1", "Xhyvefile:3: `forward.guest` must be a whole number from 1 to 65535, got 70000"),
    ("[[forward]]\nguest = 1\nhost = 70000", "Xhyvefile:4: `forward.host` must be a whole number from 0 to 65535, got 70000"),
    ("[[forward]]\nguest = 1\nhost = -1", "Xhyvefile:4: `forward.host` must be a whole number from 0 to 65535, got -1"),
    ("[[forward]]\nguest = 80", "Xhyvefile:2: `forward` needs `host`: port on this computer; 0 is any free one"),
    ("[[forward]]\nguest = 1\nhost = 1\nhost_ip = 'localhost'", 'Xhyvefile:5: `forward.host_ip` must be an IPv4 address such as "127.0.0.1", got "localhost"'),
    ("[[forward]]\nguest = 1\nhost = 1\nhost_ip = '1.2.3.256'", "Xhyvefile:5: `forward.host_ip` must be an IPv4 address"),
    ("[[forward]]\nguest = 1\nhost = 1\nproto = 'sctp'", 'Xhyvefile:5: `forward.proto` must be "tcp" or "udp", got "sctp"'),
    ("[[forward]]\nguest = 1\nhost = 1\nauto = 'no'", 'Xhyvefile:5: `forward.auto` must be true or false, got "no"'),
    ("[[forward]]\nguest = 1\nhost = 9\nauto = false\n[[forward]]\nguest = 2\nhost = 9\nauto = false", "Xhyvefile:8: port 9 of this computer is wanted twice (use another, or let `auto` find one)"),
    ("[[forward]]\nguest = 1\nhost = 9\nauto = false\n[ssh]\nport = 9", "port 9 of this computer is wanted twice"),
    # steps
    ("[[provision]]\nname = 'a'", "Xhyvefile:2: a shell step needs one of `inline`, `path` and `url`"),
    ("[[provision]]\ninline = 'a'\nurl = 'https://a/b'\ndigest = 'sha256:" + HEX + "'", "Xhyvefile:4: a shell step has one script: `inline` or `url`"),
    ("[[provision]]\nurl = 'https://a/b'", "Xhyvefile:3: `provision.url` needs a `digest`"),
    ("[[provision]]\ninline = 'a'\ndigest = 'sha256:" + HEX + "'", "Xhyvefile:4: `provision.digest` goes with `url`"),
    ("[[provision]]\nurl = 'file:///etc/passwd'\ndigest = 'sha256:" + HEX + "'", "Xhyvefile:3: `provision.url` must be an address beginning with"),
    ("[[provision]]\nurl = 'https://a/b'\ndigest = 'md5:abc'", 'Xhyvefile:4: `provision.digest` must be "sha256:" or "sha512:" and its hexadecimal digits'),
    ("[[provision]]\nurl = 'https://a/b'\ndigest = 'sha512:" + HEX + "'", "Xhyvefile:4: `provision.digest` must be"),
    ("[[provision]]\npath = 'gone.sh'", "Xhyvefile:3: `provision.path` does not exist: `"),
    ("[[provision]]\npath = '.'", "Xhyvefile:3: `provision.path` is not a file: `"),
    ("[[provision]]\npath = '/dev/zero'", "Xhyvefile:3: `provision.path` is not a file: `/dev/zero`"),
    ("[[provision]]\ntype = 'file'\nsource = 'gone'\ndestination = '/x'", "Xhyvefile:4: `provision.source` does not exist: `"),
    ("[[provision]]\ntype = 'file'\nsource = '/dev/zero'\ndestination = '/x'", "Xhyvefile:4: `provision.source` is not a file or folder: `/dev/zero`"),
    ("[[provision]]\ntype = 'file'\nsource = '.'", "Xhyvefile:2: `provision` needs `destination`: path in the guest"),
    ("[[provision]]\ntype = 'file'\nsource = '.'\ndestination = '/x'\nmode = 420", 'Xhyvefile:6: `provision.mode` must be octal digits in quotes, such as "0644", got 420 (in quotes: a mode without them would not be octal)'),
    ("[[provision]]\ntype = 'file'\nsource = '.'\ndestination = '/x'\nmode = '999'", 'Xhyvefile:6: `provision.mode` must be octal digits in quotes, such as "0644", got "999"'),
    ("[[provision]]\ntype = 'file'\nsource = '.'\ndestination = '/x'\nowner = 'a:b:c'", 'Xhyvefile:6: `provision.owner` must be "user" or "user:group", got "a:b:c"'),
    ("[[provision]]\ntype = 'file'\nsource = '.'\ndestination = '/x'\nowner = 'a; rm -rf /'", "Xhyvefile:6: `provision.owner` must be"),
    ("[[provision]]\ntype = 'file'\nsource = '.'\ndestination = '/x'\ninline = 'a'", "Xhyvefile:6: `inline` belongs to shell steps"),
    ("[[provision]]\nsource = '.'\ninline = 'a'", 'Xhyvefile:3: `source` belongs to file steps (write type = "file")'),
    ("[[provision]]\ntype = 'shel'\ninline = 'a'", 'Xhyvefile:3: `provision.type` must be "shell" or "file", got "shel" (did you mean "shell"?)'),
    ("[[provision]]\ninline = 'a'\nrun = 'sometimes'", 'Xhyvefile:4: `provision.run` must be "changed", "once", "always" or "never", got "sometimes"'),
    ("[[provision]]\ninline = 'a'\nretries = 101", "Xhyvefile:4: `provision.retries` must be a whole number from 0 to 100, got 101"),
    ("[[provision]]\ninline = 'a'\nargs = 'x'", 'Xhyvefile:4: `provision.args` must be a list, got "x"'),
    ("[[provision]]\ninline = 'a'\nargs = ['x', 1]", "Xhyvefile:4: `provision.args` must be text, got 1"),
    ("[[provision]]\ninline = 'a'\nargs = [\n'x',\n1]", "Xhyvefile:6: `provision.args` must be text, got 1"),
    ("[[provision]]\ninline = 'a'\n[provision.env]\nA = '1'\n1A = '2'", "Xhyvefile:6: `provision.env` `1A` is no name of a variable (use letters, digits and _)"),
    ("[[provision]]\ninline = 'a'\n[provision.env]\nA = ['1']", "Xhyvefile:5: `provision.env` the value of `A` must be text"),
    ("[[provision]]\ninline = ' '", "Xhyvefile:3: `provision.inline` must be a script: it is empty"),
    ("[[provision]]\ninline = 'a'\nname = 'a b'", 'Xhyvefile:4: `provision.name` must be a name of up to 64 letters, digits, -, _ and ., got "a b"'),
    ("[[provision]]\ninline = 'a'\nname = 'x'\n[[provision]]\ninline = 'b'\nname = 'x'", "Xhyvefile:7: there are two steps called `x`"),
    ("[[provision]]\ninline = 'a'\nname = 'shell-2'\n[[provision]]\ninline = 'b'", "Xhyvefile:5: there are two steps called `shell-2`"),
    ("[[provision]]\ninline = 'a'\nname = 'motd'\n[[provision]]\ninline = 'b'\nafter = 'mot'", "Xhyvefile:7: `after`: there is no step `mot` (did you mean `motd`?)"),
    ("[[provision]]\ninline = 'a'\nafter = 'shell-1'", "Xhyvefile:4: the steps wait for each other: shell-1 → shell-1"),
    # boxes
    ("[machines.web]\nbox = 'UBUNTU'", 'Xhyvefile:3: `box` must be a box such as "micro" or "ubuntu@24.04", got "UBUNTU"'),
    ("[machines.web]\nbox = './x'", 'Xhyvefile:3: `box` must be a box such as "micro" or "ubuntu@24.04": a box of your own is added first'),
    ("[machines.web]\nbox = 'a@'", "Xhyvefile:3: `box` must be a box"),
    ("[machines.web]\nbox = 1", 'Xhyvefile:3: `box` must be a box such as "micro" or "ubuntu@24.04", got 1'),
    ("[machines.web.box]\ninitrd = 'Xhyvefile'", "Xhyvefile:2: `box.kernel` is missing (give one, or a disk that has one inside)"),
    ("[machines.web.box]\nkernel = 'gone'", "Xhyvefile:3: `box.kernel` does not exist: `"),
    ("[machines.web.box]\nkernel = 'https://a/b'", 'Xhyvefile:3: `box.kernel` is a URL and needs a digest (write digest = { kernel = "sha256:…" } beside it)'),
    ("[machines.web.box]\nkernel = 'ftp://a/b'\ndigest.kernel = 'sha256:" + HEX + "'", "Xhyvefile:3: `box.kernel` must be a path, or a URL beginning with https:// or http://"),
    ("[machines.web.box]\nkernel = 'Xhyvefile'\ndigest.disk = 'sha256:" + HEX + "'", "Xhyvefile:4: `box.digest.disk` is given, and `box.disk` is not"),
    ("[machines.web.box]\nkernel = 'Xhyvefile'\nseed = 'overlay'", 'Xhyvefile:4: `box.seed` "overlay" adds to an initrd, and there is none'),
    ("[machines.web.box]\nkernel = 'Xhyvefile'\nseed = 'cloud-init'", 'Xhyvefile:4: `box.seed` "cloud-init" works in a disk, and there is none'),
    ("[machines.web.box]\nkernal = 'Xhyvefile'\nkernel = 'Xhyvefile'", "Xhyvefile:3: unknown key `kernal` in [machines.web.box] (did you mean `kernel`?)"),
    # machines
    ("[machines._web]\n", "Xhyvefile:2: the name of the machine `_web` is made of letters"),
    ("[machines.'a/b']\n", "Xhyvefile:2: the name of the machine `a/b` is made of letters"),
    ("[machines.ü]\n".replace("ü", '"ü"'), "Xhyvefile:2: the name of the machine `ü` is made of letters"),
    (f"[machines.{'a' * 41}]\n", "has 1 to 40 characters"),
    (f"[machines.{'a' * 40}]\ncount = 2", "has 1 to 40 characters"),
    ("[machines.web]\ncount = 0", "Xhyvefile:3: `count` must be a whole number from 1 to 64, got 0"),
    ("[machines.web]\ncount = 65", "Xhyvefile:3: `count` must be a whole number from 1 to 64, got 65"),
    ("[machines.web]\ncount = '3'", 'Xhyvefile:3: `count` must be a whole number from 1 to 64, got "3"'),
    ("[machines.web]\nprimary = 'yes'", 'Xhyvefile:3: `primary` must be true or false, got "yes"'),
    ("[machines.web]\nautostart = 1", "Xhyvefile:3: `autostart` must be true or false, got 1"),
    ("[machines.web]\nprimary = true\n[machines.db]\nprimary = true", "Xhyvefile:5: only one machine is primary, and `web` is already"),
    ("[machines.web]\n[machines.Web]\n", "Xhyvefile:3: there is already a machine `web`, and `Web` differs only in capitals"),
    ("[machines.web]\ncount = 2\n[machines.web-2]\n", "Xhyvefile:4: there is already a machine `web-2`"),
    ("[machines.web]\nneeds = ['dta']\n[machines.data]\n", "Xhyvefile:3: `needs`: there is no machine `dta` (did you mean `data`?)"),
    ("[machines.web]\nneeds = ['web']", "Xhyvefile:3: `needs` goes round: web → web"),
    ("[machines.a]\nneeds = ['b']\n[machines.b]\nneeds = 'c'\n[machines.c]\nneeds = ['a']", "Xhyvefile:3: `needs` goes round: a → b → c → a"),
    # templates
    ("cpus = '{{ params.x }}'", "Xhyvefile:2: `cpus`: there is no parameter `x`"),
    ("cpus = '{{ host.cpu }}'", "Xhyvefile:2: `cpus`: `host` has no `cpu`; did you mean `cpus`?"),
    ("message = '{{ env.NOPE }}'", "Xhyvefile:2: `message`: the environment variable NOPE is not set"),
    ("message = '{{ 1'", "Xhyvefile:2: `message`: the template is wrong: unexpected end of template"),
    ("message = \"{{ ''.__class__.__mro__ }}\"", "Xhyvefile:2: `message`: a template may not use `__class__` of a str"),
    ("cpus = '{{ \"x\" }}'", 'Xhyvefile:2: `cpus` must be a whole number from 1 to 64, got "x"'),
    ("cpus = '{{ 65 }}'", "Xhyvefile:2: `cpus` must be a whole number from 1 to 64, got 65"),
    ("[[provision]]\ninline = '''\na\n{{ nope }}\n'''", "`nope` is not defined; templates know env, host, machine, params, project (line 2 of the text)"),
    ("[[provision]]\ninline = 'a'\nargs = ['b',\n'{{ nope }}']", "Xhyvefile:5: `provision.args`: `nope` is not defined"),
    ("[[provision]]\ninline = 'a'\n[provision.env]\nA = '{{ nope }}'", "Xhyvefile:5: `provision.env`: `nope` is not defined"),
    ("[[provision]]\ntype = '{{ \"shell\" }}'\ninline = 'a'", "Xhyvefile:3: `provision.type` cannot be a template"),
    ("[machines.web]\ncount = '{{ machine.index }}'", "Xhyvefile:3: `count`: `machine` is not known here"),
    # parameters
    ("[params]\na = '{{ machine.name }}'", "Xhyvefile:3: the parameter `a`: `machine` is not known here"),
    ("[params]\na = '{{ params.b }}'\nb = '{{ params.a }}'", "Xhyvefile:3: looping templates: the parameters need a → b → a"),
    ("[params]\na = '{{ params.a }}'", "Xhyvefile:3: looping templates: the parameters need a → a"),
    ("[params]\na = { type = 'integer', default = 'x' }", 'Xhyvefile:3: the parameter `a` must be of type integer, got "x"'),
    ("[params]\na = { type = 'number', default = 1 }", 'Xhyvefile:3: the type of a parameter is one of string, integer, float, boolean, list, not "number"'),
    ("[params]\na = { defualt = 1, default = 1 }", "Xhyvefile:3: unknown key `defualt` of the parameter `a` (did you mean `default`?)"),
    ("[params]\na = { help = 1, default = 1 }", "Xhyvefile:3: the help of a parameter is text"),
    ("[params]\na = { help = 'x' }", "Xhyvefile:3: the parameter `a` has no value (give --param a=…, or a default)"),
    ("[params]\n'a-b' = 1", "Xhyvefile:3: `a-b` is no name for a parameter: use letters, digits and _"),
    ("[params]\na = 2024-01-01", "Xhyvefile:3: the parameter `a` must be of type string, got a date or time"),
    ("[params]\na = [[1]]", "Xhyvefile:3: the parameter `a` is a list of text, numbers, true and false only"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "problem"), ONE_PROBLEM, ids=[repr(text)[:50] for text, _ in ONE_PROBLEM]
)
def test_each_problem_is_told_once_with_its_line(
    settings: Settings, text: str, problem: str
) -> None:
    told = settings.problems(f"box = 'micro'\n{text}\n")

    assert len(told) == 1, told
    assert problem in told[0]
    assert all(char.isprintable() for char in told[0])


def test_everything_wrong_is_told_at_once_in_the_order_of_the_lines(settings: Settings) -> None:
    told = settings.problems(
        """\
cpu = 2
memory = 512
message = "{{ nope }}"
[boot]
timeout = "soon"
[[forward]]
guest = 70000
[[share]]
host = "."
[[provision]]
path = "gone.sh"
[machines.web]
needs = ["bd"]
[machines.db]
cpus = "many"
""",
        local="disk = 5\n",
        user="primary = true\n",
    )

    assert [line.split(" ")[0] for line in told] == [
        "config.toml:1:",
        "Xhyvefile:1:",
        "Xhyvefile:2:",
        "Xhyvefile:3:",
        "Xhyvefile:5:",
        "Xhyvefile:6:",
        "Xhyvefile:7:",
        "Xhyvefile:8:",
        "Xhyvefile:11:",
        "Xhyvefile:12:",
        "Xhyvefile:13:",
        "Xhyvefile:14:",
        "Xhyvefile:15:",
        "Xhyvefile.local:1:",
    ]


def test_a_missing_box_is_told(settings: Settings) -> None:
    assert settings.problems("cpus = 1") == [
        'Xhyvefile:1: `box` is missing: it names what is booted (write box = "micro")'
    ]


def test_syntax_errors_of_all_files_are_told_together(settings: Settings) -> None:
    told = settings.problems("box = ", local="\ncpus = x", user="\n\n[")

    assert [line.split(" ")[0] for line in told] == [
        "config.toml:3:",
        "Xhyvefile:1:",
        "Xhyvefile.local:2:",
    ]


def test_a_problem_of_some_machines_names_them(settings: Settings) -> None:
    text = "box = 'micro'\ncpus = '{{ 40 * machine.index }}'\n[machines.web]\ncount = 6\n"

    told = settings.problems(text)

    wanted = "Xhyvefile:2: `cpus` must be a whole number from 1 to 64, got"
    assert told[0] == f"{wanted} 120 (machine web-3)"
    assert len(told) == 5


def test_a_port_wanted_by_several_machines_names_them(settings: Settings) -> None:
    forward = "[[forward]]\nguest = 80\nhost = 8080\nauto = false\n"

    told = settings.problems(f"box = 'micro'\n{forward}[machines.web]\ncount = 6\n")

    port = "Xhyvefile:4: port 8080 of this computer is wanted by machine web-1 too"
    who = "(machines web-2, web-3, web-4 and 2 more)"
    assert told == [f"{port} {who} (use another, or let `auto` find one)"]


def test_ports_are_told_apart_by_protocol_and_address(settings: Settings) -> None:
    entries = [("tcp", "127.0.0.1"), ("udp", "127.0.0.1"), ("tcp", "127.0.0.2")]
    text = "".join(
        f"[[forward]]\nguest = 1\nhost = 9\nauto = false\nproto = '{proto}'\nhost_ip = '{address}'\n"
        for proto, address in entries
    )

    assert len(settings.machine(f"box = 'micro'\n{text}").forwards) == 3
    told = settings.problems(
        f"box = 'micro'\n{text}[[forward]]\nguest = 1\nhost = 9\nauto = false\nhost_ip = '0.0.0.0'\n"
    )
    assert len(told) == 1


def test_forwards_that_may_give_way_can_share_a_port(settings: Settings) -> None:
    text = "box = 'micro'\n[[forward]]\nguest = 80\nhost = 8080\n[machines.a]\n[machines.b]\n"

    project = settings.load(text).project

    assert [machine.forwards[0].host for machine in project.machines] == [8080, 8080]


def test_an_overridden_value_is_checked_all_the_same(settings: Settings) -> None:
    text = (
        "box = 'micro'\ncpus = 'many'\nmessage = '{{ 1'\n[machines.web]\ncpus = 1\nmessage = ''\n"
    )

    told = settings.problems(text)

    assert [line.split(" ")[0] for line in told] == ["Xhyvefile:2:", "Xhyvefile:3:"]


def test_an_overridden_template_may_name_what_is_not_there(settings: Settings) -> None:
    machine = settings.machine("box = 'micro'\nmessage = '{{ env.NOPE }}'", local="message = 'x'")

    assert machine.message == "x"


@pytest.mark.parametrize(
    "key",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----\\nc2VjcmV0\\n-----END OPENSSH PRIVATE KEY-----",
        "AGE-SECRET-KEY-1QQPQ",
        "ssh-ed25519 c2VjcmV0",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5!",
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ+8mVVkHUoK0P2WCJwzCtlXB0KMG2NU3tSd5UmVGc0u",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ+8 x\\nssh-ed25519 AAAA",
        'command=\\"sh\\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ+8mVVkHUoK0P2WCJwzCtlXB0KMG2NU3tSd5UmVGc0u',
        "~/.ssh/id_ed25519.pub",
        "",
    ],
)
def test_what_is_no_public_key_is_refused_without_being_shown(settings: Settings, key: str) -> None:
    (told,) = settings.problems(f'box = "micro"\n[ssh]\nextra_keys = [\n"{key}",\n]\n')

    assert told.startswith("Xhyvefile:4: `ssh.extra_keys` must be the line of a public key")
    assert not key or key[5:20] not in told
    assert "c2VjcmV0" not in told


def test_a_private_key_is_called_one(settings: Settings) -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----"

    (told,) = settings.problems(f'box = "micro"\n[ssh]\nextra_keys = ["{key}"]\n')

    assert "this is a private key: never give it away" in told


def test_public_keys_are_taken(settings: Settings) -> None:
    machine = settings.machine(f"box = 'micro'\n[ssh]\nextra_keys = ['{KEY}', '{KEY[:-8]}']\n")

    assert machine.ssh.extra_keys == (KEY, KEY[:-8].strip())


def test_thousands_of_problems_are_told_in_seconds_and_counted(settings: Settings) -> None:
    text = "\n".join(f"kye{number} = 1" for number in range(30_000))
    started = time.process_time()

    told = settings.problems(f"{text}\n[machines.web]\ncount = 64\n")

    assert time.process_time() - started < 15
    assert len(told) == 101
    assert told[-1] == "Xhyvefile: and 29901 more"


def test_a_list_of_a_hundred_thousand_tables_is_refused(settings: Settings) -> None:
    (told,) = settings.problems("box = 'micro'\n" + "[[forward]]\n" * 80_000)

    assert "`forward` has 80000 entries, 256 are allowed" in told


def test_a_thousand_machines_are_refused(settings: Settings) -> None:
    tables = "".join(f"[machines.m{number}]\ncount = 64\n" for number in range(1000))

    told = settings.problems(f"box = 'micro'\n{tables}")

    assert told == ["Xhyvefile:2: there are more than 256 machines"]


def test_templates_that_take_too_much_together_are_refused(settings: Settings) -> None:
    loop = "{% for i in range(9999) %}{% endfor %}"
    args = ", ".join(f"'{loop}{number}'" for number in range(250))
    started = time.process_time()

    told = settings.problems(f"box = 'micro'\n[[provision]]\ninline = 'a'\nargs = [{args}]\n")

    assert time.process_time() - started < 15
    assert "takes too much work" in told[0]
