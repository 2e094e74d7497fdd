//! BRSKI's three requests (RFC 8995 §5): requestvoucher, voucher_status, enrollstatus.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::Response;
use brski_voucher::artefact::PledgeRequest;
use brski_voucher::verify::Verified;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use tokio::time::Instant;

use super::admit::{Entries, ask_again, entries, overtaken, take};
use super::app::{App, Arrival, Refused};
use super::{body, headers};
use crate::entropy::random_id;
use crate::flow::Decision;
use crate::flow::peer::{Idevid, PeerIdentity};
use crate::flow::refusal::Refusal;
use crate::flow::telemetry::{self, StatusSession};
use crate::flow::voucher::{self, Standing};
use crate::masa::client::{MasaAnswer, MasaError, MasaRequest};
use crate::policy::admission::{Admitted, Entry, readmit};
use crate::policy::quota::Wish;
use crate::store::model::{KnownDevice, Sha256, VoucherExchange};
use crate::store::{Change, Conflict, StoreError};
use crate::tls::peer::Peer;

/// The media type of a status report.
const STATUS_MEDIA_TYPE: &str = "application/json";
/// How long the registrar waits before it asks a MASA again, at first.
const MASA_PAUSE: Duration = Duration::from_millis(250);

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
        headers::require_media_type(&parts.headers, voucher::MEDIA_TYPE)?;
        headers::require_acceptable(&parts.headers, voucher::MEDIA_TYPE)?;
        let known = known(app, idevid).await?;
        let device = known.as_ref().map(|known| known.device.id.clone());
        exchange(app, arrival, idevid, known, &content).await.map_err(|mut refused| {
            refused.device = refused.device.or(device);
            refused
        })
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
        headers::require_media_type(&parts.headers, STATUS_MEDIA_TYPE)?;
        let known = known(app, idevid).await?.ok_or(Refusal::NothingToReport)?;
        let device = known.device.id.clone();
        let refused = |refusal| Refused::of(&device, refusal);
        let admitted = readmit(known, idevid).map_err(refused)?;
        let status = telemetry::read(&content).map_err(refused)?;
        let exchange = app.store.latest_voucher_exchange(&device).await?;
        let decision = telemetry::voucher_status(&arrival.visit, &admitted, exchange, &status)
            .map_err(refused)?;
        app.commit(decision).await?;
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
        headers::require_media_type(&parts.headers, STATUS_MEDIA_TYPE)?;
        let status =
            telemetry::read(&content).map_err(|refusal| Refused::of(&known.device.id, refusal))?;
        app.commit(telemetry::enroll_status(&arrival.visit, &known, &session, &status)).await?;
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

/// Reads the request, finds or begins its exchange, and answers with its voucher.
async fn exchange(
    app: &App,
    arrival: &Arrival,
    idevid: &Idevid,
    known: Option<KnownDevice>,
    content: &[u8],
) -> Result<Response, Refused> {
    let request = voucher::read(content, idevid, app.identity.certificate())?;
    let url = voucher::masa_url(idevid)?;
    let digest = Sha256::of(content);
    let _one_at_a_time = app.locks.lock(digest).await;
    let (admitted, exchange) = match app.store.voucher_exchange(&digest).await? {
        None => begin(app, arrival, idevid, known, &request).await?,
        Some(exchange) => {
            let known =
                app.store.device(&exchange.device).await?.ok_or(Refusal::NothingToReport)?;
            ask_again(app, &arrival.visit, idevid, &known)?;
            (readmit(known, idevid)?, exchange)
        }
    };
    let bytes = match voucher::standing(&exchange)? {
        Standing::Voucher(bytes) => bytes.to_vec(),
        Standing::Ask => {
            let call = MasaRequest {
                url: &url,
                hosts: &idevid.manufacturer.row.masa_hosts,
                anchors: &idevid.manufacturer.row.masa_anchors,
                operation: "requestvoucher",
                media_type: voucher::MEDIA_TYPE,
                body: Bytes::copy_from_slice(&exchange.registrar_request),
            };
            let answer = ask(app, call, app.profile(&admitted.device().profile)?.hold).await;
            receive(app, arrival, idevid, &admitted, &exchange, answer).await?
        }
    };
    let mut response = Response::new(Body::from(bytes));
    let media_type = HeaderValue::from_static(voucher::MEDIA_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(response)
}

/// Admits the device if policy lets it in now, and writes the exchange before the MASA hears of it.
async fn begin(
    app: &App,
    arrival: &Arrival,
    idevid: &Idevid,
    known: Option<KnownDevice>,
    request: &Verified<PledgeRequest>,
) -> Result<(Admitted, VoucherExchange), Refused> {
    let visit = &arrival.visit;
    let registrar_request = voucher::registrar_request(&app.identity, request, idevid, visit.now)?;
    let Entries { entries, is_new } = entries(app, visit, idevid, known).await?;
    for Entry { admitted, changes } in entries {
        let mut decision = Decision { changes, events: Vec::new() };
        if is_new {
            decision.events.push(voucher::admitted_event(visit, &admitted));
        }
        let exchange =
            voucher::begin(visit, &admitted, request, registrar_request.clone(), random_id());
        let taken = take(app, visit, Wish::Voucher, admitted.known()).await?;
        decision.changes.extend(taken.changes.iter().cloned());
        decision.changes.push(Change::BeginVoucherExchange(exchange.clone()));
        decision.events.push(voucher::asked_event(visit, &exchange));
        match app.commit(decision).await {
            Ok(()) => return Ok((admitted, exchange)),
            Err(StoreError::Conflict(Conflict::DeviceName(_))) => {}
            Err(StoreError::Conflict(Conflict::Quota)) => {
                return Err(overtaken(Wish::Voucher).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    let reason = format!("no free name for serial number {}", idevid.serial);
    Err(Refusal::Internal { reason }.into())
}

/// Calls the MASA, again and again within `hold` while it cannot be reached or fails.
async fn ask(app: &App, call: MasaRequest<'_>, hold: Duration) -> Result<MasaAnswer, MasaError> {
    let deadline = Instant::now() + hold;
    let mut pause = MASA_PAUSE;
    loop {
        let outcome = app.masa.call(call.clone()).await;
        let again = match &outcome {
            Ok(answer) => answer.status >= 500,
            Err(error) => !error.is_permanent(),
        };
        if !again || Instant::now() + pause >= deadline {
            return outcome;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Judges the MASA's answer and writes what becomes of the exchange, before the pledge hears of it.
async fn receive(
    app: &App,
    arrival: &Arrival,
    idevid: &Idevid,
    admitted: &Admitted,
    exchange: &VoucherExchange,
    answer: Result<MasaAnswer, MasaError>,
) -> Result<Vec<u8>, Refused> {
    let mut visit = arrival.visit.clone();
    visit.now = app.now();
    let outcome = voucher::receive(&visit, idevid, admitted, exchange, &app.identity, answer);
    match outcome.reply {
        Ok(bytes) => {
            app.commit(outcome.decision).await?;
            Ok(bytes)
        }
        Err(refusal) => Err(Refused {
            refusal,
            device: Some(admitted.device().id.clone()),
            decision: outcome.decision,
        }),
    }
}
