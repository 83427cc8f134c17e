#!/bin/sh
# The kernel starts this in place of Tiny Core's /init, and goes on there. All it does is to have
# init run our own script after Tiny Core's: a hook in /opt would be the user's to edit, and one
# that a backup or a disk puts back.

seed=/etc/vx/seed
tab=/etc/inittab

read -r console <"$seed/console"
if [ -f "$tab" ]; then
    {
        echo "::once:$seed/tinycore-boot.sh"
        # Two programs that read one line would share what is typed.
        grep -q "^$console:" "$tab" || echo "$console::askfirst:-/bin/sh"
        cat "$tab"
    } >"$tab.vx"
    mv "$tab.vx" "$tab"
else
    echo "vx: failed: this is not Tiny Core: there is no $tab"
fi
exec /init "$@"
