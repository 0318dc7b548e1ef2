"""BinaryFILE: messages in a file, each behind a 2-byte big-endian length; 0 ends a session."""
