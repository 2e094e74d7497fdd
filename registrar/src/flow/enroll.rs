//! From a CSR to a certificate (RFC 7030 §4.2, draft-ietf-acme-integrations).
//!
//! A retry is not byte-identical, since ECDSA is randomised, so an enrollment is known by what it asks for.
//! The same enrollment gets the same order and the same certificate, until that certificate should be renewed.

use acme_bridge::{Problem, ProblemKind};
use brski_est::certs_only;
use brski_est::csr::{Csr, ProvenCsr};
use brski_est::transfer;
use brski_voucher::certificate::Certificate;

use super::refusal::Refusal;
use super::{Decision, Visit};
use crate::issue::{ApprovedCsr, IssuedChain};
use crate::store::Change;
use crate::store::model::{
    ChainCertificate, DeviceState, Enrollment, EnrollmentState, Event, Id, IssuedCertificate,
    Millis, Sha256, Verdict, hex,
};

/// How long a CA's refusal, or an operator's, is repeated to the same CSR before the CA is asked again.
const REFUSED_MILLIS: i64 = 10 * 60 * 1000;
/// How long a failure is repeated to the same CSR before the issuer is asked again.
const FAILED_MILLIS: i64 = 60 * 1000;
/// When a waiting client should come back, in seconds.
pub const RETRY_AFTER_SECS: u32 = 5;

/// Reads a CSR as clients send it, and checks that its key signed it.
///
/// # Errors
/// [`Refusal::CsrUnreadable`], [`Refusal::CsrSignature`].
pub fn read(body: &[u8]) -> Result<ProvenCsr, Refusal> {
    parse(body)?.prove().map_err(|error| Refusal::CsrSignature { reason: error.to_string() })
}

/// Reads a CSR as clients send it, and looks at no signature.
///
/// # Errors
/// [`Refusal::CsrUnreadable`].
pub fn parse(body: &[u8]) -> Result<Csr, Refusal> {
    let unreadable = |reason: String| Refusal::CsrUnreadable { reason };
    let der = transfer::decode(body).map_err(|error| unreadable(error.to_string()))?;
    Csr::parse(&der).map_err(|error| unreadable(error.to_string()))
}

/// What a device wants to have, as a retry wants it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// SHA-256 of profile, device, SPKI, subject and requested extensions, and of the certificate to be renewed.
    pub key: Sha256,
    /// The certificate to be renewed, by its SHA-256.
    pub replaces: Option<Sha256>,
}

impl Wish {
    /// The wish of a device under a profile. `replaces`: the certificate to be renewed, for simplereenroll.
    #[must_use]
    pub fn new(profile: &str, device: &Id, csr: &ProvenCsr, replaces: Option<Sha256>) -> Self {
        let digest = hex(&csr.enrollment_digest());
        let renewed = replaces.map_or_else(String::new, |replaces| format!("\0{replaces}"));
        // Neither a profile's name nor an identifier contains a NUL.
        let key = Sha256::of(format!("{profile}\0{device}\0{digest}{renewed}").as_bytes());
        Self { key, replaces }
    }
}

/// Where the enrollment that a CSR asks for stands.
#[derive(Debug)]
pub enum Standing {
    /// There is none, or it is over: a new one is due.
    New {
        /// The one that is over.
        after: Option<Enrollment>,
    },
    /// It is approved, and its issuer must be asked.
    Submit(Enrollment),
    /// Its issuer is at work.
    Waiting(Enrollment),
    /// Its certificate is here.
    Issued(Box<IssuedCertificate>),
    /// It ended badly, too recently to try again.
    Ended(Refusal),
}

/// Judges the newest enrollment with the key of a CSR, and the certificate that it got.
///
/// `problem`: what its order ended with, where it ended badly at an ACME CA, or by an operator's hand.
#[must_use]
pub fn standing(
    enrollment: Option<Enrollment>,
    certificate: Option<IssuedCertificate>,
    problem: Option<Problem>,
    now: Millis,
) -> Standing {
    let Some(enrollment) = enrollment else {
        return Standing::New { after: None };
    };
    let since = now.0.saturating_sub(enrollment.updated_at.0);
    match &enrollment.state {
        EnrollmentState::Approved => Standing::Submit(enrollment),
        EnrollmentState::Ordered => Standing::Waiting(enrollment),
        EnrollmentState::Issued { .. } => match certificate {
            Some(certificate) if is_fresh(&certificate, now) => {
                Standing::Issued(Box::new(certificate))
            }
            _ => Standing::New { after: Some(enrollment) },
        },
        EnrollmentState::Refused { reason } if since < REFUSED_MILLIS => {
            let problem = problem.map(Box::new);
            Standing::Ended(Refusal::IssuerRefused { reason: reason.clone(), problem })
        }
        EnrollmentState::Failed { reason } if since < FAILED_MILLIS => {
            let left = FAILED_MILLIS.saturating_sub(since.max(0)).div_euclid(1000) + 1;
            Standing::Ended(Refusal::IssuerFailed {
                reason: reason.clone(),
                retry_after_secs: u32::try_from(left).unwrap_or(RETRY_AFTER_SECS),
                problem: problem.map(Box::new),
            })
        }
        // An operator's word about this very order holds; a device that was taken out of service begins anew.
        EnrollmentState::Cancelled { reason }
            if since < REFUSED_MILLIS && is_cancelled(&problem) =>
        {
            Standing::Ended(Refusal::OrderCancelled { reason: reason.clone() })
        }
        _ => Standing::New { after: Some(enrollment) },
    }
}

