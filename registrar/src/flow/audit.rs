//! The MASA's audit log of a device: asked for, judged, kept with the voucher exchange (RFC 8995 §5.8).
//!
//! A log against policy closes EST until a new voucher succeeds; before the pledge has its voucher, it does not get one.
//! The log may come before the voucher goes out, or when the pledge says that it accepts it, as configured.

use brski_voucher::audit::{AuditLog, evaluate, own_domains};

use super::issuance::{self, Outcome};
use super::peer::Idevid;
use super::refusal::Refusal;
use super::{Decision, Visit};
use crate::identity::RegistrarIdentity;
use crate::masa::client::MasaAnswer;
use crate::masa::error::MasaError;
use crate::policy::admission::Admitted;
use crate::policy::audit::{AuditRules, MissingLog};
use crate::store::Change;
use crate::store::model::{
    AuditRecord, AuditTiming, AuditVerdict, Event, Verdict, VoucherExchange, VoucherState,
};

/// The clause of every decision here.
const CLAUSE: &str = "RFC 8995 §5.8.3";
/// How many violations are told of one log.
const TOLD: usize = 5;

/// When the audit logs of a manufacturer's devices are asked for.
#[must_use]
pub fn timing(idevid: &Idevid, rules: &AuditRules) -> AuditTiming {
    idevid.manufacturer.row.masa.audit_log.unwrap_or(rules.when)
}

/// Whether the voucher of an exchange may not go out yet: no log of its device was judged and found good enough.
///
/// One that was refused before is judged again, since the MASA or the operator may have changed something.
#[must_use]
pub fn holds_voucher(exchange: &VoucherExchange, timing: AuditTiming) -> bool {
    let is_passed = exchange.audit.as_ref().is_some_and(|audit| refused(audit).is_none());
    timing == AuditTiming::BeforeVoucher && !is_passed
}

/// What a log is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Court<'a> {
    /// The operator's rules.
    pub rules: &'a AuditRules,
    /// This registrar, in whose domain the device may be.
    pub identity: &'a RegistrarIdentity,
    /// The device's manufacturer.
    pub idevid: &'a Idevid,
}

impl Court<'_> {
    /// Judges what the MASA gave, before the pledge has its voucher.
    ///
    /// `voucher`: as the MASA sent it, which is what the outcome gives.
    #[must_use]
    pub fn before_voucher(
        &self,
        visit: &Visit,
        admitted: &Admitted,
        exchange: &VoucherExchange,
        voucher: Vec<u8>,
        answer: Result<MasaAnswer, MasaError>,
    ) -> Outcome {
        let read = read(answer);
        if let (Err(Unread { refusal: Some(refusal), .. }), MissingLog::Refuse) =
            (&read, self.rules.missing)
        {
            // The MASA may give it later, and the pledge comes back.
            let reply = Err(again(refusal));
            return Outcome { decision: Decision::default(), reply };
        }
        let record = self.judge(visit, read);
        let mut decision = Decision { changes: vec![kept(exchange, &record)], events: Vec::new() };
        match refused(&record) {
            Some(reason) => {
                let ended = issuance::failed(visit, admitted.device(), exchange, ended(reason));
                decision.changes.extend(ended.changes);
                let reply = Err(Refusal::AuditLog { reason: reason.to_owned() });
                Outcome { decision, reply }
            }
            None => {
                decision.changes.extend(issuance::open(visit, admitted.device()));
                decision.events.push(told(visit, exchange, &record));
                decision.events.push(issuance::issued_event(visit, exchange, &voucher));
                Outcome { decision, reply: Ok(voucher) }
            }
        }
    }

    /// Judges what the MASA gave, when the pledge has accepted its voucher.
    #[must_use]
    pub fn after_status(
        &self,
        visit: &Visit,
        admitted: &Admitted,
        exchange: &VoucherExchange,
        answer: Result<MasaAnswer, MasaError>,
    ) -> Decision {
        let record = self.judge(visit, read(answer));
        let mut changes = vec![kept(exchange, &record)];
        if let Some(reason) = refused(&record) {
            changes.extend(
                issuance::failed(visit, admitted.device(), exchange, ended(reason)).changes,
            );
        }
        Decision { changes, events: vec![told(visit, exchange, &record)] }
    }

    fn judge(&self, visit: &Visit, read: Result<(Vec<u8>, AuditLog), Unread>) -> AuditRecord {
        let (log, verdict) = match read {
            Err(Unread { log, reason, .. }) => {
                let verdict = match self.rules.missing {
                    MissingLog::Accept => AuditVerdict::Missing { reason },
                    MissingLog::Refuse => AuditVerdict::Refused { reason },
                };
                (log, verdict)
            }
            Ok((octets, log)) => {
                let own = own_domains(self.identity.chain());
                let policy = self.rules.policy(&self.idevid.manufacturer.row.name, own);
                let violations = evaluate(&log, &policy);
                let words: Vec<String> =
                    violations.iter().take(TOLD).map(ToString::to_string).collect();
                let verdict = match words.is_empty() {
                    true => AuditVerdict::Accepted,
                    false => AuditVerdict::Refused { reason: words.join("; ") },
                };
                (Some(octets), verdict)
            }
        };
        AuditRecord { log, verdict, at: visit.now }
    }
}

