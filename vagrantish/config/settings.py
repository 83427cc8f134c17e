"""Every setting, once: from this table come the checks, the schema, `explain` and the reference."""

from __future__ import annotations

from vagrantish.config import cloud_init, texts
from vagrantish.config.keys import Key, Table, Tables, TextOr, Unbuilt
from vagrantish.config.kinds import Duration, EnvVars, Flag, Many, Size, Text, Whole, Word
from vagrantish.units import MIB, TIB

LINE = Text("text on one line", texts.one_line)
FILLED_LINE = Text("text on one line, not empty", texts.filled_line)
SIZE_OF_MEMORY = Size(32 * MIB, 16 * TIB)
SIZE_OF_DISK = Size(MIB, 64 * TIB)
PORT = Whole(1, 65535)
USER = Text('the name of a user, such as "vagrant"', texts.user)
CMDLINE = Text("text on one line", texts.cmdline)
DIGEST = Text('"sha256:" or "sha512:" and its hexadecimal digits', texts.digest)
STEP_NAME = Text("a name of up to 64 letters, digits, -, _ and .", texts.step_name)
STEP_NAMES = Many(STEP_NAME, single=True)
MODE = Text(
    'octal digits in quotes, such as "0644"', texts.mode,
    number_hint="in quotes: a mode without them would not be octal",
)  # fmt: skip
USER_DATA = Text(cloud_init.WANTS, cloud_init.inline, secret=True)
HOST_KEY = Text(
    'the line of a public host key, such as "ssh-ed25519 AAAA…"', texts.host_key, secret=True
)
PUBLIC_KEY = Text(
    'the line of a public key, such as "ssh-ed25519 AAAA… me@here"', texts.public_key, secret=True
)

BOX_PARTS = (
    Key("kernel", FILLED_LINE, "path or URL of the kernel", shown_default="the one inside the disk"),
    Key("initrd", FILLED_LINE, "path or URL of the initrd"),
    Key("disk", FILLED_LINE, "path or URL of the disk"),
    Key("cmdline", CMDLINE, "kernel command line", ""),
    Key("user", USER, "the user vx logs in as", shown_default="root"),
    Key(
        "seed", Word(("overlay", "cloud-init", "tinycore", "none")),
        "how the guest takes keys and names: an addition to its initrd (tinycore: as Tiny Core wants it), a volume for cloud-init, or not at all", "none",
    ),
    Key("digest", Table((
        Key("kernel", DIGEST, "of the kernel; a must for a URL"),
        Key("initrd", DIGEST, "of the initrd; a must for a URL"),
        Key("disk", DIGEST, "of the disk; a must for a URL"),
    )), "what the files must hash to"),
)  # fmt: skip

FORWARD = (
    Key("guest", PORT, "port in the guest", required=True),
    Key("host", Whole(0, 65535), "port on this computer; 0 is any free one", required=True),
    Key("host_ip", Text('an IPv4 address such as "127.0.0.1"', texts.ipv4), "where to listen", "127.0.0.1"),
    Key("proto", Word(("tcp", "udp")), "tcp or udp", "tcp"),
    Key("auto", Flag(), "take a free port near a taken one, instead of failing", default=True),
)  # fmt: skip

