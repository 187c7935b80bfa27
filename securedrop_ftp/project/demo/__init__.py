"""``make demo``: everything together on loopback, with accounts to try it."""
