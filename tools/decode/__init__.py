"""`feedhandler decode`: any supported file or capture, message by message, as lines or as JSON.

    source ──Chunk──► decoder of the flow ──Entry──► its reader ──Row──► selection ──► line

A source yields datagrams or pieces of streams, a decoder finds the messages in them, a reader knows
the fields of one. A new transport is a source, a new framing a decoder, a new protocol a reader.
"""
