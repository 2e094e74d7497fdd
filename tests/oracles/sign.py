"""Signs a payload as JWS or COSE_Sign1 with a fresh key of an algorithm, and writes it with its certificate.

usage: sign.py jws ALGORITHM PAYLOAD MESSAGE CERTIFICATE.pem
       sign.py cose ALGORITHM PAYLOAD MESSAGE CERTIFICATE.pem x5chain|x5bag protected|unprotected alone|listed

PAYLOAD is read; MESSAGE and CERTIFICATE.pem are written. The certificate is signed by its own key and carried: in COSE
under the parameter and in the header that are named, alone or in a list beside another one.
By other hands than the project's own: jwcrypto, pycose, cbor2, cryptography.
"""

import base64
import datetime
import json
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

CURVES = {
    "ES256": ec.SECP256R1,
    "ES384": ec.SECP384R1,
    "ES512": ec.SECP521R1,
    "ES256K": ec.SECP256K1,
}


def private_key(algorithm):
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm]())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "oracle")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2040, 1, 1))
    )
    is_edwards = isinstance(key, ed25519.Ed25519PrivateKey)
    return builder.sign(key, None if is_edwards else hashes.SHA256())


def jws(algorithm, payload, key, der):
    from jwcrypto import jwk, jws

    token = jws.JWS(payload)
    # Those too that this project must refuse.
    token.allowed_algs = [algorithm]
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    header = {"alg": algorithm, "typ": "voucher-jws+json", "x5c": [base64.b64encode(der).decode()]}
    token.add_signature(jwk.JWK.from_pem(pem), None, json.dumps(header), None)
    message = json.loads(token.serialize())
    if "signatures" not in message:
        # Of one signature jwcrypto makes the flattened form, which vouchers must not have.
        parts = {name: message.pop(name) for name in ("protected", "signature")}
        message["signatures"] = [parts]
    return json.dumps(message).encode()


def cose(algorithm, payload, key, der, parameter, place, form):
    from pycose import headers
    from pycose.messages import Sign1Message

    certificates = {"x5chain": headers.X5chain, "x5bag": headers.X5bag}[parameter]
    other = certificate(private_key("ES256")).public_bytes(serialization.Encoding.DER)
    # RFC 9360: a chain begins with the signer's certificate, a bag has no order.
    listed = [der, other] if parameter == "x5chain" else [other, der]
    protected, unprotected = {headers.Algorithm: algorithm.upper()}, {}
    header = {"protected": protected, "unprotected": unprotected}[place]
    header[certificates] = {"alone": der, "listed": listed}[form]
    token = Sign1Message(phdr=protected, uhdr=unprotected, payload=payload)
    token.key = cose_key(key)
    return token.encode()


def cose_key(key):
    from pycose.keys import EC2Key, OKPKey, RSAKey
    from pycose.keys.curves import P256, P384, P521, Ed25519

    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = serialization.Encoding.Raw
        private = key.private_bytes(
            raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(raw, serialization.PublicFormat.Raw)
        return OKPKey(crv=Ed25519, x=public, d=private)
    numbers = key.private_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        octets = lambda number: number.to_bytes((number.bit_length() + 7) // 8, "big")
        return RSAKey(
            n=octets(numbers.public_numbers.n),
            e=octets(numbers.public_numbers.e),
            d=octets(numbers.d),
            p=octets(numbers.p),
            q=octets(numbers.q),
            dp=octets(numbers.dmp1),
            dq=octets(numbers.dmq1),
            qinv=octets(numbers.iqmp),
        )
    curves = {"secp256r1": (P256, 32), "secp384r1": (P384, 48), "secp521r1": (P521, 66)}
    curve, octets = curves[key.curve.name]
    public = numbers.public_numbers
    x, y, d = (each.to_bytes(octets, "big") for each in (public.x, public.y, numbers.private_value))
    return EC2Key(crv=curve, x=x, y=y, d=d)


def main():
    kind, algorithm, payload, message, pem, *how = sys.argv[1:]
    key = private_key(algorithm)
    own = certificate(key)
    with open(payload, "rb") as stream:
        content = stream.read()
    der = own.public_bytes(serialization.Encoding.DER)
    signed = {"jws": jws, "cose": cose}[kind](algorithm, content, key, der, *how)
    with open(message, "wb") as stream:
        stream.write(signed)
    with open(pem, "wb") as stream:
        stream.write(own.public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    main()
