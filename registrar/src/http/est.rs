//! EST (RFC 7030, RFC 8951): cacerts, csrattrs and simpleenroll, with and without a label.
//!
//! Every answer has the one form that all clients in the field read: the exact media type, a Content-Length,
//! one line of base64 or folded for those that fold, and the certificate alone.

use std::sync::Arc;

use acme_bridge::OrderId;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::Response;
use brski_est::media_type;
use brski_est::path::{self, Label, Operation};
use brski_est::transfer::{self, Folding};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method};

use super::app::{App, Arrival, Refused};
use super::{body, headers};
use crate::entropy::random_id;
use crate::flow::distribution;
use crate::flow::enroll::{self, Ending, Standing};
use crate::flow::peer::PeerIdentity;
use crate::flow::refusal::Refusal;
use crate::issue::{ApprovedCsr, Issuer, Submission};
use crate::policy::admission::{Admitted, readmit};
use crate::store::model::{Enrollment, EnrollmentState, IssuedCertificate, KnownDevice, Sha256};
use crate::store::{Conflict, StoreError};
use crate::tls::peer::Peer;

/// Everything under `/.well-known/est`.
pub async fn dispatch(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
) -> Response {
    let (parts, content) = request.into_parts();
    app.answer(peer, async move |app, arrival| {
        let asked = path::Request::parse(parts.uri.path()).map_err(|_| Refusal::UnknownPath)?;
        let label = asked.label();
        require_profile(app, label)?;
        match asked.operation() {
            Operation::CaCerts => {
                require_method(&parts, &Method::GET, "GET")?;
                ca_certificates(app, &parts).await
            }
            Operation::CsrAttrs => {
                require_method(&parts, &Method::GET, "GET")?;
                csr_attributes(app, arrival, label, &parts).await
            }
            Operation::SimpleEnroll => {
                require_method(&parts, &Method::POST, "POST")?;
                let content = body::read(content).await?;
                simple_enroll(app, arrival, label, &parts, &content).await
            }
            other => Err(Refusal::NotOffered { operation: other.segment() }.into()),
        }
    })
    .await
}

fn require_method(parts: &Parts, method: &Method, allowed: &'static str) -> Result<(), Refusal> {
    if parts.method == *method { Ok(()) } else { Err(Refusal::MethodNotAllowed { allowed }) }
}

/// A label selects a profile (RFC 7030 §3.2.2).
fn require_profile(app: &App, label: Option<&Label>) -> Result<(), Refusal> {
    match label {
        Some(label) if !app.config.profiles.contains_key(label.as_str()) => {
            Err(Refusal::UnknownLabel { label: label.to_string() })
        }
        _ => Ok(()),
    }
}

/// A label never widens what a device may use.
fn require_own_profile(admitted: &Admitted, label: Option<&Label>) -> Result<(), Refusal> {
    match label {
        Some(label) if label.as_str() != admitted.device().profile => {
            Err(Refusal::LabelNotAllowed { label: label.to_string() })
        }
        _ => Ok(()),
    }
}

async fn ca_certificates(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let seen = app.store.chain_certificates().await?;
    let body = distribution::ca_certificates(
        app.identity.domain_ca().der(),
        app.issuers.values().flat_map(|issuer| issuer.anchors()),
        seen.iter()
            .map(|row| &row.certificate)
            .filter(|certificate| distribution::is_current(certificate, app.now())),
    );
    Ok(answer(&body, media_type::CA_CERTS, &[], parts))
}

async fn csr_attributes(
    app: &App,
    arrival: &Arrival,
    label: Option<&Label>,
    parts: &Parts,
) -> Result<Response, Refused> {
    let body = match admitted(app, &arrival.identity).await? {
        Some(admitted) => {
            require_own_profile(&admitted, label)?;
            let profile = app.profile(&admitted.device().profile)?;
            distribution::csr_attributes(profile, Some(admitted.name()))
        }
        None => {
            let name = label.map_or("default", Label::as_str);
            distribution::csr_attributes(app.profile(name)?, None)
        }
    };
    Ok(answer(&body, media_type::CSR_ATTRS, &[], parts))
}

/// The peer's device, if it is one that policy lets in: it alone is told a name.
async fn admitted(app: &App, identity: &PeerIdentity) -> Result<Option<Admitted>, Refused> {
    match identity {
        PeerIdentity::None | PeerIdentity::Unknown { .. } => Ok(None),
        PeerIdentity::Revoked => Err(Refusal::CertificateRevoked.into()),
        PeerIdentity::Issued { .. } => Ok(enroll::gate(identity, None).ok()),
        PeerIdentity::Idevid(idevid) => match known(app, identity).await? {
            None => Ok(None),
            Some(known) => {
                let device = known.device.id.clone();
                readmit(known, idevid).map(Some).map_err(|refusal| Refused::of(&device, refusal))
            }
        },
    }
}

