"""Replay of files and captures through the very same kernels that run live."""
