"""The kill switch: NAME.db.stop beside the database says what must not be touched. Whoever sends looks there first.

The file is ``posture-stop/1`` JSON, but a person in a hurry needs no command: while anything else is in its place, be
it a word, an empty file or a folder, everything is stopped. No lock of the database is needed: the file is replaced as
a whole, and read at each decision and each second.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from posture.errors import StoreError, UsageError

SCHEMA = "posture-stop/1"
REASON_CHARACTERS = 300
NO_REASON = "no reason given"
UNREADABLE = "the stop file cannot be read"
LARGEST = 1_000_000  # bytes; more than that is no list of orders
# A file changed so shortly before it was read may change again within the same tick of its clock.
SETTLED_NS = 1_000_000_000
TURN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Order:
    """One thing that must stop: an authorisation, an address, or everything when it names neither.

    ``by`` is the account that gave it; ``at`` is UTC, None when the file does not say. A file written by hand may name
    both: then each of the two is stopped.
    """

    reason: str
    by: str = ""
    at: datetime | None = None
    authorisation: str | None = None
    address: str | None = None

    @property
    def is_everything(self) -> bool:
        return self.authorisation is None and self.address is None

    @property
    def target(self) -> tuple[str | None, str | None]:
        return self.authorisation, self.address


@dataclass(frozen=True, slots=True)
class Orders:
    """All orders in force. The empty one bars nothing."""

    given: tuple[Order, ...] = ()

    def everything(self) -> Order | None:
        return next((order for order in self.given if order.is_everything), None)

    def about_address(self, address: str | None) -> Order | None:
        """The order that bars an address, in whatever spelling; everything counts too."""
        literal = _literal(address) if address is not None and self.given else None
        return next(
            (o for o in self.given if o.is_everything or (literal is not None and _literal(o.address) == literal)), None
        )

    def about_authorisation(self, authorisation: str) -> Order | None:
        return next((o for o in self.given if o.is_everything or o.authorisation == authorisation), None)

    def about(self, authorisations: Iterable[str], addresses: Iterable[str]) -> Order | None:
        """The first order that bars one of these."""
        if not self.given:
            return None
        found = (*map(self.about_authorisation, authorisations), *map(self.about_address, addresses))
        return self.everything() or next(filter(None, found), None)


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
        """What is stopped now. Fails closed: whatever cannot be read or understood stops everything."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            self._seen = None
            return NO_ORDERS
        except OSError as fault:
            return _unreadable(fault.strerror)
        seen = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode)
        if seen == self._seen:
            return self._orders
        self._seen = None
        try:
            content = self._content()
        except FileNotFoundError as fault:
            # Lifted since the look above; or a link that leads nowhere, which is no stop file that anybody lifted.
            return _unreadable(fault.strerror) if self.path.is_symlink() else NO_ORDERS
        except OSError as fault:
            return _unreadable(fault.strerror)
        self._orders = parse(content)
        if stat.S_ISREG(found.st_mode) and time.time_ns() - found.st_ctime_ns > SETTLED_NS:
            self._seen = seen
        return self._orders

    def _content(self) -> bytes:
        """Raises OSError for what is no plain file; a named pipe would keep its reader waiting."""
        handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(0, "it is no plain file")
            with open(handle, "rb", closefd=False) as file:
                return file.read(LARGEST + 1)
        finally:
            os.close(handle)

    def add(self, *orders: Order) -> Orders:
        """Adds orders, or renews those about the same thing. Raises StoreError."""
        with self._turn():
            new = {order.target for order in orders}
            kept = tuple(each for each in self.orders().given if each.target not in new)
            return self._write((*kept, *orders))

    def lift(self, authorisation: str | None = None, address: str | None = None) -> tuple[Order, ...]:
        """Takes back the orders about these, or with neither given all of them; returns what was lifted.

        Raises:
            StoreError: the file cannot be changed; all orders hold on.
        """
        with self._turn():
            given = self.orders().given
            named = {(authorisation, None), (None, address), (authorisation, address)} - {(None, None)}
            lifted = tuple(each for each in given if not named or each.target in named)
            if lifted:
                self._write(tuple(each for each in given if each not in lifted))
            return lifted

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One writer at a time, so that no order is lost; but an emergency waits for nobody for long."""
        folder: int | None = None
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            end = time.monotonic() + TURN_SECONDS
            while not _locked(folder) and time.monotonic() < end:
                time.sleep(0.02)
        except OSError:
            pass  # a folder that is not there, or cannot be locked: writing says what is wrong
        try:
            yield
        finally:
            if folder is not None:
                os.close(folder)

    def _write(self, given: Iterable[Order]) -> Orders:
        orders = Orders(tuple(given))
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            if not orders.given:
                self.path.unlink(missing_ok=True)
                return orders
            try:
                draft.write_bytes(document(orders))
                draft.chmod(0o644)  # whoever scans must be able to read why
                draft.replace(self.path)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as fault:
            raise StoreError(f"{self.path} cannot be changed: {fault.strerror}. {self._next_step(orders)}") from fault
        return orders

    def _next_step(self, wanted: Orders) -> str:
        """What is in force in spite of the fault, and what to do."""
        if self.orders().everything() is None:
            return "Write anything into that file by any means: whatever it holds stops every scan on this database."
        if wanted.everything():
            return "What is in its place stops everything already. Remove it by hand when that shall end."
        return "Everything is stopped while it is there. Remove it by hand."


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unreadable(why: str | None) -> Orders:
    return Orders((Order(f"{UNREADABLE}: {why}"),))


def document(orders: Orders) -> bytes:
    """The file's content."""
    return json.dumps(as_document(orders), indent=2, ensure_ascii=True).encode() + b"\n"


