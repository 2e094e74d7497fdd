//! From factory state to a working certificate: RFC 8995 §5.1–§5.9.4 in order.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use brski_est::client::{EstServer, ReadError, Refused, Reply, RetryAfter};
use brski_est::csr::GeneralName;
use brski_est::csr_attributes::{ClientFacts, CsrPlan};
use brski_est::csr_builder::{PrivateKey, Signer as _};
use brski_est::path as est_path;
use brski_voucher::certificate::Certificate;
use brski_voucher::path;
use brski_voucher::telemetry::Status;
use brski_voucher::trust::{Anchors, ValidityTime, verify_chain};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{Pledge, PledgeError, SignedRequest, expect};
use crate::est::request::key_for;
use crate::http::{Answer, Connection};
use crate::masa::now;
use crate::pki::Credential;

/// How often a pledge comes back before it gives up.
const PATIENCE: u32 = 30;
/// The longest pause that a pledge takes (RFC 8995 §5.6), in seconds; in the lab, less.
const LONGEST_PAUSE_SECS: u32 = 5;
/// serialNumber in a subject.
const SERIAL_NUMBER: &str = "2.5.4.5";

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
    /// What its voucher pinned.
    pub pinned: Certificate,
    /// How long it took.
    pub phases: Phases,
}

/// Where EST lives: with a label, or without.
#[derive(Clone, Debug, Default)]
pub struct Label(Option<est_path::Label>);

impl Label {
    /// A label, or none.
    #[must_use]
    pub fn new(label: Option<est_path::Label>) -> Self {
        Self(label)
    }

    /// The EST server at an address.
    fn server(&self, address: SocketAddr) -> Result<EstServer, PledgeError> {
        let authority = address.to_string().parse();
        let authority = authority.map_err(|error| PledgeError::check("the address", error))?;
        let server = EstServer::new(authority);
        Ok(match &self.0 {
            Some(label) => server.with_label(label.clone()),
            None => server,
        })
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
    let visit = Visit {
        pledge,
        registrar,
        pinned: &pinned,
        credential: pledge.credential(),
        server: label.server(registrar)?,
    };
    let anchors = visit.ca_certificates(&mut connection).await?;
    let plan = visit.csr_plan(&mut connection).await?;
    let (credential, certificate) =
        visit.enroll(connection, &plan, EstServer::simple_enroll).await?;
    check(&plan, &certificate)?;
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
        pinned,
    })
}

