#!/bin/sh
udevadm settle --timeout=120
for device in $(awk -F: '/eth.:|tr.:/ { print $1 }' /proc/net/dev); do
    udhcpc -b -i "$device" -x "hostname:$(hostname)" -p "/run/udhcpc.$device.pid" \
        >/dev/null 2>&1 &
done
