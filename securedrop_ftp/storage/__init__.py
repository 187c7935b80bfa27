"""Backends: one small protocol over every kind of storage (see :mod:`.protocol`)."""