/// Whether an operator ended the order itself.
fn is_cancelled(problem: &Option<Problem>) -> bool {
    problem.as_ref().is_some_and(|problem| problem.kind == ProblemKind::Cancelled)
}

/// Whether a certificate is given again to the same CSR: until two thirds of its life, and not when revoked.
fn is_fresh(certificate: &IssuedCertificate, now: Millis) -> bool {
    let life = certificate.not_after.0.saturating_sub(certificate.not_before.0);
    let renewal = certificate.not_before.plus(life.saturating_mul(2).div_euclid(3));
    certificate.revoked_at.is_none() && now < renewal
}

/// Makes the enrollment of an approved CSR.
///
/// `after`: the one before it for the same wish, as [`Standing::New`] says; if the store knows another one by then, it
/// refuses this one.
#[must_use]
pub fn approve(
    visit: &Visit,
    approved: &ApprovedCsr,
    id: Id,
    wish: Wish,
    after: Option<Enrollment>,
    issuer: &str,
) -> (Enrollment, Decision) {
    let device = approved.admitted().device();
    let enrollment = Enrollment {
        id,
        device: device.id.clone(),
        profile: device.profile.clone(),
        issuer: issuer.to_owned(),
        name: approved.name().to_owned(),
        key: wish.key,
        csr: approved.csr().der().to_vec(),
        replaces: wish.replaces,
        state: EnrollmentState::Approved,
        // It is the newest of its wish, even if the clock went back.
        created_at: after
            .as_ref()
            .map_or(visit.now, |before| visit.now.max(before.created_at.plus(1))),
        updated_at: visit.now,
    };
    let detail =
        format!("enrollment {} of {} goes to issuer {issuer}", enrollment.id, enrollment.name);
    let clause = "RFC 7030 §4.2.1";
    let event = visit.event("enrollment-approved", Verdict::Done, clause, Some(&device.id), detail);
    let changes = vec![
        // An operator may have taken it out of service since it was judged.
        Change::ExpectLetIn { device: device.id.clone() },
        Change::ExpectEnrollment { key: wish.key, newest: after.map(|before| before.id) },
        Change::ApproveEnrollment(enrollment.clone()),
    ];
    (enrollment, Decision { changes, events: vec![event] })
}

/// An enrollment that its issuer ended at once: approval and end as one, so that its row is written once.
#[must_use]
pub fn at_once(approval: Decision, end: Decision) -> Decision {
    let mut whole = approval;
    for change in end.changes {
        match change {
            Change::SetEnrollmentState { enrollment, state, at } => {
                let approved = whole.changes.iter_mut().find_map(|change| match change {
                    Change::ApproveEnrollment(row) if row.id == enrollment => Some(row),
                    _ => None,
                });
                match approved {
                    Some(row) => (row.state, row.updated_at) = (state, at),
                    None => {
                        let change = Change::SetEnrollmentState { enrollment, state, at };
                        whole.changes.push(change);
                    }
                }
            }
            other => whole.changes.push(other),
        }
    }
    whole.events.extend(end.events);
    whole
}

/// How an enrollment ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a certificate.
    Issued(IssuedChain),
    /// The issuer will not issue for this CSR.
    Refused {
        /// What the issuer said.
        reason: String,
    },
    /// The issuer could not issue.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// Ends an enrollment: its state, its certificate, the CA certificates above it, its device's state.
///
/// `device`: where its device stands. What the CA issued after an operator said no is stored, revoked, and given
/// to nobody.
#[must_use]
pub fn completed(
    enrollment: &Enrollment,
    device: DeviceState,
    ending: Ending,
    now: Millis,
) -> Decision {
    // One that an operator took out of service and back must be let in anew, before anything is made for it.
    let is_barred =
        !matches!(device, DeviceState::Admitted | DeviceState::Vouchered | DeviceState::Enrolled);
    let is_cancelled = matches!(enrollment.state, EnrollmentState::Cancelled { .. });
    match ending {
        Ending::Issued(chain) => match Certificate::from_der(&chain.leaf) {
            Ok(leaf) if is_cancelled || is_barred => unwanted(enrollment, &leaf, chain, now),
            Ok(leaf) => issued(enrollment, &leaf, chain, now),
            Err(error) => failed(enrollment, format!("the certificate: {error}"), now),
        },
        _ if is_cancelled => Decision { changes: vec![still(enrollment)], events: Vec::new() },
        Ending::Refused { reason } => {
            let state = EnrollmentState::Refused { reason: reason.clone() };
            ended(enrollment, state, "enrollment-refused", Verdict::Refused, reason, now)
        }
        Ending::Failed { reason } => failed(enrollment, reason, now),
    }
}