/// Renews a device's certificate with a new key, over a connection with the old certificate (RFC 7030 §4.2.2).
///
/// # Errors
/// [`PledgeError`] of the first step that fails.
pub async fn renew(
    pledge: &Pledge,
    device: &Enrolled,
    registrar: SocketAddr,
    label: &Label,
) -> Result<Enrolled, PledgeError> {
    let begin = Instant::now();
    let visit = Visit {
        pledge,
        registrar,
        pinned: &device.pinned,
        credential: &device.credential,
        server: label.server(registrar)?,
    };
    let mut connection = visit.reconnect().await?;
    let plan = visit.csr_plan(&mut connection).await?;
    let (credential, certificate) =
        visit.enroll(connection, &plan, EstServer::simple_reenroll).await?;
    check(&plan, &certificate)?;
    let enrolled = Instant::now();
    let anchors = visit.ca_certificates(&mut visit.reconnect().await?).await?;
    verify(&certificate, &anchors)?;
    Ok(Enrolled {
        serial: device.serial.clone(),
        issuer: issuer_name(&certificate),
        credential,
        certificate,
        phases: Phases {
            voucher: Duration::ZERO,
            enroll: enrolled - begin,
            status: enrolled.elapsed(),
        },
        pinned: device.pinned.clone(),
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
            pledge.media_type(),
            der.clone(),
        )
        .await?;
        if !wait_for_voucher(&answer, &mut times).await? {
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

/// If the registrar has no voucher yet, or is busy, waits as it says.
async fn wait_for_voucher(answer: &Answer, times: &mut u32) -> Result<bool, PledgeError> {
    if ![202, 503].contains(&answer.status) {
        return Ok(false);
    }
    let told = RetryAfter::parse(&answer.retry_after, now());
    pause("requestvoucher", told.unwrap_or(RetryAfter::DEFAULT), times).await?;
    Ok(true)
}

/// Lets as much time pass as was told, within what a pledge of the lab bears.
async fn pause(step: &'static str, told: RetryAfter, times: &mut u32) -> Result<(), PledgeError> {
    *times += 1;
    if *times > PATIENCE {
        return Err(PledgeError::Patience { step, times: *times });
    }
    let seconds = told.secs().min(LONGEST_PAUSE_SECS);
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    Ok(())
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
    /// What it proves itself with.
    credential: &'a Credential,
    server: EstServer,
}

/// How a CSR is sent: as the first one, or as a renewal.
type Send = fn(&EstServer, &[u8]) -> Request<Vec<u8>>;

impl Visit<'_> {
    /// Asks something that is answered at once.
    async fn get<T>(
        &self,
        connection: &mut Connection,
        step: &'static str,
        request: Request<Vec<u8>>,
        read: impl Fn(&EstServer, &Response<Bytes>, UnixTime) -> Result<Reply<T>, ReadError>,
    ) -> Result<T, PledgeError> {
        let response = connection.exchange(request).await;
        let response = response.map_err(|source| PledgeError::Http { step, source })?;
        let reply = read(&self.server, &response, now());
        match reply.map_err(|error| PledgeError::check(step, error))? {
            Reply::Done(value) => Ok(value),
            Reply::Refused(refused) => Err(refusal(step, &refused)),
            _ => {
                let (status, reason) = (response.status().as_u16(), String::new());
                Err(PledgeError::Refused { step, status, reason })
            }
        }
    }

    async fn ca_certificates(
        &self,
        connection: &mut Connection,
    ) -> Result<Vec<CertificateDer<'static>>, PledgeError> {
        let request = self.server.ca_certs();
        self.get(connection, "cacerts", request, EstServer::read_ca_certs).await
    }

    async fn csr_plan(&self, connection: &mut Connection) -> Result<CsrPlan, PledgeError> {
        let request = self.server.csr_attrs();
        self.get(connection, "csrattrs", request, EstServer::read_csr_attrs).await
    }

    /// What a device knows of itself: its serial number, where the registrar asks for it.
    fn facts(&self, plan: &CsrPlan) -> ClientFacts {
        let facts = ClientFacts::new();
        if plan.subject().is_empty() {
            return facts;
        }
        facts.with_subject(SERIAL_NUMBER, self.pledge.serial().as_str())
    }

    /// Enrolls with a new key, coming back as often as it is told to.
    async fn enroll(
        &self,
        mut connection: Connection,
        plan: &CsrPlan,
        send: Send,
    ) -> Result<(Credential, Certificate), PledgeError> {
        let step = "simpleenroll";
        let failed = |error: &dyn std::fmt::Display| PledgeError::check(step, error);
        assigned_name(plan).ok_or_else(|| failed(&"no name was assigned"))?;
        let key = key_for(plan, None).map_err(|error| failed(&error))?;
        let mut signer = PrivateKey::from_pkcs8_der(key.pkcs8.secret_pkcs8_der())
            .map_err(|error| failed(&error))?;
        if let Some(hash) = plan.hash() {
            signer = signer.with_hash(hash).map_err(|error| failed(&error))?;
        }
        let request = plan.request(&self.facts(plan)).map_err(|error| failed(&error))?;
        let mut times = 0;
        loop {
            // Signed anew each time, as a device does that keeps nothing but its key.
            let csr = request.sign(&signer).map_err(|error| failed(&error))?;
            if connection.is_closed() {
                connection = self.reconnect().await?;
            }
            let response = match connection.exchange(send(&self.server, &csr)).await {
                Ok(response) => response,
                // The registrar went away in the middle: it is asked again, as after a 202.
                Err(source) => {
                    times += 1;
                    if times > PATIENCE {
                        return Err(PledgeError::Http { step, source });
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    if let Ok(again) = self.reconnect().await {
                        connection = again;
                    }
                    continue;
                }
            };
            let reply = self.server.read_enrolled(&response, signer.spki_der(), now());
            match reply.map_err(|error| failed(&error))? {
                Reply::Done(issued) => {
                    let certificate = issued.certificate().clone();
                    let read =
                        Certificate::from_der(&certificate).map_err(|error| failed(&error))?;
                    return Ok((Credential { certificate, key: key.pkcs8 }, read));
                }
                Reply::Wait(told) => pause(step, told, &mut times).await?,
                Reply::Refused(refused) => match busy(&refused) {
                    Some(told) => pause(step, told, &mut times).await?,
                    None => return Err(refusal(step, &refused)),
                },
                _ => return Err(failed(&format!("the answer is {}", response.status()))),
            }
        }
    }

    async fn reconnect(&self) -> Result<Connection, PledgeError> {
        self.pledge.reconnect(self.registrar, self.pinned, self.credential).await
    }

    /// Reports over a new connection with the new certificate, whose chain `/cacerts` must build (RFC 8995 §5.9.4).
    async fn report(
        &self,
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

fn refusal(step: &'static str, refused: &Refused) -> PledgeError {
    let (status, reason) = (refused.status().as_u16(), refused.reason().to_owned());
    PledgeError::Refused { step, status, reason }
}

/// When a registrar that is busy may be asked again.
fn busy(refused: &Refused) -> Option<RetryAfter> {
    refused.retry_after().filter(|_| refused.status() == StatusCode::SERVICE_UNAVAILABLE)
}

/// The DNS name that the registrar gave.
fn assigned_name(plan: &CsrPlan) -> Option<&str> {
    plan.given_names().find_map(|name| match name {
        GeneralName::Dns(name) => Some(name.as_str()),
        _ => None,
    })
}

/// Checks a new certificate: it carries the name that was told.
fn check(plan: &CsrPlan, certificate: &Certificate) -> Result<(), PledgeError> {
    let wanted: Vec<&str> = assigned_name(plan).into_iter().collect();
    if certificate.dns_names() != wanted {
        let names = certificate.dns_names();
        let reason = format!("the certificate is for {names:?}, not for {wanted:?}");
        return Err(PledgeError::check("certificate", reason));
    }
    Ok(())
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
