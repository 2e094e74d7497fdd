//! An EST client for tests: right and wrong requests, one at a time.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_est::csr_builder::{CsrRequest, EcdsaKey};
use brski_est::transfer::{self, Folding};
use brski_est::{certs_only, media_type};
use brski_lab::http::{Answer, Connection};
use brski_lab::pki::Credential;
use brski_lab::pledge::tls::{self, TlsVersions};
use brski_voucher::certificate::Certificate;
use bytes::Bytes;
use hyper::Request;
use rcgen::KeyPair;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::site::TestSite;

/// The zone of the lab's devices.
pub const ZONE: &str = "iot.lab.example";

/// A key pair that signs CSRs.
pub struct Key {
    pkcs8: Vec<u8>,
}

impl Key {
    /// Makes a P-256 key.
    ///
    /// # Errors
    /// If the library cannot.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { pkcs8: KeyPair::generate()?.serialize_der() })
    }

    /// A key that somebody else has: PKCS#8, PEM.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_pem(pem: &str) -> anyhow::Result<Self> {
        Ok(Self { pkcs8: KeyPair::from_pem(pem)?.serialize_der() })
    }

    /// A key that is there already, PKCS#8.
    #[must_use]
    pub fn from_pkcs8(pkcs8: &[u8]) -> Self {
        Self { pkcs8: pkcs8.to_vec() }
    }

    /// Signs a CSR for the device that is called `label`.
    ///
    /// # Errors
    /// If the library cannot.
    pub fn csr(&self, label: &str) -> anyhow::Result<Vec<u8>> {
        self.sign(&CsrRequest::new(&[&format!("{label}.{ZONE}")]))
    }

    /// Signs any CSR.
    ///
    /// # Errors
    /// If the library cannot.
    pub fn sign(&self, request: &CsrRequest) -> anyhow::Result<Vec<u8>> {
        Ok(request.sign(&EcdsaKey::from_pkcs8_der(&self.pkcs8)?)?)
    }

    /// The key, PKCS#8.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The key together with a certificate for it.
    #[must_use]
    pub fn with(&self, certificate: &Certificate) -> Credential {
        let key = PrivatePkcs8KeyDer::from(self.pkcs8.clone());
        Credential { certificate: certificate.der().clone(), key }
    }
}

/// Opens a connection, with a certificate if there is one.
///
/// # Errors
/// If TLS fails.
pub async fn connect(
    site: &TestSite,
    credential: Option<&Credential>,
) -> anyhow::Result<Connection> {
    let address = site.lab.registrar.address();
    Ok(tls::provisional(address, credential, TlsVersions::Any).await?.0)
}

/// The value of an Authorization header by HTTP Basic.
#[must_use]
pub fn basic(name: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
}

/// POSTs a CSR to an EST operation.
///
/// # Errors
/// If there is no answer.
pub async fn post(
    connection: &mut Connection,
    operation: &str,
    csr: &[u8],
    authorization: Option<&str>,
) -> anyhow::Result<Answer> {
    let mut request = Request::builder()
        .method("POST")
        .uri(format!("/.well-known/est/{operation}"))
        .header("content-type", media_type::PKCS10);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let body = transfer::encode(csr, Folding::Never);
    Ok(connection.request(request.body(Bytes::from(body))?).await?)
}

/// Sends CSRs of these keys with one credential, whose name the device has, at the same moment, each over a connection of
/// its own; the answers, in any order.
///
/// # Errors
/// If there is no answer.
pub async fn enroll_at_once(
    registrar: SocketAddr,
    name: &str,
    secret: &str,
    keys: Vec<Key>,
) -> anyhow::Result<Vec<Answer>> {
    let together = Arc::new(Barrier::new(keys.len()));
    let mut sending = JoinSet::new();
    for key in keys {
        let (csr, login) = (key.csr(name)?, basic(name, secret));
        let mut connection = tls::provisional(registrar, None, TlsVersions::Any).await?.0;
        let together = Arc::clone(&together);
        sending.spawn(async move {
            together.wait().await;
            post(&mut connection, "simpleenroll", &csr, Some(&login)).await
        });
    }
    sending.join_all().await.into_iter().collect()
}

/// The one certificate of an answer.
///
/// # Errors
/// If the answer is another one.
pub fn certificate(answer: &Answer) -> anyhow::Result<Certificate> {
    anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    let certificates = certs_only::decode(&transfer::decode(&answer.body)?)?;
    let [only] = certificates.as_slice() else {
        anyhow::bail!("{} certificates", certificates.len());
    };
    Ok(Certificate::from_der(only)?)
}

/// Makes a credential on the registrar and gives its secret.
///
/// # Errors
/// If the registrar says no.
pub async fn make_credential(
    site: &TestSite,
    name: &str,
    options: &[&str],
) -> anyhow::Result<String> {
    let arguments: Vec<&str> = [name].into_iter().chain(options.iter().copied()).collect();
    let printed = site.site().command("credential add", &arguments).await?;
    Ok(printed.trim().to_owned())
}