def as_document(orders: Orders) -> dict[str, Any]:
    """``posture-stop/1``."""
    rows = [{**asdict(order), "at": f"{order.at:%Y-%m-%dT%H:%M:%SZ}" if order.at else None} for order in orders.given]
    return {"schema": SCHEMA, "orders": rows}


def parse(content: bytes) -> Orders:
    """The orders of a stop file; what is no ``posture-stop/1`` with an order in it is one order to stop everything."""
    try:
        if len(content) <= LARGEST and (orders := _orders(json.loads(content))).given:
            return orders
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # a word scribbled in haste is an order too
    said = content[: 4 * REASON_CHARACTERS].decode("utf-8", "replace").strip()
    return Orders((Order(said[:REASON_CHARACTERS] or NO_REASON),))


def _orders(read: Any) -> Orders:
    if read["schema"] != SCHEMA:
        raise ValueError(read["schema"])
    return Orders(tuple(map(_order, read["orders"])))


def _order(row: dict[str, Any]) -> Order:
    texts = {name: row[name] for name in ("reason", "by", "authorisation", "address")}
    if any(not isinstance(text, str | None) for text in texts.values()):
        raise TypeError(row)
    if texts["authorisation"] == "" or (texts["address"] is not None and _literal(texts["address"]) is None):
        raise ValueError(row)  # names something that nobody could ever recognise
    at = datetime.strptime(row["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) if row["at"] else None
    return Order(
        reason=(texts["reason"] or NO_REASON)[:REASON_CHARACTERS],
        by=texts["by"] or "",
        at=at,
        authorisation=texts["authorisation"],
        address=texts["address"],
    )


@lru_cache(maxsize=4096)
def _literal(address: str | None) -> IPv4Address | IPv6Address | None:
    """An address as a number, so that every spelling of it is the same; None for what is none."""
    try:
        literal = ip_address(address) if address is not None and "%" not in address else None
    except ValueError:
        return None
    return getattr(literal, "ipv4_mapped", None) or literal


def spelt(address: str) -> str:
    """The ordinary spelling of an address that was typed in any: upper case, long, in brackets, IPv4-mapped.

    Raises:
        UsageError: it is a name, a network or anything else.
    """
    text = address.strip()
    literal = _literal(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    if literal is None:
        raise UsageError(
            f"{address[:80]!r} is no address. Give one address, such as 198.51.100.7 or 2001:db8::7 "
            "('posture plan' lists those of a name), or leave --address out to stop everything."
        )
    return str(literal)


def account() -> str:
    """The account that this process runs under, as the system knows it and not as the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
