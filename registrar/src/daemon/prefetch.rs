//! Fetches the vouchers ahead that operators asked for, and renews them before they end: one node asks for each.

use std::sync::Arc;
use std::time::Duration;

use brski_voucher::certificate::Certificate;
use brski_voucher::idevid::{MasaUrl, SerialNumber};
use tokio::sync::watch;
use tracing::{debug, error};

use crate::entropy::random_id;
use crate::flow::nonceless::{self, Subject};
use crate::flow::refusal::Refusal;
use crate::flow::{Visit, voucher};
use crate::http::app::App;
use crate::http::brski::ask::{Question, ask};
use crate::masa::client::{MasaAnswer, Operation};
use crate::masa::error::MasaError;
use crate::store::model::{DeviceState, Identity, NoncelessVoucher};
use crate::store::{Change, Conflict, StoreError};

/// How often the store is asked what is due.
const TICK: Duration = Duration::from_secs(1);
/// How many vouchers are fetched in one turn.
const TURN: u32 = 20;
/// How long a node may take to fetch one; after that another one may, in milliseconds.
const LEASE_MILLIS: i64 = 120_000;

/// Fetches what is due, until `shutdown` turns true.
pub(super) async fn run(app: Arc<App>, mut shutdown: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
        // A store that is away is noticed by those who have something to do there.
        let Ok(due) = app.store.nonceless_vouchers_due(app.now(), TURN).await else {
            continue;
        };
        for row in due {
            if *shutdown.borrow() {
                return;
            }
            match fetch(&app, row).await {
                Ok(()) => {}
                Err(StoreError::Conflict(Conflict::VoucherLeased | Conflict::Missing)) => {
                    debug!("another node fetches the voucher");
                }
                Err(error) => error!(%error, "a voucher cannot be fetched ahead"),
            }
        }
    }
}

/// Fetches one voucher, unless another node does.
pub(super) async fn fetch(app: &App, row: NoncelessVoucher) -> Result<(), StoreError> {
    let now = app.now();
    let node = app.config.load().store.node.clone();
    let lease = Change::LeaseNoncelessVoucher {
        device: row.device.clone(),
        encoding: row.encoding,
        node,
        until: now.plus(LEASE_MILLIS),
        now,
    };
    let Some(known) = app.store.device(&row.device).await? else {
        return Ok(());
    };
    let directory = app.manufacturers.load();
    let manufacturer = known.identity.manufacturer().and_then(|id| directory.by_id(id));
    let serial = known.identity.serial().and_then(|serial| SerialNumber::parse(serial).ok());
    let is_barred = matches!(known.device.state, DeviceState::Retired | DeviceState::Blocked);
    let (Some(manufacturer), Some(serial), false) = (manufacturer, serial, is_barred) else {
        // Nobody will ask for it any more.
        return app.store.commit(remove(&row), Vec::new()).await;
    };
    let idevid = seen(&known.identity);
    let subject = Subject { manufacturer: &manufacturer, serial: &serial, idevid: idevid.as_ref() };
    let row = renewal(app, row, subject);
    let changes = vec![lease, Change::WantNoncelessVoucher(row.clone())];
    app.store.commit(changes, Vec::new()).await?;
    let visit = |now| Visit {
        now,
        peer: "the registrar itself".to_owned(),
        correlation: random_id().to_string(),
    };
    let (row, answer) = match url(subject) {
        Ok(url) => {
            let (row, answer) = call(app, row, subject, &url).await?;
            (row, Ok(answer))
        }
        Err(refusal) => (row, Err(refusal)),
    };
    let visit = visit(app.now());
    let (row, event) =
        nonceless::receive(&visit, row, subject, app.identity.load().current(), answer);
    app.store.commit(vec![Change::KeepNoncelessVoucher(row)], vec![event]).await
}

/// Asks the MASA; once more without the old voucher, where it does not take one.
async fn call(
    app: &App,
    row: NoncelessVoucher,
    subject: Subject<'_>,
    url: &MasaUrl,
) -> Result<(NoncelessVoucher, Result<MasaAnswer, MasaError>), StoreError> {
    let answer = ask(app, question(&row, subject, url), Duration::ZERO).await;
    if !nonceless::takes_no_prior(&row, &answer) {
        return Ok((row, answer));
    }
    debug!(device = %row.device, "the MASA refused a renewal; it is asked without the old voucher");
    let row = anew(app, row, subject, None);
    let change = Change::WantNoncelessVoucher(row.clone());
    app.store.commit(vec![change], Vec::new()).await?;
    let answer = ask(app, question(&row, subject, url), Duration::ZERO).await;
    Ok((row, answer))
}

fn question<'a>(row: &'a NoncelessVoucher, subject: Subject<'a>, url: &'a MasaUrl) -> Question<'a> {
    Question {
        url,
        manufacturer: &subject.manufacturer.row,
        operation: Operation::RequestVoucher,
        encoding: row.encoding,
        body: &row.registrar_request,
    }
}

/// The row with a new request, where the old one did its work; a MASA that wants time gets the same one again.
fn renewal(app: &App, row: NoncelessVoucher, subject: Subject<'_>) -> NoncelessVoucher {
    match (row.attempts, row.voucher.clone()) {
        (0, Some(old)) => anew(app, row, subject, Some(old)),
        _ => row,
    }
}

/// The row with a new request, which carries the old voucher or does not.
fn anew(
    app: &App,
    row: NoncelessVoucher,
    subject: Subject<'_>,
    prior: Option<Vec<u8>>,
) -> NoncelessVoucher {
    let issuer = nonceless::issuer_in(&row).unwrap_or_default();
    match nonceless::request(
        app.identity.load().current(),
        subject,
        issuer,
        row.encoding,
        prior,
        app.now(),
    ) {
        Ok(registrar_request) => NoncelessVoucher { registrar_request, ..row },
        Err(refusal) => {
            error!(reason = refusal.detail(), "a voucher is asked for again with the old request");
            row
        }
    }
}

fn remove(row: &NoncelessVoucher) -> Vec<Change> {
    vec![Change::RemoveNoncelessVouchers { device: row.device.clone() }]
}

/// The IDevID that was seen.
fn seen(identity: &Identity) -> Option<Certificate> {
    identity.seen().and_then(|seen| Certificate::from_der(&seen.certificate).ok())
}

fn url(subject: Subject<'_>) -> Result<MasaUrl, Refusal> {
    voucher::masa_url_of(&subject.manufacturer.row, subject.idevid)
}
