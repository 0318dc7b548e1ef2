"""The hub: clients, their subscriptions and commands. It runs on the event loop and knows no
transport; `connect` gives a client of this process, `feedhandler.server.hub_server` those over TCP.

    ring of signals ─► publisher ─► take_signals ─► backlog ─► events ─► filters ─► queues ─► client
    looks at feeds and best prices ───────────────────────────► events      (or a share)

`take_signals` only puts rows by; what becomes of them happens in turns of their own, behind the
OMS sessions. So many watchers delay one another's messages, and never an order.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog

from feedhandler import __version__
from feedhandler.core.events import SIGNAL
from feedhandler.server.config import HubConfig
from feedhandler.server.hub_actions import Actions, SignalRow, View, known_names
from feedhandler.server.hub_messages import (
    KINDS,
    SIGNAL_KINDS,
    Answer,
    Breaker,
    Cancel,
    ClientRow,
    Code,
    Command,
    Cut,
    Enable,
    End,
    FeedState,
    GetBars,
    GetCorrelations,
    GetStats,
    GroupRow,
    HubError,
    List,
    Order,
    Ping,
    Position,
    Quote,
    Reload,
    Reset,
    ResetStats,
    SetPriority,
    Shutdown,
    Stats,
    Subscribe,
    Subscribed,
    SubscriptionRow,
    Trip,
    Unsubscribe,
    WatchKind,
    refusal,
)
from feedhandler.server.hub_watchers import (
    Event,
    Filter,
    Item,
    Matcher,
    Share,
    Subscription,
    Tally,
    is_glob,
)

BACKLOG_ROWS = 16_384
"""Signals that may wait to be dealt out; beyond, the oldest pass unseen."""
STATS_SYMBOLS_MAX = 200
ROWS_MAX = 1_000
"""Pairs that one answer shows."""
LEARN_MAX = 1_000
"""Symbols that are taken in at a time: some milliseconds."""
_TURN_S = 0.001
_CHANGING = (Trip, Reset, ResetStats, Position, SetPriority, Reload, Enable, Shutdown)
_INSTRUMENT = (SIGNAL.names or ()).index("instrument")

Target = Subscription | Share
OnQuotes = Callable[[], None]


class Client:
    """One who asks and watches. `on_items` is called when there may be something to take, and must
    not take at once.
    """

    def __init__(self, hub: "Hub", number: int, name: str, on_items: Callable[[], None]) -> None:
        self.number = number
        self.name = name
        self.on_items = on_items
        self.subscriptions: dict[int, Subscription] = {}
        self.commands = 0
        self.connected_s = hub.now_s()
        self._hub = hub
        self._first = 0
        self._notices: deque[Cut] = deque(maxlen=2 * hub.config.subscriptions)
        self._end: End | None = None

    @property
    def queued(self) -> int:
        """Messages that wait, over all subscriptions."""
        return sum(each.queued for each in self.subscriptions.values())

    async def call(self, command: Command) -> Answer:
        """Do what a command says, within its deadline; never raises."""
        return await self._hub.execute(self, command, self._hub.now_s())

    def notify(self, notice: Cut) -> None:
        """Have the client told, before anything else."""
        self._notices.append(notice)
        self.on_items()

    def end(self, notice: End) -> None:
        """Have the client told, behind everything else."""
        self._end = notice
        self.on_items()

    def take(self, count: int) -> list[Item]:
        """What waits, up to about `count` messages; subscriptions take turns at being first."""
        items: list[Item] = []
        while self._notices:
            items.append(self._notices.popleft())
        found = list(self.subscriptions.values())
        for step in range(len(found)):
            if len(items) >= count:
                break
            items += found[(self._first + step) % len(found)].take(count - len(items))
        self._first += 1
        if self._end is not None and len(items) < count:
            items.append(self._end)
            self._end = None
        return items

    def leave_all(self) -> None:
        """End every subscription; what waits goes to the others of a share."""
        self._hub.end_subscriptions(self)

    def close(self) -> None:
        """Leave for good."""
        self._hub.disconnect(self)


class LocalClient(Client):
    """A client of this process, which reads what it watches as a stream."""

    def __init__(self, hub: "Hub", number: int, name: str) -> None:
        self._ready = asyncio.Event()
        super().__init__(hub, number, name, self._ready.set)

    async def items(self) -> AsyncIterator[Item]:
        """Everything that is delivered, and every notice; ends with the hub."""
        while True:
            self._ready.clear()
            found = self.take(self._hub.config.queue)
            for item in found:
                yield item
                if isinstance(item, End):
                    return
            if not found:
                await self._ready.wait()


class Hub:
    """`on_quotes_wanted` is called when other symbols may be wanted than before (`quote_filters`);
    `latest_quotes` are what a new watcher gets first.
    """

    def __init__(
        self, config: HubConfig, view: View, actions: Actions, now_s: Callable[[], float]
    ) -> None:
        self.config = config
        self.tally = Tally()
        self.is_draining = False
        self.now_s = now_s
        self.clients: dict[int, Client] = {}
        self.on_quotes_wanted: OnQuotes = lambda: None
        self.latest_quotes: dict[str, Quote] = {}
        self.left_out: Callable[[Filter], int] = lambda _filter: 0
        self._view = view
        self._actions = actions
        self._started_s = now_s()
        self._log = structlog.get_logger(component="hub")
        self._owners: dict[int, Client] = {}
        self._shares: dict[str, Share] = {}
        self._targets: dict[WatchKind, list[Target]] = {kind: [] for kind in KINDS}
        self._feed_states: dict[str, FeedState] = {}
        self._backlog: deque[SignalRow] = deque()
        self._is_dealing = False
        self._clients_made = 0
        self._subscriptions_made = 0
        self._running: set[asyncio.Future[Any]] = set()
        self._handlers: Mapping[type[Command], Callable[[Client, Any], Any]] = {
            Ping: self._ping,
            Subscribe: self._subscribe,
            Unsubscribe: self._unsubscribe,
            GetStats: self._get_stats,
            GetBars: self._get_bars,
            GetCorrelations: self._get_correlations,
            ResetStats: self._reset_stats,
            List: self._list,
            Trip: lambda _client, command: actions.trip(command),
            Reset: lambda _client, command: actions.reset(command),
            Position: lambda _client, command: actions.position(command),
            SetPriority: lambda _client, command: actions.set_priority(command),
            Reload: lambda _client, command: actions.reload(command),
            Enable: lambda _client, command: actions.enable(command),
            Shutdown: lambda _client, command: actions.shutdown(command),
        }

    # -- clients ----------------------------------------------------------------------------------

    def connect(self, name: str) -> LocalClient:
        """A client of this process."""
        self._clients_made += 1
        client = LocalClient(self, self._clients_made, name)
        self.clients[client.number] = client
        return client

    def admit(self, name: str, on_items: Callable[[], None]) -> Client:
        """A client of a transport."""
        self._clients_made += 1
        client = Client(self, self._clients_made, name, on_items)
        self.clients[client.number] = client
        return client

    def disconnect(self, client: Client) -> None:
        """Forget a client and its subscriptions."""
        self.clients.pop(client.number, None)
        self.end_subscriptions(client)

    def end_subscriptions(self, client: Client) -> None:
        """End those of one client."""
        for subscription in list(client.subscriptions.values()):
            self._end(subscription)

    def end_all(self, reason: str, text: str) -> None:
        """Tell everybody that this is the end."""
        for client in list(self.clients.values()):
            client.end(End(reason=reason, text=text))

    # -- what flows -------------------------------------------------------------------------------

    def take_signals(self, rows: Sequence[SignalRow]) -> None:
        """Put rows by until their turn comes; nothing else, as OMS sessions are being served."""
        if not any(self._targets[kind] for kind in SIGNAL_KINDS):
            return
        self._backlog.extend(rows)
        over = len(self._backlog) - BACKLOG_ROWS
        if over > 0:
            for _ in range(over):
                self._backlog.popleft()
            self._miss(over)
        if not self._is_dealing:
            self._is_dealing = True
            asyncio.get_running_loop().call_soon(self._deal_some)

    def deal_all(self) -> None:
        """Deal out every signal that waits, now."""
        while self._backlog:
            self._deal(self._backlog.popleft())

    async def settle(self, within_s: float) -> None:
        """Wait for commands that are being carried out, so that their answers leave."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=within_s)
        for _ in range(3):
            await asyncio.sleep(0)

    def publish(self, event: Event) -> None:
        """Give an event to everybody whom it is for."""
        for target in tuple(self._targets[event.kind]):
            if target.filter.takes(event):
                cut = target.put(event)
                if cut is not None:
                    self._cut(cut, event)

    def show_feed(self, state: FeedState) -> None:
        """Publish what a look at a feed found, if it is news."""
        known = self._feed_states.get(state.feed)
        if known and (known.state, known.in_doubt) == (state.state, state.in_doubt):
            return
        self._feed_states[state.feed] = state
        self.publish(Event("feed", state.feed, state))

    def learn(self) -> bool:
        """Take in symbols that messages have named; whether there may be more."""
        found = self._view.learn(LEARN_MAX)
        if found and self._targets["quote"]:
            self.on_quotes_wanted()
        return len(found) >= LEARN_MAX

    def watches(self, kind: WatchKind) -> bool:
        """Whether anybody does."""
        return bool(self._targets[kind])

    def quote_filters(self) -> list[Filter]:
        """What is watched of best prices."""
        return [target.filter for target in self._targets["quote"]]

    def _deal_some(self) -> None:
        """Deal out for a millisecond; the rest in a later turn, so that others are served too."""
        until_s = self.now_s() + _TURN_S
        while self._backlog:
            self._deal(self._backlog.popleft())
            if self.now_s() >= until_s:
                break
        self._is_dealing = bool(self._backlog)
        if self._is_dealing:
            asyncio.get_running_loop().call_soon(self._deal_some)

    def _deal(self, row: SignalRow) -> None:
        message = self._view.message_of(row)
        if isinstance(message, Order):
            event = Event("order", message.symbol, message, message.source, row[_INSTRUMENT])
            self.publish(event)
        elif isinstance(message, Breaker):
            # Another breaker's state is no newer news of this one's.
            detail = (row[_INSTRUMENT], message.source)
            self.publish(Event("breaker", message.symbol, message, message.source, detail))
        elif isinstance(message, Cancel):
            detail = (row[_INSTRUMENT], "cancel")
            self.publish(Event("breaker", message.symbol, message, message.source, detail))

    def _miss(self, count: int) -> None:
        self.tally.missed += count
        for client in self.clients.values():
            for subscription in client.subscriptions.values():
                if set(SIGNAL_KINDS) & set(subscription.filter.kinds):
                    subscription.miss(count)

    # -- commands ---------------------------------------------------------------------------------

    async def execute(self, client: Client, command: Command, received_s: float) -> Answer:
        """Do what a command says and acknowledge it, be it that it cannot be done; its deadline
        counts from `received_s`, by `now_s`. Never raises.
        """
        client.commands += 1
        try:
            answer = Answer(
                id=command.id, ok=True, result=await self._do(client, command, received_s)
            )
            self.count_command("ok")
            if isinstance(command, _CHANGING):
                name = command.__struct_config__.tag
                self._log.info("hub_command_done", cmd=name, client=client.name)
        except HubError as error:
            answer = refusal(error, command.id)
            self.count_command(error.code)
        return answer

    def count_command(self, result: str) -> None:
        """Count a command by what became of it."""
        self.tally.commands[result] = self.tally.commands.get(result, 0) + 1

    async def _do(self, client: Client, command: Command, received_s: float) -> Any:
        left_s = received_s + command.timeout_ms / 1_000 - self.now_s()
        if left_s <= 0:
            text = f"waited {command.timeout_ms} ms for its turn and was not begun; send it again"
            raise HubError(Code.TIMEOUT, text)
        if isinstance(command, _CHANGING):
            self._check_may_change(command)
        try:
            result = self._handlers[type(command)](client, command)
            if isinstance(result, Awaitable):
                result = await self._within(result, left_s, command)
        except HubError:
            raise
        except Exception as error:  # noqa: BLE001 - a command that fails must not take others down
            context = {"message": f"hub command {command} failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            text = "a fault of the server, which its log tells of; the command may not be done"
            raise HubError(Code.FAILED, text) from None
        return result

    def _check_may_change(self, command: Command) -> None:
        name = command.__struct_config__.tag
        if self.config.read_only:
            text = f"{name}: this hub only shows; set [hub] read_only = false and restart"
            raise HubError(Code.FORBIDDEN, text)
        if self.is_draining:
            raise HubError(Code.DRAINING, f"{name}: the server is ending; nothing changes any more")

    async def _within(self, work: Awaitable[Any], left_s: float, command: Command) -> Any:
        """What it gives, unless it takes too long: then it is told to stop, and nobody waits."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._note_done)
        await asyncio.wait({task}, timeout=left_s)
        if not task.done():
            task.cancel()
            text = f"not done within {command.timeout_ms} ms and told to stop; look whether it is"
            raise HubError(Code.TIMEOUT, f"{text} done, then send it again with more timeout_ms")
        return task.result()

    def _note_done(self, task: "asyncio.Future[Any]") -> None:
        self._running.discard(task)
        with suppress(asyncio.CancelledError):
            task.exception()

    def _ping(self, _client: Client, _command: Ping) -> dict[str, int]:
        return {"ts_ns": time.time_ns()}

    def _subscribe(self, client: Client, command: Subscribe) -> Subscribed:
        takes = self._filter_of(command)
        self.learn()
        policy = command.policy or self.config.policy
        limit = command.queue or self.config.queue
        if limit > self.config.queue:
            text = f"queue: {limit} is above {self.config.queue}; ask for less, or raise"
            raise HubError(Code.LIMIT, f"{text} [hub] queue")
        if len(client.subscriptions) >= self.config.subscriptions:
            text = f"{len(client.subscriptions)} subscriptions already; unsubscribe from one, or"
            raise HubError(Code.LIMIT, f"{text} raise [hub] subscriptions")
        share = self._share_of(command, takes)
        self._subscriptions_made += 1
        subscription = Subscription(
            self._subscriptions_made, takes, policy, limit, client.on_items, self.tally
        )
        client.subscriptions[subscription.number] = subscription
        self._owners[subscription.number] = client
        if share is not None:
            if not share.members:
                self._shares[share.name] = share
                self._add_target(share)
            share.join(subscription)
        else:
            self._add_target(subscription)
        if "quote" in takes.kinds:
            self.on_quotes_wanted()
        if share is None or len(share.members) == 1:
            self._show_present(share or subscription)
        exact = takes.symbols.exact
        unknown = exact.difference(self._view.names(Matcher(exact))) if exact else ()
        return Subscribed(
            sub=subscription.number,
            kinds=takes.kinds,
            policy=policy,
            queue=limit,
            share=command.share,
            members=len(share.members) if share is not None else 1,
            unknown_symbols=tuple(sorted(unknown)),
            left_out=self.left_out(takes) if "quote" in takes.kinds else 0,
        )

    def _filter_of(self, command: Subscribe) -> Filter:
        groups = self.config.groups
        symbols = list(command.symbols)
        for name in command.groups:
            if name not in groups:
                known = known_names(groups)
                raise HubError(Code.NOT_FOUND, f"groups: there is no {name!r}; there are {known}")
            symbols += groups[name]
        for name in command.patterns:
            if not is_glob(name) and name not in self._view.sources:
                known = known_names(self._view.sources)
                raise HubError(Code.NOT_FOUND, f"patterns: there is no {name!r}; there are {known}")
        kinds = tuple(kind for kind in KINDS if kind in command.kinds)
        if not kinds:
            kinds = SIGNAL_KINDS if command.patterns else ("order", "breaker", "feed")
        if "quote" in kinds and not symbols:
            text = 'kinds: quotes of which symbols? name "symbols" or "groups", ["*"] for all'
            raise HubError(Code.BAD_ARGUMENT, text)
        if "bar" in kinds:
            self._view.check_bars()
        return Filter(kinds, symbols, command.patterns)

    def _share_of(self, command: Subscribe, takes: Filter) -> Share | None:
        if command.share is None:
            return None
        share = self._shares.get(command.share)
        if share is None:
            return Share(command.share, takes, command.deal)
        if not share.filter.is_same(takes) or share.deal != command.deal:
            text = f"share: {command.share!r} is about something else or dealt out otherwise; name"
            raise HubError(Code.MISMATCH, f"{text} the same as its members, or another share")
        return share

    def _show_present(self, target: Target) -> None:
        """Begin with what is now, of what has a present: feeds and best prices."""
        events = [Event("feed", state.feed, state) for state in self._view.feeds()]
        events += [Event("quote", name, quote) for name, quote in self.latest_quotes.items()]
        for event in events:
            if target.filter.takes(event):
                cut = target.put(event)
                if cut is not None:
                    self._cut(cut, event)
                    return

    def _unsubscribe(self, client: Client, command: Unsubscribe) -> Any:
        subscription = client.subscriptions.get(command.sub)
        if subscription is None:
            known = known_names(map(str, client.subscriptions))
            text = f"sub: {command.sub} is no subscription of this client; there are {known}"
            raise HubError(Code.NOT_FOUND, text)
        self._end(subscription)
        return subscription.totals

    def _get_stats(self, _client: Client, command: GetStats) -> Stats:
        tally = self.tally
        rows: list[Any] = []
        if command.symbols:
            self.learn()
            rows = self._view.symbols(Matcher(command.symbols), STATS_SYMBOLS_MAX + 1)
        return Stats(
            version=__version__,
            uptime_s=int(self.now_s() - self._started_s),
            state="draining" if self.is_draining else "serving",
            feeds=tuple(self._view.feeds()),
            hub={
                "clients": len(self.clients),
                "subscriptions": self.subscription_count,
                "sent": tally.sent,
                "conflated": tally.conflated,
                "dropped": tally.dropped,
                "cut": tally.cut,
                "missed": tally.missed,
                "clients_refused": tally.refused_clients,
                **{f"commands_{name}": count for name, count in sorted(tally.commands.items())},
            },
            counters=self._view.counters(Matcher(command.counters)) if command.counters else {},
            symbols=tuple(rows[:STATS_SYMBOLS_MAX]),
            more=len(rows) > STATS_SYMBOLS_MAX,
        )

    def _get_bars(self, _client: Client, command: GetBars) -> Any:
        self._check_known(command.symbols)
        return self._view.bars(Matcher(command.symbols), STATS_SYMBOLS_MAX)

    def _get_correlations(self, _client: Client, command: GetCorrelations) -> Any:
        symbols = Matcher(command.symbols)
        return self._view.correlations(Matcher(command.names), symbols)[:ROWS_MAX]

    async def _reset_stats(self, _client: Client, command: ResetStats) -> Any:
        self._check_known(command.symbols)
        return {"symbols": len(await self._view.clear_stats(Matcher(command.symbols)))}

    def _check_known(self, symbols: Sequence[str]) -> None:
        """HubError for a symbol, named as a whole, that no message has named."""
        self.learn()
        for name in symbols:
            if not is_glob(name) and not self._view.names(Matcher([name])):
                text = f"symbols: no message has named {name!r} so far; look at its spelling, or"
                raise HubError(Code.NOT_FOUND, f"{text} wait for the feed")

    @property
    def subscription_count(self) -> int:
        """Over all clients."""
        return sum(len(client.subscriptions) for client in self.clients.values())

    def _list(self, _client: Client, command: List) -> Any:
        lists: dict[str, Callable[[], list[Any]]] = {
            "patterns": self._view.patterns,
            "breakers": self._view.breakers,
            "feeds": self._view.feeds,
            "clients": lambda: list(map(self._client_row, self.clients.values())),
            "subscriptions": self._subscription_rows,
            "groups": lambda: [
                GroupRow(group=name, symbols=found) for name, found in self.config.groups.items()
            ],
        }
        return lists[command.what]()

    def _client_row(self, client: Client) -> ClientRow:
        return ClientRow(
            client=client.number,
            name=client.name,
            connected_s=int(self.now_s() - client.connected_s),
            subscriptions=len(client.subscriptions),
            queued=client.queued,
            commands=client.commands,
        )

    def _subscription_rows(self) -> list[SubscriptionRow]:
        return [
            SubscriptionRow(
                client=client.number,
                kinds=each.filter.kinds,
                symbols=each.filter.symbols.names,
                patterns=each.filter.patterns.names,
                policy=each.policy,
                share=each.share.name if each.share else None,
                queued=each.queued,
                queue=each.limit,
                totals=each.totals,
            )
            for client in self.clients.values()
            for each in client.subscriptions.values()
        ]

    # -- subscriptions that end -------------------------------------------------------------------

    def _add_target(self, target: Target) -> None:
        for kind in target.filter.kinds:
            self._targets[kind].append(target)

    def _remove(self, subscription: Subscription) -> None:
        """Have it hear no more."""
        target: Target = subscription
        share = subscription.share
        if share is not None:
            share.leave(subscription)
            if share.members:
                return
            del self._shares[share.name]
            target = share
        for kind in target.filter.kinds:
            self._targets[kind].remove(target)
        if "quote" in target.filter.kinds:
            self.on_quotes_wanted()

    def _end(self, subscription: Subscription) -> None:
        """End a subscription whose client is leaving it."""
        self._owners.pop(subscription.number).subscriptions.pop(subscription.number)
        self._remove(subscription)
        subscription.drop(self._pass_on(subscription.share, subscription.empty()))

    def _cut(self, subscription: Subscription, event: Event) -> None:
        """End a subscription that had no room for `event`."""
        subscription.drop(self._pass_on(subscription.share, self._take_out(subscription, event)))

    def _take_out(self, subscription: Subscription, event: Event) -> list[Event]:
        """Have it hear no more and say so; what it leaves undelivered, `event` the last."""
        owner = self._owners.pop(subscription.number)
        del owner.subscriptions[subscription.number]
        self._remove(subscription)
        left = [*subscription.empty(), event]
        share = subscription.share
        is_shared = share is not None and bool(share.members)
        self.tally.cut += 1
        owner.notify(
            Cut(
                sub=subscription.number,
                queue=subscription.limit,
                undelivered=len(left),
                given_on=is_shared,
            )
        )
        return left

    def _pass_on(self, share: Share | None, left: Sequence[Event]) -> int:
        """Deal what a member left out to the others of its share, in its order; how many events
        nobody took. A member that they are too many for is cut in its turn.
        """
        waiting = deque(left)
        while waiting and share is not None and share.members:
            event = waiting.popleft()
            cut = share.put(event)
            if cut is not None:
                waiting.extendleft(reversed(self._take_out(cut, event)))
        return len(waiting)
