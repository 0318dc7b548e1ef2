"""From a source to lines: a decoder and a selection for each flow, and the counts of the whole."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from protocols.binaryfile.reader import DataFileError
from tools.decode.decoders import OTHER_DATAGRAM, MoldDecoder
from tools.decode.entries import Decoder, Entry, Incomplete
from tools.decode.render import Render
from tools.decode.selection import Selection, Wanted
from tools.decode.sniff import Framing, Protocol
from tools.decode.sources import Chunk, Source
from tools.decode.streams import DECODERS, ConnectionDecoder

LOST_BYTES = "lost_bytes"
_BATCH_LINES = 4096
_FLOWS_MAX = 65_536
"""Flows that are known at a time; the one that was silent longest is ended for another."""


@dataclass(slots=True)
class _Flow:
    """One flow of the source; `ts_ns` is the time of its latest chunk."""

    decoder: Decoder
    selection: Selection
    ts_ns: int | None


class Job:
    """One run over a source. `protocol` and `framing` are those of a file, or what the user said
    about a capture; None is left to what comes.
    """

    def __init__(
        self,
        source: Source,
        protocol: Protocol | None,
        framing: Framing | None,
        wanted: Wanted,
        render: Render,
    ) -> None:
        self._source = source
        self._protocol = protocol
        self._framing = framing
        self._wanted = wanted
        self._render = render
        self._flows: OrderedDict[str, _Flow] = OrderedDict()
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
        for flow in self._flows.values():
            total += flow.decoder.counts
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
                if chunk.lost_bytes != 0:
                    yield from self._break(chunk)
                if chunk.data or chunk.is_datagram:
                    flow = self._flow(chunk)
                    yield chunk, flow.decoder.feed(chunk.data), flow.selection
                if len(self._flows) > _FLOWS_MAX:
                    yield self._end(next(iter(self._flows)))
        except DataFileError as error:
            self.fault = error
        while self._flows:
            yield self._end(next(iter(self._flows)))

    def _break(self, chunk: Chunk) -> Iterator[tuple[Chunk, list[Entry], Selection]]:
        """What the end of the bytes before a hole reveals, if there are any."""
        self._ended[LOST_BYTES] += chunk.lost_bytes or 0
        before = self._flows.get(chunk.flow)
        decoder, selection = ConnectionDecoder(self._protocol), Selection(self._wanted)
        if before is not None:
            yield self._end(chunk.flow)
            selection = before.selection
            # Behind a hole nothing says where a message begins: a new decoder has to find out.
            if isinstance(before.decoder, ConnectionDecoder):
                decoder = before.decoder.behind_hole()
        self._flows[chunk.flow] = _Flow(decoder, selection, chunk.ts_ns)

    def _end(self, name: str) -> tuple[Chunk, list[Entry], Selection]:
        """What the end of a flow reveals, which is forgotten then."""
        flow = self._flows.pop(name)
        entries, incomplete = flow.decoder.finish()
        if incomplete is not None:
            self._note_incomplete(incomplete)
        self._ended += flow.decoder.counts
        return Chunk(flow.ts_ns, name, b"", is_datagram=False), entries, flow.selection

    def _note_incomplete(self, incomplete: Incomplete) -> None:
        """A file that ends within a message is damaged; a capture just ended."""
        if self._source.is_capture:
            self._faults["incomplete"] += 1
        elif self.fault is None:
            self.fault = DataFileError(self._source.path, incomplete.offset, incomplete.reason)

    def _flow(self, chunk: Chunk) -> _Flow:
        """The flow of a chunk, which is the one that spoke last now."""
        flow = self._flows.get(chunk.flow)
        if flow is None:
            flow = _Flow(self._decoder(chunk), Selection(self._wanted), chunk.ts_ns)
            self._flows[chunk.flow] = flow
        else:
            flow.ts_ns = chunk.ts_ns
            self._flows.move_to_end(chunk.flow)
        return flow

    def _decoder(self, chunk: Chunk) -> Decoder:
        if chunk.is_datagram:
            return MoldDecoder(certain=self._source.port is not None)
        if self._framing is not None:
            return DECODERS[self._framing](self._protocol)
        return ConnectionDecoder(self._protocol, is_whole=True)
