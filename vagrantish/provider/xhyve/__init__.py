"""xhyve, and hyperkit, which was made of it."""
