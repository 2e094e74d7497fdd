//! simpleenroll and simplereenroll (RFC 7030 §4.2): from a CSR to an answer, now or later.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use acme_bridge::{OrderId, OrderRecord, OrderState, Problem};
use brski_est::csr::ProvenCsr;
use brski_est::media_type;
use tracing::{Instrument as _, debug_span};

use super::Asked;
use crate::config::Profile;
use crate::entropy::row_id;
use crate::flow::Decision;
use crate::flow::enroll::{self, Ending, Standing, Wish};
use crate::flow::gate::{self, Entrant, SessionRules};
use crate::flow::peer::{Idevid, PeerIdentity};
use crate::flow::refusal::Refusal;
use crate::flow::voucher::admitted_event;
use crate::http::admit::{
    Attempts, Entries, ask_about_renewal, ask_again, entries, expect_same, stored, take,
};
use crate::http::app::{App, Arrival, Refused};
use crate::http::headers;
use crate::issue::{ApprovedCsr, IssueError, Issuer, Submission};
use crate::policy::admission::Admitted;
use crate::policy::profile::check_renewal_key;
use crate::policy::{quota, timekeeping};
use crate::store::model::{
    DeviceState, Enrollment, EnrollmentState, Entry as Needs, Id, IssuedCertificate, KnownDevice,
    Sha256,
};
use crate::store::{Change, Conflict, StoreError};

/// Which of the two is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A certificate.
    Enroll,
    /// Another one in the place of the session's.
    Reenroll,
}

/// Gives the certificate that a CSR asks for.
pub(super) async fn enroll(
    app: &App,
    arrival: &Arrival,
    asked: &Asked<'_>,
    kind: Kind,
    content: &[u8],
) -> Result<IssuedCertificate, Refused> {
    if kind == Kind::Reenroll && !matches!(arrival.identity, PeerIdentity::Issued { .. }) {
        return Err(match &arrival.identity {
            PeerIdentity::Revoked => Refusal::CertificateRevoked.into(),
            _ => Refusal::RenewalWithoutCertificate.into(),
        });
    }
    let mut arrival = Cow::Borrowed(arrival);
    let mut attempts = Attempts::new(quota::Wish::Enrollment);
    loop {
        let outcome = enroll_once(app, &arrival, asked, kind, content).await;
        if let ControlFlow::Break(outcome) = attempts.judge(outcome) {
            return outcome;
        }
        arrival = Cow::Owned(looked_at_again(app, &arrival).await?);
    }
}

async fn enroll_once(
    app: &App,
    arrival: &Arrival,
    asked: &Asked<'_>,
    kind: Kind,
    content: &[u8],
) -> Result<IssuedCertificate, Refused> {
    let (entrant, device) = entrant(app, arrival).await?;
    approve(app, arrival, asked, kind, entrant, content)
        .await
        .map_err(|refused| refused.about(device.as_ref()))
}

/// An arrival with what the store knows of its peer by now.
pub(super) async fn looked_at_again(app: &App, arrival: &Arrival) -> Result<Arrival, Refused> {
    let mut arrival = arrival.clone();
    match &mut arrival.identity {
        PeerIdentity::Credential { credential, device } => {
            *device = app.store.device_by_credential(&credential.name).await?.map(Box::new);
        }
        PeerIdentity::Issued { device, .. } => {
            if let Some(now) = app.store.device(&device.device.id).await? {
                **device = now;
            }
        }
        // The device of an IDevID is looked up at each attempt.
        PeerIdentity::Idevid(_)
        | PeerIdentity::None
        | PeerIdentity::Unknown { .. }
        | PeerIdentity::Revoked => {}
    }
    Ok(arrival)
}

