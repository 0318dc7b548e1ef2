"""`feedhandler top`: the counters of a running server as a live table, from its mapped file."""
