"""A pledge by other hands: from factory state to a certificate, as RFC 8995 and RFC 7030 say.

usage: pledge.py HOST:PORT IDEVID.pem IDEVID.key MANUFACTURER.pem FOLDER

The new key and certificate are written into FOLDER as key.pem and certificate.pem, what the voucher pins as
pinned.pem. Prints one JSON object: what it got.
"""

import base64
import http.client
import json
import pathlib
import secrets
import ssl
import sys
import time

import requests
import urllib3
from brski_wire import (
    REQUEST_ROOT, VOUCHER_CMS, VOUCHER_ROOT, der, encode, now, serial_number, sign, verify,
)  # fmt: skip
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

# How often it comes back.
PATIENCE = 30
BRSKI = "/.well-known/brski/"
EST = "/.well-known/est/"
# extensionRequest, and subjectAltName (RFC 5280 section 4.2.1.6).
SUBJECT_ALT_NAME = bytes.fromhex("0603551d11")
# dNSName of a GeneralName.
DNS_NAME = 0x82


def wait(answer_status, retry_after):
    """RFC 8995 section 5.6: at most a minute; in a test, less."""
    if answer_status not in (202, 503):
        return False
    time.sleep(min(int(retry_after or 1), 2))
    return True


def bootstrap(address, idevid, key, manufacturer):
    """Gets and checks a voucher over one provisional connection; gives what it pins."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The server is not judged yet, but its certificate is kept (RFC 8995 section 5.1).
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(idevid, key)
    connection = http.client.HTTPSConnection(address, context=context, timeout=30)
    connection.connect()
    shown = x509.load_der_x509_certificate(connection.sock.getpeercert(binary_form=True))
    own = x509.load_pem_x509_certificate(pathlib.Path(idevid).read_bytes())
    nonce = encode(secrets.token_bytes(16))
    fields = {
        "assertion": "proximity",
        "created-on": now(),
        "serial-number": serial_number(own),
        "nonce": nonce,
        "proximity-registrar-cert": encode(der(shown)),
    }
    request = sign(json.dumps({REQUEST_ROOT: fields}).encode(), idevid, key)
    for _ in range(PATIENCE):
        status, headers, body = post(connection, BRSKI + "requestvoucher", VOUCHER_CMS, request)
        if not wait(status, headers.get("retry-after")):
            break
    if status != 200:
        raise SystemExit(f"requestvoucher: {status} {body.decode(errors='replace')}")
    if headers.get("content-type") != VOUCHER_CMS:
        raise SystemExit(f"requestvoucher: {headers.get('content-type')}")
    pinned = check_voucher(body, fields, manufacturer, shown)
    report = json.dumps({"version": 1, "status": True}).encode()
    status, _, body = post(connection, BRSKI + "voucher_status", "application/json", report)
    if status != 200:
        raise SystemExit(f"voucher_status: {status} {body.decode(errors='replace')}")
    return pinned


def post(connection, path, content_type, body):
    connection.request("POST", path, body, {"Content-Type": content_type, "Accept": VOUCHER_CMS})
    answer = connection.getresponse()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, headers, answer.read()


def check_voucher(message, asked, manufacturer, shown):
    """RFC 8995 sections 5.6.1 and 5.6.2."""
    content, _, _ = verify(message, manufacturer)
    voucher = json.loads(content)[VOUCHER_ROOT]
    for leaf in ("serial-number", "nonce"):
        if voucher[leaf] != asked[leaf]:
            raise SystemExit(f"{leaf}: {voucher[leaf]!r} is not {asked[leaf]!r}")
    if voucher["assertion"] not in ("proximity", "logged", "verified"):
        raise SystemExit(f"assertion: {voucher['assertion']!r}")
    pinned = x509.load_der_x509_certificate(base64.b64decode(voucher["pinned-domain-cert"]))
    if der(pinned) != der(shown):
        # The domain CA: it must have issued what the server showed.
        shown.verify_directly_issued_by(pinned)
    return pinned


class Pinned(requests.adapters.HTTPAdapter):
    """What the voucher pins judges the server; its name does not matter."""

    def init_poolmanager(self, *arguments, **options):
        super().init_poolmanager(*arguments, assert_hostname=False, **options)


def session(folder, certificate, key):
    made = requests.Session()
    # No anchors and no proxy of the environment.
    made.trust_env = False
    made.mount("https://", Pinned())
    made.verify = str(folder / "pinned.pem")
    made.cert = (str(certificate), str(key))
    return made


def get(made, url, media_type):
    answer = made.get(url, timeout=30)
    if answer.status_code != 200 or answer.headers["content-type"] != media_type:
        raise SystemExit(f"{url}: {answer.status_code} {answer.headers} {answer.text}")
    return base64.b64decode(answer.content)


def assigned_name(attributes):
    """The dNSName that the CSR attributes ask for, by a walk over the DER."""

    def walk(octets):
        at = 0
        while at < len(octets):
            tag, length, at = octets[at], octets[at + 1], at + 2
            if length & 0x80:
                size = length & 0x7F
                length, at = int.from_bytes(octets[at : at + size]), at + size
            value = octets[at : at + length]
            at += length
            if tag == DNS_NAME and value:
                yield value.decode()
            elif tag & 0x20 or tag == 0x04:
                yield from walk(value)

    # Everything behind the first identifier of the extension.
    _, found, rest = attributes.partition(SUBJECT_ALT_NAME)
    if not found:
        raise SystemExit("csrattrs ask for no name")
    extension = rest if rest[0] == 0x04 else rest[rest.index(0x04) :]
    value = extension[2 : 2 + extension[1]]
    return next(walk(value))


def enroll(made, url, name):
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    body = base64.b64encode(request.public_bytes(serialization.Encoding.DER))
    for _ in range(PATIENCE):
        headers = {"Content-Type": "application/pkcs10"}
        answer = made.post(url, data=body, headers=headers, timeout=60)
        if not wait(answer.status_code, answer.headers.get("retry-after")):
            break
    if answer.status_code != 200:
        raise SystemExit(f"simpleenroll: {answer.status_code} {answer.text}")
    (certificate,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))
    if certificate.public_key() != key.public_key():
        raise SystemExit("the certificate is for another key")
    return key, certificate


def main():
    address, idevid, key, manufacturer, folder = sys.argv[1:]
    folder = pathlib.Path(folder)
    # A warning for each request that has no host name to check would hide what matters.
    urllib3.disable_warnings()
    pinned = bootstrap(address, idevid, key, manufacturer)
    pem = serialization.Encoding.PEM
    (folder / "pinned.pem").write_bytes(pinned.public_bytes(pem))

    est = f"https://{address}{EST}"
    made = session(folder, idevid, key)
    authorities = pkcs7.load_der_pkcs7_certificates(
        get(made, est + "cacerts", "application/pkcs7-mime")
    )
    name = assigned_name(get(made, est + "csrattrs", "application/csrattrs"))
    new_key, certificate = enroll(made, est + "simpleenroll", name)
    issuers = [each for each in authorities if each.subject == certificate.issuer]
    if not issuers:
        raise SystemExit("cacerts has no issuer of the certificate")
    certificate.verify_directly_issued_by(issuers[0])
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    private = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(
        new_key.private_bytes(pem, private, serialization.NoEncryption())
    )

    # A new connection with the new certificate (RFC 8995 section 5.9.4).
    made = session(folder, folder / "certificate.pem", folder / "key.pem")
    report = made.post(
        f"https://{address}{BRSKI}enrollstatus", json={"version": 1, "status": True}, timeout=30
    )
    if report.status_code != 200:
        raise SystemExit(f"enrollstatus: {report.status_code} {report.text}")
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    names = alternative.value.get_values_for_type(x509.DNSName)
    print(json.dumps({"assigned": name, "names": names, "pinned": pinned.subject.rfc4514_string()}))


if __name__ == "__main__":
    main()
