"""Compile, or load from the cache, every kernel of the exchange, before anything is timed."""

import socket
from collections.abc import Callable

import numpy as np

from tools.exchange import sender as sending
from tools.exchange.config import HISTORY_MESSAGES_MIN, ExchangeConfig, Flow, Line, Rerequest
from tools.exchange.flow import generate_nb
from tools.exchange.layout import FlowSettings, allocate_engine
from tools.exchange.runner import Sockets, allocate_sender


def warm_up() -> None:
    """Call each entry kernel once on the smallest exchange there is; nothing is sent."""
    config = ExchangeConfig(
        line_a=Line(port=1),
        line_b=Line(port=1),
        flow=Flow(symbols=1, messages=3),
        rerequest=Rerequest(history_messages=HISTORY_MESSAGES_MIN),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        sender = allocate_sender(config, Sockets(unused, unused, unused))
    sending.load_kernels(sender)
    generate_nb(allocate_engine(FlowSettings(1, 1, messages=3)), np.zeros(256, np.uint8), 3)


def steps() -> list[tuple[str, Callable[[], None]]]:
    """(title, function) of each step, for `feedhandler.server.warmup`."""
    return [("exchange", warm_up)]