STEP_TYPES = ("shell", "file")
PROVISION = (
    Key("name", STEP_NAME, "what messages and `--only` call the step", shown_default="shell-1, file-2, …"),
    Key("type", Word(STEP_TYPES, unbuilt=("ansible", "ansible-local")), "shell or file", "shell"),
    Key("run", Word(("changed", "once", "always", "never")), "when: at the first `up` and after a change, once, at every `up`, or only when named", "changed"),
    Key("before", STEP_NAMES, "steps that run later", []),
    Key("after", STEP_NAMES, "steps that run earlier", []),
    Key("sensitive", Flag(), "keep script, arguments, environment and output out of sight", default=False, step="shell"),
    Key("inline", Text("a script", texts.script), "the script itself", masked=True, step="shell"),
    Key("path", FILLED_LINE, "file with the script, from the project's folder", step="shell"),
    Key("url", Text('an address beginning with "https://" or "http://"', texts.url), "where the script is fetched", masked=True, step="shell"),
    Key("digest", DIGEST, "what the script behind `url` must hash to", step="shell"),
    Key("args", Many(Text("text", texts.argument)), "arguments of the script", [], masked=True, step="shell"),
    Key("env", EnvVars(), "environment of the script", {}, masked=True, step="shell"),
    Key("sudo", Flag(), "run as root", default=True, step="shell"),
    Key("timeout", Duration(), "how long it may take", shown_default="no limit", step="shell"),
    Key("retries", Whole(0, 100), "how often to try again", 0, step="shell"),
    Key("reboot", Flag(), "restart the guest afterwards", default=False, step="shell"),
    Key("source", FILLED_LINE, "file or folder, from the project's folder", step="file", required=True),
    Key("destination", FILLED_LINE, "path in the guest", step="file", required=True),
    Key("owner", Text('"user" or "user:group"', texts.owner), "who owns it in the guest", shown_default="the ssh user", step="file"),
    Key("mode", MODE, "its permissions", shown_default="those it has here", step="file"),
    Key("template", Flag(), "render it as a template first", default=False, step="file"),
)  # fmt: skip

PROVIDERS = ("auto", "qemu", "xhyve", "hyperkit", "vfkit", "bhyve")
ROOT = Key(
    "root", Word(("auto", "sudo", "never")),
    "how the hypervisor becomes root for its network: as it can, by sudo only, or not at all", "auto",
)  # fmt: skip
LEASES = Key(
    "leases", FILLED_LINE, "file of the DHCP server that gives the guest its address",
    shown_default="/var/db/dhcpd_leases",
)  # fmt: skip
XHYVE = (
    Key("binary", FILLED_LINE, "the program", shown_default="the one on PATH"),
    ROOT,
    LEASES,
    Key("extra_args", Many(LINE), "more arguments", []),
)  # fmt: skip

