//! The certificate of tls-alpn-01, over a handshake in memory.

use std::sync::{Arc, Mutex};

use acme_bridge::tls_alpn::{PROTOCOL, TlsAlpn};
use acme_bridge::{AnswerStore as _, ChallengeAnswer, ChallengeType, OrderId, Place};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::memory::{Memory, NAME, challenge};

/// Takes any certificate and keeps it: what a CA does before it reads the digest.
#[derive(Debug)]
struct Keeper {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Keeper {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.seen.lock().unwrap() = end_entity.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 was asked for".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = spki(certificate);
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &spki, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The key of a certificate whose algorithm is P-256: 91 octets that begin in the same way in each of them.
fn spki(certificate: &[u8]) -> SubjectPublicKeyInfoDer<'static> {
    let begin: &[u8] = &[0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d];
    let at = certificate.windows(begin.len()).position(|window| window == begin).unwrap();
    SubjectPublicKeyInfoDer::from(certificate[at..at + 91].to_vec())
}

/// What a CA sees that connects under this name: the certificate, or why there is none.
async fn validate(store: &Arc<Memory>, name: &str) -> Result<Vec<u8>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let answers = TlsAlpn::new(Arc::clone(&provider), store.clone());
    let server = answers.server(Some(name)).await.map_err(|error| error.to_string())?;
    let keeper = Arc::new(Keeper { provider: Arc::clone(&provider), seen: Mutex::default() });
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(keeper.clone())
        .with_no_client_auth();
    client.alpn_protocols = vec![PROTOCOL.to_vec()];
    let (ours, theirs) = tokio::io::duplex(65_536);
    let serving =
        tokio::spawn(async move { TlsAcceptor::from(Arc::new(server)).accept(theirs).await });
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connected = TlsConnector::from(Arc::new(client)).connect(name, ours).await;
    let _ = serving.await.unwrap();
    let connection = connected.map_err(|error| error.to_string())?;
    assert_eq!(connection.get_ref().1.alpn_protocol(), Some(PROTOCOL));
    Ok(keeper.seen.lock().unwrap().clone())
}

async fn put(store: &Memory, owner: &str, token: &str) -> String {
    let expected = challenge(ChallengeType::TlsAlpn01, token).expectation(owner);
    let answer = ChallengeAnswer {
        order: OrderId::new(token),
        name: owner.into(),
        kind: expected.kind,
        owner: expected.owner,
        value: expected.value.clone(),
        place: Place::BuiltIn,
    };
    store.put(&answer).await.unwrap();
    expected.value
}

fn contains(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn the_certificate_carries_the_digest_as_critical_and_the_one_name() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let store = Memory::new();
    let digest = URL_SAFE_NO_PAD.decode(put(&store, NAME, "a").await).unwrap();
    let certificate = validate(&store, NAME).await.unwrap();
    // id-pe-acmeIdentifier, critical, an OCTET STRING in the extension's own.
    let mut extension =
        vec![0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 1, 1, 0xff, 4, 0x22, 4, 0x20];
    extension.extend(&digest);
    assert!(contains(&certificate, &extension));
    let mut names = vec![0x30, 2 + u8::try_from(NAME.len()).unwrap(), 0x82];
    names.push(u8::try_from(NAME.len()).unwrap());
    names.extend(NAME.as_bytes());
    assert!(contains(&certificate, &names));
    let again = validate(&store, NAME).await.unwrap();
    assert_ne!(spki(&certificate), spki(&again), "a key is made for each handshake");
}

#[tokio::test]
async fn a_name_without_a_challenge_gets_an_alert() {
    let store = Memory::new();
    put(&store, NAME, "a").await;
    let refused = validate(&store, "dev-2.iot.example.org").await.unwrap_err();
    assert!(refused.contains("alert"), "{refused}");
}

#[tokio::test]
async fn a_store_that_fails_ends_the_handshake() {
    let store = Memory::new();
    store.set_broken(true);
    assert!(validate(&store, NAME).await.unwrap_err().contains("the disk is gone"));
}
