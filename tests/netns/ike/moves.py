#!/usr/bin/env python3
"""scapy as an independent judge of moves: what NAT_DETECTION says in them, and what follows from it for ESP.

    moves.py CLIENT.pcap GATEWAY.pcap KEYLOG        (what each end saw; KEYLOG: Wireshark's tables of keys)

Each UPDATE_SA_ADDRESSES and its answer (RFC 4555, 3.5) is opened with the keys of the IKE SA. Both hashes are computed
anew (RFC 7296, 2.23) from the addresses and ports that the sender's capture shows, which they must be of, and from those
that the receiver's capture shows, where they must tell the NAT that is on the way, and none where there is none. ESP must
go raw at first, in UDP behind the NAT, and raw again, all of it under the keys of the same two SPIs.
"""

import csv
import hashlib
import os
import socket
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.contrib.ikev2 import IKEv2_Notify
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.utils import rdpcap

GATEWAY = "10.10.0.1"
INFORMATIONAL, SK, NOTIFY = 37, 46, 41
RESPONSE, INITIATOR = 0x20, 0x08
SOURCE, DESTINATION, UPDATE = 16388, 16389, 16400


class Verdict:
    """Counts checks and tells of those that fail."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, what, good):
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        if not good:
            print(f"FAIL {what}")


class Message:
    """An INFORMATIONAL message as one end saw it."""

    def __init__(self, packet, octets):
        self.octets = octets
        self.source, self.destination = (packet.src, packet[UDP].sport), (packet.dst, packet[UDP].dport)
        self.is_response = bool(octets[19] & RESPONSE)
        self.by_initiator = bool(octets[19] & INITIATOR)
        self.message_id = int.from_bytes(octets[20:24], "big")

    def exchange(self):
        """Names the exchange: who asks, and its Message ID."""
        return self.by_initiator != self.is_response, self.message_id

    def hashed(self, address):
        ip, port = address
        return hashlib.sha1(self.octets[:16] + socket.inet_aton(ip) + port.to_bytes(2, "big")).digest()

    def notifies(self, keys):
        """Opens it with AES-GCM (RFC 5282) and returns what each notify holds, by its type."""
        key = keys[0 if self.by_initiator else 1]
        iv, sealed = self.octets[32:40], self.octets[40:]
        plain = AESGCM(key[:-4]).decrypt(key[-4:] + iv, sealed, self.octets[:32])
        kind, at, found = self.octets[28], 0, {}
        while kind:
            length = int.from_bytes(plain[at + 2:at + 4], "big")
            if kind == NOTIFY:
                notify = IKEv2_Notify(plain[at:at + length])
                found.setdefault(notify.type, []).append(bytes(notify.notify))
            kind, at = plain[at], at + length
        return found


def ip_packets(file):
    return [packet[IP] for packet in rdpcap(file) if IP in packet]


def udp_data(packet):
    """Returns the payload of a datagram of IKE's second port (RFC 3948): a NAT changes one of its ports only."""
    if UDP not in packet or 4500 not in (packet[UDP].sport, packet[UDP].dport):
        return b""
    return bytes(packet[UDP].payload)[:packet[UDP].len - 8]


def messages(packets):
    """Returns INFORMATIONAL messages by their octets: the first copy of each."""
    found = {}
    for packet in packets:
        data = udp_data(packet)
        if data[:4] == bytes(4) and len(data) > 36 and data[4 + 18] == INFORMATIONAL and data[4 + 16] == SK:
            found.setdefault(data[4:], Message(packet, data[4:]))
    return found


def esp(packets, is_sender):
    """Returns (is in UDP, ESP) of what some sender sent."""
    found = []
    for packet in filter(lambda packet: is_sender(packet.src), packets):
        data = udp_data(packet)
        if packet.proto == 50:
            found.append((False, bytes(packet.payload)))
        elif len(data) > 8 and data[:4] != bytes(4):
            found.append((True, data))
    return found


