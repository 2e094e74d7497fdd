//! The bridge's orders in the registrar's store: an order's end and its enrollment's end are one transaction.

use std::sync::Arc;
use std::time::Duration;

use acme_bridge::{
    AccountRecord, Alarm, IssuerName, OrderId, OrderRecord, OrderState, OrderStore,
    OrderStoreError, ProblemKind, Revocation, RevocationOutcome, RevocationReason, Spending, Step,
    Which,
};
use async_trait::async_trait;
use rustls_pki_types::CertificateDer;
use tracing::{Instrument as _, debug, debug_span, warn};

use super::IssuedChain;
use super::acme::revocation;
use crate::flow::Decision;
use crate::flow::enroll::{self, Ending};
use crate::flow::fault::Fault;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::labels::{Outcome, Phase};
use crate::policy::timekeeping;
use crate::store::model::{
    Enrollment, EnrollmentState, Event, Id, Millis, RevocationRow, Sha256, Verdict,
};
use crate::store::{Change, Conflict, Store, StoreError};

/// How often the end of an order is decided anew when an operator's change comes between.
const ATTEMPTS: u32 = 3;

/// The bridge's view of the store.
pub struct Orders {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

/// What an order's state means for its enrollment, and since when that waits.
#[derive(Default)]
struct Consequence {
    decision: Decision,
    since: Option<Millis>,
}

impl Orders {
    /// A view of this store, which counts the orders that end.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    /// What an order's state means for its enrollment, which has the same identifier.
    async fn consequence(
        &self,
        order: &OrderRecord,
        step: &Step,
        now: Millis,
    ) -> Result<Consequence, StoreError> {
        let ending = ending(&order.state);
        if ending.is_none() && step.alarm.is_none() && step.revoke.is_none() {
            return Ok(Consequence::default());
        }
        let id = Id::from_stored(order.id.as_str().to_owned());
        let enrollment = self.store.enrollment(&id).await?;
        let since = enrollment.as_ref().map(|enrollment| enrollment.created_at);
        let mut decision = match (&enrollment, ending) {
            (Some(enrollment), Some(ending)) => {
                match self.store.device(&enrollment.device).await? {
                    Some(known) => enroll::completed(enrollment, known.device.state, ending, now),
                    None => Decision::default(),
                }
            }
            _ => Decision::default(),
        };
        // A certificate that came too late is revoked here, and at the CA.
        let unwanted = decision.changes.iter().find_map(|change| match change {
            Change::AddCertificate(row) if row.revoked_at.is_some() => Some(row.clone()),
            _ => None,
        });
        if let Some(row) = unwanted {
            let row = revocation(&row, RevocationReason::CessationOfOperation, now);
            decision.changes.push(Change::RequestRevocation(row));
        }
        if let Some(certificate) = &step.revoke {
            decision.changes.push(wrong(order, certificate.clone(), now));
        }
        if let Some(alarm) = &step.alarm {
            decision.events.push(alarm_event(order, alarm, step, enrollment.as_ref(), now));
        }
        if let (Some(Alarm::Fallback { .. }), Some(enrollment)) = (&step.alarm, enrollment) {
            decision.changes.push(Change::SetEnrollmentIssuer {
                enrollment: enrollment.id,
                issuer: order.issuer.as_str().to_owned(),
            });
        }
        Ok(Consequence { decision, since })
    }

