from __future__ import annotations

from typing import Any

import pytest

from posture.reporters.unseen import MEANINGS, UNKNOWN_CODE, refused, unseen
from posture.scope import REASONS
from tests.reporters import sample

OUTSIDE = "{} resolves to 192.0.2.77, outside the networks of zz-2026-001. DNS facts only."


def barred(code: str | None, asset: str = sample.WWW, detail: str = "", **changes: Any) -> dict[str, Any]:
    args = {"detail": detail} if detail else {}
    return sample.row(asset, "tls.hsts.policy", "unknown", "Not looked at.", code=code, args=args, **changes)


def test_every_refusal_has_words_that_end_with_the_mending() -> None:
    assert set(REASONS) <= set(MEANINGS)
    for code, words in MEANINGS.items():
        assert [one.words for one in refused([barred(code)])] == [words]
        assert words.count(".") >= 2 or ":" in words


def test_a_code_without_words_is_shown_all_the_same() -> None:
    (one,) = refused([barred("E-SCOPE-099")])
    assert one.code == "E-SCOPE-099"
    assert one.words == UNKNOWN_CODE


def test_the_refusals_own_words_win() -> None:
    (one,) = refused([barred("E-SCOPE-002", detail="zz-2026-001: 1 of 2 required signatures verify. Have it signed.")])
    assert one.words == "zz-2026-001: 1 of 2 required signatures verify. Have it signed."


@pytest.mark.parametrize(
    ("subject", "provider", "words"),
    [
        ("192.0.2.77:443/tcp", "the host of 192.0.2.77", "hosted at 192.0.2.77"),
        ("192.0.2.77", "the host of 192.0.2.77", "hosted at 192.0.2.77"),
        ("", None, "hosted at 192.0.2.77"),
        ("mx:mx.cloudmail.example:25", "cloudmail.example", "hosted by cloudmail.example at 192.0.2.77"),
    ],
)
def test_a_host_elsewhere_is_named(subject: str, provider: str | None, words: str) -> None:
    row = barred("E-SCOPE-020", detail=OUTSIDE.format("www.x.example"), subject=subject, provider=provider)
    (one,) = refused([row])
    assert one.words == f"{words}, not in your authorisation: ask the host's owner"


def test_a_host_is_said_once_with_all_names_on_it_before_all_else() -> None:
    rows = [barred("E-SCOPE-010", detail="x: the probe is active.")] * 9
    rows += [
        barred("E-SCOPE-020", asset, OUTSIDE.format(asset), subject=subject)
        for asset in (sample.WWW, sample.LEGACY)
        for subject in ("", "192.0.2.77:80/tcp", "192.0.2.77:443/tcp")
    ]
    first, second = refused(rows)
    assert (first.code, first.count, [key.name for key, _ in first.assets]) == (
        "E-SCOPE-020",
        6,
        [sample.LEGACY, sample.WWW],
    )
    assert (second.code, second.count) == ("E-SCOPE-010", 9)


def test_silence_and_refusal_are_kept_apart() -> None:
    rows = [barred(None), barred("E-SCOPE-003"), sample.row(sample.WWW, "tls.hsts.policy", "pass")]
    (silent,) = unseen(rows)
    assert silent.why == "Not looked at."
    assert silent.count == 1
    assert [one.code for one in refused(rows)] == ["E-SCOPE-003"]
