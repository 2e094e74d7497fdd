//! From factory state to a working certificate: RFC 8995 §5.1–§5.9.4 in order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use brski_est::client::Outcome;
use brski_est::csr_attributes::{CsrAttributes, KeyTemplate};
use brski_est::csr_builder::{CsrRequest, EcdsaKey};
use brski_est::{certs_only, media_type as est_media_type, transfer};
use brski_voucher::certificate::Certificate;
use brski_voucher::telemetry::Status;
use brski_voucher::trust::{Anchors, ValidityTime, verify_chain};
use brski_voucher::{media_type, path};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::{Pledge, PledgeError, SignedRequest, expect};
use crate::http::{Answer, Connection};
use crate::masa::now;
use crate::pki::Credential;

/// How often a pledge comes back before it gives up.
const PATIENCE: u32 = 30;
/// The longest pause that a pledge takes (RFC 8995 §5.6), in seconds; in the lab, less.
const LONGEST_PAUSE_SECS: u64 = 5;

/// How long each phase took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// From the first connection to the accepted voucher.
    pub voucher: Duration,
    /// From `/cacerts` to the checked certificate.
    pub enroll: Duration,
    /// The new connection and the report.
    pub status: Duration,
}

/// A device that made it.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Its serial number.
    pub serial: String,
    /// Its certificate and key.
    pub credential: Credential,
    /// Its certificate, read.
    pub certificate: Certificate,
    /// The name of the CA that issued it.
    pub issuer: String,
    /// How long it took.
    pub phases: Phases,
}

/// Where EST lives: with a label, or without.
#[derive(Clone, Debug, Default)]
pub struct Label(Option<String>);

impl Label {
    /// A label.
    #[must_use]
    pub fn new(label: Option<String>) -> Self {
        Self(label)
    }

    /// The path of an operation.
    #[must_use]
    pub fn path(&self, operation: &str) -> String {
        match &self.0 {
            Some(label) => format!("/.well-known/est/{label}/{operation}"),
            None => format!("/.well-known/est/{operation}"),
        }
    }
}

/// Takes a pledge through everything.
///
/// # Errors
/// [`PledgeError`] of the first step that fails.
pub async fn run(
    pledge: &Pledge,
    registrar: SocketAddr,
    label: &Label,
) -> Result<Enrolled, PledgeError> {
    let begin = Instant::now();
    let (mut connection, pinned) = bootstrap(pledge, registrar).await?;
    let vouchered = Instant::now();
    let mut visit = Visit { pledge, registrar, pinned: &pinned, label };
    let anchors = visit.ca_certificates(&mut connection).await?;
    let attributes = visit.csr_attributes(&mut connection).await?;
    let (credential, certificate) = visit.enroll(connection, &attributes).await?;
    let anchors = check(&attributes, &certificate, &anchors)?;
    let enrolled = Instant::now();
    visit.report(&credential, &certificate, &anchors).await?;
    Ok(Enrolled {
        serial: pledge.serial().to_string(),
        issuer: issuer_name(&certificate),
        credential,
        certificate,
        phases: Phases {
            voucher: vouchered - begin,
            enroll: enrolled - vouchered,
            status: enrolled.elapsed(),
        },
    })
}

/// Gets, verifies and accepts a voucher; gives the connection and what the voucher pins.
///
/// # Errors
/// [`PledgeError`].
pub async fn bootstrap(
    pledge: &Pledge,
    registrar: SocketAddr,
) -> Result<(Connection, Certificate), PledgeError> {
    let (mut connection, chain) = pledge.connect(registrar).await?;
    let own = chain
        .own()
        .ok_or_else(|| PledgeError::check("provisional TLS", "the server showed no certificate"))?;
    let SignedRequest { der, nonce } = pledge.voucher_request(own)?;
    let mut times = 0;
    let voucher = loop {
        let answer = post(
            &mut connection,
            "requestvoucher",
            path::REQUEST_VOUCHER,
            media_type::VOUCHER_CMS,
            der.clone(),
        )
        .await?;
        if !wait("requestvoucher", &answer, &mut times).await? {
            break expect("requestvoucher", 200, answer)?;
        }
        if connection.is_closed() {
            // The same request on another connection; the registrar's certificate is the same.
            connection = pledge.connect(registrar).await?.0;
        }
    };
    let verified = pledge.verify_voucher(&voucher.body, &nonce, &chain);
    let status = match &verified {
        Ok(_) => Status::success(),
        Err(error) => Status::failure(&error.to_string()),
    };
    let step = "voucher_status";
    let answer =
        post(&mut connection, step, path::VOUCHER_STATUS, "application/json", status.to_json())
            .await?;
    let pinned = verified?;
    expect(step, 200, answer)?;
    Ok((connection, pinned))
}