def judge_hashes(seen, keys, verdict):
    """Judges both directions of every update, and returns before which of them the client found a NAT."""
    by_client, by_gateway = seen
    opened = {octets: message.notifies(keys) for octets, message in by_client.items()}
    asked = {by_client[octets].exchange() for octets, found in opened.items() if UPDATE in found}
    nats = []
    for octets, found in opened.items():
        one = by_client[octets]
        if one.exchange() not in asked:
            continue
        other = by_gateway.get(octets)
        what = f"{'answer to ' if one.is_response else ''}update {one.message_id}"
        verdict.check(f"{what}: never at the gateway", other)
        if other is None:
            continue
        sent, got = (other, one) if one.is_response else (one, other)
        sources, destinations = found.get(SOURCE, []), found.get(DESTINATION, [])
        verdict.check(f"{what}: {len(sources)} sources, {len(destinations)} destinations",
                      len(sources) == 1 and len(destinations) == 1)
        for name, hashes, end in (("source", sources, "source"), ("destination", destinations, "destination")):
            is_same = getattr(sent, end) == getattr(got, end)
            verdict.check(f"{what}: the {name} is not {getattr(sent, end)}",
                          hashes == [sent.hashed(getattr(sent, end))])
            verdict.check(f"{what}: the {name} at the receiver is {getattr(got, end)}",
                          (hashes == [got.hashed(getattr(got, end))]) == is_same)
        # A NAT is seen by the gateway in whence a request comes, by the client in where an answer was sent.
        if one.is_response:
            nats.append(sent.destination != got.destination)
        else:
            verdict.check(f"{what}: not from port 4500", one.source[1] == 4500)
    return nats


def judge_esp(name, sent, associations, verdict):
    """Judges how one end sent its ESP."""
    forms = []
    for is_udp, _ in sent:
        if not forms or forms[-1] != is_udp:
            forms.append(is_udp)
    verdict.check(f"{name}: ESP in UDP: {forms}", forms == [False, True, False])
    numbers = [int.from_bytes(octets[4:8], "big") for _, octets in sent]
    verdict.check(f"{name}: sequence numbers are used twice or go back", numbers == sorted(set(numbers)))
    spis = {int.from_bytes(octets[:4], "big") for _, octets in sent}
    verdict.check(f"{name}: SPIs {spis}", len(spis) == 1 and spis <= associations.keys())
    for is_udp in (False, True):
        of_form = [octets for form, octets in sent if form == is_udp]
        opened = [inner for inner in map(lambda octets: open_esp(octets, associations), of_form) if inner]
        verdict.check(f"{name}: {len(of_form)} of ESP, in UDP {is_udp}, {len(opened)} opened",
                      len(opened) == len(of_form) >= 10)
        verdict.check(f"{name}: no ping in it", all(ICMP in inner for inner in opened))


def open_esp(octets, associations):
    association = associations.get(int.from_bytes(octets[:4], "big"))
    if association is None:
        return None
    outer = IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / octets
    try:
        return association.decrypt(IP(bytes(outer)))
    except Exception as error:  # noqa: B902 (InvalidTag, struct.error ...)
        print(f"     {error!r}")
        return None


def rows(directory, name):
    with open(os.path.join(directory, name), encoding="ascii") as table:
        return list(csv.reader(table))


def associations(keylog):
    """Returns an SA of scapy's for each SPI."""
    found = {}
    for _, _, _, spi, cipher, key, _, _ in rows(keylog, "esp_sa"):
        assert cipher.startswith("AES-GCM with 16 octet ICV"), cipher
        found[int(spi, 16)] = SecurityAssociation(
            ESP, spi=int(spi, 16), crypt_algo="AES-GCM", crypt_key=bytes.fromhex(key[2:]), crypt_icv_size=16,
            tunnel_header=IP(), esn_en=True, esn=0)
    return found


def main():
    client, gateway = map(ip_packets, sys.argv[1:3])
    [(_, _, sk_ei, sk_er, *_)] = rows(sys.argv[3], "ikev2_decryption_table")
    keys = bytes.fromhex(sk_ei), bytes.fromhex(sk_er)
    verdict = Verdict()
    nats = judge_hashes((messages(client), messages(gateway)), keys, verdict)
    verdict.check(f"NATs found by the moves: {nats}", nats == [True, False])
    sas = associations(sys.argv[3])
    # Each end's own capture shows the order in which it sent.
    judge_esp("client", esp(client, lambda source: source != GATEWAY), sas, verdict)
    judge_esp("gateway", esp(gateway, lambda source: source == GATEWAY), sas, verdict)
    print(f"{verdict.passed} passed, {verdict.failed} failed")
    sys.exit(1 if verdict.failed else 0)


if __name__ == "__main__":
    main()