async fn known(app: &App, identity: &PeerIdentity) -> Result<Option<KnownDevice>, StoreError> {
    let PeerIdentity::Idevid(idevid) = identity else {
        return Ok(None);
    };
    let manufacturer = &idevid.manufacturer.row.id;
    app.store.device_by_serial(manufacturer, idevid.serial.as_str()).await
}

async fn simple_enroll(
    app: &App,
    arrival: &Arrival,
    label: Option<&Label>,
    parts: &Parts,
    content: &[u8],
) -> Result<Response, Refused> {
    let known = known(app, &arrival.identity).await?;
    let device = match (&arrival.identity, &known) {
        (PeerIdentity::Issued { device, .. }, _) => Some(device.device.id.clone()),
        (_, known) => known.as_ref().map(|known| known.device.id.clone()),
    };
    let refused = |refusal: Refusal| Refused { device: device.clone(), ..Refused::from(refusal) };
    let admitted = enroll::gate(&arrival.identity, known).map_err(refused)?;
    require_own_profile(&admitted, label).map_err(refused)?;
    headers::require_media_type(&parts.headers, media_type::PKCS10).map_err(refused)?;
    let profile = app.profile(&admitted.device().profile)?;
    let csr = enroll::read(content).map_err(refused)?;
    let renews = match &arrival.identity {
        PeerIdentity::Issued { certificate, .. } => Some((**certificate).clone()),
        _ => None,
    };
    let approved = ApprovedCsr::approve(admitted, csr, profile, arrival.exporter.as_ref())
        .map_err(refused)?
        .renewing(renews);
    let certificate = certificate(app, arrival, &approved).await.map_err(|mut refusal| {
        refusal.device = refusal.device.or_else(|| device.clone());
        refusal
    })?;
    Ok(answer(&enroll::answer(&certificate), media_type::CERTS_ONLY, content, parts))
}

/// Finds or begins the enrollment of an approved CSR and waits for its certificate, for as long as the profile says.
async fn certificate(
    app: &App,
    arrival: &Arrival,
    approved: &ApprovedCsr,
) -> Result<IssuedCertificate, Refused> {
    let device = approved.admitted().device();
    let profile = app.profile(&device.profile)?;
    let issuer = issuer(app, &profile.issuer)?;
    let key = enroll::key(&device.profile, &device.id, approved.csr());
    let enrollment = {
        let _one_at_a_time = app.locks.lock(key).await;
        match find(app, &key).await? {
            Standing::Issued(certificate) => return Ok(*certificate),
            Standing::Ended(refusal) => return Err(Refused::of(&device.id, refusal)),
            Standing::Waiting(enrollment) => enrollment,
            Standing::Submit(enrollment) => {
                submit(app, &**issuer, &enrollment, approved).await?;
                enrollment
            }
            Standing::New => {
                let (enrollment, decision) =
                    enroll::approve(&arrival.visit, approved, random_id(), key, &profile.issuer);
                match app.commit(decision).await {
                    // Another node began it a moment ago.
                    Err(StoreError::Conflict(Conflict::Enrollment)) => {}
                    other => {
                        other?;
                        submit(app, &**issuer, &enrollment, approved).await?;
                    }
                }
                enrollment
            }
        }
    };
    issuer.wait(&enrollment.id, profile.hold).await;
    match find(app, &key).await? {
        Standing::Issued(certificate) => Ok(*certificate),
        Standing::Ended(refusal) => Err(Refused::of(&device.id, refusal)),
        Standing::New | Standing::Submit(_) | Standing::Waiting(_) => {
            let waiting =
                Refusal::CertificateWaiting { retry_after_secs: enroll::RETRY_AFTER_SECS };
            Err(Refused::of(&device.id, waiting))
        }
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
        Some((EnrollmentState::Refused { .. } | EnrollmentState::Failed { .. }, id)) => {
            app.store.order(&OrderId::new(id.as_str())).await?.and_then(|order| order.problem)
        }
        _ => None,
    };
    Ok(enroll::standing(enrollment, certificate, problem, app.now()))
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
    match issuer.submit(&enrollment.id, approved, app.now()).await {
        Ok(Submission::Ordered) => Ok(()),
        Ok(Submission::Issued(chain)) => {
            let ending = Ending::Issued(chain);
            let device = approved.admitted().device().state;
            app.commit(enroll::completed(enrollment, device, ending, app.now())).await?;
            Ok(())
        }
        Err(error) => {
            let refusal = Refusal::IssuerFailed {
                reason: error.to_string(),
                retry_after_secs: enroll::RETRY_AFTER_SECS,
                problem: None,
            };
            Err(Refused::of(&enrollment.device, refusal))
        }
    }
}

/// A successful answer. `request`: the body that it answers, which shows whether the client folds its base64.
fn answer(der: &[u8], media_type: &'static str, request: &[u8], parts: &Parts) -> Response {
    let user_agent = headers::text(&parts.headers, &USER_AGENT);
    let folding = Folding::for_client(request, user_agent);
    let mut response = Response::new(Body::from(transfer::encode(der, folding)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
