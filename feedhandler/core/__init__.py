"""The engine: rows, not bytes, and no venue. Of `protocols` it sees `jit` only."""
