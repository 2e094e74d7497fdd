//! One voucher exchange: policy is asked, the exchange is found or begun, the MASA is asked, the voucher goes out.

use std::time::Duration;

use brski_voucher::artefact::PledgeRequest;
use brski_voucher::encoding::Encoding;
use brski_voucher::verify::Verified;
use bytes::Bytes;
use tokio::time::Instant;

use crate::entropy::random_id;
use crate::flow::Decision;
use crate::flow::issuance;
use crate::flow::peer::Idevid;
use crate::flow::refusal::Refusal;
use crate::flow::voucher::{self, Standing};
use crate::http::admit::{Entries, entries};
use crate::http::app::{App, Arrival, Refused};
use crate::masa::client::{MasaAnswer, MasaError, MasaRequest};
use crate::policy::admission::{Admitted, Entry};
use crate::store::model::{KnownDevice, Sha256, VoucherExchange};
use crate::store::{Change, Conflict, StoreError};

/// How long the registrar waits before it asks a MASA again, at first.
const MASA_PAUSE: Duration = Duration::from_millis(250);

/// Answers a pledge's request with its voucher.
pub(super) async fn voucher(
    app: &App,
    arrival: &Arrival,
    idevid: &Idevid,
    known: Option<KnownDevice>,
    encoding: Encoding,
    content: &[u8],
) -> Result<Vec<u8>, Refused> {
    let request = voucher::read(content, encoding, idevid, app.identity.certificate())?;
    let url = voucher::masa_url(idevid)?;
    let digest = Sha256::of(content);
    let _one_at_a_time = app.locks.lock(digest).await;
    let (admitted, exchange) = find(app, arrival, idevid, known, &request).await?;
    let bytes = match voucher::standing(&exchange)? {
        Standing::Voucher(bytes) => bytes.to_vec(),
        Standing::Ask => {
            let row = &idevid.manufacturer.row;
            let call = MasaRequest {
                url: &url,
                hosts: &row.masa_hosts,
                anchors: &row.masa_anchors,
                operation: "requestvoucher",
                media_type: row.masa.dialect.media_type(exchange.encoding),
                accept: row.masa.dialect.media_type(exchange.encoding),
                body: Bytes::copy_from_slice(&exchange.registrar_request),
            };
            let answer = ask(app, call, app.profile(&admitted.device().profile)?.hold).await;
            receive(app, arrival, idevid, &admitted, &exchange, answer).await?
        }
    };
    Ok(issuance::for_pledge(&bytes, &exchange, idevid)?)
}

/// Asks policy, then finds the exchange of this very request, or begins it.
///
/// The same octets are the same exchange, for the device that they came from alone (RFC 8995 §5.6).
async fn find(
    app: &App,
    arrival: &Arrival,
    idevid: &Idevid,
    known: Option<KnownDevice>,
    request: &Verified<PledgeRequest>,
) -> Result<(Admitted, VoucherExchange), Refused> {
    let visit = &arrival.visit;
    let known_exchange = app.store.voucher_exchange(&Sha256::of(request.bytes())).await?;
    let registrar_request = match &known_exchange {
        Some(exchange) => exchange.registrar_request.clone(),
        None => voucher::registrar_request(&app.identity, request, idevid, visit.now)?,
    };
    let unexpected = app.config.load().policy.unexpected;
    let Entries { entries, is_new } = entries(app, visit, idevid, known, unexpected).await?;
    for Entry { admitted, changes } in entries {
        let mut decision = Decision { changes, events: Vec::new() };
        if is_new {
            decision.events.push(voucher::admitted_event(visit, &admitted));
        }
        let exchange = match &known_exchange {
            Some(exchange) if exchange.device == admitted.device().id => exchange.clone(),
            Some(_) => return Err(Refused::of(&admitted.device().id, Refusal::RequestEnded)),
            None => {
                let own = registrar_request.clone();
                let exchange = voucher::begin(visit, &admitted, request, own, random_id());
                decision.changes.push(Change::BeginVoucherExchange(exchange.clone()));
                decision.events.push(voucher::asked_event(visit, &exchange));
                exchange
            }
        };
        match app.commit(decision).await {
            Ok(()) => return Ok((admitted, exchange)),
            Err(StoreError::Conflict(Conflict::DeviceName(_))) => {}
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
    let outcome = issuance::receive(&visit, idevid, admitted, exchange, &app.identity, answer);
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
