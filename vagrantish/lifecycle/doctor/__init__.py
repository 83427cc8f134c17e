"""``vx doctor``: what is wrong with the host, the store, the project and what runs."""
