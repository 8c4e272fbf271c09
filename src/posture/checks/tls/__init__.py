"""The tls family: RULES in reading order."""

from __future__ import annotations

from posture.checks.rule import Rule
from posture.checks.tls.rules.certificate import CERTIFICATE_RULES
from posture.checks.tls.rules.cipher import CIPHER_RULES
from posture.checks.tls.rules.exchange import EXCHANGE_RULES
from posture.checks.tls.rules.extension import EXTENSION_RULES
from posture.checks.tls.rules.https import HTTPS_RULES
from posture.checks.tls.rules.issuance import ISSUANCE_RULES
from posture.checks.tls.rules.key import KEY_RULES
from posture.checks.tls.rules.preload import PRELOAD_RULES
from posture.checks.tls.rules.protocol import PROTOCOL_RULES
from posture.checks.tls.rules.revocation import REVOCATION_RULES
from posture.checks.tls.rules.sharing import SHARING_RULES
from posture.checks.tls.rules.vulnerability import VULNERABILITY_RULES

RULES: tuple[Rule, ...] = (
    *HTTPS_RULES,
    *PRELOAD_RULES,
    *PROTOCOL_RULES,
    *CIPHER_RULES,
    *EXCHANGE_RULES,
    *EXTENSION_RULES,
    *CERTIFICATE_RULES,
    *KEY_RULES,
    *REVOCATION_RULES,
    *ISSUANCE_RULES,
    *SHARING_RULES,
    *VULNERABILITY_RULES,
)
