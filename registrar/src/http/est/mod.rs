//! EST (RFC 7030, RFC 8951, RFC 9908): every operation, with and without a label.
//!
//! Every answer has the one form that all clients in the field read: the exact media type, a Content-Length,
//! one line of base64 or folded for those that fold, and the certificate alone.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::Response;
use brski_est::media_type;
use brski_est::path::{self, Label, Operation};
use brski_est::server_keygen::KeyAnswerBody;
use brski_est::transfer::{self, Folding};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method};

use self::enroll::Kind;
use super::app::{App, Arrival, Refused};
use super::{body, headers};
use crate::config::DEFAULT_PROFILE;
use crate::flow::distribution;
use crate::flow::peer::PeerIdentity;
use crate::flow::refusal::Refusal;
use crate::policy::admission::{Admitted, readmit};
use crate::tls::peer::Peer;

pub mod credential;
mod enroll;
mod keygen;
mod renewal;

pub use self::enroll::{require_clock, submit};

/// What a request asks for, beside its body.
struct Asked<'a> {
    parts: &'a Parts,
    label: Option<&'a Label>,
}

impl Asked<'_> {
    /// What is read can be asked for without its body, too (RFC 9110 §9.1), which the listener leaves out then.
    fn require_reading(&self) -> Result<(), Refusal> {
        match self.parts.method {
            Method::GET | Method::HEAD => Ok(()),
            _ => Err(Refusal::MethodNotAllowed { allowed: "GET, HEAD" }),
        }
    }

    fn require_post(&self) -> Result<(), Refusal> {
        match self.parts.method {
            Method::POST => Ok(()),
            _ => Err(Refusal::MethodNotAllowed { allowed: "POST" }),
        }
    }

    /// A label selects a profile (RFC 7030 §3.2.2).
    fn require_profile(&self, app: &App) -> Result<(), Refusal> {
        match self.label {
            Some(label) if !app.config.load().profiles.contains_key(label.as_str()) => {
                Err(Refusal::UnknownLabel { label: label.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// A label never widens what a device may use.
    fn require_own_profile(&self, admitted: &Admitted) -> Result<(), Refusal> {
        match self.label {
            Some(label) if label.as_str() != admitted.device().profile => {
                Err(Refusal::LabelNotAllowed { label: label.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// Everything under `/.well-known/est`.
pub async fn dispatch(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
) -> Response {
    let (parts, content) = request.into_parts();
    let address = peer.address.ip();
    app.answer(peer, async move |app, arrival| {
        let path = path::Request::parse(parts.uri.path()).map_err(|_| Refusal::UnknownPath)?;
        let asked = Asked { parts: &parts, label: path.label() };
        asked.require_profile(app)?;
        let operation = path.operation();
        let arrival = &credential::recognise(app, arrival, address, &parts.headers).await?;
        match operation {
            Operation::CaCerts => {
                asked.require_reading()?;
                ca_certificates(app, &parts).await
            }
            Operation::CsrAttrs => {
                asked.require_reading()?;
                csr_attributes(app, arrival, &asked).await
            }
            Operation::SimpleEnroll | Operation::SimpleReenroll => {
                asked.require_post()?;
                let content = body::read(content, app.body_limits()).await?;
                let kind = match operation {
                    Operation::SimpleReenroll => Kind::Reenroll,
                    _ => Kind::Enroll,
                };
                let certificate = enroll::enroll(app, arrival, &asked, kind, &content).await?;
                let der = crate::flow::enroll::answer(&certificate);
                Ok(answer(&der, media_type::CERTS_ONLY, &content, &parts))
            }
            Operation::ServerKeygen => {
                asked.require_post()?;
                let content = body::read(content, app.body_limits()).await?;
                let folding = folding(&content, &parts);
                let made = keygen::generate(app, arrival, &asked, &content, folding).await?;
                Ok(key_answer(made)?)
            }
            Operation::RenewalInfo => {
                asked.require_reading()?;
                renewal::answer(app, path.certificate_id()).await
            }
            other => Err(Refusal::NotOffered { operation: other.segment() }.into()),
        }
    })
    .await
}

async fn ca_certificates(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let seen = app.store.chain_certificates().await?;
    let issuing = app.store.issuing_certificates(app.now()).await?;
    let identities = app.identity.load();
    let body = distribution::ca_certificates(
        identities.roots().certificates(),
        app.issuers.values().flat_map(|issuer| issuer.anchors()),
        distribution::needed(&seen, &issuing)
            .into_iter()
            .filter(|certificate| distribution::is_current(certificate, app.now())),
    );
    Ok(answer(&body, media_type::CA_CERTS, &[], parts))
}

async fn csr_attributes(
    app: &App,
    arrival: &Arrival,
    asked: &Asked<'_>,
) -> Result<Response, Refused> {
    let body = match named(app, arrival).await? {
        Some(admitted) => {
            asked.require_own_profile(&admitted)?;
            let profile = &*app.profile(&admitted.device().profile)?;
            distribution::csr_attributes(profile, Some(admitted.name()))
        }
        None => {
            let name = asked.label.map_or(DEFAULT_PROFILE, Label::as_str);
            distribution::csr_attributes(&*app.profile(name)?, None)
        }
    };
    Ok(answer(&body, media_type::CSR_ATTRS, &[], asked.parts))
}

/// The peer's device, if it is one that policy lets in: it alone is told a name.
async fn named(app: &App, arrival: &Arrival) -> Result<Option<Admitted>, Refused> {
    match &arrival.identity {
        PeerIdentity::None | PeerIdentity::Unknown { .. } => Ok(None),
        PeerIdentity::Revoked => Err(Refusal::CertificateRevoked.into()),
        PeerIdentity::Idevid(idevid) => match enroll::known(app, &arrival.identity).await? {
            None => Ok(None),
            Some(known) if known.device.name.is_none() => Ok(None),
            Some(known) => {
                let device = known.device.id.clone();
                match readmit(known, idevid) {
                    // Expected, and not here yet: what it will be told, it is told when it is.
                    Err(Refusal::NoVoucher) => Ok(None),
                    other => other.map(Some).map_err(|refusal| Refused::of(&device, refusal)),
                }
            }
        },
        PeerIdentity::Issued { .. } | PeerIdentity::Credential { .. } => {
            Ok(Some(enroll::enter(app, arrival, None).await?.admitted))
        }
    }
}

/// A successful answer. `request`: the body that it answers, which shows whether the client folds its base64.
fn answer(der: &[u8], media_type: &'static str, request: &[u8], parts: &Parts) -> Response {
    let mut response = Response::new(Body::from(transfer::encode(der, folding(request, parts))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn folding(request: &[u8], parts: &Parts) -> Folding {
    Folding::for_client(request, headers::text(&parts.headers, &USER_AGENT))
}

/// A key and its certificate, which nobody on the way may keep.
fn key_answer(made: KeyAnswerBody) -> Result<Response, Refusal> {
    let content_type = HeaderValue::from_str(made.content_type())
        .map_err(|error| Refusal::Internal { reason: format!("/serverkeygen: {error}") })?;
    let mut response = Response::new(Body::from(made.into_body()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
