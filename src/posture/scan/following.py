"""Questions that follow from answers: lists of revoked certificates for those that were seen, and who shares their keys.

They are planned with the handshakes that they follow, and put once those have been answered.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from posture.checks.tls.x509 import names
from posture.facts import TlsFacts
from posture.facts.certificate import FROM_FILE
from posture.facts.parse_crl import LISTED, NOT_LISTED, distribution_points, read_list
from posture.facts.parse_x509 import UNREADABLE, Malformed, certificate, issuer_name, spki
from posture.model import Absent, Answer, AssetKey, Observed, Reason, Unobserved, parse_endpoint
from posture.plan import FOLLOWS
from posture.probes.crl import seen_as
from posture.scan.shelf import Shelf, weak_key_mark
from posture.store import Question, stamp
from posture.task import Task

_CRL, _KEY_USE = "crl", "key_use"
_MOST_NAMES = 1000  # of one certificate that are looked at for wildcards

Answers = Mapping[Question, Answer]
Settled = tuple[Task, Absent | Unobserved]


@dataclass(frozen=True, slots=True)
class Following:
    """Tasks that can be put now, and those whose answer is known because there was no certificate."""

    tasks: tuple[Task, ...]
    settled: tuple[Settled, ...]


def follow_up(
    tasks: Iterable[Task], answers: Answers, ministries: Mapping[AssetKey, str], shelf: Shelf, at: datetime
) -> Following:
    """The following tasks among ``tasks``, with what they need to know from the answers they follow.

    Args:
        ministries: of every asset of the inventory.
        shelf: the operator's own lists.
    """
    waiting = [task for task in tasks if FOLLOWS in task.params]
    uses = _Uses(answers, ministries) if any(task.probe == _KEY_USE for task in waiting) else None
    asked: list[Task] = []
    settled: list[Settled] = []
    for task in waiting:
        one = _about_list(task, answers, shelf, at) if task.probe == _CRL or uses is None else uses.about(task, at)
        if isinstance(one, Task):
            asked.append(one)
        else:
            settled.append((task, one))
    return Following(tuple(asked), tuple(settled))


# ---- lists of revoked certificates


def _about_list(task: Task, answers: Answers, shelf: Shelf, at: datetime) -> Task | Absent | Unobserved:
    answer = answers.get((task.key, "tls", task.subject))
    if answer is None:
        return Unobserved(Reason.NOT_RUN, at)
    if not isinstance(answer, Observed):
        return answer
    chain = answer.facts.chain if isinstance(answer.facts, TlsFacts) else ()
    try:
        leaf = certificate(chain[0]) if chain else None
    except Malformed:
        leaf = None
    if leaf is None:
        return Unobserved(Reason.NOT_RECORDED, at, "no certificate was read")
    others = _readable(chain[1:])
    on_file = [seen_as("", FROM_FILE, read_list(crl, "", leaf, others, at)) for crl in shelf.of(issuer_name(leaf))]
    told = next((one for word in (LISTED, NOT_LISTED) for one in on_file if one.word == word), None)
    params = {
        "leaf": _coded(chain[0]),
        "others": [_coded(der) for der in chain[1:]],
        "at": stamp(at),
        "lists": [asdict(one) for one in ([told] if told else on_file)],
        "weak_key": _weak_key(leaf, shelf),
        "urls": [] if told else list(distribution_points(leaf)),
    }
    return replace(task, params=params)


def _weak_key(leaf: x509.Certificate, shelf: Shelf) -> str:
    """Whether the key is on a list of keys whose private half is public; "" where no list could have it."""
    try:
        key = leaf.public_key()
    except UNREADABLE:
        return ""
    if not shelf.weak_keys or not isinstance(key, rsa.RSAPublicKey):
        return ""
    return LISTED if weak_key_mark(key.public_numbers().n) in shelf.weak_keys else NOT_LISTED


def _readable(chain: Sequence[bytes]) -> list[x509.Certificate]:
    found = []
    for der in chain:
        try:
            found.append(certificate(der))
        except Malformed:
            continue
    return found


def _coded(der: bytes) -> str:
    return base64.b64encode(der).decode("ascii")


# ---- keys


class _Uses:
    """Every certificate that endpoints of assets showed, by key."""

    def __init__(self, answers: Answers, ministries: Mapping[AssetKey, str]) -> None:
        self._ministries = ministries
        self._keys: defaultdict[str, defaultdict[AssetKey, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._wildcards: defaultdict[AssetKey, set[str]] = defaultdict(set)
        self._unreadable: defaultdict[AssetKey, int] = defaultdict(int)
        self._answers: defaultdict[AssetKey, list[Answer]] = defaultdict(list)
        self._owners: defaultdict[str, set[str]] = defaultdict(
            set
        )  # a name less its first label -> ministries below it
        for asset, ministry in ministries.items():
            self._owners[asset.name.partition(".")[2]].add(ministry)
        for (asset, probe, subject), answer in answers.items():
            if probe == "tls" and not subject.startswith("mx:"):  # a mail exchanger serves many zones, as it should
                self._answers[asset].append(answer)
                if isinstance(answer, Observed) and isinstance(answer.facts, TlsFacts) and answer.facts.chain:
                    self._note(asset, subject, answer.facts.chain[0])

    def _note(self, asset: AssetKey, subject: str, der: bytes) -> None:
        try:
            leaf = certificate(der)
            info = spki(leaf)
            found = names(leaf).dns[:_MOST_NAMES]
        except UNREADABLE:
            self._unreadable[asset] += 1
            return
        self._keys[sha256(info).hexdigest()][asset].add(subject)
        self._wildcards[asset].update(name[2:] for name in found if name.startswith("*."))

    def about(self, task: Task, at: datetime) -> Task | Absent | Unobserved:
        asset = task.key
        keys = [self._use(key, asset) for key in sorted(self._keys) if asset in self._keys[key]]
        if not keys and not self._unreadable[asset]:
            return self._why_none(asset, at)
        own = self._ministries.get(asset, task.ministry)
        covered = {parent: len(self._owners[parent] - {own}) for parent in sorted(self._wildcards[asset])}
        wildcards = [{"pattern": f"*.{parent}", "foreign": count} for parent, count in covered.items() if count]
        return replace(task, params={"keys": keys, "wildcards": wildcards, "unreadable": self._unreadable[asset]})

    def _use(self, key: str, asset: AssetKey) -> dict[str, object]:
        users = self._keys[key]
        ministry = self._ministries.get(asset)
        places = {_address(subject) for subject in users[asset]}
        own = {
            other.name
            for other, subjects in users.items()
            if other != asset and self._ministries.get(other) == ministry
            # Two names at one address are one server, which has one key for both as it likes.
            if not places & {_address(subject) for subject in subjects}
        }
        foreign = {self._ministries.get(other) for other in users} - {ministry}
        return {"key": key, "endpoints": sorted(users[asset]), "own": sorted(own), "foreign": len(foreign)}

    def _why_none(self, asset: AssetKey, at: datetime) -> Absent | Unobserved:
        """No certificate of the asset was seen: what was missed says why, else that nothing is there."""
        answers = self._answers[asset]
        missed = next((answer for answer in answers if isinstance(answer, Unobserved)), None)
        if missed is not None:
            return missed
        absent = next((answer for answer in answers if isinstance(answer, Absent)), None)
        return (
            absent
            if absent and len(answers) == sum(isinstance(one, Absent) for one in answers)
            else Unobserved(Reason.NOT_RECORDED, at, "no certificate was read")
        )


def _address(subject: str) -> str:
    try:
        return parse_endpoint(subject)[0]
    except ValueError:
        return subject
