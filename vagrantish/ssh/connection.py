"""From an address to an authenticated connection whose host key was the pinned one."""

from __future__ import annotations

import base64
import errno
import logging
import socket
import threading
from typing import TYPE_CHECKING

import paramiko

from vagrantish.errors import HostKeyChanged, MachineError
from vagrantish.files import host_errors
from vagrantish.ssh.dialing import BOOTING, AuthRefused, Incompatible, NotAnswering
from vagrantish.ssh.keys import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vagrantish.errors import SSHError
    from vagrantish.ssh.dialing import Watch
    from vagrantish.ssh.target import Target


def log_in(sock: socket.socket, target: Target, watch: Watch) -> paramiko.Transport:
    """Take over ``sock``: check the host key, then show ours. Raises SSHError, MachineError.

    The socket is closed on failure.
    """
    # Without a handler of its own, what paramiko logs from its threads would reach stderr.
    logger = logging.getLogger("paramiko")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    transport = None
    try:
        pinned = pinned_keys(target)
        user_key = _user_key(target)
        transport = paramiko.Transport(sock)
        # Asking for the pinned kinds only: a server may have keys of several kinds.
        transport.get_security_options().key_types = _algorithms(pinned)
        transport.banner_timeout = transport.handshake_timeout = max(1.0, watch.left_s)
        _negotiate(transport, target, pinned, watch)
        _authenticate(transport, target, user_key, watch)
    except BaseException:
        if transport is not None:
            transport.close()
        _end(sock)
        sock.close()
        raise
    return transport


def _algorithms(pinned: Iterable[str]) -> tuple[str, ...]:
    """What a server signs with for each kind of key (RFC 8332: RSA no longer by SHA-1)."""
    rsa = ("rsa-sha2-512", "rsa-sha2-256")
    return tuple(name for kind in pinned for name in (rsa if kind == "ssh-rsa" else (kind,)))


def _end(sock: socket.socket) -> None:
    """Wake whoever reads from it at once; closing alone does not."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        if error.errno not in (errno.ENOTCONN, errno.EBADF, errno.EINVAL):
            raise


def hang_up(transport: paramiko.Transport, sock: socket.socket) -> None:
    """Close a connection without waiting for the guest."""
    transport.close()
    _end(sock)


def pinned_keys(target: Target) -> dict[str, bytes]:
    """Kind of key → the key pinned for the machine. Raises MachineError when there is none."""
    with host_errors(f"read {target.known_hosts}"):
        text = target.known_hosts.read_text(encoding="utf-8") if target.known_hosts.exists() else ""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[0] == target.alias:
            try:
                found[words[1]] = base64.b64decode(words[2], validate=True)
            except ValueError:
                continue
    if not found:
        raise MachineError(
            f"no host key is pinned for the machine in {target.known_hosts}",
            hint="Make the machine anew: `vx destroy`, then `vx up`.",
        )
    return found


def _user_key(target: Target) -> paramiko.PKey:
    """Of the machine's own, or of its user's, which may be of another kind."""
    wrong: Exception | None = None
    with host_errors(f"read {target.key_file}"):
        for kind in (paramiko.Ed25519Key, paramiko.RSAKey, paramiko.ECDSAKey):
            try:
                return kind.from_private_key_file(str(target.key_file))
            except (paramiko.SSHException, ValueError, IndexError) as error:
                wrong = error
    raise MachineError(
        f"{target.key_file} is not a private key that vx can use",
        hint="Make the machine anew: `vx destroy`, then `vx up`; if you named it as `ssh.key`, "
        "give one of ssh-keygen's without a passphrase.",
    ) from wrong


def _negotiate(
    transport: paramiko.Transport, target: Target, pinned: dict[str, bytes], watch: Watch
) -> None:
    done = threading.Event()
    transport.start_client(event=done)
    if not watch.wait_for(done.wait):
        raise NotAnswering(
            f"{target.where} took the connection but did not finish an ssh greeting in time",
            hint=BOOTING,
        )
    if not transport.is_active():
        raise _not_negotiated(target, pinned, transport.get_exception())
    shown = transport.get_remote_server_key()
    if pinned.get(shown.get_name()) != shown.asbytes():
        raise _changed(target, pinned, fingerprint(shown.asbytes()))


def _not_negotiated(target: Target, pinned: dict[str, bytes], error: Exception | None) -> SSHError:
    text = str(error or "the connection ended")
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        if "host key" in text:
            return _changed(target, pinned, "none of that kind")
        return Incompatible(
            f"{target.where} speaks no ssh that vx can use: {text}",
            hint="Guests with OpenSSH older than 6.5 cannot be reached.",
        )
    if isinstance(error, paramiko.SSHException) and "banner" in text.lower():
        return NotAnswering(
            f"{target.where} took the connection but sent no ssh greeting", hint=BOOTING
        )
    if isinstance(error, paramiko.SSHException) and "protocol version" in text:
        return NotAnswering(
            f"what answers at {target.where} is not an ssh server",
            hint="Another program may hold the port: `vx port` shows which one it is.",
        )
    if isinstance(error, OSError | EOFError):
        return NotAnswering(f"{target.where} ended the connection while greeting", hint=BOOTING)
    return NotAnswering(f"no ssh connection to {target.where}: {text}", hint=BOOTING)


def _changed(target: Target, pinned: dict[str, bytes], shown: str) -> HostKeyChanged:
    expected = ", ".join(fingerprint(blob) for blob in pinned.values())
    return HostKeyChanged(
        f"the guest at {target.where} shows another host key than the one pinned for it: "
        f"expected {expected}, got {shown}",
        hint="Something else may be answering there. If you changed the guest's host key yourself, "
        "make the machine anew: `vx destroy`, then `vx up`; where `ssh.host_key` is set, correct that.",
    )


def _authenticate(
    transport: paramiko.Transport, target: Target, key: paramiko.PKey, watch: Watch
) -> None:
    done = threading.Event()
    try:
        transport.auth_publickey(target.user, key, done)
    except (paramiko.SSHException, EOFError) as error:
        raise NotAnswering(f"{target.where} ended the connection before the login") from error
    if not watch.wait_for(done.wait):
        raise NotAnswering(f"{target.where} did not answer the login in time", hint=BOOTING)
    if transport.is_authenticated():
        return
    cause = transport.get_exception()
    # A plain refusal leaves the connection open and no exception behind.
    if isinstance(cause, paramiko.AuthenticationException) or (
        cause is None and transport.is_active()
    ):
        raise AuthRefused(
            f"the guest does not accept the machine's key for the user {target.user}",
            hint="Is `ssh.user` a user of the box? `vx config ssh.user` shows what is set; "
            "`vx logs` shows whether the guest took its keys; one without a seed must know `ssh.key`.",
        ) from cause
    raise NotAnswering(f"{target.where} ended the connection during the login") from cause