/// If the answer is 202, waits as it says.
async fn wait(step: &'static str, answer: &Answer, times: &mut u32) -> Result<bool, PledgeError> {
    let seconds = match Outcome::of(answer.status, &answer.retry_after, &[]) {
        Outcome::Pending { retry_after_secs } => u64::from(retry_after_secs),
        _ if answer.status == 503 => answer.retry_after.trim().parse().unwrap_or(1),
        _ => return Ok(false),
    };
    *times += 1;
    if *times > PATIENCE {
        return Err(PledgeError::Patience { step, times: *times });
    }
    tokio::time::sleep(Duration::from_secs(seconds.min(LONGEST_PAUSE_SECS))).await;
    Ok(true)
}

async fn post(
    connection: &mut Connection,
    step: &'static str,
    path: &str,
    content_type: &str,
    body: Vec<u8>,
) -> Result<Answer, PledgeError> {
    connection
        .post(path, content_type, body)
        .await
        .map_err(|source| PledgeError::Http { step, source })
}

/// The part after the voucher.
struct Visit<'a> {
    pledge: &'a Pledge,
    registrar: SocketAddr,
    pinned: &'a Certificate,
    label: &'a Label,
}

impl Visit<'_> {
    async fn get(
        &self,
        connection: &mut Connection,
        step: &'static str,
    ) -> Result<Vec<u8>, PledgeError> {
        let answer = connection
            .get(&self.label.path(step))
            .await
            .map_err(|source| PledgeError::Http { step, source })?;
        let answer = expect(step, 200, answer)?;
        transfer::decode(&answer.body).map_err(|error| PledgeError::check(step, error))
    }

    async fn ca_certificates(
        &self,
        connection: &mut Connection,
    ) -> Result<Vec<CertificateDer<'static>>, PledgeError> {
        let body = self.get(connection, "cacerts").await?;
        certs_only::decode(&body).map_err(|error| PledgeError::check("cacerts", error))
    }

    async fn csr_attributes(
        &self,
        connection: &mut Connection,
    ) -> Result<CsrAttributes, PledgeError> {
        let body = self.get(connection, "csrattrs").await?;
        CsrAttributes::from_der(&body).map_err(|error| PledgeError::check("csrattrs", error))
    }

    /// Enrolls with a new key, coming back as often as it is told to.
    async fn enroll(
        &mut self,
        mut connection: Connection,
        attributes: &CsrAttributes,
    ) -> Result<(Credential, Certificate), PledgeError> {
        let step = "simpleenroll";
        let failed = |error: &dyn std::fmt::Display| PledgeError::check(step, error);
        let name = attributes.dns_name.as_deref().ok_or_else(|| failed(&"no name was assigned"))?;
        let algorithm = match attributes.key {
            Some(KeyTemplate::EcP384) => &PKCS_ECDSA_P384_SHA384,
            _ => &PKCS_ECDSA_P256_SHA256,
        };
        let key = KeyPair::generate_for(algorithm).map_err(|error| failed(&error))?;
        let signer =
            EcdsaKey::from_pkcs8_der(key.serialized_der()).map_err(|error| failed(&error))?;
        let path = self.label.path(step);
        let mut times = 0;
        loop {
            // Signed anew each time, as a device does that keeps nothing but its key.
            let csr = CsrRequest::new(&[name]).sign(&signer).map_err(|error| failed(&error))?;
            let body = transfer::encode(&csr, transfer::Folding::Never).into_bytes();
            if connection.is_closed() {
                connection = self.reconnect().await?;
            }
            let sent = post(&mut connection, step, &path, est_media_type::PKCS10, body).await;
            let answer = match sent {
                Ok(answer) => answer,
                // The registrar went away in the middle: it is asked again, as after a 202.
                Err(error) => {
                    times += 1;
                    if times > PATIENCE {
                        return Err(error);
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    if let Ok(again) = self.reconnect().await {
                        connection = again;
                    }
                    continue;
                }
            };
            if wait(step, &answer, &mut times).await? {
                continue;
            }
            return match Outcome::of(answer.status, &answer.retry_after, &answer.body) {
                Outcome::Issued(certificates) => {
                    let [certificate] = <[_; 1]>::try_from(certificates)
                        .map_err(|all| failed(&format!("{} certificates, not one", all.len())))?;
                    let read =
                        Certificate::from_der(&certificate).map_err(|error| failed(&error))?;
                    if read.spki_der() != brski_est::csr_builder::Signer::spki_der(&signer) {
                        return Err(failed(&"the certificate is of another key"));
                    }
                    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
                    Ok((Credential { certificate, key }, read))
                }
                Outcome::Refused { status, reason } => {
                    Err(PledgeError::Refused { step, status, reason })
                }
                Outcome::Pending { .. } => Err(failed(&"it waits for ever")),
            };
        }
    }

    async fn reconnect(&self) -> Result<Connection, PledgeError> {
        self.pledge.reconnect(self.registrar, self.pinned, self.pledge.credential()).await
    }

    /// Reports over a new connection with the new certificate, whose chain `/cacerts` must build (RFC 8995 §5.9.4).
    async fn report(
        &mut self,
        credential: &Credential,
        certificate: &Certificate,
        anchors: &[CertificateDer<'static>],
    ) -> Result<(), PledgeError> {
        let mut connection = self.pledge.reconnect(self.registrar, self.pinned, credential).await?;
        // Intermediates change from one order to the next, so they are fetched again.
        let fresh = self.ca_certificates(&mut connection).await?;
        let all: Vec<CertificateDer<'static>> = anchors.iter().chain(&fresh).cloned().collect();
        verify(certificate, &all)?;
        let step = "enrollstatus";
        let body = Status::success().to_json();
        let answer =
            post(&mut connection, step, path::ENROLL_STATUS, "application/json", body).await?;
        expect(step, 200, answer).map(|_| ())
    }
}

/// Checks a new certificate: it carries the name that was told.
fn check(
    attributes: &CsrAttributes,
    certificate: &Certificate,
    anchors: &[CertificateDer<'static>],
) -> Result<Vec<CertificateDer<'static>>, PledgeError> {
    let wanted: Vec<&str> = attributes.dns_name.as_deref().into_iter().collect();
    if certificate.dns_names() != wanted {
        let names = certificate.dns_names();
        let reason = format!("the certificate is for {names:?}, not for {wanted:?}");
        return Err(PledgeError::check("certificate", reason));
    }
    Ok(anchors.to_vec())
}

/// Builds the certificate's chain from what `/cacerts` gave: self-signed ones are anchors, the others lead there.
fn verify(certificate: &Certificate, known: &[CertificateDer<'static>]) -> Result<(), PledgeError> {
    let step = "certificate";
    let read: Vec<Certificate> =
        known.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    let (roots, above): (Vec<Certificate>, Vec<Certificate>) =
        read.into_iter().partition(|each| each.subject_der() == each.issuer_der());
    let roots: Vec<CertificateDer<'static>> = roots.iter().map(|each| each.der().clone()).collect();
    let anchors = Anchors::new(&roots).map_err(|error| PledgeError::check(step, error))?;
    verify_chain(certificate, &above, &anchors, ValidityTime::At(now())).map_err(|error| {
        PledgeError::check(step, format!("cacerts does not build its chain: {error}"))
    })
}

/// The common name of the issuer, for people; what it is made of otherwise.
fn issuer_name(certificate: &Certificate) -> String {
    certificate.issuer_common_name().unwrap_or("(no common name)").to_owned()
}
