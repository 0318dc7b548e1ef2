"""The process: configuration, sockets, threads, metrics; it composes the layers below."""
