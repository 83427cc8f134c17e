#!/bin/sh
# Makes Tiny Core the machine its seed describes, at every boot: user, keys, sshd. Run as root by
# init when Tiny Core's own scripts are through; extensions and DHCP are still under way then.

seed=/etc/vx/seed
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
LOADING_S=120
DHCP_S=30
SSHD_S=10

say() { echo "vx: $*" >/dev/console; }

fail() {
    say "failed: $*"
    exit 1
}

# Whether this many seconds have not passed since $began.
within() {
    read -r now _ </proc/uptime
    [ "$((${now%.*} - began))" -lt "$1" ]
}

start_clock() {
    read -r began _ </proc/uptime
    began=${began%.*}
}

# Tiny Core has no acpid of its own; one that an extension brings is left to its work.
watch_power_button() {
    modprobe -a button evdev 2>/dev/null
    for name in /sys/class/input/event*/device/name; do
        grep -qs '^Power Button$' "$name" || continue
        event=${name#/sys/class/input/}
        (
            dd if="/dev/input/${event%%/*}" of=/dev/null bs=4096 count=1 2>/dev/null || exit
            ! pidof acpid >/dev/null || exit
            [ ! -x /usr/bin/exitcheck.sh ] || exec /usr/bin/exitcheck.sh shutdown
            exec poweroff
        ) &
    done
}

# An extension's own start script, which may make the user sshd needs, is the last that tce-setup
# runs; what is provisioned later counts on the others too.
wait_for_extensions() {
    start_clock
    while pidof tce-setup >/dev/null; do
        within "$LOADING_S" || break
        usleep 50000
    done
    lost=
    while read -r extension; do
        [ -e "/usr/local/tce.installed/${extension%.tcz}" ] || lost="$lost $extension"
    done </tmp/builtin/onboot.lst
    if [ -z "$lost" ]; then say "extensions loaded"; else say "extensions lacking:$lost"; fi
}

make_user() {
    if ! grep -q "^$user:" /etc/passwd; then
        adduser -s /bin/sh -G staff -D "$user" || fail "the user $user could not be made"
        printf '%s\tALL=NOPASSWD: ALL\n' "$user" >>/etc/sudoers
    fi
    # To sshd an account is locked, for keys too, when this field begins with an exclamation mark.
    sed -i "s/^$user:![^:]*:/$user:*:/" /etc/shadow
}

# Lines between our two marks are ours; others the user may have put there.
allow_keys() {
    entry=$(grep "^$user:" /etc/passwd)
    home=$(printf '%s\n' "$entry" | cut -d : -f 6)
    owner=$(printf '%s\n' "$entry" | cut -d : -f 3,4)
    keys=$home/.ssh/authorized_keys
    mkdir -p "$home/.ssh"
    {
        [ ! -f "$keys" ] || sed '/^# vx: begin$/,/^# vx: end$/d' "$keys"
        echo '# vx: begin'
        cat "$seed/authorized_keys"
        echo '# vx: end'
    } >"$keys.vx" || fail "the keys could not be written to $home"
    mv "$keys.vx" "$keys"
    # sshd trusts no keys others could write, and Tiny Core lets a home's group write.
    chmod g-ws,o-w "$home"
    chmod 0700 "$home/.ssh"
    chmod 0600 "$keys"
    chown "$owner" "$home" "$home/.ssh" "$keys"
}

# What a script in /opt has started has host keys that vx does not know.
end_other_sshd() {
    start_clock
    killall sshd dropbear 2>/dev/null
    while pidof sshd dropbear >/dev/null && within "$SSHD_S"; do
        usleep 50000
    done
}

# As the extension's own start scripts do, less the host keys they make.
run_openssh() {
    mkdir -p /var/lib/sshd
    chmod 0755 /var/lib/sshd
    grep -q '^sshd:' /etc/passwd || adduser -S -D -H -h /var/lib/sshd -s /bin/false sshd
    said=$("$1" -f "$seed/sshd_config" 2>&1) ||
        fail "sshd did not start: $(printf '%s\n' "$said" | tail -n 1)"
    # It goes to the background before it listens, and tells its number after.
    start_clock
    until [ -s /var/run/vx-sshd.pid ]; do
        within "$SSHD_S" || fail "sshd does not listen; something else may have its port"
        usleep 50000
    done
}

start_sshd() {
    end_other_sshd
    if sshd=$(command -v sshd); then
        run_openssh "$sshd"
    elif dropbear=$(command -v dropbear); then
        "$dropbear" -s -r "$seed/dropbear_ed25519_host_key" -P /var/run/vx-dropbear.pid ||
            fail "dropbear did not start"
    elif [ -n "$lost" ]; then
        fail "there is no sshd, as these extensions did not load:$lost"
    else
        fail "there is no sshd: no extension brought one"
    fi
}

wait_for_address() {
    start_clock
    until ifconfig 2>/dev/null | grep -q 'inet addr.*Bcast'; do
        within "$DHCP_S" || no_address
        usleep 50000
    done
    say "network up"
}

no_address() {
    for interface in /sys/class/net/eth*; do
        interface=${interface##*/}
        [ "$interface" != 'eth*' ] || fail "there is no network interface"
        if grep -qw nodhcp /proc/cmdline; then
            fail "$interface has no address, and with nodhcp none is asked for"
        fi
        fail "no answer to DHCP on $interface"
    done
}

read -r user <"$seed/user" || fail "the seed lacks the user"
say "Tiny Core's own scripts are through"
watch_power_button
wait_for_extensions
make_user
allow_keys
start_sshd
wait_for_address
say "ready ssh"
