#!/usr/bin/env python3
"""scapy as an independent judge of ESP: it opens what vpnhost seals, and vpnhost opens what it seals.

    judge.py ORACLE        (ORACLE: the built example esp_oracle of vpnhost-ipsec)

Every packet protection that a crypto backend has is judged, with IPv4 and IPv6 inside and outside, in UDP and as
protocol 50, with short and with extended sequence numbers, for so many lengths that each length of padding
occurs; in transport mode, too, where scapy also says whether checksums are right behind a NAT; and what was tampered with is refused by both. scapy 2.8 knows extended sequence numbers for
encrypt-then-MAC and for AEADs (2.5 does not, nor encapsulation in UDP), so nothing is checked by hand.
"""

import os
import subprocess
import sys

import scapy
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw

KEYS = ("128", "192", "256")
# Our name of a cipher that needs an integrity algorithm, scapy's name.
CIPHERS = {"3des": "3DES", "null": "NULL"}
CIPHERS |= {f"aes{key}": "AES-CBC" for key in KEYS}
CIPHERS |= {f"aes{key}ctr": "AES-CTR" for key in KEYS}
INTEGRITIES = {"sha1": "HMAC-SHA1-96", "sha256": "SHA2-256-128", "sha384": "SHA2-384-192",
               "sha512": "SHA2-512-256", "aescmac": "AES-CMAC-96"}
# Our name of an AEAD, scapy's name and the octets of its ICV.
AEADS = {"chacha20poly1305": ("CHACHA20-POLY1305", 16)}
AEADS |= {f"aes{key}gcm16": ("AES-GCM", 16) for key in KEYS}
AEADS |= {f"aes{key}ccm{icv}": ("AES-CCM", icv) for key in KEYS for icv in (8, 12, 16)}
# What scapy 2.8 has not: strongSwan and the known answers judge these.
UNKNOWN_TO_SCAPY = {"aesxcbc"} | {f"aes{key}gcm{icv}" for key in KEYS for icv in (8, 12)}

# What each backend must have, whatever else it has: these are judged with every length.
EXPECTED = {f"{cipher}-{integrity}" for cipher in CIPHERS if cipher != "null" and "ctr" not in cipher
            for integrity in ("sha256", "sha384", "sha512")}
EXPECTED |= {f"aes{key}gcm16" for key in KEYS} | {"chacha20poly1305"}
BACKENDS = {"rustcrypto": EXPECTED,
            "aws-lc": {name for name in EXPECTED if "3des" not in name}}

# 0 to 16 octets behind the UDP header: every length of padding of 16-octet blocks.
LENGTHS = [*range(17), 63, 512, 1200]
# What is inside does not know of the path: the others see fewer.
FEW = [0, 13, 63, 1200]
# Transport mode: as it is, and through a NAT that gave the sender the outer address; its own is one of these.
KINDS = ("transport", "nat", "unknown")
INSIDE = {"4": "10.9.8.7", "6": "fd09::7"}
PATHS = {"udp4": LENGTHS, "udp6": FEW, "raw4": FEW, "raw6": FEW}
# The first packet, the middle, the turn of the low half, and the last.
SHORT = [1, 2, 0x7FFFFFFF, 0xFFFFFFFF]
EXTENDED = [1, 0xFFFFFFFF, 0x1_0000_0000, 0x1_0000_0001, 0x1234_89ABCDEF, 0xFFFFFFFF_FFFFFFFE]

OUTER = {"4": IP(src="192.0.2.1", dst="192.0.2.2"), "6": IPv6(src="2001:db8::1", dst="2001:db8::2")}


