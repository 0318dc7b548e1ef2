"""The command `feedhandler memory`: every block that a server takes at start, and why."""
