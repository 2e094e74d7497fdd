//! One voucher exchange: policy is asked, the exchange is found or begun, the MASA is asked, the voucher goes out.

use std::ops::ControlFlow;

use brski_voucher::artefact::PledgeRequest;
use brski_voucher::encoding::Encoding;
use brski_voucher::idevid::MasaUrl;
use brski_voucher::verify::Verified;

use super::ask::{Question, ask};
use crate::entropy::row_id;
use crate::flow::audit::{self, Court};
use crate::flow::issuance::{self, Outcome, Terms};
use crate::flow::peer::Idevid;
use crate::flow::refusal::Refusal;
use crate::flow::voucher::{self, Standing};
use crate::flow::{Decision, Visit};
use crate::http::admit::{Attempts, Entries, entries, expect_same, stored, take};
use crate::http::app::{App, Arrival, Refused};
use crate::masa::client::Operation;
use crate::policy::admission::{Admitted, Entry};
use crate::policy::quota::Wish;
use crate::store::model::{KnownDevice, Sha256, VoucherExchange};
use crate::store::{Change, Conflict, StoreError};

/// Answers a pledge's request with its voucher.
pub(super) async fn voucher(
    app: &App,
    arrival: &Arrival,
    idevid: &Idevid,
    known: Option<KnownDevice>,
    encoding: Encoding,
    content: &[u8],
) -> Result<Vec<u8>, Refused> {
    let request = voucher::read(content, encoding, idevid, &app.identity.load())?;
    let url = voucher::masa_url(idevid)?;
    let digest = Sha256::of(content);
    let _one_at_a_time = app.locks.lock(digest).await;
    let (admitted, exchange) = find_at_last(app, arrival, idevid, known, &request).await?;
    let desk = Desk { app, idevid, admitted: &admitted, exchange: &exchange, url: &url };
    let visit = &arrival.visit;
    let bytes = match voucher::standing(&exchange)? {
        Standing::Voucher(bytes) => bytes.to_vec(),
        Standing::Ask => desk.ask_for_voucher(visit).await?,
    };
    let bytes = desk.ask_for_log(visit, bytes).await?;
    Ok(issuance::for_pledge(&bytes, &exchange, idevid)?)
}

/// As [`find`], again where another request was quicker.
async fn find_at_last(
    app: &App,
    arrival: &Arrival,
    idevid: &Idevid,
    mut known: Option<KnownDevice>,
    request: &Verified<PledgeRequest>,
) -> Result<(Admitted, VoucherExchange), Refused> {
    let mut attempts = Attempts::new(Wish::Voucher);
    loop {
        let outcome = find(app, arrival, idevid, known, request).await;
        if let ControlFlow::Break(outcome) = attempts.judge(outcome) {
            return outcome;
        }
        known = stored(app, idevid).await?;
    }
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
        None => voucher::registrar_request(&app.identity.load(), request, idevid, visit.now)?,
    };
    let Entries { entries, is_new } = entries(app, visit, idevid, known.clone()).await?;
    for Entry { admitted, changes } in entries {
        let mut decision = Decision { changes, events: Vec::new() };
        if is_new {
            decision.events.push(voucher::admitted_event(visit, &admitted));
        }
        // What was taken from a quota is held until it is written, so that nobody else takes it.
        let (exchange, _taken) = match &known_exchange {
            Some(exchange) if exchange.device == admitted.device().id => (exchange.clone(), None),
            Some(_) => {
                // The same request at another node may have let the device in since it was looked up.
                let conflict = Conflict::VoucherExchange;
                expect_same(app, idevid, known.as_ref(), conflict).await?;
                return Err(Refused::of(&admitted.device().id, Refusal::RequestEnded));
            }
            None => {
                let taken = take(app, visit, Wish::Voucher, admitted.known()).await?;
                decision.changes.extend(taken.changes.iter().cloned());
                let own = registrar_request.clone();
                let exchange = voucher::begin(visit, &admitted, request, own, row_id(visit.now));
                decision.changes.push(Change::BeginVoucherExchange(exchange.clone()));
                decision.events.push(voucher::asked_event(visit, &exchange));
                (exchange, Some(taken))
            }
        };
        match app.commit(decision).await {
            Ok(()) => return Ok((admitted, exchange)),
            Err(StoreError::Conflict(conflict @ Conflict::DeviceName(_))) => {
                expect_same(app, idevid, known.as_ref(), conflict).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let reason = format!("no free name for serial number {}", idevid.serial);
    Err(Refusal::Internal { reason }.into())
}

/// An exchange whose device was let in, and whose MASA may have to be asked.
struct Desk<'a> {
    app: &'a App,
    idevid: &'a Idevid,
    admitted: &'a Admitted,
    exchange: &'a VoucherExchange,
    url: &'a MasaUrl,
}

impl Desk<'_> {
    fn question(&self, operation: Operation) -> Question<'_> {
        Question {
            url: self.url,
            manufacturer: &self.idevid.manufacturer.row,
            operation,
            encoding: self.exchange.encoding,
            body: &self.exchange.registrar_request,
        }
    }

    /// Asks the MASA for the voucher, and writes what becomes of the exchange before the pledge hears of it.
    ///
    /// While the MASA is away, a voucher that was fetched ahead will do.
    async fn ask_for_voucher(&self, visit: &Visit) -> Result<Vec<u8>, Refused> {
        let hold = self.app.profile(&self.admitted.device().profile)?.hold;
        let answer = ask(self.app, self.question(Operation::RequestVoucher), hold).await;
        let visit = &Visit { now: self.app.now(), ..visit.clone() };
        let policy = &self.app.config.load().policy;
        let terms = Terms {
            idevid: self.idevid,
            identities: &self.app.identity.load(),
            nonceless: policy.nonceless,
            timing: audit::timing(self.idevid, &policy.audit_log),
        };
        let mut outcome = terms.receive(visit, self.admitted, self.exchange, answer);
        if let Err(Refusal::MasaUnavailable { .. }) = &outcome.reply {
            let device = &self.admitted.device().id;
            let ahead = self.app.store.nonceless_voucher(device, self.exchange.encoding).await?;
            let ahead = ahead.as_ref().and_then(|row| row.current(visit.now));
            if let Some(ahead) = ahead
                && let Some(instead) =
                    terms.fetched_ahead(visit, self.admitted, self.exchange, ahead)
            {
                outcome = instead;
            }
        }
        self.conclude(outcome).await
    }

    /// Has the audit log judged first, where that is what the operator wants.
    async fn ask_for_log(&self, visit: &Visit, voucher: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let config = self.app.config.load();
        let rules = &config.policy.audit_log;
        if !audit::holds_voucher(self.exchange, audit::timing(self.idevid, rules)) {
            return Ok(voucher);
        }
        let hold = self.app.profile(&self.admitted.device().profile)?.hold;
        let answer = ask(self.app, self.question(Operation::RequestAuditLog), hold).await;
        let visit = &Visit { now: self.app.now(), ..visit.clone() };
        let identities = self.app.identity.load();
        let court = Court { rules, identity: identities.current(), idevid: self.idevid };
        let outcome = court.before_voucher(visit, self.admitted, self.exchange, voucher, answer);
        self.conclude(outcome).await
    }

    async fn conclude(&self, outcome: Outcome) -> Result<Vec<u8>, Refused> {
        match outcome.reply {
            Ok(bytes) => {
                self.app.commit(outcome.decision).await?;
                Ok(bytes)
            }
            Err(refusal) => Err(Refused {
                refusal,
                device: Some(self.admitted.device().id.clone()),
                decision: outcome.decision,
            }),
        }
    }
}