class Oracle:
    """vpnhost's ESP, asked line by line."""

    def __init__(self, program, backend):
        self.child = subprocess.Popen([program, backend], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request):
        self.child.stdin.write(request + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise RuntimeError(f"the oracle says {answer!r} to {request}")
        return answer

    def suites(self):
        answer, suites = self.ask("suites"), []
        while answer != "end":
            _, name, key, integrity_key = answer.split()
            suites.append((name, int(key), int(integrity_key)))
            answer = self.child.stdout.readline().strip()
        return suites


class Case:
    """An SA, known to both, that is about to carry the packet of a sequence number."""

    def __init__(self, suite, extended, sequence, path):
        self.name, key, integrity_key = suite
        self.key, self.integrity_key = os.urandom(key), os.urandom(integrity_key)
        self.spi = int.from_bytes(os.urandom(4), "big") | 0x100
        self.extended, self.sequence, self.path = extended, sequence, path

    def __str__(self):
        return f"{self.name}, {'esn' if self.extended else 'short'} {self.sequence:#x}, {self.path}"

    def ours(self, oracle, verb, octets, sequence=None):
        last = (self.sequence if sequence is None else sequence) - 1
        words = [verb, self.name, self.key.hex() or "-", self.integrity_key.hex() or "-", f"{self.spi:x}",
                 "esn" if self.extended else "short", str(last), self.path, octets.hex() or "-"]
        return oracle.ask(" ".join(words))

    def scapys(self, sequence=None):
        sequence = self.sequence if sequence is None else sequence
        cipher, _, integrity = self.name.partition("-")
        name, icv = AEADS.get(cipher) or (CIPHERS[cipher], None)
        return SecurityAssociation(
            ESP, spi=self.spi, seq_num=sequence & 0xFFFFFFFF,
            crypt_algo=name, crypt_key=self.key or None, crypt_icv_size=icv,
            auth_algo=INTEGRITIES[integrity] if integrity else None, auth_key=self.integrity_key or None,
            tunnel_header=None if "-" in self.path else OUTER[self.path[3]], nat_t_header=self.udp(),
            esn_en=self.extended, esn=sequence >> 32)

    def udp(self):
        return UDP(sport=4500, dport=4500) if self.path.startswith("udp") else None

    def on_the_wire(self, esp):
        """Puts in front of ESP what the kernel would, and reads it back as scapy would from a socket."""
        header = OUTER[self.path[3]].copy()
        if self.udp():
            packet = header / UDP(sport=4500, dport=4500, chksum=0) / Raw(esp)
        elif self.path[3] == "4":
            header.proto = 50
            packet = header / Raw(esp)
        else:
            header.nh = 50
            packet = header / Raw(esp)
        return header.__class__(bytes(packet))

    def seal_by_scapy(self, inner):
        sealed = self.scapys().encrypt(inner.copy())
        if self.udp() and sealed[UDP].dport != 4500:
            raise RuntimeError("scapy did not encapsulate")
        return bytes(sealed[ESP])

    def open_by_scapy(self, esp, sequence=None):
        return bytes(self.scapys(sequence).decrypt(self.on_the_wire(esp)))

    def padding_of(self, esp):
        """Returns padding, next header of ours, which scapy takes off without a look."""
        sa, packet = self.scapys(), self.on_the_wire(esp)[ESP]
        icv = sa.crypt_icv_size or sa.auth_algo.icv_size
        plain = sa.crypt_algo.decrypt(sa, packet, sa.crypt_key, icv, esn_en=sa.esn_en, esn=sa.esn)
        return plain.padding, plain.nh


def inner_packet(version, length):
    header = IP(src="10.1.0.1", dst="10.2.0.1", tos=0x28, ttl=17) if version == 4 \
        else IPv6(src="fd01::1", dst="fd02::1", tc=0x28, hlim=17)
    packet = header / UDP(sport=7, dport=9) / Raw(bytes(at % 251 for at in range(length)))
    return header.__class__(bytes(packet))


class Verdict:
    """Counts checks and tells of those that fail."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, what, good):
        if good:
            self.passed += 1
            return
        self.failed += 1
        if self.failed <= 40:
            print(f"FAIL {what}")

    def refused(self, what, attempt):
        """scapy refuses by an exception; which one depends on what is broken."""
        try:
            attempt()
        except Exception:  # noqa: B902 (struct.error, IndexError, InvalidTag, IPSecIntegrityError ...)
            self.passed += 1
            return
        self.check(what, False)


def judge_round_trips(oracle, suite, verdict):
    for version in (4, 6):
        for extended in (False, True):
            sequences = EXTENDED if extended else SHORT
            for path, lengths in PATHS.items():
                for at, length in enumerate(lengths if suite[0] in EXPECTED else FEW):
                    case = Case(suite, extended, sequences[at % len(sequences)], path)
                    inner = inner_packet(version, length)
                    judge_both_ways(oracle, case, inner, verdict, f"{case}, IPv{version} + {length}")


def judge_both_ways(oracle, case, inner, verdict, what):
    word, _, sealed = case.ours(oracle, "seal", bytes(inner)).partition(" ")
    if word != "ok":
        verdict.check(f"{what}: we do not seal ({sealed})", False)
        return
    esp = bytes.fromhex(sealed)
    try:
        verdict.check(f"{what}: scapy opens ours", case.open_by_scapy(esp) == bytes(inner))
        padding, next_header = case.padding_of(esp)
        good = padding == bytes(range(1, len(padding) + 1)) and next_header == (4 if inner.version == 4 else 41)
        verdict.check(f"{what}: padding {padding.hex()}, next header {next_header}", good)
    except Exception as error:  # noqa: B902
        verdict.check(f"{what}: scapy refuses ours: {error!r}", False)
    answer = case.ours(oracle, "open", case.seal_by_scapy(inner))
    verdict.check(f"{what}: we open scapy's: {answer[:60]}", answer == f"ok {bytes(inner).hex()}")


def judge_transport(oracle, suite, verdict):
    """A payload alone is carried, and arrives under a header of the two hosts with a checksum that fits."""
    for extended in (False, True):
        for path in PATHS:
            for kind in KINDS if suite[0] in EXPECTED else KINDS[:1]:
                for layer in (UDP(sport=7, dport=9), TCP(sport=7, dport=9, seq=5, flags="A")):
                    for length in (0, 63):
                        case = Case(suite, extended, 7, f"{path}-{kind}")
                        sender = OUTER[path[3]].copy()
                        if kind != "transport":
                            sender.src = INSIDE[path[3]]
                        inner = sender / layer.copy() / Raw(bytes(at % 251 for at in range(length)))
                        inner = sender.__class__(bytes(inner))
                        what = f"{case}, {layer.name} + {length}"
                        if kind == "transport":
                            judge_ours_in_transport(oracle, case, inner, verdict, what)
                        judge_scapys_in_transport(oracle, case, inner, verdict, what)


def judge_ours_in_transport(oracle, case, inner, verdict, what):
    word, _, sealed = case.ours(oracle, "seal", bytes(inner)).partition(" ")
    verdict.check(f"{what}: we do not seal ({sealed})", word == "ok")
    if word != "ok":
        return
    esp = bytes.fromhex(sealed)
    try:
        opened = case.scapys().decrypt(case.on_the_wire(esp))
        verdict.check(f"{what}: scapy opens ours", bytes(opened.payload) == bytes(inner.payload))
        padding, next_header = case.padding_of(esp)
        good = padding == bytes(range(1, len(padding) + 1)) and next_header == protocol_of(inner)
        verdict.check(f"{what}: padding {padding.hex()}, next header {next_header}", good)
    except Exception as error:  # noqa: B902
        verdict.check(f"{what}: scapy refuses ours: {error!r}", False)


def judge_scapys_in_transport(oracle, case, inner, verdict, what):
    word, _, opened = case.ours(oracle, "open", case.seal_by_scapy(inner)).partition(" ")
    verdict.check(f"{what}: we do not open scapy's ({opened})", word == "ok")
    if word != "ok":
        return
    outer = OUTER[case.path[3]]
    packet = outer.__class__(bytes.fromhex(opened))
    verdict.check(f"{what}: its addresses", (packet.src, packet.dst) == (outer.src, outer.dst))
    written = bytes(packet)
    # scapy computes what is not there.
    packet.payload.chksum = None
    if packet.version == 4:
        packet.chksum = None
    verdict.check(f"{what}: the checksums", bytes(packet) == written)
    del packet.payload.chksum, inner.payload.chksum
    verdict.check(f"{what}: the payload", bytes(packet.payload.payload) == bytes(inner.payload.payload))


def protocol_of(packet):
    return packet.proto if packet.version == 4 else packet.nh


def judge_tampering(oracle, suite, verdict):
    """A packet with a bit turned or cut off, from either side, is refused by the other."""
    for extended in (False, True):
        for path in PATHS:
            case = Case(suite, extended, 0x2_0000_0005 if extended else 5, path)
            inner = inner_packet(4, 100)
            ours = bytes.fromhex(case.ours(oracle, "seal", bytes(inner)).split()[1])
            scapys = case.seal_by_scapy(inner)
            for (name, of_ours), (_, of_scapys) in zip(tampered(ours), tampered(scapys)):
                what = f"{case}: {name}"
                verdict.refused(f"{what}: scapy takes it", lambda esp=of_ours: case.open_by_scapy(esp))
                answer = case.ours(oracle, "open", of_scapys)
                verdict.check(f"{what}: we take it", answer.startswith("drop "))
            if extended:
                # The high half is not in the packet; with another one the checksum is wrong.
                for other in (5, 0x3_0000_0005):
                    attempt = lambda sequence=other: case.open_by_scapy(ours, sequence)  # noqa: E731
                    verdict.refused(f"{case}: scapy takes it as {other:#x}", attempt)
                    answer = case.ours(oracle, "open", scapys, other)
                    verdict.check(f"{case}: we take it as {other:#x}: {answer}", answer == "drop bad_icv")


def tampered(esp):
    for name, at in [("first octet of the SPI", 0), ("sequence number", 7), ("IV", 8), ("last of the IV", 15),
                     ("ciphertext", len(esp) // 2), ("last of the ICV", len(esp) - 1)]:
        for bit in (0x01, 0x80):
            octets = bytearray(esp)
            octets[at] ^= bit
            yield f"{name} ^ {bit:#x}", bytes(octets)
    for cut in (1, 4, 16, len(esp) - 24, len(esp) - 8):
        yield f"{cut} octets cut off", esp[:-cut]
    yield "four octets more", esp + bytes(4)


def main():
    version = tuple(int(part) for part in scapy.__version__.split(".")[:2])
    if version < (2, 8):
        sys.exit(f"scapy {scapy.__version__} judges encapsulated ESP wrongly; 2.8 is needed")
    verdict = Verdict()
    for backend, expected in BACKENDS.items():
        judge_backend(Oracle(sys.argv[1], backend), backend, expected, verdict)
    print(f"{verdict.passed} passed, {verdict.failed} failed")
    sys.exit(1 if verdict.failed else 0)


def judge_backend(oracle, backend, expected, verdict):
    suites = oracle.suites()
    for missing in sorted(expected - {name for name, _, _ in suites}):
        verdict.check(f"{backend} lacks {missing}", False)
    for suite in suites:
        cipher, _, integrity = suite[0].partition("-")
        if UNKNOWN_TO_SCAPY & {cipher, integrity}:
            print(f"{backend} {suite[0]}: not judged, scapy does not know it")
            continue
        if cipher not in AEADS and (cipher not in CIPHERS or integrity not in INTEGRITIES):
            verdict.check(f"{suite[0]}: the judge has no name of scapy's for it", False)
            continue
        before = verdict.passed + verdict.failed
        judge_round_trips(oracle, suite, verdict)
        judge_transport(oracle, suite, verdict)
        judge_tampering(oracle, suite, verdict)
        print(f"{backend} {suite[0]}: {verdict.passed + verdict.failed - before} checks", flush=True)


if __name__ == "__main__":
    main()
