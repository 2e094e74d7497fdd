"""Serves acme2certifier over TLS on loopback, in threads: python serve_acme2certifier.py FOLDER PORT DNS_PORT.

FOLDER has acme_srv.cfg, tls.pem and tls.key. DNS queries go to DNS_PORT of the servers in the configuration, which
has no key for a port.
"""

import os
import ssl
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server

folder, port, dns_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.environ["ACME_SRV_CONFIGFILE"] = os.path.join(folder, "acme_srv.cfg")

import dns.resolver  # noqa: E402

reset = dns.resolver.BaseResolver.reset


def reset_with_port(resolver):
    reset(resolver)
    resolver.port = dns_port


dns.resolver.BaseResolver.reset = reset_with_port

# The configuration is read with the import.
from acme2certifier.share.acme2certifier_wsgi import application  # noqa: E402


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


def over_tls(environ, start_response):
    """The URLs of this server are https ones."""
    environ["wsgi.url_scheme"] = "https"
    return application(environ, start_response)


server = make_server("127.0.0.1", port, over_tls, server_class=Server)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(folder, "tls.pem"), os.path.join(folder, "tls.key"))
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