/// Lets the peer in, if it is a device that may enroll; its identifier too, where it is stored.
pub(super) async fn entrant(
    app: &App,
    arrival: &Arrival,
) -> Result<(Entrant, Option<Id>), Refused> {
    let known = known(app, &arrival.identity).await?;
    let device = device(&arrival.identity, known.as_ref());
    match enter(app, arrival, known).await {
        Ok(entrant) => Ok((entrant, device)),
        Err(refused) => Err(refused.about(device.as_ref())),
    }
}

async fn approve(
    app: &App,
    arrival: &Arrival,
    asked: &Asked<'_>,
    kind: Kind,
    entrant: Entrant,
    content: &[u8],
) -> Result<IssuedCertificate, Refused> {
    asked.require_own_profile(&entrant.admitted)?;
    headers::require_media_type(&asked.parts.headers, media_type::PKCS10)?;
    let profile = &*app.profile(&entrant.admitted.device().profile)?;
    let csr = enroll::read(content)?;
    let replaces = match (kind, &entrant.certificate) {
        (Kind::Reenroll, Some(renewed)) => {
            check_renewal_key(&csr, &renewed.spki, profile.renew_key)?;
            Some(renewed.fingerprint)
        }
        _ => None,
    };
    let Entrant { admitted, changes, certificate: renews } = entrant;
    let beside = Decision { changes, events: Vec::new() };
    certify(app, arrival, admitted, csr, Renewal { replaces, renews }, beside).await
}

/// What a certificate takes the place of.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// The certificate that is renewed, by its SHA-256: it makes the wish another one.
    pub(super) replaces: Option<Sha256>,
    /// The certificate of the session, which the CA is told of.
    pub(super) renews: Option<IssuedCertificate>,
}

/// Gives the certificate for a proven CSR of an admitted device, or says why not, or not yet.
///
/// `beside`: what is written together with a new enrollment.
pub(super) async fn certify(
    app: &App,
    arrival: &Arrival,
    admitted: Admitted,
    csr: ProvenCsr,
    renewal: Renewal,
    beside: Decision,
) -> Result<IssuedCertificate, Refused> {
    let Renewal { replaces, renews } = renewal;
    let profile = &*app.profile(&admitted.device().profile)?;
    let approved =
        ApprovedCsr::approve(admitted, csr, profile, arrival.exporter.as_ref())?.renewing(renews);
    require_own_key(app, arrival, &approved).await?;
    let device = approved.admitted().device();
    let wish = Wish::new(&device.profile, &device.id, approved.csr(), replaces);
    certificate(app, arrival, &approved, wish, beside).await
}

/// A key belongs to one device, and neither to the registrar nor to an account of its own.
async fn require_own_key(
    app: &App,
    arrival: &Arrival,
    approved: &ApprovedCsr,
) -> Result<(), Refused> {
    let spki = approved.csr().spki_der();
    if app.identity.key().spki_der() == spki {
        return Err(Refusal::CsrKeyHeld { holder: "this registrar" }.into());
    }
    if app.issuers.values().any(|issuer| issuer.holds_key(spki)) {
        return Err(Refusal::CsrKeyHeld { holder: "an ACME account of this registrar" }.into());
    }
    let device = &approved.admitted().device().id;
    match app.store.other_holder(&Sha256::of(spki), device).await? {
        Some(holder) => {
            require_other(app, arrival, &holder).await?;
            Err(Refusal::CsrKeyHeld { holder: "another device" }.into())
        }
        None => Ok(()),
    }
}

/// Whoever holds the key is another device indeed, and not the one that the same credential made a moment ago.
///
/// # Errors
/// [`Refusal::Store`] with the conflict, if it is: then this request is decided anew.
async fn require_other(app: &App, arrival: &Arrival, holder: &Id) -> Result<(), StoreError> {
    let PeerIdentity::Credential { credential, device: None } = &arrival.identity else {
        return Ok(());
    };
    match app.store.device_by_credential(&credential.name).await? {
        Some(known) if known.device.id == *holder => {
            Err(StoreError::Conflict(Conflict::CredentialDevice(credential.name.clone())))
        }
        _ => Ok(()),
    }
}

