#!/bin/sh
# The script that Xhyvefile.example names; any program the guest can run would do.
set -eu
echo "set up $(hostname) for $1" > /etc/vx-example
