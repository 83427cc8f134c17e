"""A stand-in for the program vfkit that runs on Linux: it checks its command line as vfkit does,
answers its REST service, and boots the guest with QEMU."""
