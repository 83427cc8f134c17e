"""A stand-in for the program xhyve that runs on Linux: it parses, prints and ends as xhyve does,
and boots the guest with QEMU."""
