"""What must happen at each hostile server: why nothing could be seen, and which controls may be decided all the same.

A row names every reason that an answer or a finding may have, and every control that may be decided, with its outcome:
each stands on something that the server did say. Whatever a row does not name may not happen; above all no pass and no
fail of silence, nonsense or a lie that contradicts itself. Servers that flood or drip keep us busy until a deadline.
"""

from __future__ import annotations

from dataclasses import dataclass

from posture.model import Reason


@dataclass(frozen=True)
class Row:
    """``reasons`` and ``decided`` ("control=outcome") separated by spaces; ``busy``: deadlines may end it, too."""

    reasons: str = ""
    decided: str = ""
    busy: bool = False

    @property
    def may_be_late(self) -> bool:
        """Whether our own pauses or deadlines may come before anything was said."""
        return self.busy or "rate_limited" in self.reasons

    @property
    def allowed(self) -> frozenset[Reason]:
        named = frozenset(map(Reason, self.reasons.split()))
        late = {Reason.TIMEOUT, Reason.DEADLINE} if self.busy else set()
        # Whoever resets us again and again is left alone, and then it is we who did not ask.
        polite = {Reason.RATE_LIMITED} if Reason.RESET in named else set()
        return named | late | polite


# ---- what a row may decide, by what the server said

# A port that answers RST is closed: this much is known of every address here.
CLOSED_PORTS = (
    "svc.baseline=pass svc.mgmt.telnet=pass svc.mgmt.rdp=pass svc.file.smb=pass svc.file.ftp=pass svc.db.sql=pass "
    "svc.db.unauth=pass "
)
# OpenSSL behind it answered every hello, by choice or by alert.
OF_TLS12 = (
    "tls.cipher.cbc=warn tls.kex.dh_group=pass tls.kex.curves=pass tls.kex.hash=warn tls.kex.hash=pass tls.ems=pass "
    "tls.compression=pass "
)
SERVED = (
    "tls.protocol.ssl=pass tls.protocol.legacy=pass tls.protocol.tls13=pass tls.cipher.insecure=pass "
    "tls.cipher.forward_secrecy=pass tls.kex.pq_hybrid=warn tls.kex.pq_hybrid=pass "
    "tls.vuln.heartbleed=pass tls.vuln.ccs=pass tls.vuln.robot=pass "
) + OF_TLS12
CERTIFICATE = (
    "tls.cert.expiry=pass tls.cert.trust=pass tls.cert.chain=pass tls.cert.hostname=pass tls.cert.key=pass "
    "tls.cert.sigalg=pass tls.cert.lifetime=fail tls.cert.must_staple=pass tls.cert.shared_key=pass "
)
# The certificate itself is in order: dates, key and signature. It lives longer than an authority would allow.
SOUND = (
    "tls.cert.expiry=pass tls.cert.key=pass tls.cert.sigalg=pass tls.cert.lifetime=fail tls.cert.must_staple=pass "
    "tls.cert.shared_key=pass "
)
HTTPS = "tls.https.available=pass "
# A whole answer without any of the headers, or the file, that we look for.
PAGE = "web.header.basic=fail tls.hsts.preload=info "
NO_HSTS = "tls.hsts.policy=fail "
NO_TXT = "web.securitytxt=fail "
CLEAR = "tls.https.redirect=fail "
# A ServerHello of TLS 1.2, without any extension, to a hello that offered TLS 1.3.
ONLY_12 = "tls.protocol.tls13=warn tls.ems=fail tls.reneg=fail "
GREETED = "mail.mx.valid=pass "

# What holds for all of a kind, whatever the one server does. The TLS in front of a hostile web server is a good one.
OF_KIND = {
    "tls": CLOSED_PORTS,
    "cert": CLOSED_PORTS,
    "chain": CLOSED_PORTS,
    "http": CLOSED_PORTS + SERVED + CERTIFICATE + HTTPS + "svc.baseline=fail tls.hsts.preload=info",
    "smtp": CLOSED_PORTS + "svc.baseline=warn",
    "dns": "",
    "dnstcp": "",
    "banner": "svc.baseline=fail",
}

