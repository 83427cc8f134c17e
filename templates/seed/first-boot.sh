#!/bin/sh
# Makes the guest the machine its seed describes, at every boot: name, network, keys, sshd.
# Run as root with /proc, /sys, /dev and /run mounted and the network driver loaded.

seed=/etc/vx/seed
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

say() { echo "vx: $*"; }

# On standard error, as it may be called where standard output is caught.
fail() {
    say "failed: $*" >&2
    exit 1
}

first_line() {
    line=
    read -r line <"$1" || [ -n "$line" ] || fail "the seed lacks ${1##*/}"
    printf '%s\n' "$line"
}

set_name() {
    hostname "$1"
    printf '%s\n' "$1" >/etc/hostname
    { [ ! -f /etc/hosts ] || sed '/# vx$/d' /etc/hosts; } >/etc/hosts.vx
    printf '127.0.0.1 localhost # vx\n127.0.1.1 %s # vx\n' "$1" >>/etc/hosts.vx
    mv /etc/hosts.vx /etc/hosts
}

# The client stays, to renew the lease.
start_network() {
    ip link set lo up
    for interface in /sys/class/net/*; do
        interface=${interface##*/}
        [ "$interface" = lo ] || break
    done
    [ "$interface" != lo ] || fail "there is no network interface"
    ip link set "$interface" up
    set -- -i "$interface" -x "hostname:$1" -p "/run/udhcpc.$interface.pid"
    [ ! -x /etc/udhcpc/default.script ] || set -- "$@" -s /etc/udhcpc/default.script
    if udhcpc "$@" -t 20 -T 1 -n >/dev/null 2>&1; then
        say "network up"
        return
    fi
    # It goes on asking: who opens the console may find the network back.
    udhcpc "$@" -t 1 -T 1 -b >/dev/null 2>&1
    no_address=$interface
}

# Lines between our two marks are ours; others the user may have put there.
allow_keys() {
    entry=$(grep "^$1:" /etc/passwd) || fail "there is no user $1"
    home=$(printf '%s\n' "$entry" | cut -d : -f 6)
    owner=$(printf '%s\n' "$entry" | cut -d : -f 3,4)
    keys=$home/.ssh/authorized_keys
    mkdir -p "$home/.ssh"
    {
        [ ! -f "$keys" ] || sed '/^# vx: begin$/,/^# vx: end$/d' "$keys"
        echo '# vx: begin'
        cat "$seed/authorized_keys"
        echo '# vx: end'
    } >"$keys.vx"
    mv "$keys.vx" "$keys"
    # sshd trusts no keys others could write.
    chmod go-w,-s "$home"
    chmod 0700 "$home/.ssh"
    chmod 0600 "$keys"
    chown "$owner" "$home" "$home/.ssh" "$keys"
}

# Either daemon listens before it goes to the background.
start_sshd() {
    if command -v dropbear >/dev/null 2>&1; then
        dropbear -s -r "$seed/dropbear_ed25519_host_key" -P /run/dropbear.pid
    elif command -v sshd >/dev/null 2>&1; then
        mkdir -p /run/sshd
        chmod 0755 /run/sshd
        "$(command -v sshd)" -h "$seed/ssh_host_ed25519_key" \
            -o HostKey="$seed/ssh_host_ed25519_key" -o PasswordAuthentication=no \
            -o KbdInteractiveAuthentication=no -o PermitRootLogin=prohibit-password
    else
        fail "there is no sshd"
    fi || fail "sshd did not start"
}

[ -d "$seed" ] || fail "there is no seed"
no_address=
name=$(first_line "$seed/hostname") || exit 1
user=$(first_line "$seed/user") || exit 1
set_name "$name"
start_network "$name"
allow_keys "$user"
start_sshd
[ -z "$no_address" ] || fail "no answer to DHCP on $no_address"
say "ready ssh"