    /// Counts an order that ended.
    fn count(&self, order: &OrderRecord, since: Option<Millis>, now: Millis) {
        let outcome = match &order.state {
            OrderState::Issued { .. } => Outcome::Done,
            OrderState::Invalid { problem } => Outcome::Error(match problem.kind {
                // Our DNS most likely, our account, or what we ask for.
                ProblemKind::Validation | ProblemKind::Account | ProblemKind::Configuration => {
                    Fault::Local
                }
                ProblemKind::Cancelled => Fault::Policy,
                _ => Fault::Ca,
            }),
            _ => return,
        };
        let millis = since.map_or(0, |since| now.0.saturating_sub(since.0));
        let took = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        self.metrics.phase(Phase::AcmeOrder, outcome, took);
    }
}

/// How an order's state ends its enrollment, if it does.
fn ending(state: &OrderState) -> Option<Ending> {
    match state {
        OrderState::Issued { chain } => Some(match chain.split_first() {
            Some((leaf, above)) => {
                Ending::Issued(IssuedChain { leaf: leaf.clone(), above: above.to_vec() })
            }
            None => Ending::Failed { reason: "the CA's chain is empty".to_owned() },
        }),
        OrderState::Invalid { problem } => Some(match problem.kind {
            ProblemKind::Refused => Ending::Refused { reason: problem.to_string() },
            _ => Ending::Failed { reason: problem.to_string() },
        }),
        _ => None,
    }
}

/// Has a certificate revoked that the CA should not have issued.
fn wrong(order: &OrderRecord, certificate: CertificateDer<'static>, now: Millis) -> Change {
    Change::RequestRevocation(RevocationRow {
        fingerprint: Sha256::of(&certificate),
        issuer: order.issuer.as_str().to_owned(),
        certificate,
        reason: RevocationReason::Superseded,
        attempts: 0,
        due: now,
        requested_at: now,
        done_at: None,
        problem: None,
    })
}

fn alarm_event(
    order: &OrderRecord,
    alarm: &Alarm,
    step: &Step,
    enrollment: Option<&Enrollment>,
    now: Millis,
) -> Event {
    let (kind, clause) = match alarm {
        Alarm::Account => ("acme-account-refused", "RFC 8555 §7.3"),
        Alarm::Configuration => ("acme-configuration-refused", "RFC 8555 §6.7"),
        Alarm::WrongCertificate => ("certificate-mismatch", "RFC 8555 §7.4.2"),
        Alarm::Fallback { .. } => ("issuer-fallback", ""),
        _ => ("acme-alarm", ""),
    };
    Event {
        time: now,
        kind,
        verdict: Verdict::Failed,
        device: enrollment.map(|enrollment| enrollment.device.clone()),
        peer: format!("issuer {}", order.issuer),
        clause,
        detail: step.words.clone(),
        correlation: order.id.as_str().to_owned(),
    }
}

fn revoked_event(revocation: &Revocation, fingerprint: &Sha256, now: Millis) -> Event {
    Event {
        time: now,
        kind: "certificate-revoked-at-ca",
        verdict: Verdict::Done,
        device: None,
        peer: format!("issuer {}", revocation.issuer),
        clause: "RFC 8555 §7.6",
        detail: format!("certificate {fingerprint}: {}", revocation.reason.as_str()),
        correlation: fingerprint.to_string(),
    }
}

fn refused_event(
    issuer: &IssuerName,
    account: &AccountRecord,
    refusal: &str,
    now: Millis,
) -> Event {
    Event {
        time: now,
        kind: "acme-contact-refused",
        verdict: Verdict::Failed,
        device: None,
        peer: format!("issuer {issuer}"),
        clause: "RFC 8555 §7.3",
        detail: format!("{}: {refusal}", account.contacts.urls.join(", ")),
        correlation: issuer.as_str().to_owned(),
    }
}

fn failed(error: StoreError) -> OrderStoreError {
    OrderStoreError(Box::new(error))
}

#[async_trait]
impl OrderStore for Orders {
    async fn insert(&self, order: &OrderRecord) -> Result<(), OrderStoreError> {
        let enrollment = Id::from_stored(order.id.as_str().to_owned());
        let changes = vec![
            Change::InsertOrder(order.clone()),
            Change::SetEnrollmentState {
                enrollment,
                state: EnrollmentState::Ordered,
                at: Millis(order.due),
            },
        ];
        // An order that is there already may have ended, and its enrollment with it.
        if self.load(&order.id).await?.is_some() {
            return Ok(());
        }
        match self.store.commit(changes, Vec::new()).await {
            // Another node placed it, and it ended, or an operator ended it, since it was looked for.
            Err(StoreError::Conflict(Conflict::Missing)) => Ok(()),
            result => result.map_err(failed),
        }
    }

    async fn load(&self, id: &OrderId) -> Result<Option<OrderRecord>, OrderStoreError> {
        self.store.order(id).await.map_err(failed)
    }

    async fn claim(
        &self,
        issuer: &IssuerName,
        node: &str,
        lease_until: i64,
        now: i64,
        limit: u32,
        which: Which,
    ) -> Result<Vec<OrderRecord>, OrderStoreError> {
        let newest = self.store.newest_event_time().await.map_err(failed)?;
        if timekeeping::judge(Millis(now), newest).is_err() {
            // The order waits for another node, or until this one's clock is right.
            return Ok(Vec::new());
        }
        self.store
            .claim_orders(issuer.as_str(), node, Millis(lease_until), Millis(now), limit, which)
            .await
            .map_err(failed)
    }