fn failed(enrollment: &Enrollment, reason: String, now: Millis) -> Decision {
    let state = EnrollmentState::Failed { reason: reason.clone() };
    ended(enrollment, state, "enrollment-failed", Verdict::Failed, reason, now)
}

fn issued(
    enrollment: &Enrollment,
    leaf: &Certificate,
    chain: IssuedChain,
    now: Millis,
) -> Decision {
    let state = EnrollmentState::Issued { certificate: Sha256(leaf.fingerprint()) };
    let detail = format!("certificate {} for {}", hex(leaf.serial()), enrollment.name);
    let kind = "certificate-issued";
    let mut decision = ended(enrollment, state, kind, Verdict::Done, detail, now);
    decision.changes.extend(certificates(enrollment, leaf, chain, None, now));
    decision.changes.push(Change::MoveDevice {
        device: enrollment.device.clone(),
        state: DeviceState::Enrolled,
        at: now,
    });
    decision
}

/// A certificate that came too late.
fn unwanted(
    enrollment: &Enrollment,
    leaf: &Certificate,
    chain: IssuedChain,
    now: Millis,
) -> Decision {
    let serial = hex(leaf.serial());
    let detail = format!("certificate {serial} came after an operator had said no; it is revoked");
    let event = completion_event(enrollment, "certificate-unwanted", Verdict::Refused, detail, now);
    let mut changes = certificates(enrollment, leaf, chain, Some(now), now);
    changes.push(match enrollment.state {
        EnrollmentState::Cancelled { .. } => still(enrollment),
        _ => {
            let reason = "the device was taken out of service".to_owned();
            let state = EnrollmentState::Cancelled { reason };
            Change::SetEnrollmentState { enrollment: enrollment.id.clone(), state, at: now }
        }
    });
    Decision { changes, events: vec![event] }
}

/// What was decided of a cancelled enrollment is decided anew if an operator began it again meanwhile.
fn still(enrollment: &Enrollment) -> Change {
    Change::ExpectCancelled { enrollment: enrollment.id.clone() }
}

/// The rows of a certificate and of the CA certificates above it.
fn certificates(
    enrollment: &Enrollment,
    leaf: &Certificate,
    chain: IssuedChain,
    revoked_at: Option<Millis>,
    now: Millis,
) -> Vec<Change> {
    let certificate = IssuedCertificate {
        fingerprint: Sha256(leaf.fingerprint()),
        device: enrollment.device.clone(),
        enrollment: enrollment.id.clone(),
        issuer: enrollment.issuer.clone(),
        authority: chain.above.first().map(|above| Sha256::of(above)),
        certificate: chain.leaf,
        serial: hex(leaf.serial()),
        spki: Sha256::of(leaf.spki_der()),
        not_before: Millis(leaf.not_before().saturating_mul(1000)),
        not_after: Millis(leaf.not_after().saturating_mul(1000)),
        revoked_at,
        created_at: now,
    };
    let mut changes = vec![Change::AddCertificate(certificate)];
    changes.extend(chain.above.into_iter().map(|certificate| {
        Change::AddChainCertificate(ChainCertificate {
            issuer: enrollment.issuer.clone(),
            fingerprint: Sha256::of(&certificate),
            certificate,
        })
    }));
    changes
}

fn ended(
    enrollment: &Enrollment,
    state: EnrollmentState,
    kind: &'static str,
    verdict: Verdict,
    detail: String,
    now: Millis,
) -> Decision {
    let change = Change::SetEnrollmentState { enrollment: enrollment.id.clone(), state, at: now };
    let event = completion_event(enrollment, kind, verdict, detail, now);
    Decision { changes: vec![change], events: vec![event] }
}

fn completion_event(
    enrollment: &Enrollment,
    kind: &'static str,
    verdict: Verdict,
    detail: String,
    now: Millis,
) -> Event {
    Event {
        time: now,
        kind,
        verdict,
        device: Some(enrollment.device.clone()),
        peer: format!("issuer {}", enrollment.issuer),
        clause: "RFC 7030 §4.2.3",
        detail,
        correlation: enrollment.id.to_string(),
    }
}

/// The body of a successful enrollment: the device's certificate alone (RFC 7030 §4.2.3).
#[must_use]
pub fn answer(certificate: &IssuedCertificate) -> Vec<u8> {
    certs_only::encode(&[&certificate.certificate])
}
