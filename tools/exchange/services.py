"""The TCP streams of a run: which are configured, where they listen, what they counted."""

from feedhandler.server.errors import ConfigError, bind_error
from tools.exchange import sender as sending
from tools.exchange.config import ExchangeConfig
from tools.exchange.fix_md_server import fix_md_server
from tools.exchange.layout import IS_TAPE, Engine
from tools.exchange.soup_server import soup_server
from tools.exchange.stream_server import StreamServer
from tools.exchange.streams import SERVICES, Streams, allocate_streams, counters_by_name


def allocate_services(config: ExchangeConfig, engine: Engine) -> Streams:
    """Memory for the streams that `config` asks for; ConfigError for one that cannot be had."""
    if config.fix_md is not None and engine.state[IS_TAPE]:
        raise ConfigError(
            "fix_md: with --tape no books are kept, so there is no market data over FIX;"
            " leave the section or --tape out"
        )
    return allocate_streams(
        engine,
        0 if config.soup is None else config.soup.clients_max,
        0 if config.fix_md is None else config.fix_md.clients_max,
    )


class Services:
    """The streams of a run; `ports` by their names."""

    def __init__(self, sender: sending.Sender, config: ExchangeConfig) -> None:
        self.ports: dict[str, int] = {}
        self.is_serving = False
        self._sender = sender
        self._servers: dict[str, tuple[StreamServer, str, int]] = {}
        if (soup := config.soup) is not None:
            server = soup_server(sender, config.session.id, soup)
            self._servers["soup"] = (server, soup.address, soup.port)
        if (fix_md := config.fix_md) is not None:
            server = fix_md_server(sender, fix_md)
            self._servers["fix_md"] = (server, fix_md.address, fix_md.port)

    async def start(self) -> None:
        """Take the ports; UserError when one cannot be had, and then none is held."""
        for name, (server, address, port) in self._servers.items():
            try:
                self.ports[name] = await server.start(address, port)
            except OSError as error:
                await self.close()
                raise bind_error(error, name, address, port) from None

    async def serve(self) -> None:
        """Listen; the sender's thread runs. UserError when a port is no longer to be had."""
        for name, (server, address, port) in self._servers.items():
            try:
                await server.serve()
            except OSError as error:
                raise bind_error(error, name, address, port) from None
        self.is_serving = True

    async def stop(self) -> None:
        """Let the clients go, while the sender's thread still runs."""
        for server, _, _ in self._servers.values():
            await server.stop()

    async def close(self) -> None:
        """Close what is left, after the sender's thread."""
        for server, _, _ in self._servers.values():
            await server.close()

    def counters(self) -> dict[str, dict[str, int]]:
        """What was counted, by service."""
        return {
            name: {
                **server.counters,
                **counters_by_name(self._sender.streams, SERVICES.index(name)),
            }
            for name, (server, _, _) in self._servers.items()
        }
