"""Verifies a JWS or a COSE_Sign1 with the key of a certificate, and prints its payload as JSON.

usage: verify.py jws|cose FILE CERTIFICATE.pem

By other hands than the project's own: jwcrypto, pycose, cbor2, cryptography. Exits 1 if the signature does not hold.
"""

import base64
import json
import sys

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa


def jws(message, key):
    from jwcrypto import jwk, jws

    token = jws.JWS()
    token.deserialize(message.decode())
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    token.verify(jwk.JWK.from_pem(pem))
    return json.loads(token.payload)


def cose(message, key):
    from pycose.messages import CoseMessage

    token = CoseMessage.decode(message)
    token.key = cose_key(key)
    if not token.verify_signature():
        sys.exit("the signature does not hold")
    return plain(cbor2.loads(token.payload))


def cose_key(key):
    from pycose.keys import EC2Key, OKPKey, RSAKey
    from pycose.keys.curves import P256, P384, P521, Ed25519

    if isinstance(key, ed25519.Ed25519PublicKey):
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        return OKPKey(crv=Ed25519, x=key.public_bytes(*raw))
    numbers = key.public_numbers()
    if isinstance(key, rsa.RSAPublicKey):
        n, e = (each.to_bytes((each.bit_length() + 7) // 8, "big") for each in (numbers.n, numbers.e))
        return RSAKey(n=n, e=e)
    curves = {"secp256r1": (P256, 32), "secp384r1": (P384, 48), "secp521r1": (P521, 66)}
    curve, octets = curves[key.curve.name]
    x, y = (each.to_bytes(octets, "big") for each in (numbers.x, numbers.y))
    return EC2Key(crv=curve, x=x, y=y)


def plain(value):
    """CBOR as JSON: octets in base64, keys as text."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def main():
    kind, file, certificate = sys.argv[1:]
    with open(certificate, "rb") as stream:
        key = x509.load_pem_x509_certificate(stream.read()).public_key()
    with open(file, "rb") as stream:
        message = stream.read()
    print(json.dumps({"jws": jws, "cose": cose}[kind](message, key)))


if __name__ == "__main__":
    main()
