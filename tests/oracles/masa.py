"""A MASA by other hands: it checks registrars' requests as RFC 8995 section 5.5 says, signs vouchers, keeps a log.

usage: masa.py FOLDER

FOLDER holds ca.pem, voucher-signer.pem and .key, masa-tls.pem and .key. Prints the port that it listens on, then one
line of JSON for each voucher request: what it found, or why it refused.
"""

import base64
import http.server
import json
import pathlib
import ssl
import sys
import threading

from brski_wire import (
    REQUEST_ROOT, VOUCHER_CMS, VOUCHER_ROOT, der, encode, now, public_key, serial_number, sign, verify,
)  # fmt: skip
from cryptography import x509

BRSKI = "/.well-known/brski/"
# id-kp-cmcRA.
CMC_RA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")
LONGEST_BODY = 64 * 1024


class Refused(Exception):
    """Why there is no voucher."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


def expect(condition, reason, status=403):
    if not condition:
        raise Refused(status, reason)


class Masa:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.log = {}
        self.lock = threading.Lock()

    def check(self, body):
        """Checks a registrar's request; gives its fields, the device's certificate and what to pin."""
        try:
            content, signer, certificates = verify(body)
            fields = json.loads(content)[REQUEST_ROOT]
        except (ValueError, KeyError) as error:
            raise Refused(406, f"no voucher request: {error}") from error
        usages = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        expect(CMC_RA in usages, "the registrar's certificate lacks cmcRA")
        expect("proximity-registrar-cert" not in fields, "a proximity certificate of a registrar")
        # The domain's CA is unknown and trusted for this request alone (section 5.5.2).
        top = self.top(signer, certificates)
        prior, device, _ = verify(
            base64.b64decode(fields["prior-signed-voucher-request"]), self.folder / "ca.pem"
        )
        asked = json.loads(prior)[REQUEST_ROOT]
        serial = serial_number(device)
        expect(asked["serial-number"] == serial, "the device claims another serial number")
        expect(fields["serial-number"] == serial, "the registrar claims another serial number")
        expect(asked["nonce"] == fields["nonce"], "another nonce than the device's")
        expect(asked["assertion"] == "proximity", "no proximity is asserted")
        seen = x509.load_der_x509_certificate(base64.b64decode(asked["proximity-registrar-cert"]))
        expect(public_key(seen) == public_key(signer), "the device saw another registrar")
        identifier = device.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        inner = identifier.value.public_bytes()
        wrapped = bytes([0x04, len(inner)]) + inner
        expect(base64.b64decode(fields["idevid-issuer"]) == wrapped, "idevid-issuer is another one")
        return fields, device, top

    @staticmethod
    def top(signer, certificates):
        chain = [signer]
        while True:
            issuers = [each for each in certificates if each.subject == chain[-1].issuer]
            if not issuers or issuers[0] in chain:
                break
            chain[-1].verify_directly_issued_by(issuers[0])
            chain.append(issuers[0])
        return chain[-1]

    def voucher(self, body):
        fields, _, top = self.check(body)
        voucher = {
            "created-on": now(),
            "assertion": "proximity",
            "serial-number": fields["serial-number"],
            "nonce": fields["nonce"],
            "idevid-issuer": fields["idevid-issuer"],
            "pinned-domain-cert": encode(der(top)),
            "domain-cert-revocation-checks": False,
        }
        with self.lock:
            entry = {
                "date": now(),
                "domainID": self.domain_id(top),
                "nonce": fields["nonce"],
                "assertion": "proximity",
            }
            self.log.setdefault(fields["serial-number"], []).append(entry)
        signer = self.folder / "voucher-signer"
        message = sign(
            json.dumps({VOUCHER_ROOT: voucher}).encode(),
            signer.with_suffix(".pem"), signer.with_suffix(".key"), self.folder / "ca.pem",
        )  # fmt: skip
        return fields["serial-number"], message

    @staticmethod
    def domain_id(certificate):
        """RFC 8995 section 5.8.2."""
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return encode(found.value.digest)

    def audit_log(self, body):
        fields, _, _ = self.check(body)
        with self.lock:
            events = self.log.get(fields["serial-number"], [])
        expect(events, "an unknown device", 404)
        nothing = {"nonced duplicates": 0, "nonceless duplicates": 0, "arbitrary": 0}
        return json.dumps({"version": 1, "events": events, "truncation": nothing}).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    masa = None

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > LONGEST_BODY:
            self.answer(413, "text/plain", b"too long")
            return
        body = self.rfile.read(length)
        try:
            expect(self.headers.get("content-type") == VOUCHER_CMS, "CMS alone", 415)
            if self.path == BRSKI + "requestvoucher":
                serial, message = self.masa.voucher(body)
                self.tell({"serial-number": serial, "accept": self.headers.get("accept")})
                self.answer(200, VOUCHER_CMS, message)
            elif self.path == BRSKI + "requestauditlog":
                self.answer(200, "application/json", self.masa.audit_log(body))
            else:
                raise Refused(404, "nothing is here")
        except Refused as refused:
            self.tell({"refused": str(refused)})
            self.answer(refused.status, "text/plain; charset=utf-8", str(refused).encode())
        except Exception as error:  # noqa: BLE001: a registrar gets an answer whatever it sends
            self.tell({"refused": repr(error)})
            self.answer(403, "text/plain; charset=utf-8", repr(error).encode())

    def answer(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @staticmethod
    def tell(what):
        print(json.dumps(what), flush=True)

    def log_message(self, *_):
        pass


def main():
    folder = pathlib.Path(sys.argv[1])
    Handler.masa = Masa(folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "masa-tls.pem", folder / "masa-tls.key")
    version = getattr(ssl.TLSVersion, sys.argv[2])
    context.minimum_version = context.maximum_version = version
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
