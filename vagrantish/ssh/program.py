"""Command lines and settings for the OpenSSH programs."""

from __future__ import annotations

import os

from vagrantish.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagrantish.ssh.target import Target

# ssh_config(5) has no way, common to all releases, to write these inside a quoted path.
_UNQUOTABLE = ('"', "\\", "\n", "\r", "${")


def find_ssh() -> str:
    """Absolute path of the ``ssh`` program. Raises HostError."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        candidate = os.path.join(folder or os.curdir, "ssh")
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return os.path.abspath(candidate)
    raise HostError(
        "the ssh program is not installed",
        hint="Install OpenSSH's client: `apt-get install openssh-client` on Debian and Ubuntu.",
    )


def ssh_argv(
    target: Target,
    *,
    command: str | None = None,
    tty: bool | None = None,
    extra: Sequence[str] = (),
) -> list[str]:
    """Arguments for the ssh program, ``ssh`` first.

    ``tty`` None leaves it to ssh: a terminal for a login, none for a command. ``extra`` may hold
    options of ssh or, without ``command``, a command: ssh itself goes on reading options after the
    host. Raises HostError where a path cannot be written in ssh's settings.
    """
    options = [f"-o{key}={value}" for key, value in _settings(target)]
    terminal = [] if tty is None else ["-tt" if tty else "-T"]
    tail = [] if command is None else ["--", command]
    return [
        "ssh",
        "-F", os.devnull,  # what the user set for other hosts must not reach this one
        *options,
        *terminal,
        target.address_host,
        *extra,
        *tail,
    ]  # fmt: skip


def ssh_config_text(target: Target, host_name: str) -> str:
    """A ``Host`` block that plain ssh, scp, sftp and rsync understand. Raises HostError."""
    settings = [("HostName", target.address_host), *_settings(target)]
    lines = [f"Host {host_name}", *(f"  {key} {value}" for key, value in settings)]
    return "\n".join(lines) + "\n"


def _settings(target: Target) -> list[tuple[str, str]]:
    return [
        ("User", target.user),
        ("Port", str(target.address_port)),
        ("IdentityFile", quoted(str(target.key_file))),
        ("IdentitiesOnly", "yes"),
        ("UserKnownHostsFile", quoted(str(target.known_hosts))),
        ("GlobalKnownHostsFile", os.devnull),
        ("HostKeyAlias", target.alias),
        ("StrictHostKeyChecking", "yes"),
        ("UpdateHostKeys", "no"),  # a guest has no say in which keys are its own
        ("CheckHostIP", "no"),
        ("PreferredAuthentications", "publickey"),
        ("ForwardAgent", "yes" if target.forward_agent else "no"),
        ("ConnectTimeout", str(max(1, round(target.connect_timeout_s)))),
        ("LogLevel", "ERROR"),
    ]


def check_path(path: str) -> None:
    """Raises HostError for a folder that ssh could not be told of."""
    quoted(path)


def quoted(path: str) -> str:
    """A path as one word of ssh's settings, where % starts a token."""
    if any(text in path for text in _UNQUOTABLE):
        raise HostError(
            f"ssh cannot be told of the file {path!r}: its path has a quote, a backslash, "
            "a line break or ${",
            hint="Point VX_HOME at a folder without one.",
        )
    return '"' + path.replace("%", "%%") + '"'
