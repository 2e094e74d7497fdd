//! The audit log after the pledge has accepted its voucher (RFC 8995 §5.8).
//!
//! It is judged before the report is answered, since the pledge enrolls next.

use std::time::Duration;

use super::ask::{Question, ask};
use crate::flow::Visit;
use crate::flow::audit::{self, Court};
use crate::flow::peer::Idevid;
use crate::flow::voucher;
use crate::http::app::{App, Refused};
use crate::masa::client::Operation;
use crate::policy::admission::readmit;
use crate::store::model::Id;

/// Asks for the log of a device whose voucher was accepted, where the operator wants it now, and writes what comes of it.
///
/// The pledge hears nothing of it: its report was taken.
pub(super) async fn after_status(
    app: &App,
    visit: &Visit,
    idevid: &Idevid,
    device: &Id,
) -> Result<(), Refused> {
    let config = app.config.load();
    let rules = &config.policy.audit_log;
    let exchange = app.store.latest_voucher_exchange(device).await?;
    let is_due = |exchange: &_| audit::is_due_after_status(exchange, audit::timing(idevid, rules));
    let (Some(exchange), Some(known)) = (exchange.filter(is_due), app.store.device(device).await?)
    else {
        return Ok(());
    };
    let admitted = readmit(known, idevid).map_err(|refusal| Refused::of(device, refusal))?;
    let url = voucher::masa_url(idevid).map_err(|refusal| Refused::of(device, refusal))?;
    let question = Question {
        url: &url,
        manufacturer: &idevid.manufacturer.row,
        operation: Operation::RequestAuditLog,
        encoding: exchange.encoding,
        body: &exchange.registrar_request,
    };
    // Once: the pledge waits for the answer to its report.
    let answer = ask(app, question, Duration::ZERO).await;
    let visit = &Visit { now: app.now(), ..visit.clone() };
    let identities = app.identity.load();
    let court = Court { rules, identity: identities.current(), idevid };
    app.commit(court.after_status(visit, &admitted, &exchange, answer)).await?;
    Ok(())
}
