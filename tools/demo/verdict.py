"""Holds what the server says against the exchange's truth and the client's receipts."""

from typing import Any

from feedhandler.core.states import State

Report = dict[str, Any]

_DROP_REASONS = (
    "unrecovered",
    "unknown_type",
    "bad_length",
    "unknown_reference",
    "duplicate_reference",
    "bad_value",
    "capacity",
)


def judge(exchange: Report, server: Report, client: Report, exits: dict[str, int]) -> Report:
    """The report of a demo; `clean` says whether all is as it should be, `faults` what is not."""
    counts = server["counts"]
    dropped = {reason: counts[reason] for reason in _DROP_REASONS if counts[reason]}
    sent = exchange["sent"]
    covered = counts["covered_by_snapshot"]
    unexplained = sent - counts["applied"] - covered - sum(dropped.values())
    report: Report = {
        "sent": sent,
        "applied": counts["applied"],
        "recovered": counts["recovered"],
        "covered_by_snapshot": covered,
        "dropped": dropped,
        "unexplained": unexplained,
        "gaps": counts["gaps"],
        "snapshots": counts["snapshots"],
        "rejected_packets": counts["rejected_malformed"] + counts["rejected_session"],
        "fix_connections_refused": server["control"]["fix_connections_refused"],
        "http_rejected": server["control"]["http_rejected"],
        "books_equal": server["books_digest"] == exchange.get("books_digest"),
        "books_digest": server["books_digest"],
        "orders_live": server["orders_live"],
        "signals_published": server["signals_published"],
        "signals_delivered": client["distinct"],
        "signals_suppressed": counts["signals_suppressed"],
        "breaker_changes": client["breaker_changes"],
        "latency_ns": server["latency_ns"],
        "signal_latency_ns": server["signal_latency_ns"],
        "hiccup_ns": server["hiccup_ns"],
        "rate": round(exchange["rate"]),
        "exchange_lateness_ns_max": exchange["lateness_ns_max"],
        "exits": exits,
    }
    report["faults"] = _end_faults(exchange, counts) + _faults(report, client, counts)
    if "order_entry" in exchange:
        _judge_trading(report, exchange["order_entry"], client["traded"])
    report["clean"] = not report["faults"]
    return report


def _judge_trading(report: Report, desk: Report, traded: Report) -> None:
    """What came of the client's orders; its account and the exchange's must agree."""
    account = next(iter(desk["accounts"].values()), {"orders": 0, "cash4": 0, "shares": {}})
    held = {symbol: shares for symbol, shares in traded["shares"].items() if shares}
    report["orders_traded"] = {name: traded[name] for name in ("sent", "executions", "rejected")}
    report["tick_to_trade_ns"] = desk["round_trip_ns"]
    if account["cash4"] != traded["cash_e4"] or account["shares"] != held:
        report["faults"].append("the accounts of client and exchange differ")
    if account["orders"] != traded["sent"]:
        report["faults"].append(f"{account['orders']} of {traded['sent']} orders were taken")
    if traded["sent"] == 0:
        report["faults"].append("no order was sent to the exchange")


def _end_faults(exchange: Report, counts: Report) -> list[str]:
    """Both sides must have come to the end of the session by themselves, and not by the demo's own
    time limit.
    """
    faults = []
    if exchange["state"] != "ended":
        faults.append(f"the exchange was {exchange['state']} before its end")
    if counts["state"] != State.ENDED:
        faults.append(f"the server stopped in state {State(counts['state']).name}")
    return faults


def _faults(report: Report, client: Report, counts: Report) -> list[str]:
    delivered_all = report["signals_delivered"] == report["signals_published"] and (
        client["ids_contiguous"] and client["missing"] == 0
    )
    checks = (
        (report["unexplained"] == 0, f"{report['unexplained']} messages unexplained"),
        (not report["dropped"], f"messages dropped: {report['dropped']}"),
        (report["books_equal"], "the server's books differ from the exchange's"),
        (counts["signals_dropped"] == 0, f"{counts['signals_dropped']} signals dropped"),
        (report["signals_published"] > 0, "no signal was published"),
        (delivered_all, "signals published and delivered differ"),
        (counts["books_suspect"] == 0, "the books are suspect at the end"),
        *((code == 0, f"{name} exited with {code}") for name, code in report["exits"].items()),
    )
    return [text for good, text in checks if not good]
