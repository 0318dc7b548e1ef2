"""`feedhandler ctl`: commands to the hub of a running server, and what flows there, for people."""
