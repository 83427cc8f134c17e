"""vfkit: Apple's Virtualization framework, on Apple silicon and Intel."""