/// The stored device of an IDevID.
pub(super) async fn known(
    app: &App,
    identity: &PeerIdentity,
) -> Result<Option<KnownDevice>, StoreError> {
    match identity {
        PeerIdentity::Idevid(idevid) => stored(app, idevid).await,
        _ => Ok(None),
    }
}

fn device(identity: &PeerIdentity, known: Option<&KnownDevice>) -> Option<Id> {
    match identity {
        PeerIdentity::Issued { device, .. } => Some(device.device.id.clone()),
        PeerIdentity::Credential { device, .. } => {
            device.as_ref().map(|known| known.device.id.clone())
        }
        _ => known.map(|known| known.device.id.clone()),
    }
}

/// Lets the peer in, if it is a device that may enroll.
pub(super) async fn enter(
    app: &App,
    arrival: &Arrival,
    known: Option<KnownDevice>,
) -> Result<Entrant, Refused> {
    let now = arrival.visit.now;
    match &arrival.identity {
        PeerIdentity::Issued { certificate, device } => {
            let profile = &*app.profile(&device.device.profile)?;
            let entrant = gate::issued(certificate, device, rules(profile), now)?;
            ask_about_renewal(app, &arrival.visit, device)?;
            Ok(entrant)
        }
        PeerIdentity::Credential { credential, device } => {
            let profile =
                device.as_ref().map_or(&credential.profile, |known| &known.device.profile);
            let profile = &*app.profile(profile)?;
            let device = device.as_deref();
            Ok(gate::credential(credential, device, rules(profile), row_id(now), now)?)
        }
        PeerIdentity::Idevid(idevid) => enter_by_idevid(app, arrival, idevid, known).await,
        other => Err(gate::nobody(other).into()),
    }
}

fn rules(profile: &Profile) -> SessionRules<'_> {
    SessionRules { zone: &profile.zone, renew_expired_days: profile.renew_expired_days }
}