    async fn advance(
        &self,
        order: &OrderRecord,
        node: &str,
        step: &Step,
        now: i64,
    ) -> Result<(), OrderStoreError> {
        let at = Millis(now);
        debug!(order = %order.id, state = order.state.name(), step = step.words.as_str(), "order");
        let mut attempt = 1;
        loop {
            let Consequence { mut decision, since } =
                self.consequence(order, step, at).await.map_err(failed)?;
            decision.changes.push(Change::AdvanceOrder {
                order: order.clone(),
                node: node.to_owned(),
                step: step.words.clone(),
                at,
            });
            let commit = self.store.commit(decision.changes, decision.events);
            let span = debug_span!("order", state = order.state.name(), correlation = %order.id);
            match commit.instrument(span).await {
                // An operator cancelled the enrollment or barred the device meanwhile: decided anew.
                Err(StoreError::Conflict(Conflict::Missing | Conflict::DeviceBarred))
                    if attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                result => {
                    result.map_err(failed)?;
                    self.count(order, since, at);
                    return Ok(());
                }
            }
        }
    }

    async fn release(&self, issuer: &IssuerName, node: &str) -> Result<(), OrderStoreError> {
        let change =
            Change::ReleaseOrders { issuer: issuer.as_str().to_owned(), node: node.to_owned() };
        self.store.commit(vec![change], Vec::new()).await.map_err(failed)
    }

    async fn tally(&self, issuer: &IssuerName) -> Result<Vec<(String, u64)>, OrderStoreError> {
        let tally = self.store.order_tally().await.map_err(failed)?;
        Ok(tally
            .into_iter()
            .filter(|row| row.issuer == issuer.as_str())
            .map(|row| (row.state, row.orders))
            .collect())
    }

    async fn buckets(&self, names: &[String]) -> Result<Vec<Option<i64>>, OrderStoreError> {
        self.store.quotas(names).await.map_err(failed)
    }

    async fn spend(&self, spendings: &[Spending]) -> Result<bool, OrderStoreError> {
        let changes = spendings.iter().cloned().map(Change::SpendQuota).collect();
        match self.store.commit(changes, Vec::new()).await {
            Err(StoreError::Conflict(Conflict::Quota)) => Ok(false),
            result => result.map(|()| true).map_err(failed),
        }
    }

    async fn revocations(
        &self,
        issuer: &IssuerName,
        now: i64,
        limit: u32,
    ) -> Result<Vec<Revocation>, OrderStoreError> {
        let rows = self.store.revocations_due(issuer.as_str(), Millis(now), limit).await;
        let revocation = |row: RevocationRow| Revocation {
            certificate: row.certificate,
            issuer: IssuerName::new(row.issuer),
            reason: row.reason,
            attempts: row.attempts,
        };
        Ok(rows.map_err(failed)?.into_iter().map(revocation).collect())
    }

    async fn revoked(
        &self,
        revocation: &Revocation,
        outcome: &RevocationOutcome,
        now: i64,
    ) -> Result<(), OrderStoreError> {
        let fingerprint = Sha256::of(&revocation.certificate);
        let (change, event) = match outcome {
            RevocationOutcome::Done => {
                let done_at = Some(Millis(now));
                let due = Millis(now);
                let change = Change::NoteRevocation { fingerprint, done_at, due, problem: None };
                (change, Some(revoked_event(revocation, &fingerprint, Millis(now))))
            }
            RevocationOutcome::Again { due, problem } => {
                warn!(issuer = %revocation.issuer, "{}", problem.escape_debug());
                let (due, problem) = (Millis(*due), Some(problem.clone()));
                (Change::NoteRevocation { fingerprint, done_at: None, due, problem }, None)
            }
        };
        self.store.commit(vec![change], event.into_iter().collect()).await.map_err(failed)
    }

    async fn account(&self, issuer: &IssuerName) -> Result<Option<AccountRecord>, OrderStoreError> {
        self.store.account(issuer.as_str()).await.map_err(failed)
    }

    async fn save_account(
        &self,
        issuer: &IssuerName,
        account: &AccountRecord,
        now: i64,
    ) -> Result<(), OrderStoreError> {
        let before = self.store.account(issuer.as_str()).await.map_err(failed)?;
        // Each start of a node tries again, and is refused again: that is no news.
        let is_news = before.is_none_or(|before| before.contacts != account.contacts);
        let refusal = account.contacts.refusal.as_deref().filter(|_| is_news);
        let event = refusal.map(|refusal| refused_event(issuer, account, refusal, Millis(now)));
        let change =
            Change::SaveAccount { issuer: issuer.as_str().to_owned(), account: account.clone() };
        self.store.commit(vec![change], event.into_iter().collect()).await.map_err(failed)
    }
}
