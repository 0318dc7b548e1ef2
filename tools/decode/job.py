"""From a source to lines: a decoder and a selection for each flow, and the counts of the whole."""

from collections import Counter
from collections.abc import Iterable, Iterator

from protocols.binaryfile.reader import DataFileError
from tools.decode.decoders import OTHER_DATAGRAM, MoldDecoder
from tools.decode.entries import Decoder, Entry, Incomplete
from tools.decode.fix import FixNames
from tools.decode.render import Render
from tools.decode.selection import Selection, Wanted
from tools.decode.sniff import Framing, Protocol
from tools.decode.sources import Chunk, Source
from tools.decode.streams import stream_decoder

LOST_BYTES = "lost_bytes"
_BATCH_LINES = 4096


class Job:
    """One run over a source. `protocol` and `framing` are those of a file, or what the user said
    about a capture; None is left to what comes.
    """

    def __init__(
        self,
        source: Source,
        protocol: Protocol | None,
        framing: Framing | None,
        names: FixNames,
        wanted: Wanted,
        render: Render,
    ) -> None:
        self._source = source
        self._protocol = protocol
        self._framing = framing
        self._names = names
        self._wanted = wanted
        self._render = render
        self._flows: dict[str, tuple[Decoder, Selection]] = {}
        self._faults: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self.messages = 0
        self.shown = 0
        self.fault: DataFileError | None = None

    def batches(self, limit: int | None = None) -> Iterator[bytes]:
        """The lines, many at a time; at the end `fault` says what is wrong with the source."""
        lines: list[bytes] = []
        for chunk, entries, selection in self._entries():
            self._add_lines(lines, chunk, entries, selection, limit)
            is_done = self.shown == limit
            if lines and (is_done or self._source.is_live or len(lines) >= _BATCH_LINES):
                yield b"".join(lines)
                lines.clear()
            if is_done:
                return
        yield b"".join(lines)

    def counts(self) -> Counter[str]:
        """Everything that was in the source and is no readable message, by name."""
        total = self._faults + self._source.counts + self._ended
        for decoder, _ in self._flows.values():
            total += decoder.counts
        return total

    def _add_lines(
        self,
        lines: list[bytes],
        chunk: Chunk,
        entries: Iterable[Entry],
        selection: Selection,
        limit: int | None,
    ) -> None:
        """The lines of a chunk's messages, up to the limit. This loop is what a file of millions of
        messages spends its time in.
        """
        render, ts_ns, flow = self._render, chunk.ts_ns, chunk.flow
        for entry in entries:
            row = entry.reader.read(entry.raw)
            if row.fault:
                self._faults[row.fault] += 1
            else:
                self.messages += 1
            if selection.is_open or selection.accepts(row, entry.reader.symbol_fields):
                lines.append(render(entry, row, ts_ns, flow))
                self.shown += 1
                if self.shown == limit:
                    return

    def _entries(self) -> Iterator[tuple[Chunk, list[Entry], Selection]]:
        """Chunk by chunk what is in it, then what the end of each flow reveals."""
        try:
            for chunk in self._source.chunks:
                if chunk.is_datagram and self._protocol not in {None, "itch50"}:
                    self._source.counts[OTHER_DATAGRAM] += 1
                    continue
                if chunk.lost_bytes and chunk.flow in self._flows:
                    yield self._end(chunk)
                decoder, selection = self._flow(chunk)
                yield chunk, decoder.feed(chunk.data), selection
        except DataFileError as error:
            self.fault = error
        for flow in list(self._flows):
            yield self._end(Chunk(None, flow, b"", is_datagram=False))

    def _end(self, chunk: Chunk) -> tuple[Chunk, list[Entry], Selection]:
        """What the end of a flow reveals: of all of it, or of what came before a hole."""
        decoder, selection = self._flows[chunk.flow]
        entries, incomplete = decoder.finish()
        if incomplete is not None:
            self._note_incomplete(incomplete)
        self._ended += decoder.counts
        self._ended[LOST_BYTES] += chunk.lost_bytes
        # Behind a hole nothing says where a message begins: a new decoder has to find out.
        self._flows[chunk.flow] = self._decoder(chunk), selection
        return chunk, entries, selection

    def _note_incomplete(self, incomplete: Incomplete) -> None:
        """A file that ends within a message is damaged; a capture just ended."""
        if self._source.is_capture:
            self._faults["incomplete"] += 1
        elif self.fault is None:
            self.fault = DataFileError(self._source.path, incomplete.offset, incomplete.reason)

    def _flow(self, chunk: Chunk) -> tuple[Decoder, Selection]:
        known = self._flows.get(chunk.flow)
        if known is None:
            known = self._decoder(chunk), Selection(self._wanted)
            self._flows[chunk.flow] = known
        return known

    def _decoder(self, chunk: Chunk) -> Decoder:
        if chunk.is_datagram:
            return MoldDecoder(certain=self._source.port is not None)
        return stream_decoder(self._framing, self._protocol, self._names)