/// A device of a manufacturer that is marked "EST without BRSKI" is let in here, if an operator expects it
/// or says so now; every other one was let in with its voucher.
async fn enter_by_idevid(
    app: &App,
    arrival: &Arrival,
    idevid: &Idevid,
    known: Option<KnownDevice>,
) -> Result<Entrant, Refused> {
    let waits = known.as_ref().is_none_or(|known| {
        matches!(known.device.state, DeviceState::Expected | DeviceState::Pending)
    });
    let visit = &arrival.visit;
    if idevid.manufacturer.row.entry == Needs::Voucher || !waits {
        let known = known.ok_or(Refusal::NoVoucher)?;
        ask_again(app, visit, idevid, &known)?;
        return Ok(gate::idevid(idevid, known)?);
    }
    let Entries { entries, is_new } = entries(app, visit, idevid, known.clone()).await?;
    for entry in entries {
        let mut decision = Decision { changes: entry.changes, events: Vec::new() };
        if is_new {
            decision.events.push(admitted_event(visit, &entry.admitted));
        }
        match app.commit(decision).await {
            Ok(()) => return Ok(entry.admitted.into()),
            Err(StoreError::Conflict(conflict @ Conflict::DeviceName(_))) => {
                expect_same(app, idevid, known.as_ref(), conflict).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let reason = format!("no free name for serial number {}", idevid.serial);
    Err(Refusal::Internal { reason }.into())
}

/// Finds or begins the enrollment of an approved CSR and waits for its certificate, for as long as the profile says.
///
/// `beside`: what is written together with a new enrollment.
async fn certificate(
    app: &App,
    arrival: &Arrival,
    approved: &ApprovedCsr,
    wish: Wish,
    beside: Decision,
) -> Result<IssuedCertificate, Refused> {
    let device = approved.admitted().device();
    let profile = &*app.profile(&device.profile)?;
    let issuer = issuer(app, &profile.issuer)?;
    let enrollment = {
        let _one_at_a_time = app.locks.lock(wish.key).await;
        match find(app, &wish.key).await? {
            Standing::Issued(certificate) => return Ok(*certificate),
            Standing::Ended(refusal) => return Err(Refused::of(&device.id, refusal)),
            Standing::Waiting(enrollment) => enrollment,
            Standing::Submit(enrollment) => {
                require_clock(app).await?;
                submit(app, &**issuer, &enrollment, approved).await?;
                enrollment
            }
            Standing::New { after } => {
                require_clock(app).await?;
                let (visit, id) = (&arrival.visit, row_id(arrival.visit.now));
                let before = after.as_ref().map(|enrollment| enrollment.id.clone());
                let (enrollment, mut decision) =
                    enroll::approve(visit, approved, id, wish, after, &profile.issuer);
                decision.changes.splice(0..0, beside.changes);
                decision.events.splice(0..0, beside.events);
                let known = approved.admitted().known();
                let taken = take(app, visit, quota::Wish::Enrollment, known).await?;
                decision.changes.extend(taken.changes.iter().cloned());
                match begin(app, arrival, &**issuer, approved, &enrollment, decision).await? {
                    Begun::Issued(certificate) => return Ok(*certificate),
                    Begun::Waits => enrollment,
                    Begun::Overtaken(conflict) => {
                        let newest = app.store.enrollment_by_key(&wish.key).await?;
                        match newest.filter(|newest| Some(&newest.id) != before.as_ref()) {
                            Some(other) => other,
                            None => return Err(unwritten(arrival, approved.admitted(), conflict)),
                        }
                    }
                }
            }
        }
    };
    let waiting = issuer.wait(&enrollment.id, profile.hold);
    tokio::select! {
        () = waiting.instrument(debug_span!("wait_for_issuer")) => {}
        () = app.stopped() => {}
    }
    match find(app, &wish.key).await? {
        Standing::Issued(certificate) => Ok(*certificate),
        Standing::Ended(refusal) => Err(Refused::of(&device.id, refusal)),
        Standing::New { .. } | Standing::Submit(_) | Standing::Waiting(_) => {
            let waiting =
                Refusal::CertificateWaiting { retry_after_secs: enroll::RETRY_AFTER_SECS };
            Err(Refused::of(&device.id, waiting))
        }
    }
}

/// Nothing is issued while this node's clock is earlier than what is known to have happened.
///
/// # Errors
/// [`Refusal::ClockBehind`].
pub async fn require_clock(app: &App) -> Result<(), Refused> {
    // Read before the clock, so that no event may come between.
    let newest = app.store.newest_event_time().await?;
    Ok(timekeeping::judge(app.now(), newest).map_err(Refusal::ClockBehind)?)
}

/// What became of a new enrollment.
enum Begun {
    /// Its issuer signed at once.
    Issued(Box<IssuedCertificate>),
    /// Its issuer has it.
    Waits,
    /// Another node may have begun it a moment ago, and used the credential up for it.
    Overtaken(Conflict),
}

/// Writes a new enrollment and has its issuer begin.
async fn begin(
    app: &App,
    arrival: &Arrival,
    issuer: &dyn Issuer,
    approved: &ApprovedCsr,
    enrollment: &Enrollment,
    mut decision: Decision,
) -> Result<Begun, Refused> {
    let signed = issuer.sign_at_once(approved, app.now());
    let signed = signed.transpose().map_err(|error| not_taken(enrollment, &error))?;
    let mut certificate = None;
    if let Some(chain) = signed {
        let device = approved.admitted().device().state;
        let ended = enroll::completed(enrollment, device, Ending::Issued(chain), app.now());
        certificate = ended.changes.iter().find_map(|change| match change {
            Change::AddCertificate(certificate) => Some(certificate.clone()),
            _ => None,
        });
        decision = enroll::at_once(decision, ended);
    }
    match app.commit(decision).await {
        Err(StoreError::Conflict(
            conflict @ (Conflict::Enrollment | Conflict::CredentialSpent),
        )) => return Ok(Begun::Overtaken(conflict)),
        Err(StoreError::Conflict(conflict)) => {
            return Err(unwritten(arrival, approved.admitted(), conflict));
        }
        other => other?,
    }
    if let Some(certificate) = certificate {
        return Ok(Begun::Issued(Box::new(certificate)));
    }
    submit(app, issuer, enrollment, approved).await?;
    Ok(Begun::Waits)
}

/// Why an enrollment goes no further now.
fn not_taken(enrollment: &Enrollment, error: &IssueError) -> Refused {
    let refusal = Refusal::IssuerFailed {
        reason: error.to_string(),
        retry_after_secs: enroll::RETRY_AFTER_SECS,
        problem: None,
    };
    Refused::of(&enrollment.device, refusal)
}

/// Why an enrollment was not written: the credential's fault, or another request was quicker.
fn unwritten(arrival: &Arrival, admitted: &Admitted, conflict: Conflict) -> Refused {
    match (&arrival.identity, conflict) {
        (PeerIdentity::Credential { credential, .. }, Conflict::CredentialSpent) => {
            Refusal::CredentialSpent { name: credential.name.clone(), uses: credential.uses }.into()
        }
        (PeerIdentity::Credential { .. }, Conflict::DeviceName(_)) => {
            Refusal::NameTaken { name: admitted.name().to_owned() }.into()
        }
        (_, conflict) => StoreError::Conflict(conflict).into(),
    }
}

fn issuer<'a>(app: &'a App, name: &str) -> Result<&'a Arc<dyn Issuer>, Refusal> {
    app.issuers.get(name).ok_or_else(|| Refusal::Internal {
        reason: format!("the configuration has no issuer {name:?}"),
    })
}

async fn find(app: &App, key: &Sha256) -> Result<Standing, StoreError> {
    let enrollment = app.store.enrollment_by_key(key).await?;
    let certificate = match enrollment.as_ref().map(|enrollment| &enrollment.state) {
        Some(EnrollmentState::Issued { certificate }) => app.store.certificate(certificate).await?,
        _ => None,
    };
    let problem = match enrollment.as_ref().map(|enrollment| (&enrollment.state, &enrollment.id)) {
        Some((
            EnrollmentState::Refused { .. }
            | EnrollmentState::Failed { .. }
            | EnrollmentState::Cancelled { .. },
            id,
        )) => app.store.order(&OrderId::new(id.as_str())).await?.and_then(last_problem),
        _ => None,
    };
    Ok(enroll::standing(enrollment, certificate, problem, app.now()))
}

/// What an order ended with, or failed of last.
fn last_problem(order: OrderRecord) -> Option<Problem> {
    match order.state {
        OrderState::Invalid { problem } => Some(problem),
        _ => order.problem,
    }
}

/// Hands an approved CSR to its issuer, and writes the end where it comes at once.
///
/// # Errors
/// [`Refusal::IssuerFailed`] if the issuer cannot take it now; the enrollment stays approved.
pub async fn submit(
    app: &App,
    issuer: &dyn Issuer,
    enrollment: &Enrollment,
    approved: &ApprovedCsr,
) -> Result<(), Refused> {
    let span = debug_span!("submit", issuer = enrollment.issuer);
    match issuer.submit(&enrollment.id, approved, app.now()).instrument(span).await {
        Ok(Submission::Ordered) => Ok(()),
        Ok(Submission::Issued(chain)) => {
            let ending = Ending::Issued(chain);
            let device = approved.admitted().device().state;
            match app.commit(enroll::completed(enrollment, device, ending, app.now())).await {
                // Another node, or an operator, ended it meanwhile: the store says how.
                Err(StoreError::Conflict(Conflict::Missing)) => Ok(()),
                other => Ok(other?),
            }
        }
        Err(error) => Err(not_taken(enrollment, &error)),
    }
}
