//! What a client sends, and what it makes of every answer that servers in the field give.

use brski_est::authentication::{Challenge, Credentials};
use brski_est::client::{
    EstServer, KeyDelivery, ReadError, Redirect, Reply, RetryAfter, ServerUrlError,
};
use brski_est::csr_attributes::{CsrAttributes, KeyTemplate};
use brski_est::csr_builder::Signer as _;
use brski_est::path::{Label, Operation, PathError, Request};
use brski_est::renewal_info::{CertificateId, RenewalInfo, Window};
use brski_est::server_keygen::{
    Boundary, DecryptionKey, EncryptionRequest, EnvelopeRandom, GeneratedKey, KeyAnswerBody,
    KeyPart, encrypt_key,
};
use brski_est::transfer::{Folding, encode};
use brski_est::{certs_only, media_type};
use http::Response;
use rcgen::KeyPair;
use rustls_pki_types::CertificateDer;

use crate::support::{at, certificate, certificate_of, csr, now, private, vector};

fn server() -> EstServer {
    EstServer::from_url("https://est.example.org").unwrap()
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Response<Vec<u8>> {
    Response::builder().status(status).body(body.into()).unwrap()
}

fn with(header: &str, value: &str, answer: Response<Vec<u8>>) -> Response<Vec<u8>> {
    let mut answer = answer;
    let name = http::HeaderName::from_bytes(header.as_bytes()).unwrap();
    answer.headers_mut().append(name, value.parse().unwrap());
    answer
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = encode(der, Folding::Never);
    let lines: Vec<&[u8]> = text.trim().as_bytes().chunks(64).collect();
    let text = String::from_utf8(lines.join(&b'\n')).unwrap();
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

fn message(certificates: &[&CertificateDer<'_>]) -> Vec<u8> {
    certs_only::encode(certificates)
}

#[test]
fn urls_name_a_server_and_perhaps_a_label() {
    for (url, authority, label) in [
        ("https://est.example.org", "est.example.org", None),
        ("https://est.example.org:8443/", "est.example.org:8443", None),
        ("https://[::1]:8443/.well-known/est", "[::1]:8443", None),
        ("https://a/.well-known/est/", "a", None),
        ("https://a/.well-known/est/plant-7/", "a", Some("plant-7")),
    ] {
        let server = EstServer::from_url(url).unwrap();
        assert_eq!(server.authority().as_str(), authority);
        assert_eq!(server.label().map(Label::as_str), label);
    }
    for url in [
        "http://a",
        "a",
        "",
        "https://",
        "/.well-known/est",
        "https://u:p@a",
        "https://a?x",
        "ftp://a",
        "https://a:99999",
        "https://[::1]:65536",
        "https://a:",
    ] {
        assert_eq!(EstServer::from_url(url), Err(ServerUrlError::Url), "{url}");
    }
    for url in
        ["https://a/est", "https://a/.well-known/establishment", "https://a/x/.well-known/est"]
    {
        assert_eq!(EstServer::from_url(url), Err(ServerUrlError::Path), "{url}");
    }
    for url in ["https://a/.well-known/est/cacerts", "https://a/.well-known/est/x/y"] {
        let refused = EstServer::from_url(url);
        assert!(matches!(refused, Err(ServerUrlError::Label(_))), "{refused:?}");
    }
    let refused = EstServer::from_url("https://a/.well-known/est/cacerts").unwrap_err();
    let reason = PathError::LabelIsOperation(Operation::CaCerts);
    assert_eq!(refused, ServerUrlError::Label(reason));
}

#[test]
fn requests_are_what_servers_read() {
    let csr = csr();
    let id = CertificateId::of(&certificate()).unwrap();
    for label in [None, Some("plant-7")] {
        let server = match label {
            Some(label) => server().with_label(Label::parse(label).unwrap()),
            None => server(),
        };
        for (request, operation) in [
            (server.ca_certs(), Operation::CaCerts),
            (server.csr_attrs(), Operation::CsrAttrs),
            (server.simple_enroll(&csr), Operation::SimpleEnroll),
            (server.simple_reenroll(&csr), Operation::SimpleReenroll),
            (server.server_keygen(&csr), Operation::ServerKeygen),
            (server.renewal_info(&id), Operation::RenewalInfo),
        ] {
            let read = Request::parse(request.uri().path()).unwrap();
            assert_eq!((read.operation(), read.label().map(Label::as_str)), (operation, label));
            assert_eq!(request.method(), operation.method());
            assert_eq!(request.headers()["host"], "est.example.org");
            if operation == Operation::RenewalInfo {
                assert_eq!(read.certificate_id(), Some(&id));
            }
            if request.method() == http::Method::POST {
                assert_eq!(request.headers()["content-type"], media_type::PKCS10);
                let length = request.body().len().to_string();
                assert_eq!(request.headers()["content-length"], length.as_str());
                assert!(!request.headers().contains_key("content-transfer-encoding"));
                assert_eq!(request.body(), encode(&csr, Folding::Never).as_bytes());
            } else {
                assert!(request.body().is_empty());
            }
        }
    }
    let mut request = server().simple_enroll(&csr);
    Credentials::new("dev-1", "secret").unwrap().authorize_basic(&mut request);
    assert_eq!(request.headers()["authorization"], "Basic ZGV2LTE6c2VjcmV0");
}

/// libest, globalsign, EJBCA, fountain, Trustpoint: each has its own way.
#[test]
fn certificates_are_read_from_every_servers_answer() {
    let pair = KeyPair::generate().unwrap();
    let own = certificate_of(&pair);
    let (first, second) = (certificate(), certificate());
    let key = private(&pair);
    let alone = message(&[&own]);
    let chain_behind = message(&[&own, &first, &second]);
    let chain_before = message(&[&first, &second, &own]);
    let pems = [&first, &own, &second].map(|each| pem("CERTIFICATE", each)).concat();
    for (body, others) in [
        (encode(&alone, Folding::Never).into_bytes(), 0),
        (encode(&chain_behind, Folding::WhenLong).into_bytes(), 2),
        (encode(&chain_before, Folding::Never).replace('\n', "\r\n").into_bytes(), 2),
        (alone.clone(), 0),
        (pem("PKCS7", &chain_before).into_bytes(), 2),
        (pem("CMS", &alone).into_bytes(), 0),
        (pems.into_bytes(), 2),
        (own.to_vec(), 0),
        (encode(&own, Folding::Never).into_bytes(), 0),
    ] {
        for kind in ["", media_type::CERTS_ONLY, "application/pkix-cert", "text/html", "\t;"] {
            let answer = with("content-type", kind, answer(200, body.clone()));
            let reply = server().read_enrolled(&answer, key.spki_der(), now()).unwrap();
            let Reply::Done(issued) = reply else { panic!("{reply:?}") };
            assert_eq!(issued.certificate(), &own);
            assert_eq!(issued.others().len(), others);
            let reply = server().read_ca_certs(&answer, now()).unwrap();
            let Reply::Done(all) = reply else { panic!("{reply:?}") };
            assert_eq!(all.len(), others + 1);
        }
    }
}

#[test]
fn the_published_answers_are_read() {
    let Some(body) = vector("rfc7030/a1_cacerts_response.b64") else { return };
    let reply = server().read_ca_certs(&answer(200, body), now()).unwrap();
    assert!(matches!(reply, Reply::Done(all) if all.len() == 4));
    let Some(body) = vector("rfc7030/a3_simpleenroll_response.b64") else { return };
    let Some(request) = vector("rfc7030/a3_simpleenroll_request.der") else { return };
    let csr = brski_est::csr::Csr::parse(&request).unwrap();
    let reply = server().read_enrolled(&answer(200, body), csr.spki_der(), now()).unwrap();
    assert!(matches!(reply, Reply::Done(issued) if issued.others().is_empty()));
}

#[test]
fn answers_without_the_certificate_are_refused_by_name() {
    let key = private(&KeyPair::generate().unwrap());
    let read = |body: Vec<u8>| {
        server().read_enrolled(&answer(200, body), key.spki_der(), now()).unwrap_err()
    };
    let foreign = encode(&message(&[&certificate()]), Folding::Never);
    assert!(matches!(read(foreign.into_bytes()), ReadError::NoCertificateOfKey));
    assert!(matches!(read(message(&[])), ReadError::NoCertificate));
    assert!(matches!(read(Vec::new()), ReadError::Transfer(_)));
    assert!(matches!(read(b"<html>".to_vec()), ReadError::Transfer(_)));
    assert!(matches!(read(b"MAA=".to_vec()), ReadError::CertsOnly(_)));
    assert!(matches!(read(vec![b'A'; 600 * 1024]), ReadError::Transfer(_)));
    let key = pem("PRIVATE KEY", b"secret");
    assert!(matches!(read(key.into_bytes()), ReadError::Transfer(_)));
    let no_certificate = pem("CERTIFICATE", &[0x30, 0]);
    assert!(matches!(read(no_certificate.into_bytes()), ReadError::NoCertificate));
}

#[test]
fn waiting_is_told_in_seconds_within_bounds() {
    let wait = |value: Option<&str>| {
        let answer = answer(202, "come back");
        let answer = value.map_or(answer.clone(), |value| with("retry-after", value, answer));
        match server().read_enrolled(&answer, &[], at(784_111_777)).unwrap() {
            Reply::Wait(time) => time.secs(),
            other => panic!("{other:?}"),
        }
    };
    for (value, seconds) in [
        (None, 60),
        (Some("17"), 17),
        (Some(" 17 "), 17),
        (Some("0"), 1),
        (Some("100000"), 86_400),
        (Some("99999999999999999999999"), 86_400),
        (Some("-5"), 60),
        (Some("1.5"), 60),
        (Some("soon"), 60),
        (Some(""), 60),
        // 784 111 777 is the date of all these.
        (Some("Sun, 06 Nov 1994 08:50:07 GMT"), 30),
        (Some("Sunday, 06-Nov-94 08:50:07 GMT"), 30),
        (Some("Sun Nov  6 08:50:07 1994"), 30),
        (Some("Sun, 06 Nov 1994 08:49:37 GMT"), 1),
        (Some("Fri, 31 Dec 1999 23:59:59 GMT"), 86_400),
        (Some("Sat, 06 Nov 1971 08:49:37 GMT"), 1),
        (Some("Fri, 31 Dec 1999"), 60),
    ] {
        assert_eq!(wait(value), seconds, "{value:?}");
    }
    assert_eq!(RetryAfter::parse("soon", now()), None);
}

#[test]
fn a_client_is_told_how_to_prove_itself() {
    let challenged = with("www-authenticate", "Basic realm=\"est\"", answer(401, ""));
    let digest = "Digest realm=\"est\", nonce=\"n\", qop=\"auth\"";
    let challenged = with("www-authenticate", digest, challenged);
    let reply = server().read_enrolled(&challenged, &[], now()).unwrap();
    let Reply::Authenticate(challenges) = reply else { panic!("{reply:?}") };
    let [Challenge::Basic { realm }, Challenge::Digest(digest)] = challenges.as_slice() else {
        panic!("{challenges:?}")
    };
    assert_eq!((realm.as_str(), digest.realm()), ("est", "est"));
    let reply = server().read_enrolled(&answer(401, "no"), &[], now()).unwrap();
    assert!(matches!(reply, Reply::Refused(refused) if refused.reason() == "no"));
}

#[test]
fn csr_attributes_are_there_or_not() {
    let attributes = CsrAttributes {
        dns_name: Some("a.example.org".to_owned()),
        key: Some(KeyTemplate::EcP256),
        ..CsrAttributes::default()
    };
    let body = encode(&attributes.to_der(), Folding::Never);
    let reply = server().read_csr_attrs(&answer(200, body), now()).unwrap();
    assert!(matches!(reply, Reply::Done(plan) if plan.given_names().count() == 1));
    for (status, body) in [(204, ""), (404, "not here"), (501, ""), (200, "MAA=\n"), (200, "")] {
        let reply = server().read_csr_attrs(&answer(status, body), now()).unwrap();
        assert_eq!(reply, Reply::NotAvailable, "{status} {body}");
    }
    let refused = server().read_csr_attrs(&answer(200, "BQA="), now()).unwrap_err();
    assert!(matches!(refused, ReadError::CsrAttributes(_)));
    let reply = server().read_csr_attrs(&answer(403, "no"), now()).unwrap();
    assert!(matches!(reply, Reply::Refused(_)));
}

#[test]
fn redirections_are_told_and_never_followed() {
    let read = |location: &str, server: &EstServer| {
        let answer = with("location", location, answer(302, ""));
        match server.read_ca_certs(&answer, now()).unwrap() {
            Reply::Redirect(redirect) => redirect,
            other => panic!("{other:?}"),
        }
    };
    let other_port = EstServer::from_url("https://est.example.org:8443").unwrap();
    let same = |path: &str| Redirect::SameOrigin { path: path.to_owned() };
    assert_eq!(read("/x?y", &server()), same("/x?y"));
    assert_eq!(read("https://EST.example.org/x", &server()), same("/x"));
    assert_eq!(read("https://est.example.org:443/x", &server()), same("/x"));
    assert_eq!(read("https://est.example.org:8443/x", &other_port), same("/x"));
    for location in [
        "https://est.example.org:8443/x",
        "http://est.example.org/x",
        "https://evil.example.org/x",
        "https://est.example.org@evil.example.org/x",
        "https://u@est.example.org/x",
        "//evil.example.org/x",
        "x",
        "",
        "javascript:alert(1)",
    ] {
        let redirect = read(location, &server());
        assert!(matches!(redirect, Redirect::Elsewhere { .. }), "{location}: {redirect:?}");
    }
    let reply = server().read_ca_certs(&answer(302, ""), now()).unwrap();
    assert!(matches!(reply, Reply::Refused(_)));
}

#[test]
fn reasons_are_short_and_clean() {
    let reason = |kind: &str, body: &[u8]| {
        let answer = with("content-type", kind, answer(403, body));
        match server().read_enrolled(&answer, &[], now()).unwrap() {
            Reply::Refused(refused) => {
                assert_eq!(refused.status(), 403);
                refused.reason().to_owned()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason("text/plain", b" not  you\r\n\x1b[31m\x00 again\n"), "not you [31m again");
    assert_eq!(reason("", "a\u{202e}b\u{200b}c".as_bytes()), "abc");
    assert_eq!(reason("text/plain", &[b'x'; 5000]).len(), 1000);
    let page = b"<html><body><h1>Forbidden</h1><p>no &amp; no</p></body></html>";
    assert_eq!(reason("text/html; charset=utf-8", page), "Forbidden no &amp; no");
    assert_eq!(reason("", page), "Forbidden no &amp; no");
    assert_eq!(reason("application/pkcs7-mime; smime-type=CMC-response", b"MII"), "a CMC response");
    assert_eq!(reason("", b""), "");
    assert_eq!(reason("", &[0xff, 0xfe]), "\u{fffd}\u{fffd}");
}

#[test]
fn other_statuses_are_refusals() {
    for status in [201, 204, 206, 400, 404, 405, 415, 429, 500, 501, 503] {
        let answer = with("retry-after", "30", answer(status, "why"));
        let reply = server().read_enrolled(&answer, &[], now()).unwrap();
        let Reply::Refused(refused) = reply else { panic!("{status}: {reply:?}") };
        assert_eq!(refused.status(), status);
        assert_eq!(refused.retry_after().map(RetryAfter::secs), Some(30));
        assert!(matches!(server().read_ca_certs(&answer, now()), Ok(Reply::Refused(_))));
    }
}

fn key_answer(key: &KeyPart, certificate: &CertificateDer<'_>) -> Response<Vec<u8>> {
    let boundary = Boundary::from_random([7; 16]);
    let body = KeyAnswerBody::new(key, certificate, &boundary, Folding::Never);
    with("content-type", body.content_type(), answer(200, body.body()))
}

#[test]
fn generated_keys_come_as_expected_or_not_at_all() {
    let (pair, client, server_pair) =
        (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (own, client_certificate) = (certificate_of(&pair), certificate_of(&client));
    let chain = [certificate_of(&server_pair)];
    let plain = KeyPart::Plain(GeneratedKey::from_pkcs8_der(pair.serialized_der()));
    let wish = EncryptionRequest::for_certificate(&client_certificate).unwrap();
    let encrypted = encrypt_key(
        pair.serialized_der(),
        &wish.recipient(&[&client_certificate]).unwrap(),
        &private(&server_pair),
        &chain,
        EnvelopeRandom::from_random([7; 48]),
    );
    let encrypted = KeyPart::Encrypted(encrypted.unwrap());
    let key = DecryptionKey::from_pkcs8_der(client.serialized_der()).unwrap();
    let wrong = DecryptionKey::from_pkcs8_der(pair.serialized_der()).unwrap();
    let read = |part: &KeyPart, certificate: &CertificateDer<'_>, expected: KeyDelivery<'_>| {
        server().read_generated(&key_answer(part, certificate), expected, now())
    };
    for (part, expected, signer) in
        [(&plain, KeyDelivery::Plain, &[][..]), (&encrypted, KeyDelivery::Encrypted(&key), &chain)]
    {
        let reply = read(part, &own, expected).unwrap();
        let Reply::Done(generated) = reply else { panic!("{reply:?}") };
        assert_eq!(generated.key().pkcs8_der(), pair.serialized_der());
        assert_eq!(generated.issued().certificate(), &own);
        assert_eq!(generated.signer(), signer);
        let refused = read(part, &certificate(), expected).unwrap_err();
        assert!(matches!(refused, ReadError::NoCertificateOfKey));
    }
    let refused = read(&plain, &own, KeyDelivery::Encrypted(&key)).unwrap_err();
    assert!(matches!(refused, ReadError::NotEncrypted));
    let refused = read(&encrypted, &own, KeyDelivery::Plain).unwrap_err();
    assert!(matches!(refused, ReadError::Encrypted));
    let refused = read(&encrypted, &own, KeyDelivery::Encrypted(&wrong)).unwrap_err();
    assert!(matches!(refused, ReadError::Open(_)));
    let no_key = KeyPart::Plain(GeneratedKey::from_pkcs8_der(&[0x30, 0]));
    let refused = read(&no_key, &own, KeyDelivery::Plain).unwrap_err();
    assert!(matches!(refused, ReadError::GeneratedKey(_)));
    let refused = server().read_generated(&answer(200, "x"), KeyDelivery::Plain, now());
    assert!(matches!(refused, Err(ReadError::Multipart(_))));
    for status in [404, 501] {
        let reply = server().read_generated(&answer(status, ""), KeyDelivery::Plain, now());
        assert!(matches!(reply, Ok(Reply::NotAvailable)));
    }
    let reply = server().read_generated(&answer(202, ""), KeyDelivery::Plain, now());
    assert!(matches!(reply, Ok(Reply::Wait(_))));
}

#[test]
fn renewal_information_says_when_to_ask_again() {
    let window = Window::of_validity(at(0), at(9_000_000)).unwrap();
    let body = RenewalInfo::new(window).to_json();
    let read = |answer: &Response<Vec<u8>>| server().read_renewal_info(answer, now());
    for (retry_after, seconds) in
        [(None, 21_600), (Some("21600"), 21_600), (Some("5"), 60), (Some("999999"), 86_400)]
    {
        let answer = answer(200, body.clone());
        let answer = retry_after.map_or(answer.clone(), |value| with("retry-after", value, answer));
        let reply = read(&answer).unwrap();
        let Reply::Done(renewal) = reply else { panic!("{reply:?}") };
        assert_eq!(renewal.info().window(), window);
        assert_eq!(renewal.ask_again().secs(), seconds);
    }
    for status in [404, 501] {
        assert_eq!(read(&answer(status, "")).unwrap(), Reply::NotAvailable);
    }
    assert!(matches!(read(&answer(200, "{}")), Err(ReadError::RenewalInfo(_))));
    assert!(matches!(read(&answer(403, "no")).unwrap(), Reply::Refused(_)));
}
