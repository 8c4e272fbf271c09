"""The kill switch: NAME.db.stop beside the database says what must not be touched. Whoever sends looks there first.

The file is ``posture-stop/1`` JSON, but a person in a hurry needs no command: any other content stops everything,
and is the reason. No lock is needed: it is replaced as a whole, and read at each decision and each second.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from posture.errors import StoreError

SCHEMA = "posture-stop/1"
REASON_CHARACTERS = 300
UNREADABLE = "the stop file cannot be read"


@dataclass(frozen=True, slots=True)
class Order:
    """One thing that must stop: an authorisation, an address, or everything when it names neither.

    ``by`` is the account that gave it; ``at`` is UTC, None when the file does not say.
    """

    reason: str
    by: str = ""
    at: datetime | None = None
    authorisation: str | None = None
    address: str | None = None

    @property
    def is_everything(self) -> bool:
        return self.authorisation is None and self.address is None

    def same_target(self, other: Order) -> bool:
        return (self.authorisation, self.address) == (other.authorisation, other.address)


@dataclass(frozen=True, slots=True)
class Orders:
    """All orders in force. The empty one bars nothing."""

    given: tuple[Order, ...] = ()

    def everything(self) -> Order | None:
        return next((order for order in self.given if order.is_everything), None)

    def about_address(self, address: str | None) -> Order | None:
        """The order that bars an address, in whatever spelling; everything counts too."""
        literal = _literal(address)
        return next(
            (o for o in self.given if o.is_everything or (literal is not None and _literal(o.address) == literal)), None
        )

    def about_authorisation(self, authorisation: str) -> Order | None:
        return next((o for o in self.given if o.is_everything or o.authorisation == authorisation), None)


NO_ORDERS = Orders()
OrdersNow = Callable[[], Orders]


def no_orders() -> Orders:
    return NO_ORDERS


class StopFile:
    """NAME.db.stop. Reading costs one stat while nothing changes."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".stop")
        self._seen: tuple[int, ...] | None = None
        self._orders = NO_ORDERS

    def orders(self) -> Orders:
        """What is stopped now. Fails closed: a file that cannot be read or understood stops everything."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._seen, self._orders = None, NO_ORDERS
            return self._orders
        except OSError as fault:
            return Orders((Order(f"{UNREADABLE}: {fault.strerror}"),))
        seen = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode)
        if seen != self._seen:
            try:
                self._orders = parse(self.path.read_bytes())
            except FileNotFoundError:
                return NO_ORDERS
            except OSError as fault:
                return Orders((Order(f"{UNREADABLE}: {fault.strerror}"),))
            self._seen = seen
        return self._orders

    def add(self, order: Order) -> Orders:
        """Adds an order, or renews the one about the same thing. Raises StoreError."""
        kept = tuple(each for each in self.orders().given if not each.same_target(order))
        return self._write((*kept, order))

    def lift(self, authorisation: str | None = None, address: str | None = None) -> tuple[Order, ...]:
        """Takes back the order about one thing, or with neither given all of them; returns what was lifted. Raises StoreError."""
        given = self.orders().given
        target = Order("", authorisation=authorisation, address=address)
        lifted = given if target.is_everything else tuple(each for each in given if each.same_target(target))
        self._write(tuple(each for each in given if each not in lifted))
        return lifted

    def _write(self, given: Iterable[Order]) -> Orders:
        orders = Orders(tuple(given))
        try:
            if not orders.given:
                self.path.unlink(missing_ok=True)
                return orders
            draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            draft.write_bytes(document(orders))
            draft.replace(self.path)
        except OSError as fault:
            raise StoreError(
                f"{self.path} cannot be written: {fault.strerror}. Write anything into that file by any means: "
                "whatever it holds stops every scan on this database."
            ) from fault
        return orders


def document(orders: Orders) -> bytes:
    """The file's content."""
    rows = [{**asdict(order), "at": f"{order.at:%Y-%m-%dT%H:%M:%SZ}" if order.at else None} for order in orders.given]
    return json.dumps({"schema": SCHEMA, "orders": rows}, indent=2, ensure_ascii=True).encode() + b"\n"


def parse(content: bytes) -> Orders:
    """The orders of a stop file; what is no ``posture-stop/1`` is one order to stop everything."""
    try:
        read = json.loads(content)
        if read["schema"] == SCHEMA:
            return Orders(tuple(map(_order, read["orders"])))
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # a word scribbled in haste is an order too
    said = content.decode("utf-8", "replace").strip()
    return Orders((Order(said[:REASON_CHARACTERS] or "no reason given"),))


def _order(row: dict[str, Any]) -> Order:
    texts = {name: row[name] for name in ("reason", "by", "authorisation", "address")}
    if any(not isinstance(text, str | None) for text in texts.values()):
        raise TypeError(row)
    if texts["address"] is not None:
        ip_address(texts["address"])
    at = datetime.strptime(row["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) if row["at"] else None
    return Order(
        reason=(texts["reason"] or "no reason given")[:REASON_CHARACTERS],
        by=texts["by"] or "",
        at=at,
        authorisation=texts["authorisation"],
        address=texts["address"],
    )


def _literal(address: str | None) -> object:
    """An address as a number, so that every spelling of it is the same."""
    try:
        literal = ip_address(address) if address is not None else None
    except ValueError:
        return None
    return getattr(literal, "ipv4_mapped", None) or literal
