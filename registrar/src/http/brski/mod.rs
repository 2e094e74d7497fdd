//! BRSKI's three requests (RFC 8995 §5): requestvoucher, voucher_status, enrollstatus.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::app::{App, Refused};
use super::{body, headers};
use crate::flow::peer::{Idevid, PeerIdentity};
use crate::flow::refusal::Refusal;
use crate::flow::telemetry::{self, StatusSession};
use crate::policy::admission::readmit;
use crate::store::StoreError;
use crate::store::model::KnownDevice;
use crate::tls::peer::Peer;

pub(crate) mod ask;
mod exchange;
mod log;

/// The media type of a status report.
const STATUS_MEDIA_TYPE: &str = "application/json";

/// `POST /.well-known/brski/requestvoucher`.
pub async fn request_voucher(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
) -> Response {
    let (parts, content) = request.into_parts();
    app.answer(peer, async move |app, arrival| {
        let content = body::read(content, app.body_limits()).await?;
        let idevid = arrival.identity.idevid()?;
        let strictness = idevid.manufacturer.row.masa.dialect.strictness();
        let known = known(app, idevid).await?;
        let device = known.as_ref().map(|known| known.device.id.clone());
        let media_type = headers::voucher_type(&parts.headers, strictness)
            .map_err(|refusal| Refused::from(refusal).about(device.as_ref()))?;
        let voucher = exchange::voucher(app, arrival, idevid, known, media_type.encoding, &content)
            .await
            .map_err(|refused| refused.about(device.as_ref()))?;
        let mut response = Response::new(Body::from(voucher));
        let media_type = HeaderValue::from_static(media_type.name);
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        Ok(response)
    })
    .await
}

/// `POST /.well-known/brski/voucher_status`.
pub async fn voucher_status(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
) -> Response {
    let (parts, content) = request.into_parts();
    app.answer(peer, async move |app, arrival| {
        let content = body::read(content, app.body_limits()).await?;
        let idevid = arrival.identity.idevid()?;
        let known = known(app, idevid).await?.ok_or(Refusal::NothingToReport)?;
        let device = known.device.id.clone();
        let refused = |refusal| Refused::of(&device, refusal);
        headers::require_media_type(&parts.headers, STATUS_MEDIA_TYPE).map_err(refused)?;
        let admitted = readmit(known, idevid).map_err(refused)?;
        let report = telemetry::read(&content).map_err(refused)?;
        let exchange = app.store.latest_voucher_exchange(&device).await?;
        let visit = &arrival.visit;
        let decision = telemetry::voucher_status(visit, &admitted, exchange.as_ref(), &report)
            .map_err(refused)?;
        app.commit(decision).await?;
        log::after_status(app, visit, idevid, &device).await?;
        Ok(Response::new(Body::empty()))
    })
    .await
}

/// `POST /.well-known/brski/enrollstatus`.
pub async fn enroll_status(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
) -> Response {
    let (parts, content) = request.into_parts();
    app.answer(peer, async move |app, arrival| {
        let content = body::read(content, app.body_limits()).await?;
        let (known, session) = match &arrival.identity {
            PeerIdentity::Issued { certificate, device } => {
                ((**device).clone(), StatusSession::IssuedCertificate(certificate.clone()))
            }
            other => {
                let idevid = other.idevid()?;
                let known = known(app, idevid).await?.ok_or(Refusal::NothingToReport)?;
                (known, StatusSession::Idevid)
            }
        };
        let refused = |refusal| Refused::of(&known.device.id, refusal);
        headers::require_media_type(&parts.headers, STATUS_MEDIA_TYPE).map_err(refused)?;
        let report = telemetry::read(&content).map_err(refused)?;
        app.commit(telemetry::enroll_status(&arrival.visit, &known, &session, &report)).await?;
        Ok(Response::new(Body::empty()))
    })
    .await
}

/// The answer to another method than POST.
pub async fn only_post(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Arc<Peer>>,
) -> Response {
    app.answer(peer, async |_, _| Err(Refusal::MethodNotAllowed { allowed: "POST" }.into())).await
}

/// The answer to a path that nothing lives at.
pub async fn unknown_path(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Arc<Peer>>,
) -> Response {
    app.answer(peer, async |_, _| Err(Refusal::UnknownPath.into())).await
}

async fn known(app: &App, idevid: &Idevid) -> Result<Option<KnownDevice>, StoreError> {
    let manufacturer = &idevid.manufacturer.row.id;
    app.store.device_by_serial(manufacturer, idevid.serial.as_str()).await
}
