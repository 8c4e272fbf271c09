"""Text that a scanned host may send us to hurt whoever reads the report."""

from __future__ import annotations

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "javascript:alert(1)",
    "</style><base href=//evil.test>",
    "{{ 7*7 }}{% raw %}",
    "\x1b[31mred\x1b]0;title\x07",
    "\x9b31m c1",
    "left \u202e thgir \u2066 isolate",
    "zero\u200bwidth \ufeff\u00ad",
    "two\r\nlines\tand a tab\x00",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1)",
    "\uff1d1",
    "| pipe | [link](javascript:alert(1)) `code` <b>",
    "\ud800 lone surrogate",
    "A" * 100_000,
)
