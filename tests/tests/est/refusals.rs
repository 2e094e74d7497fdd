//! Bad input: each gets its status, a reason in plain text that says what to fix, an event, no enrollment, no issuer.

use std::sync::Arc;

use brski_est::csr::GeneralName;
use brski_est::csr_builder::{BuildError, CsrRequest, SignatureAlgorithm, Signer};
use brski_est::media_type;
use brski_lab::http::{Answer, Connection};
use brski_lab::pledge::journey::{self, Label};
use brski_tests::est::{Key, ZONE, certificate, connect, make_credential, post};
use brski_tests::site::{self, TestSite, edit, event_kinds, json};
use bytes::Bytes;
use hyper::Request;
use rcgen::{KeyPair, PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256, RsaKeySize};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const ENROLL: &str = "simpleenroll";

/// A device that may enroll, at its connection, and has not yet.
struct Desk {
    site: TestSite,
    connection: Connection,
    label: String,
}

impl Desk {
    async fn open(serial: &str) -> anyhow::Result<Self> {
        let site = site::local().await?;
        let pledge = site.lab.pledge(serial)?;
        let (connection, _) = journey::bootstrap(&pledge, site.lab.registrar.address()).await?;
        Ok(Self { site, connection, label: serial.to_lowercase() })
    }

    /// What the device may ask for.
    fn wish(&self) -> CsrRequest {
        CsrRequest::new(&[&format!("{}.{ZONE}", self.label)])
    }

    async fn refused(
        &mut self,
        csr: &[u8],
        status: u16,
        words: &str,
        event: &str,
    ) -> anyhow::Result<()> {
        let answer = post(&mut self.connection, ENROLL, csr, None).await?;
        self.assert_refused(&answer, status, words, event).await
    }

    async fn assert_refused(
        &self,
        answer: &Answer,
        status: u16,
        words: &str,
        event: &str,
    ) -> anyhow::Result<()> {
        let text = answer.text();
        assert_eq!(answer.status, status, "{text}");
        assert_eq!(answer.content_type, "text/plain; charset=utf-8");
        assert!(text.contains(words), "{text:?} does not say {words:?}");
        for internal in ["registrar.db", ".rs:", "panicked", "sqlite", "SELECT", "\n"] {
            assert!(!text.contains(internal), "{text:?} shows {internal:?}");
        }
        let kinds = event_kinds(self.site.site()).await?;
        assert_eq!(kinds.last().map(String::as_str), Some(event), "{kinds:?}");
        let database = rusqlite::Connection::open(self.site.site().folder().join("registrar.db"))?;
        let sql = "SELECT (SELECT count(*) FROM enrollments) + (SELECT count(*) FROM certificates)";
        let rows: i64 = database.query_row(sql, [], |row| row.get(0))?;
        assert_eq!(rows, 0, "neither an enrollment nor a certificate came of it");
        Ok(())
    }
}

/// A key of any kind, whose signatures are made up.
struct Pretender {
    spki: Vec<u8>,
    algorithm: SignatureAlgorithm,
}

impl Signer for Pretender {
    fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, BuildError> {
        Ok(vec![0x5a; 128])
    }
}

