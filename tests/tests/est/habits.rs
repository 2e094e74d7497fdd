//! A scripted client with the habits of those that no package brings: libest, GlobalSign's, acme2certifier.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_est::transfer;
use brski_lab::pledge::tls::{self, TlsVersions};
use brski_tests::est::{Key, basic, make_credential};
use brski_tests::site::{self, TestSite};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A whole answer, as the octets came.
struct Raw {
    head: String,
    body: Vec<u8>,
    /// How many octets the first read of the body's TLS record gave.
    first_read: usize,
}

/// Sends these octets over TLS and reads until the announced length is there.
async fn exchange(site: &TestSite, request: &[u8]) -> anyhow::Result<Raw> {
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
    let name = ServerName::try_from("localhost")?;
    let stream = TcpStream::connect(site.lab.registrar.address()).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(request).await?;
    let mut octets = Vec::new();
    let mut first_read = 0;
    loop {
        // One read gives at most one TLS record.
        let mut buffer = vec![0; 32 * 1024];
        let read = stream.read(&mut buffer).await?;
        anyhow::ensure!(read > 0, "the connection ended early");
        octets.extend_from_slice(&buffer[..read]);
        if first_read == 0 {
            first_read = read;
        }
        let Some(end) = octets.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8(octets[..end].to_vec())?.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.expect("an answer has a Content-Length").parse()?;
        if octets.len() >= end + 4 + length {
            return Ok(Raw { head, body: octets[end + 4..].to_vec(), first_read });
        }
    }
}

fn get(operation: &str, agent: &str) -> Vec<u8> {
    format!(
        "GET /.well-known/est/{operation} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {agent}\r\n\
         Accept: */*\r\n\r\n"
    )
    .into_bytes()
}

/// A POST with a Content-Length and these headers.
fn post(authorization: &str, body: &[u8], more: &str) -> Vec<u8> {
    let head = format!(
        "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/pkcs10\r\nAuthorization: {authorization}\r\n{more}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Base64 in lines of 64 characters, as OpenSSL's writer gives it.
fn folded(der: &[u8]) -> Vec<u8> {
    let line = STANDARD.encode(der);
    line.as_bytes().chunks(64).flat_map(|chunk| [chunk, b"\n"].concat()).collect()
}

fn longest_line(body: &[u8]) -> usize {
    body.split(|octet| *octet == b'\n').map(<[u8]>::len).max().unwrap_or_default()
}

#[tokio::test]
async fn libest_gets_lines_that_it_can_read() -> anyhow::Result<()> {
    let site = site::local().await?;
    // Above 1000 characters its base64 reader wants line breaks; it says who it is.
    let answer = exchange(&site, &get("cacerts", "libest 3.2.0p")).await?;
    assert!(answer.body.len() > 1000, "{} octets", answer.body.len());
    assert!(longest_line(&answer.body) <= 64);
    assert!(answer.head.contains("\ncontent-type: application/pkcs7-mime\r"), "{}", answer.head);
    // Its request is folded at 64, and so is the answer where it must be; the media type is compared to the letter.
    let secret = make_credential(&site, "libest", &[]).await?;
    let csr = Key::new()?.csr("libest")?;
    let body = folded(&csr);
    let more = format!("Content-Length: {}\r\n", body.len());
    let answer = exchange(&site, &post(&basic("libest", &secret), &body, &more)).await?;
    assert!(answer.head.starts_with("http/1.1 200"), "{}", answer.head);
    let exact = "\ncontent-type: application/pkcs7-mime; smime-type=certs-only\r";
    assert!(answer.head.contains(exact), "{}", answer.head);
    assert!(longest_line(&answer.body) <= 1000);
    Ok(())
}

#[tokio::test]
async fn strongswan_gets_one_line_in_one_record_with_a_short_header() -> anyhow::Result<()> {
    let site = site::local().await?;
    let answer = exchange(&site, &get("cacerts", "")).await?;
    assert!(answer.head.len() < 1024, "{}", answer.head);
    let text = answer.body.strip_suffix(b"\n").unwrap_or(&answer.body);
    assert!(!text.contains(&b'\n'), "one line");
    assert_eq!(answer.first_read, answer.head.len() + 4 + answer.body.len(), "one TLS record");
    assert!(!answer.head.contains("transfer-encoding"), "{}", answer.head);
    Ok(())
}

#[tokio::test]
async fn globalsigns_client_sends_chunks_and_wants_one_certificate() -> anyhow::Result<()> {
    let site = site::local().await?;
    let secret = make_credential(&site, "globalsign", &[]).await?;
    let body = folded(&Key::new()?.csr("globalsign")?);
    let mut chunked = Vec::new();
    for chunk in body.chunks(100) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let more = "Transfer-Encoding: chunked\r\nContent-Transfer-Encoding: base64\r\n\
                User-Agent: GlobalSign EST Client v1.0.6\r\n";
    let answer = exchange(&site, &post(&basic("globalsign", &secret), &chunked, more)).await?;
    assert!(answer.head.starts_with("http/1.1 200"), "{}", answer.head);
    let certificates = brski_est::certs_only::decode(&transfer::decode(&answer.body)?)?;
    assert_eq!(certificates.len(), 1);
    Ok(())
}

#[tokio::test]
async fn acme2certifier_asks_anonymously_and_reads_plain_reasons() -> anyhow::Result<()> {
    let site = site::local().await?;
    let (mut connection, _) =
        tls::provisional(site.lab.registrar.address(), None, TlsVersions::Tls13).await?;
    let answer = connection.get("/.well-known/est/cacerts").await?;
    assert_eq!(answer.status, 200);
    let csr = folded(&Key::new()?.csr("nobody")?);
    let answer =
        connection.post("/.well-known/est/simpleenroll", "application/pkcs10", csr).await?;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.content_type, "text/plain; charset=utf-8");
    Ok(())
}