/// A log that is not there, or that nobody can read.
struct Unread {
    /// What came in its place, where it was meant as one.
    log: Option<Vec<u8>>,
    reason: String,
    /// What the pledge would be told, if the MASA may give the log later.
    refusal: Option<Refusal>,
}

fn read(answer: Result<MasaAnswer, MasaError>) -> Result<(Vec<u8>, AuditLog), Unread> {
    let answer = issuance::success(answer).map_err(|refusal| {
        let reason = refusal.detail();
        let is_for_later = matches!(
            refusal,
            Refusal::MasaUnavailable { .. }
                | Refusal::MasaWaiting { .. }
                | Refusal::Internal { .. }
        );
        Unread { log: None, reason, refusal: is_for_later.then_some(refusal) }
    })?;
    match AuditLog::parse(&answer.body) {
        Ok(log) => Ok((answer.body.to_vec(), log)),
        Err(error) => {
            let reason = format!("the audit log cannot be read: {error}");
            Err(Unread { log: Some(answer.body.to_vec()), reason, refusal: None })
        }
    }
}

/// The same refusal for the pledge; the store's own error is none of these.
fn again(refusal: &Refusal) -> Refusal {
    match refusal {
        Refusal::MasaWaiting { retry_after_secs } => {
            Refusal::MasaWaiting { retry_after_secs: *retry_after_secs }
        }
        Refusal::Internal { reason } => Refusal::Internal { reason: reason.clone() },
        other => Refusal::MasaUnavailable {
            reason: format!("its audit log: {}", other.detail()),
            retry_after_secs: issuance::MASA_RETRY_SECS,
        },
    }
}

fn kept(exchange: &VoucherExchange, record: &AuditRecord) -> Change {
    Change::SetAudit { exchange: exchange.id.clone(), audit: record.clone() }
}

fn refused(record: &AuditRecord) -> Option<&str> {
    match &record.verdict {
        AuditVerdict::Refused { reason } => Some(reason),
        AuditVerdict::Accepted | AuditVerdict::Missing { .. } => None,
    }
}

fn ended(reason: &str) -> String {
    format!("audit log: {reason}")
}

/// What the trail says of a log.
fn told(visit: &Visit, exchange: &VoucherExchange, record: &AuditRecord) -> Event {
    let (kind, verdict, detail) = match &record.verdict {
        AuditVerdict::Accepted => {
            let log = record.log.as_deref().and_then(|log| AuditLog::parse(log).ok());
            let detail = log.map_or_else(String::new, |log| {
                let known = if log.is_known_version() { "" } else { ", of which not all is known" };
                format!("{} events, version {}{known}", log.events().len(), log.version())
            });
            ("audit-log-accepted", Verdict::Done, detail)
        }
        AuditVerdict::Missing { reason } => ("audit-log-missing", Verdict::Done, reason.clone()),
        AuditVerdict::Refused { reason } => ("audit-log-refused", Verdict::Refused, reason.clone()),
    };
    visit.event(kind, verdict, CLAUSE, Some(&exchange.device), detail)
}

/// Whether the voucher of an exchange was accepted, so that its device's log may be asked for.
#[must_use]
pub fn is_due_after_status(exchange: &VoucherExchange, timing: AuditTiming) -> bool {
    timing == AuditTiming::AfterStatus && matches!(exchange.state, VoucherState::Accepted { .. })
}
