"""The only door to the network: every socket is opened here, after a grant, within the limits, with a deadline.

broker     decides, waits, records, then dials that very literal address
governor   politeness: how many, how fast, first come first served
asset      what the connections of one asset share: its clock and its silent addresses
tcp, udp   sockets with absolute deadlines and byte caps
sandbox    programs of others: limits, an empty environment, certain death (keeper is the process between)
child      such a program under a grant; nmap and sslyze are the two, proxy is sslyze's only way out
tunnel     what goes through that proxy, as its middle sees it: records by kind, never their content
guard      the second lock: in a running scan the interpreter refuses what went round the broker
tls, http  one browser-like GET, readable even from a legacy server
resolver   our own resolver, asked once per name and type in a run
anchors, selftest   whether what we see can be believed: DNSSEC, clock, IPv6
"""
