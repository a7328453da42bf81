"""Judges a recorded IKE exchange with nothing but Python's cryptography package: derives the keys from the initiator's
private X25519 value (RFC 7296, 2.14), opens both IKE_AUTH messages, and verifies each AUTH payload, which must be DSS
(method 3, RFC 7296, 2.15 and 3.8), with the key of the certificate beside it."""

import hashlib
import hmac
import subprocess
import sys

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KE, ID_I, ID_R, CERT, AUTH, NONCE, SK = 34, 35, 36, 37, 39, 40, 46


def prf(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def payloads(kind, octets):
    found = []
    while kind:
        following, length = octets[0], int.from_bytes(octets[2:4], "big")
        found.append((kind, octets[4:length], following))
        if kind == SK:
            break
        kind, octets = following, octets[length:]
    return found


def only(chain, wanted):
    bodies = [body for kind, body, _ in chain if kind == wanted]
    assert len(bodies) == 1, f"payload {wanted}: {len(bodies)} of them"
    return bodies[0]


def expand(seed, seen, count):
    octets, last, number = b"", b"", 1
    while len(octets) < count:
        last = prf(seed, last, seen, bytes([number]))
        octets, number = octets + last, number + 1
    return octets


def opened(message, encryption, integrity):
    """AES-CBC-128 with HMAC-SHA2-256-128 (RFC 7296, 3.14)."""
    [(_, body, first)] = payloads(message[16], message[28:])
    assert hmac.compare_digest(prf(integrity, message[:-16])[:16], message[-16:]), "the ICV is wrong"
    decryptor = Cipher(algorithms.AES(encryption), modes.CBC(body[:16])).decryptor()
    plain = decryptor.update(body[16:-16]) + decryptor.finalize()
    return payloads(first, plain[: len(plain) - plain[-1] - 1])


def verify(chain, identification, message, nonce, sk_p):
    auth, certificate = only(chain, AUTH), only(chain, CERT)
    assert auth[0] == 3, f"method {auth[0]}"
    assert certificate[0] == 4, "no X.509 certificate"
    key = x509.load_der_x509_certificate(certificate[1:]).public_key()
    assert isinstance(key, dsa.DSAPublicKey), "no DSA key"
    signature = auth[4:]
    half = len(signature) // 2
    pair = [int.from_bytes(part, "big") for part in (signature[:half], signature[half:])]
    octets = message + nonce + prf(sk_p, only(chain, identification))
    key.verify(encode_dss_signature(*pair), octets, hashes.SHA1())
    try:
        key.verify(encode_dss_signature(*pair), octets + b"\0", hashes.SHA1())
    except InvalidSignature:
        return
    raise AssertionError("anything is verified")


def main():
    record = subprocess.run([sys.argv[1]], check=True, capture_output=True, text=True).stdout.split()
    private, init, answer, auth_i, auth_r = map(bytes.fromhex, record)
    chain_i, chain_r = (payloads(message[16], message[28:]) for message in (init, answer))
    nonce_i, nonce_r = only(chain_i, NONCE), only(chain_r, NONCE)
    shared = X25519PrivateKey.from_private_bytes(private).exchange(
        X25519PublicKey.from_public_bytes(only(chain_r, KE)[4:])
    )
    seed = prf(nonce_i + nonce_r, shared)
    keys = expand(seed, nonce_i + nonce_r + answer[:16], 32 * 3 + 16 * 2 + 32 * 2)
    ai, ar, ei, er, pi, pr = keys[32:64], keys[64:96], keys[96:112], keys[112:128], keys[128:160], keys[160:192]
    failed = 0
    for who, chain, arguments in (
        ("initiator", opened(auth_i, ei, ai), (ID_I, init, nonce_r, pi)),
        ("responder", opened(auth_r, er, ar), (ID_R, answer, nonce_i, pr)),
    ):
        try:
            verify(chain, *arguments)
        except (AssertionError, InvalidSignature) as error:
            failed += 1
            print(f"{who}: {error!r}")
    print(f"{2 - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
