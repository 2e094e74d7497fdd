//! TLS with pledges: any SNI or none, TLS 1.2 and 1.3, resumption without trust, no early data (RFC 8995 §5.1).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use brski_lab::masa::MasaOptions;
use brski_lab::pki::Credential;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, ProtocolVersion,
    SignatureScheme, StreamOwned,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::desk::{ask, plan, start};

/// Takes any certificate, as a pledge does at first; its signature must hold.
#[derive(Debug)]
struct Provisional(Arc<CryptoProvider>);

impl ServerCertVerifier for Provisional {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A client with this certificate that keeps its sessions and would send early data.
fn client(
    credential: &Credential,
    version: &'static rustls::SupportedProtocolVersion,
) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut configuration = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Provisional(provider)))
        .with_client_auth_cert(
            vec![credential.certificate.clone()],
            PrivateKeyDer::Pkcs8(credential.key.clone_key()),
        )?;
    configuration.enable_early_data = true;
    Ok(Arc::new(configuration))
}

/// What one request over a new connection showed.
struct Seen {
    certificate: Vec<u8>,
    version: Option<ProtocolVersion>,
    kind: Option<HandshakeKind>,
    may_send_early: bool,
    answer: String,
}

/// Asks for the CSR attributes, or enrolls with nonsense, over a new connection to this name.
async fn visit(
    address: SocketAddr,
    configuration: &Arc<ClientConfig>,
    name: &str,
    request: &'static str,
) -> anyhow::Result<Seen> {
    let name = ServerName::try_from(name.to_owned())?;
    let configuration = Arc::clone(configuration);
    tokio::task::spawn_blocking(move || {
        let mut connection = ClientConnection::new(configuration, name)?;
        let may_send_early = connection.early_data().is_some();
        let mut socket = TcpStream::connect(address)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let mut stream = StreamOwned::new(connection, socket);
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        // A server that closes without a last word is a matter of the body's length.
        let _ = stream.read_to_end(&mut answer);
        let certificates = stream.conn.peer_certificates().unwrap_or_default();
        Ok(Seen {
            certificate: certificates.first().map(|it| it.to_vec()).unwrap_or_default(),
            version: stream.conn.protocol_version(),
            kind: stream.conn.handshake_kind(),
            may_send_early,
            answer: String::from_utf8_lossy(&answer).into_owned(),
        })
    })
    .await?
}

const ATTRIBUTES: &str =
    "GET /.well-known/est/csrattrs HTTP/1.1\r\nHost: registrar\r\nConnection: close\r\n\r\n";
const ENROLL: &str = "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: registrar\r\n\
    Content-Type: application/pkcs10\r\nContent-Length: 4\r\nConnection: close\r\n\r\nAAAA";

#[tokio::test]
async fn any_name_and_none_get_the_same_certificate() -> anyhow::Result<()> {
    let site = start(plan(MasaOptions::default(), &[]), &[]).await?;
    let pledge = site.lab.pledge("SNI-1")?;
    let address = site.lab.registrar.address();
    let (_, chain) = pledge.connect(address).await?;
    let own = chain.own().expect("a server has a certificate").to_vec();
    for version in [&TLS12, &TLS13] {
        let configuration = client(pledge.credential(), version)?;
        // An address is no SNI.
        for name in ["127.0.0.1", "registrar.example", "evil.example", "a.b.c.d.e.f"] {
            let seen = visit(address, &configuration, name, ATTRIBUTES).await?;
            assert_eq!(seen.certificate, own, "{name}");
            assert_eq!(seen.version, Some(version.version));
            assert!(seen.answer.starts_with("HTTP/1.1 200"), "{name}: {}", seen.answer);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_resumed_session_is_judged_anew_and_takes_no_early_data() -> anyhow::Result<()> {
    for (serial, version) in [("RESUME-12", &TLS12), ("RESUME-13", &TLS13)] {
        let site = start(plan(MasaOptions::default(), &[]), &[]).await?;
        let pledge = site.lab.pledge(serial)?;
        let address = site.lab.registrar.address();
        ask(&site, &pledge).await?;
        let configuration = client(pledge.credential(), version)?;
        let first = visit(address, &configuration, "127.0.0.1", ENROLL).await?;
        assert_eq!(first.kind, Some(HandshakeKind::Full));
        assert!(first.answer.starts_with("HTTP/1.1 400"), "{}", first.answer);
        site.site().command("device block", &[serial]).await?;
        let second = visit(address, &configuration, "127.0.0.1", ENROLL).await?;
        assert_eq!(second.kind, Some(HandshakeKind::Resumed), "{serial}");
        assert!(!second.may_send_early, "early data could be replayed");
        assert!(second.answer.starts_with("HTTP/1.1 403"), "{}", second.answer);
        assert!(second.answer.contains("blocked"), "{}", second.answer);
    }
    Ok(())
}
