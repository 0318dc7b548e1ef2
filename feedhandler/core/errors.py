"""What the engine's files may be refused for; apart, so that whoever reports it loads no kernel."""


class CounterFileError(Exception):
    """A counter file is missing, damaged, of another kind, or cannot be made; it says which."""