ROWS: dict[str, Row] = {
    # TLS: hellos and handshakes
    "tls.silent": Row("timeout"),
    "tls.deaf": Row("timeout"),
    "tls.hang_up": Row("reset"),
    "tls.reset": Row("reset"),
    "tls.reset_at_once": Row("reset"),
    "tls.reset_midway": Row("reset"),
    "tls.reset_after_hello": Row("malformed reset", ONLY_12),
    "tls.flaky": Row("rate_limited refused_by_target reset", busy=True),
    "tls.flaky_but_real": Row(
        "not_recorded rate_limited reset", SERVED + CERTIFICATE + HTTPS + PAGE + NO_HSTS + NO_TXT, busy=True
    ),
    "tls.late": Row("", SERVED + CERTIFICATE + HTTPS + PAGE + NO_HSTS + NO_TXT, busy=True),
    "tls.renegotiates_without_end": Row(
        "reset",
        CERTIFICATE
        + HTTPS
        + ONLY_12
        + OF_TLS12
        + "tls.cipher.forward_secrecy=pass tls.cipher.insecure=pass tls.protocol.legacy=pass tls.protocol.ssl=pass",
        busy=True,
    ),
    "tls.half_closes": Row("refused_by_target reset"),
    "tls.drip": Row("timeout", busy=True),
    "tls.drip_alerts": Row("refused_by_target reset", busy=True),
    "tls.echo": Row("malformed"),
    "tls.plain_http": Row("malformed"),
    "tls.ssh_banner": Row("malformed"),
    "tls.truncated_hello": Row("reset truncated"),
    "tls.lying_record_length": Row("malformed"),
    "tls.lying_hello_length": Row("malformed"),
    "tls.short_hello": Row("malformed"),
    "tls.lying_extensions": Row("malformed"),
    "tls.suite_never_offered": Row("malformed"),
    "tls.version_from_nowhere": Row("malformed"),
    "tls.record_type_from_nowhere": Row("malformed"),
    "tls.alert_from_nowhere": Row("malformed refused_by_target"),
    "tls.retry_for_ever": Row(
        "malformed", "tls.protocol.tls13=pass tls.vuln.heartbleed=pass tls.vuln.ccs=pass", busy=True
    ),
    "tls.warnings_for_ever": Row("malformed refused_by_target", busy=True),
    "tls.empty_records_for_ever": Row("malformed", busy=True),
    "tls.fragments_for_ever": Row("malformed", busy=True),
    "tls.certificate_of_16_megabytes": Row("malformed"),
    "tls.certificates_of_one_byte": Row("malformed", HTTPS + ONLY_12 + "tls.cert.trust=fail"),
    "tls.compression_never_offered": Row("malformed"),
    "tls.hello_twice": Row("malformed", ONLY_12),
    "tls.never_accepts": Row("timeout"),
    # certificates and chains
    "cert.ten_thousand_names": Row("malformed truncated", SERVED),
    "cert.a_thousand_names": Row("", SERVED + CERTIFICATE + HTTPS + PAGE + NO_HSTS + NO_TXT),
    "cert.no_names": Row(
        "",
        SERVED + HTTPS + PAGE + NO_TXT + SOUND + "tls.cert.chain=pass tls.cert.hostname=fail tls.cert.trust=pass",
    ),
    "cert.unreadable_dates": Row("malformed", SERVED + HTTPS + PAGE + NO_TXT + "tls.cert.trust=fail"),
    "cert.far_future": Row("", SERVED + CERTIFICATE + HTTPS + PAGE + NO_HSTS + NO_TXT),
    "cert.not_yet_valid": Row(
        "",
        SERVED + HTTPS + PAGE + NO_TXT + "tls.cert.chain=pass tls.cert.expiry=fail tls.cert.hostname=pass "
        "tls.cert.key=pass tls.cert.sigalg=pass tls.cert.trust=pass tls.cert.lifetime=fail "
        "tls.cert.must_staple=pass tls.cert.shared_key=pass",
    ),
    "cert.nul_in_name": Row(
        "",
        SERVED + HTTPS + PAGE + NO_TXT + SOUND + "tls.cert.chain=pass tls.cert.hostname=fail tls.cert.trust=pass",
    ),
    "cert.wildcards": Row(
        "",
        SERVED + HTTPS + PAGE + NO_TXT + SOUND + "tls.cert.chain=pass tls.cert.hostname=fail tls.cert.trust=pass",
    ),
    "cert.injecting_subject": Row("", SERVED + CERTIFICATE + HTTPS + PAGE + NO_HSTS + NO_TXT),
    "cert.for_clients_only": Row(
        "",
        SERVED + HTTPS + PAGE + NO_TXT + SOUND + "tls.cert.chain=pass tls.cert.hostname=pass tls.cert.trust=fail",
    ),
    "cert.unknown_critical_extension": Row(
        "",
        SERVED + HTTPS + PAGE + NO_TXT + SOUND + "tls.cert.chain=pass tls.cert.hostname=pass tls.cert.trust=fail",
    ),
    "cert.unknown_extension": Row("", SERVED + CERTIFICATE + HTTPS + PAGE + NO_HSTS + NO_TXT),
    "cert.serial_of_twenty_bytes": Row("", SERVED + CERTIFICATE + HTTPS + PAGE + NO_HSTS + NO_TXT),
    "chain.hundred_certificates": Row(
        "truncated",
        SERVED + HTTPS + PAGE + NO_TXT + SOUND + "tls.cert.hostname=pass",
    ),
    "chain.hundred_of_the_same_name": Row(
        "truncated",
        SERVED + HTTPS + PAGE + NO_TXT + SOUND + "tls.cert.chain=warn tls.cert.hostname=pass",
    ),
    "chain.same_names": Row(
        "",
        SERVED + HTTPS + PAGE + NO_TXT + SOUND + "tls.cert.chain=warn tls.cert.hostname=pass tls.cert.trust=fail",
    ),
    "chain.lookalike_issuers": Row(
        "",
        SERVED + HTTPS + PAGE + NO_TXT + SOUND + "tls.cert.chain=warn tls.cert.hostname=pass tls.cert.trust=fail",
    ),
    "chain.circle": Row(
        "",
        SERVED + HTTPS + PAGE + NO_TXT + SOUND + "tls.cert.chain=fail tls.cert.hostname=pass tls.cert.trust=fail",
    ),
    "chain.upside_down": Row(
        "",
        SERVED
        + HTTPS
        + PAGE
        + NO_HSTS
        + NO_TXT
        + SOUND
        + "tls.cert.chain=warn tls.cert.hostname=pass tls.cert.trust=pass",
    ),
    "cert.malformed": Row("malformed", HTTPS + ONLY_12 + "tls.cert.trust=fail"),
    "cert.empty": Row("malformed", HTTPS + ONLY_12 + "tls.cert.trust=fail"),
    "cert.lying_length": Row("malformed", HTTPS + ONLY_12 + "tls.cert.trust=fail"),
    "cert.cut_short": Row("malformed", HTTPS + ONLY_12 + "tls.cert.trust=fail"),
    "cert.trailing_bytes": Row("malformed", HTTPS + ONLY_12 + "tls.cert.trust=fail"),
    "cert.nested_ten_thousand_deep": Row("malformed", HTTPS + ONLY_12 + "tls.cert.trust=fail"),
    "cert.endless_length": Row("malformed", HTTPS + ONLY_12 + "tls.cert.trust=fail"),
    "cert.huge_rsa_key": Row("malformed timeout", CERTIFICATE + HTTPS + ONLY_12),
    "cert.unreadable_utf8": Row("malformed", HTTPS + ONLY_12 + "tls.cert.trust=fail"),
    "cert.duplicate_extension": Row("malformed", HTTPS + ONLY_12 + "tls.cert.trust=fail"),
    "chain.none": Row("malformed", ONLY_12),
    "chain.garbage_above_the_leaf": Row(
        "malformed",
        HTTPS + ONLY_12 + SOUND + "tls.cert.chain=warn tls.cert.hostname=pass tls.cert.trust=pass",
    ),
    "chain.leaf_fifty_times": Row(
        "malformed",
        HTTPS + ONLY_12 + SOUND + "tls.cert.chain=warn tls.cert.hostname=pass tls.cert.trust=pass",
    ),
    # HTTP, in clear and inside good TLS
    "http.silent": Row("timeout"),
    "http.reset": Row("reset"),
    "http.reset_in_headers": Row("malformed reset"),
    "http.reset_in_body": Row("malformed reset", PAGE + NO_HSTS + CLEAR),
    "http.drip_headers": Row("malformed timeout", busy=True),
    "http.drip_body": Row("malformed timeout", PAGE + NO_HSTS + CLEAR, busy=True),
    "http.status_line_for_ever": Row("malformed", busy=True),
    "http.header_line_for_ever": Row("malformed", busy=True),
    "http.headers_for_ever": Row("malformed", busy=True),
    "http.continue_for_ever": Row("malformed", busy=True),
    "http.body_for_ever": Row("", PAGE + NO_HSTS + NO_TXT + CLEAR, busy=True),
    "http.chunks_for_ever": Row("", PAGE + NO_HSTS + NO_TXT + CLEAR, busy=True),
    "http.trailers_for_ever": Row("malformed", PAGE + NO_HSTS + CLEAR, busy=True),
    "http.chunk_size_of_a_megabyte": Row("malformed", PAGE + NO_HSTS + CLEAR, busy=True),
    "http.negative_chunk": Row("malformed", PAGE + NO_HSTS + CLEAR),
    "http.length_too_long": Row("malformed truncated", PAGE + NO_HSTS + CLEAR),
    "http.length_negative": Row("malformed"),
    "http.two_lengths": Row("malformed"),
    "http.length_and_chunks": Row("", PAGE + NO_HSTS + NO_TXT + CLEAR),
    "http.gzip_bomb": Row("", PAGE + NO_HSTS + NO_TXT + CLEAR),
    "http.status_from_nowhere": Row("malformed"),
    "http.version_from_nowhere": Row("", PAGE + NO_HSTS + NO_TXT + CLEAR),
    "http.no_headers": Row("malformed"),
    "http.redirect_to_itself": Row("malformed"),
    "http.redirect_to_metadata": Row("out_of_scope", NO_HSTS),
    "http.redirect_to_a_file": Row("refused_by_target"),
    "http.redirect_to_nonsense": Row("malformed"),
    "http.redirect_of_a_megabyte": Row("malformed"),
    "http.redirects_without_end": Row("malformed", busy=True),
    "http.redirect_to_loopback_in_disguise": Row("out_of_scope", NO_HSTS),
    "http.half_closes": Row("reset truncated"),
    "http.upgrade_never_asked": Row("malformed"),
    "http.thousands_of_fields": Row("malformed"),
    "http.deflate_of_nonsense": Row("malformed", PAGE + NO_HSTS + CLEAR),
    "http.injecting_headers": Row("", PAGE + NO_HSTS + NO_TXT + CLEAR),
    "http.nul_in_headers": Row("malformed"),
    "http.injecting_body": Row("", PAGE + NO_HSTS + NO_TXT + CLEAR),
    # SMTP
    "smtp.silent": Row("timeout"),
    "smtp.hang_up": Row("reset truncated"),
    "smtp.busy": Row("rate_limited refused_by_target"),
    "smtp.busy_after_ehlo": Row("rate_limited refused_by_target"),
    "smtp.busy_after_starttls": Row("rate_limited temporary", GREETED),
    "smtp.pipelined_junk": Row("malformed temporary", GREETED),
    "smtp.nul_in_reply": Row("blocked", GREETED),
    "smtp.half_closes": Row("reset truncated"),
    "smtp.starttls_answer_for_ever": Row("malformed temporary", GREETED, busy=True),
    "smtp.rejecting": Row("refused_by_target"),
    "smtp.drip_greeting": Row("timeout", busy=True),
    "smtp.greeting_for_ever": Row("malformed", busy=True),
    "smtp.line_for_ever": Row("malformed", busy=True),
    "smtp.injecting_greeting": Row("temporary timeout", GREETED),
    "smtp.code_from_nowhere": Row("malformed"),
    "smtp.mixed_codes": Row("refused_by_target timeout"),
    "smtp.ehlo_for_ever": Row("malformed", busy=True),
    "smtp.ehlo_cut": Row("truncated"),
    "smtp.ehlo_reset": Row("reset"),
    "smtp.masked_by_a_firewall": Row("blocked", GREETED),
    "smtp.starttls_refused": Row("temporary", GREETED),
    "smtp.starttls_then_silence": Row("temporary timeout", GREETED),
    "smtp.starttls_then_reset": Row("reset temporary", GREETED),
    "smtp.starttls_then_clear_text": Row("malformed temporary", GREETED),
    "smtp.starttls_with_injected_answer": Row("malformed", GREETED + "mail.starttls=fail"),
    # DNS over UDP and TCP, as our own resolver and as a name server of the zone
    "dns.silent": Row("timeout"),
    "dns.empty": Row("malformed", busy=True),
    "dns.three_bytes": Row("malformed timeout"),
    "dns.garbage": Row("malformed timeout"),
    "dns.echo": Row("malformed timeout"),
    "dns.wrong_id": Row("malformed timeout"),
    "dns.wrong_question": Row("malformed"),
    "dns.no_question": Row("malformed"),
    "dns.lying_counts": Row("malformed"),
    "dns.truncated": Row("malformed truncated"),
    "dns.servfail": Row("temporary", "dns.ns.lame=fail"),
    "dns.refused": Row("refused_by_target", "dns.ns.axfr=pass dns.ns.lame=fail"),
    "dns.rcode_from_nowhere": Row("malformed"),
    "dns.pointer_loop": Row("malformed"),
    "dns.pointer_beyond": Row("malformed"),
    "dns.label_type_from_nowhere": Row("malformed"),
    "dns.alias_of_itself": Row("malformed", "dns.ns.lame=fail"),
    "dns.record_cut_short": Row("malformed"),
    "dns.address_of_nine_bytes": Row("malformed"),
    "dns.string_longer_than_its_record": Row("malformed"),
    "dns.injecting_text": Row(
        "malformed", "dns.caa.present=fail dns.ns.lame=fail mail.dmarc.present=fail mail.parked=fail"
    ),
    "dns.formerr": Row("malformed"),
    "dns.nxdomain_without_soa": Row("", "dns.ns.axfr=pass dns.ns.lame=fail mail.dmarc.present=fail mail.parked=fail"),
    "dns.nothing_without_soa": Row(
        "", "dns.caa.present=fail dns.ns.axfr=pass dns.ns.lame=fail mail.dmarc.present=fail mail.parked=fail"
    ),
    "dns.referral_to_nowhere": Row("malformed", "dns.ns.axfr=pass dns.ns.lame=fail"),
    "dns.records_of_another": Row(
        "malformed", "dns.caa.present=fail dns.ns.lame=fail mail.dmarc.present=fail mail.parked=fail"
    ),
    "dns.alias_of_another_for_ever": Row("malformed", "dns.ns.lame=fail", busy=True),
    "dns.thousands_of_addresses": Row("malformed", "dns.ns.lame=fail"),
    "dns.text_of_60_kilobytes": Row("malformed", "dns.ns.lame=fail"),
    "dns.text_of_empty_strings": Row("malformed", "dns.ns.lame=fail"),
    "dns.policy_that_includes_itself": Row(
        "malformed",
        "dns.caa.present=fail dns.ns.lame=fail mail.dmarc.present=fail "
        "mail.spf.lookups=fail mail.spf.policy=pass mail.spf.present=pass mail.spf.valid=fail",
    ),
    "dns.a_query_instead": Row("malformed timeout"),
    "dns.lying_edns": Row("malformed"),
    # DNS that is cut short over UDP, and over TCP does this
    "dnstcp.silent": Row("malformed timeout"),
    "dnstcp.hang_up": Row("malformed reset"),
    "dnstcp.reset": Row("malformed reset", busy=True),
    "dnstcp.lying_length": Row("malformed timeout"),
    "dnstcp.length_zero": Row("malformed"),
    "dnstcp.half_a_length": Row("malformed truncated"),
    "dnstcp.drip": Row("malformed timeout", busy=True),
    "dnstcp.messages_for_ever": Row("malformed", busy=True),
    "dnstcp.half_closes": Row("malformed truncated", "dns.ns.axfr=pass"),
    "dnstcp.transfer_for_ever": Row(
        "malformed", "dns.caa.present=fail dns.ns.axfr=fail mail.dmarc.present=fail mail.parked=fail", busy=True
    ),
    "dnstcp.truncated_again": Row("malformed truncated"),
    "dnstcp.text_of_60_kilobytes": Row(
        "malformed", "dns.caa.present=fail dns.ns.lame=fail mail.dmarc.present=fail mail.parked=fail", busy=True
    ),
    "dnstcp.text_of_empty_strings": Row(
        "malformed", "dns.caa.present=fail dns.ns.lame=fail mail.dmarc.present=fail mail.parked=fail", busy=True
    ),
    "dnstcp.thousands_of_addresses": Row(
        "malformed", "dns.caa.present=fail dns.ns.lame=fail mail.dmarc.present=fail mail.parked=fail", busy=True
    ),
    # what a sweep hears, on eleven ports
    "banner.silent": Row("timeout", busy=True),
    "banner.hang_up": Row("reset", busy=True),
    "banner.reset_at_once": Row("reset", busy=True),
    "banner.drip": Row("malformed", busy=True),
    "banner.for_ever": Row("malformed", busy=True),
    "banner.zeros_for_ever": Row("malformed", busy=True),
    "banner.injecting": Row("malformed", busy=True),
    "banner.echo": Row("malformed", busy=True),
    "banner.telnet_options_for_ever": Row(
        "malformed",
        "svc.db.sql=pass svc.file.ftp=pass svc.file.smb=pass svc.mgmt.rdp=pass svc.mgmt.telnet=fail",
        busy=True,
    ),
    "banner.telnet_option_cut": Row(
        "reset", "svc.db.sql=pass svc.file.ftp=pass svc.file.smb=pass svc.mgmt.rdp=pass svc.mgmt.telnet=fail", busy=True
    ),
    "banner.ftp_lines_for_ever": Row("malformed", busy=True),
    "banner.mysql_lying_length": Row("malformed", busy=True),
    "banner.ssh_endless_version": Row(
        "malformed",
        "svc.db.sql=pass svc.file.ftp=pass svc.file.smb=pass svc.mgmt.rdp=pass svc.mgmt.telnet=pass",
        busy=True,
    ),
    "banner.redis_lying_length": Row("malformed", busy=True),
    "banner.redis_negative_length": Row("malformed", busy=True),
    "banner.redis_nested_arrays": Row("malformed", busy=True),
    "banner.mongodb_lying_length": Row("malformed", busy=True),
    "banner.rdp_half_an_answer": Row("malformed", busy=True),
    "banner.half_closes": Row("reset", busy=True),
    "banner.yes_to_everything": Row("malformed", busy=True),
    "banner.tls_alerts_for_ever": Row("malformed refused_by_target", "svc.file.smb=pass svc.mgmt.rdp=pass", busy=True),
    "banner.mongodb_nested_documents": Row("malformed", busy=True),
    "banner.http_page_for_ever": Row("malformed", "svc.db.unauth=pass svc.file.smb=pass svc.mgmt.rdp=pass", busy=True),
    "banner.smtp_busy": Row("malformed", busy=True),
    "banner.smb_lying_length": Row("malformed", busy=True),
}
