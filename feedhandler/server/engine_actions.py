"""What a command of the hub changes in the engines of a running server."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from feedhandler.core.shard import Shard
from feedhandler.server.breakers import BreakerDesk
from feedhandler.server.hub_actions import ServerActions
from feedhandler.server.hub_messages import Code, HubError, SetPriority
from feedhandler.server.priority import (
    NotTakenError,
    TableFullError,
    override_priority,
    overrides_of,
)


class EngineActions(ServerActions):
    """Actions on the shards of all feeds."""

    def __init__(
        self,
        shards: Sequence[Shard],
        shut_down: Callable[[int | None], int],
        reload: Callable[[], Awaitable[dict[str, Any]]],
        enable: Callable[[str], Awaitable[None]],
        breakers: BreakerDesk | None = None,
    ) -> None:
        """All but the shards as for ServerActions."""
        super().__init__(shut_down, reload, enable, breakers)
        self._shards = list(shards)

    async def set_priority(self, command: SetPriority) -> Any:
        """Give a symbol's ticks a lane, or their own again; the answer shows all such lanes. One
        that is cancelled is carried out nevertheless: it is written to all shards at once.
        """
        override = (self._shards, command.symbol, command.lane, command.for_ms)
        try:
            await asyncio.to_thread(override_priority, *override)
        except ValueError as error:
            raise HubError(Code.BAD_ARGUMENT, f"set_priority: {error}") from None
        except TableFullError as error:
            raise HubError(Code.LIMIT, f"set_priority: {error}; end another one first") from None
        except NotTakenError as error:
            raise HubError(Code.TIMEOUT, f"set_priority: {error}; look at /livez") from None
        return {
            "symbol": command.symbol,
            "lane": command.lane,
            "for_ms": command.for_ms,
            "overrides": overrides_of(self._shards[0]),
        }
