"""What bytes mean: codecs as tables and kernels, sessions as state machines; no socket, clock,
thread, log or venue.
"""