/// One DER value.
fn tagged(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = match contents.len() {
        short @ 0..128 => vec![u8::try_from(short).unwrap()],
        middle @ 128..256 => vec![0x81, u8::try_from(middle).unwrap()],
        long => [&[0x82][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
    };
    [&[tag][..], &length, contents].concat()
}

/// The SubjectPublicKeyInfo of an RSA key with so many bits, whose modulus is made up.
fn rsa(bits: usize) -> Vec<u8> {
    let modulus = [&[0, 0xc1][..], &vec![0x35; bits / 8 - 1]].concat();
    let numbers = [tagged(0x02, &modulus), vec![0x02, 3, 1, 0, 1]].concat();
    let key = [&[0][..], &tagged(0x30, &numbers)].concat();
    let rsa_encryption = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    tagged(0x30, &[&rsa_encryption[..], &tagged(0x03, &key)].concat())
}

#[tokio::test]
async fn another_method_is_told_the_right_one() -> anyhow::Result<()> {
    let Desk { site, mut connection, .. } = Desk::open("METHOD-1").await?;
    for (method, operation, allowed) in [
        ("GET", "simpleenroll", "POST"),
        ("PUT", "simplereenroll", "POST"),
        ("DELETE", "serverkeygen", "POST"),
        ("HEAD", "simpleenroll", "POST"),
        ("POST", "cacerts", "GET, HEAD"),
        ("POST", "csrattrs", "GET, HEAD"),
        ("POST", "renewal-info/AAAA.AAAA", "GET, HEAD"),
    ] {
        let path = format!("/.well-known/est/{operation}");
        let request = Request::builder().method(method).uri(path).body(Bytes::new())?;
        let answer = connection.request(request).await?;
        assert_eq!(answer.status, 405, "{operation}: {}", answer.text());
        assert_eq!(answer.allow, allowed);
        assert_eq!(answer.text().contains(allowed), method != "HEAD", "{}", answer.text());
        assert_eq!(answer.content_type, "text/plain; charset=utf-8");
    }
    let kinds = event_kinds(site.site()).await?;
    assert!(!kinds.iter().any(|kind| kind == "enrollment-approved"), "{kinds:?}");
    Ok(())
}

/// The answers to two requests over one connection, split where the second one begins.
async fn head_and_get(site: &TestSite, path: &str) -> anyhow::Result<(String, String)> {
    let mut stream = bare(site).await?;
    let request =
        |method: &str, more: &str| format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n");
    let both = request("HEAD", "") + &request("GET", "connection: close\r\n");
    stream.write_all(both.as_bytes()).await?;
    let mut octets = Vec::new();
    // A peer that closes without a word of TLS has said all the same what it said.
    let _ = stream.read_to_end(&mut octets).await;
    let text = String::from_utf8_lossy(&octets).into_owned();
    let (first, second) = text.split_once("\r\n\r\n").unwrap_or_default();
    Ok((first.to_lowercase(), second.to_owned()))
}

#[tokio::test]
async fn what_is_read_can_be_asked_for_without_its_body() -> anyhow::Result<()> {
    let site = site::local().await?;
    for path in ["/.well-known/est/cacerts", "/.well-known/est/csrattrs", "/crl/local.crl"] {
        let (head, answer) = head_and_get(&site, path).await?;
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        // The next answer follows at once: there was no body.
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        let (headers, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = |text: &str| {
            let lines = text.lines().map(str::to_lowercase);
            lines.filter_map(|line| line.strip_prefix("content-length: ").map(str::to_owned)).next()
        };
        assert_eq!(length(&head), length(headers), "{path}");
        // A list is octets, not text.
        if !path.starts_with("/crl") {
            assert_eq!(length(&head), Some(body.len().to_string()), "{path}");
        }
    }
    let (head, _) = head_and_get(&site, "/.well-known/est/simpleenroll").await?;
    assert!(head.starts_with("http/1.1 405") && head.contains("allow: post"), "{head}");
    Ok(())
}

#[tokio::test]
async fn another_media_type_is_told_the_right_one() -> anyhow::Result<()> {
    let mut desk = Desk::open("TYPE-1").await?;
    let csr = Key::new()?.sign(&desk.wish())?;
    let body = brski_est::transfer::encode(&csr, brski_est::transfer::Folding::Never);
    for kind in ["application/json", "application/pkcs10x", "text/plain", ""] {
        let path = "/.well-known/est/simpleenroll";
        let answer = desk.connection.post(path, kind, body.clone()).await?;
        desk.assert_refused(&answer, 415, media_type::PKCS10, "media-type-unknown").await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_csr_is_refused_by_name() -> anyhow::Result<()> {
    let mut desk = Desk::open("CSR-1").await?;
    let csr = Key::new()?.sign(&desk.wish())?;
    let trailing = [&csr[..], &[0]].concat();
    let private = Key::new()?.pkcs8().to_vec();
    let long = vec![0x30; 40 * 1024];
    for body in [&b"no CSR"[..], &[], &csr[..csr.len() / 2], &trailing, &private, &long] {
        desk.refused(body, 400, "cannot be read", "csr-unreadable").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_signature_that_proves_nothing_is_refused() -> anyhow::Result<()> {
    let mut desk = Desk::open("CSR-2").await?;
    let mut changed = Key::new()?.sign(&desk.wish())?;
    *changed.last_mut().expect("it is not empty") ^= 1;
    desk.refused(&changed, 400, "does not prove possession", "csr-signature").await?;
    // The key of one and the signature of another.
    let (own, other) = (Key::new()?, Key::new()?);
    let mut swapped = other.sign(&desk.wish())?;
    let spki = |key: &Key| -> anyhow::Result<Vec<u8>> {
        let key = brski_est::csr_builder::PrivateKey::from_pkcs8_der(key.pkcs8())?;
        Ok(key.spki_der().to_vec())
    };
    let (from, to) = (spki(&other)?, spki(&own)?);
    let place = swapped.windows(from.len()).position(|window| window == from).unwrap();
    swapped[place..place + from.len()].copy_from_slice(&to);
    desk.refused(&swapped, 400, "does not match its key", "csr-signature").await
}

#[tokio::test]
async fn sha_1_is_refused_by_name() -> anyhow::Result<()> {
    let mut desk = Desk::open("CSR-3").await?;
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let key = brski_est::csr_builder::PrivateKey::from_pkcs8_der(&key.serialize_der())?;
    let mut csr = desk.wish().sign(&key)?;
    // sha256WithRSAEncryption becomes sha1WithRSAEncryption.
    let sha256 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
    let place = csr.windows(sha256.len()).rposition(|window| window == sha256).unwrap();
    csr[place + 8] = 5;
    desk.refused(&csr, 400, "SHA-1", "csr-signature").await
}

#[tokio::test]
async fn weak_and_foreign_keys_are_refused() -> anyhow::Result<()> {
    let mut desk = Desk::open("KEY-1").await?;
    for bits in [512, 1024, 1536] {
        let key = Pretender { spki: rsa(bits), algorithm: SignatureAlgorithm::RsaSha256 };
        let csr = desk.wish().sign(&key)?;
        desk.refused(&csr, 400, &format!("{bits} bits"), "csr-signature").await?;
    }
    // secp256k1, on which nothing here computes.
    let p256 = brski_est::csr_builder::PrivateKey::from_pkcs8_der(Key::new()?.pkcs8())?;
    let point = &p256.spki_der()[p256.spki_der().len() - 65..];
    let algorithm =
        [&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1][..], &[6, 5, 0x2b, 0x81, 4, 0, 10]].concat();
    let bits = tagged(0x03, &[&[0][..], point].concat());
    let spki = tagged(0x30, &[tagged(0x30, &algorithm), bits].concat());
    let key = Pretender { spki, algorithm: SignatureAlgorithm::EcdsaSha256 };
    desk.refused(&desk.wish().sign(&key)?, 400, "unknown kind", "csr-signature").await?;
    // Good keys that the profile does not take.
    let p521 = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512)?;
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    for pair in [p521, rsa] {
        let key = brski_est::csr_builder::PrivateKey::from_pkcs8_der(&pair.serialize_der())?;
        desk.refused(&desk.wish().sign(&key)?, 400, "ec-p256", "csr-key").await?;
    }
    Ok(())
}

#[tokio::test]
async fn every_name_but_its_own_is_refused() -> anyhow::Result<()> {
    let mut desk = Desk::open("NAME-1").await?;
    let own = format!("name-1.{ZONE}");
    let foreign = |name: &str| CsrRequest::new(&[name]);
    let cases = [
        CsrRequest::new(&[]),
        CsrRequest::new(&[]).with_common_name(&own),
        foreign(&format!("name-2.{ZONE}")),
        foreign(ZONE),
        foreign("name-1.eviliot.lab.example"),
        foreign(&format!("evil{own}")),
        foreign(&format!("a.{own}")),
        foreign(&format!("{own}.example")),
        foreign(&format!("*.{ZONE}")),
        foreign(&format!("{own}\0.example")),
        foreign("192.0.2.7"),
        CsrRequest::new(&[&own, "www.example.org"]),
        desk.wish().with_alternative_name(&GeneralName::Ip("192.0.2.7".parse()?))?,
        desk.wish().with_alternative_name(&GeneralName::Uri("urn:dev:1".to_owned()))?,
        desk.wish().with_common_name("somebody else"),
        desk.wish().with_common_name(&format!("name-2.{ZONE}")),
    ];
    for wish in cases {
        let csr = Key::new()?.sign(&wish)?;
        desk.refused(&csr, 403, "the CSR is refused", "csr-name").await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_the_profile_does_not_give_is_refused() -> anyhow::Result<()> {
    let mut desk = Desk::open("EXT-1").await?;
    // certificatePolicies, nameConstraints, an unknown one; keyUsage with keyCertSign.
    let policies: &[u8] = &[0x55, 0x1d, 32];
    let constraints: &[u8] = &[0x55, 0x1d, 30];
    let unknown: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0x77, 1];
    let key_usage: &[u8] = &[0x55, 0x1d, 15];
    let usages = |usage: &str| desk.wish().with_extended_key_usages(&[usage]);
    let cases = [
        desk.wish().with_ca_true(),
        desk.wish().with_extension(policies, &[0x30, 0]),
        desk.wish().with_extension(constraints, &[0x30, 0]),
        desk.wish().with_critical_extension(unknown, &[0x05, 0]),
        desk.wish().with_extension(key_usage, &[3, 2, 2, 0x04]),
        // cmcRA, anyExtendedKeyUsage, codeSigning.
        usages("1.3.6.1.5.5.7.3.28")?,
        usages("2.5.29.37.0")?,
        usages("1.3.6.1.5.5.7.3.3")?,
    ];
    for wish in cases {
        let csr = Key::new()?.sign(&wish)?;
        desk.refused(&csr, 400, "the CSR is refused", "csr-extension").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused() -> anyhow::Result<()> {
    let mut desk = Desk::open("BODY-1").await?;
    let path = "/.well-known/est/simpleenroll";
    let answer = desk.connection.post(path, media_type::PKCS10, vec![b'A'; 65537]).await?;
    desk.assert_refused(&answer, 413, "65536 octets", "body-too-long").await?;
    assert_eq!(answer.connection, "close");
    Ok(())
}

/// A site that is short of patience and of room.
async fn impatient() -> anyhow::Result<TestSite> {
    site::prepared(|folder| {
        for name in ["handshake", "header", "body"] {
            let key = format!("{name}_timeout_secs = ");
            let long = if name == "handshake" { "10" } else { "30" };
            edit(folder, &format!("{key}{long}"), &format!("{key}1"))?;
        }
        edit(folder, "body_octets = 65536", "body_octets = 4096")?;
        Ok(Vec::new())
    })
    .await
}

/// A bare TLS connection to the registrar.
async fn bare(site: &TestSite) -> anyhow::Result<TlsStream<TcpStream>> {
    let mut anchors = RootCertStore::empty();
    let root = site.site().folder().join("domain-ca.pem");
    for certificate in brski_registrar::identity::read_certificates(&root)? {
        anchors.add(certificate.der().clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(anchors)
        .with_no_client_auth();
    let stream = TcpStream::connect(site.lab.registrar.address()).await?;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(connector.connect(ServerName::try_from("localhost")?, stream).await?)
}

/// Everything that comes until the other side closes.
async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut octets = Vec::new();
    // How it closes does not matter.
    let _ = stream.read_to_end(&mut octets).await;
    String::from_utf8_lossy(&octets).into_owned()
}

#[tokio::test]
async fn a_body_that_never_comes_ends_with_408_and_the_connection_with_it() -> anyhow::Result<()> {
    let site = impatient().await?;
    let mut stream = bare(&site).await?;
    let head = "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/pkcs10\r\nContent-Length: 1000\r\n\r\nMIIB";
    stream.write_all(head.as_bytes()).await?;
    let answer = rest(&mut stream).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 408"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("within 1 seconds; send it whole, at once\n"), "{answer}");
    let kinds = event_kinds(site.site()).await?;
    assert_eq!(kinds.last().map(String::as_str), Some("body-too-slow"), "{kinds:?}");
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_declared_far_too_long_is_refused_unread() -> anyhow::Result<()> {
    let site = impatient().await?;
    let mut stream = bare(&site).await?;
    let head = "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/pkcs10\r\nContent-Length: 99999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let answer = rest(&mut stream).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 413"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn limits_are_the_configurations() -> anyhow::Result<()> {
    let site = impatient().await?;
    let mut connection = connect(&site, None).await?;
    let answer = connection
        .post("/.well-known/est/simpleenroll", media_type::PKCS10, vec![b'A'; 4097])
        .await?;
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.text().contains("4096 octets"), "{}", answer.text());
    // Half a header; and no handshake at all.
    let mut stream = bare(&site).await?;
    stream.write_all(b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost:").await?;
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let mut stream = TcpStream::connect(site.lab.registrar.address()).await?;
    assert_eq!(rest(&mut stream).await, "", "the registrar closes it");
    Ok(())
}

/// A second profile beside the default one.
const OTHER_PROFILE: &str =
    "[profile.other]\nissuer = \"local\"\nzone = \"iot.lab.example\"\n\n[policy]";

#[tokio::test]
async fn labels_that_are_not_the_devices_are_refused() -> anyhow::Result<()> {
    let mut desk = Desk::open("LABEL-1").await?;
    edit(desk.site.site().folder(), "[policy]", OTHER_PROFILE)?;
    desk.site.site().command::<&str>("reload", &[]).await?;
    let csr = Key::new()?.sign(&desk.wish())?;
    let answer = post(&mut desk.connection, "nosuch/simpleenroll", &csr, None).await?;
    desk.assert_refused(&answer, 404, "\"nosuch\"", "unknown-label").await?;
    let answer = post(&mut desk.connection, "other/simpleenroll", &csr, None).await?;
    desk.assert_refused(&answer, 403, "another profile", "label-not-allowed").await?;
    let answer = post(&mut desk.connection, "default/simpleenroll", &csr, None).await?;
    certificate(&answer)?;
    Ok(())
}

#[tokio::test]
async fn a_label_that_is_an_operations_name_is_refused_by_check() -> anyhow::Result<()> {
    let site = site::local().await?;
    for operation in
        ["cacerts", "simpleenroll", "simplereenroll", "fullcmc", "serverkeygen", "renewal-info"]
    {
        let profile = OTHER_PROFILE.replace("profile.other", &format!("profile.{operation}"));
        edit(site.site().folder(), "[policy]", &profile)?;
        let error = site.site().command::<&str>("check", &[]).await.unwrap_err().to_string();
        assert!(error.contains(&format!("profile.{operation}: is no EST label")), "{error}");
        edit(site.site().folder(), &profile, "[policy]")?;
    }
    Ok(())
}

#[tokio::test]
async fn fullcmc_is_not_offered() -> anyhow::Result<()> {
    let mut desk = Desk::open("CMC-1").await?;
    let path = "/.well-known/est/fullcmc";
    let kind = "application/pkcs7-mime; smime-type=CMC-request";
    let answer = desk.connection.post(path, kind, "MAA=").await?;
    desk.assert_refused(&answer, 501, "does not offer fullcmc", "not-offered").await?;
    let answer = desk.connection.post("/.well-known/est/default/fullcmc", kind, "MAA=").await?;
    desk.assert_refused(&answer, 501, "use simpleenroll", "not-offered").await
}

#[tokio::test]
async fn a_retired_device_enrolls_no_more() -> anyhow::Result<()> {
    let mut desk = Desk::open("GONE-1").await?;
    desk.site.site().command("device retire", &["GONE-1"]).await?;
    let csr = Key::new()?.sign(&desk.wish())?;
    desk.refused(&csr, 403, "this device is retired", "device-barred").await
}

#[tokio::test]
async fn a_revoked_certificate_opens_nothing() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("GONE-2")?;
    let enrolled = journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?;
    let hexadecimal: String =
        enrolled.certificate.fingerprint().iter().map(|octet| format!("{octet:02x}")).collect();
    site.site().command("certificate revoke", &[&hexadecimal]).await?;
    for operation in [ENROLL, "simplereenroll"] {
        let mut connection = connect(&site, Some(&enrolled.credential)).await?;
        let csr = Key::new()?.csr("gone-2")?;
        let answer = post(&mut connection, operation, &csr, None).await?;
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("revoked"), "{}", answer.text());
        let kinds = event_kinds(site.site()).await?;
        assert_eq!(kinds.last().map(String::as_str), Some("certificate-revoked"), "{kinds:?}");
    }
    let certificates = json(site.site(), "certificate list", &[]).await?;
    assert_eq!(certificates.as_array().map(Vec::len), Some(1), "{certificates}");
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_device_or_of_the_registrar_is_refused() -> anyhow::Result<()> {
    let mut desk = Desk::open("HELD-1").await?;
    let file = std::fs::read_to_string(desk.site.site().folder().join("registrar.key"))?;
    let pair = KeyPair::from_pem(&file)?;
    let key = brski_est::csr_builder::PrivateKey::from_pkcs8_der(&pair.serialize_der())?;
    let csr = desk.wish().sign(&key)?;
    desk.refused(&csr, 400, "belongs to this registrar", "csr-key-held").await?;
    let file = std::fs::read_to_string(desk.site.site().folder().join("device-ca.key"))?;
    let pair = KeyPair::from_pem(&file)?;
    let key = brski_est::csr_builder::PrivateKey::from_pkcs8_der(&pair.serialize_der())?;
    let csr = desk.wish().sign(&key)?;
    desk.refused(&csr, 400, "its key belongs to", "csr-key-held").await?;
    let other = Key::new()?;
    let secret = make_credential(&desk.site, "holder", &[]).await?;
    let authorization = brski_tests::est::basic("holder", &secret);
    let mut nobody = connect(&desk.site, None).await?;
    let holder = post(&mut nobody, ENROLL, &other.csr("holder")?, Some(&authorization)).await?;
    certificate(&holder)?;
    let answer = post(&mut desk.connection, ENROLL, &other.csr("held-1")?, None).await?;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("belongs to another device"), "{}", answer.text());
    Ok(())
}
