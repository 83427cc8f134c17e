"""What consoles, error streams and exit statuses say about a boot. Pure, and of untrusted input."""
