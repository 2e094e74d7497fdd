"""What the scripted pledge and the scripted MASA have in common: CMS by OpenSSL, times, base64.

Neither uses anything of the project: CMS is OpenSSL's, certificates are pyca/cryptography's, HTTP is requests' and the
standard library's.
"""

import base64
import datetime
import pathlib
import subprocess
import tempfile

from cryptography import x509

# id-ct-animaJSONVoucher (RFC 8366 section 8.3).
ANIMA_JSON_VOUCHER = "1.2.840.113549.1.9.16.1.40"
VOUCHER_CMS = "application/voucher-cms+json"
REQUEST_ROOT = "ietf-voucher-request:voucher"
VOUCHER_ROOT = "ietf-voucher:voucher"


def openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def sign(content, certificate, key, *others):
    """Signs `content` as an attached CMS message in DER; the certificates of the files `others` go along."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "content"
        source.write_bytes(content)
        extra = [part for file in others for part in ("-certfile", str(file))]
        return openssl(
            "cms", "-sign", "-binary", "-nodetach", "-nosmimecap", "-outform", "DER", "-md", "sha256",
            "-econtent_type", ANIMA_JSON_VOUCHER, "-in", str(source),
            "-signer", str(certificate), "-inkey", str(key), *extra,
        )  # fmt: skip


def verify(message, anchors=None):
    """Verifies a CMS message; gives its content, its signer and all certificates in it.

    `anchors`: a PEM file that the signer's chain must end at; without, the signature alone is verified.
    """
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: str(pathlib.Path(folder) / name)
        pathlib.Path(at("message")).write_bytes(message)
        trust = ["-noverify"] if anchors is None else ["-CAfile", str(anchors), "-purpose", "any"]
        openssl(
            "cms", "-verify", "-binary", "-inform", "DER", "-in", at("message"), "-out", at("content"),
            "-signer", at("signer"), "-certsout", at("certificates"), *trust,
        )  # fmt: skip
        content = pathlib.Path(at("content")).read_bytes()
        signer = x509.load_pem_x509_certificate(pathlib.Path(at("signer")).read_bytes())
        all_of_them = x509.load_pem_x509_certificates(
            pathlib.Path(at("certificates")).read_bytes()
        )
    return content, signer, all_of_them


def now():
    """The time as YANG writes it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def encode(octets):
    return base64.b64encode(octets).decode()


def serial_number(certificate):
    """The serialNumber in a subject (RFC 8995 section 2.3.1)."""
    (attribute,) = certificate.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)
    return attribute.value


def der(certificate):
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def public_key(certificate):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