# What a box may set is data for its own machine: nothing that names a program, a file, a key, a
# port or an argument of this computer.
MACHINE = (
    Key("box", TextOr(Text('a box such as "micro" or "ubuntu@24.04"', texts.box_ref), Table(BOX_PARTS)), "what is booted: `name[@version]`, or a table of its parts", shown_default="none: it must be given"),
    Key("provider", Many(Word(PROVIDERS), single=True), "hypervisor, or a list in order of preference", "auto"),
    Key("cpus", Whole(1, 64), "number of processors", 1, box=True),
    Key("memory", SIZE_OF_MEMORY, "memory of the machine", "512MiB", box=True),
    Key("disk", SIZE_OF_DISK, "what the root disk is grown to, file system too", shown_default="the box's size", box=True),
    Key("hostname", Text("a host name: letters, digits, - and .", texts.hostname), "name the guest gives itself", shown_default="the machine's name"),
    Key("message", Text("text", texts.lines), "shown when the machine is up", "", box=True),
    Key("boot", Table((
        Key("cmdline", CMDLINE, "added to the box's kernel command line", "", box=True),
        Key("timeout", Duration(), "how long a boot may take", "300s", box=True),
        Key("stall", Duration(), "how long the console may be silent before vx says so", "60s", box=True),
        Key("kernel", Word(("disk", "box")), "whose is booted once the guest has upgraded its own: the disk's, or the box's for ever", "disk"),
        Key("mode", Word(("kernel", "uefi", "fbsd")), "what loads the guest's system: the hypervisor a kernel, UEFI the loader on the disk, or FreeBSD's loader on this computer", "kernel", box=True),
        Key("firmware", FILLED_LINE, "file with the code of UEFI, from the project's folder", shown_default="the one of this computer"),
        Key("firmware_vars", FILLED_LINE, "file that a new machine's UEFI variables are copied from", shown_default="the one beside that code"),
        Key("userboot", FILLED_LINE, "FreeBSD's userboot.so, where xhyve is the provider", shown_default="none"),
    )), "starting"),
    Key("halt", Table((
        Key("timeout", Duration(low=0), "how long a shutdown may take before the power is cut", "60s", box=True),
    )), "stopping"),
    Key("ssh", Table((
        Key("user", USER, "who vx logs in as", shown_default="the box's", box=True),
        Key("port", PORT, "port on this computer", shown_default="a free one, kept"),
        Key("guest_port", PORT, "port its sshd listens on in the guest", 22, box=True),
        Key("forward_agent", Flag(), "let the guest use this computer's ssh agent", default=False),
        Key("extra_keys", Many(PUBLIC_KEY), "public keys that may log in too", []),
        Key("key", FILLED_LINE, "file of your private key, of a box without a seed", shown_default="the machine's own"),
        Key("host_key", HOST_KEY, "the guest's public host key, of a box without a seed", shown_default="the machine's own"),
        Key("connect_timeout", Duration(), "how long one connection may take", "15s", box=True),
    )), "logging in"),
    Key("forward", Tables(FORWARD), "ports of the guest that appear on this computer"),
    Key("provision", Tables(PROVISION), "steps that set the guest up"),
    Key("cloud_init", Table((
        Key("user_data", USER_DATA, "what cloud-init is to do at the first boot, beside what vx asks of it", shown_default="nothing"),
        Key("path", FILLED_LINE, "file with it instead, from the project's folder; not a template", shown_default="none"),
        Key("first_boot_only", Flag(), "do it at the first boot only; otherwise once more after each change of it", default=True),
    )), "only where the box is seeded by cloud-init"),
    Key("qemu", Table((
        Key("binary", FILLED_LINE, "the program", shown_default="qemu-system-… on PATH"),
        Key("accel", Word(("auto", "kvm", "hvf", "tcg")), "how the processor is virtualized", "auto"),
        Key("cpu", FILLED_LINE, "processor model", shown_default="what the box needs and the host has"),
        Key("machine", FILLED_LINE, "machine type", shown_default="q35"),
        Key("extra_args", Many(LINE), "more arguments", []),
    )), "only where QEMU is the provider"),
    Key("xhyve", Table(XHYVE), "only where xhyve is the provider"),
    Key("hyperkit", Table(XHYVE), "only where hyperkit is the provider"),
    Key("vfkit", Table((
        Key("binary", FILLED_LINE, "the program", shown_default="vfkit on PATH"),
        LEASES,
        Key("extra_args", Many(LINE), "more arguments", []),
    )), "only where vfkit is the provider"),
    Key("bhyve", Table((
        Key("binary", FILLED_LINE, "the program", shown_default="bhyve on PATH"),
        ROOT,
        Key("bridge", FILLED_LINE, "network bridge the guest joins", "bridge0"),
        LEASES,
        Key("extra_args", Many(LINE), "more arguments", []),
    )), "only where bhyve is the provider"),
    *(Key(name, Unbuilt(), "not built yet") for name in ("share", "disks", "probe", "trigger")),
)  # fmt: skip

MACHINE_ONLY = (
    Key("primary", Flag(), "the machine commands mean when none is named", default=False, early=True),
    Key("autostart", Flag(), "whether `vx up` without names starts it", default=True, early=True),
    Key("needs", Many(Text("the name of a machine", texts.filled_line), single=True), "machines that are ready first", []),
    Key("count", Whole(1, 64), "make this many: web-1, web-2, …", early=True, shown_default="one, without a number"),
)  # fmt: skip

PROJECT_ONLY = (
    Key("requires", Text('versions of vx such as ">=0.1"', texts.one_line), "refuse other versions of vx", early=True, shown_default="any"),
)  # fmt: skip

# In the user's config.toml alone: what a stranger's project must not be able to set.
USER_ONLY = (
    Key("catalogs", Many(FILLED_LINE), "where more boxes are defined: folders, URLs, git repositories", []),
)  # fmt: skip
