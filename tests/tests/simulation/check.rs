//! What must be true after every step, and what must be true at the end.

use std::collections::{BTreeMap, BTreeSet};

use brski_est::{certs_only, transfer};
use brski_registrar::store::Store as _;
use brski_registrar::store::chain::Verifier;
use brski_registrar::store::model::{
    DeviceState, Enrollment, EnrollmentState, Id, Identity, IssuedCertificate, KnownDevice, Millis,
    Sha256, StoredEvent, VoucherState,
};
use brski_voucher::artefact::{Nonce, Voucher};
use brski_voucher::certificate::Certificate;
use brski_voucher::verify::Unverified;

use super::op::{Name, Op, Outcome, Proof};
use super::site::{PLEDGES, PRINTER, SITE};
use super::snapshot::{Closed, Snapshot};
use super::tally::Premise;
use super::world::{Asked, Done, Task, USES, World};

/// The nodes whose chains are followed.
const NODES: [&str; 2] = ["node-0", "node-1"];

/// What was seen of the trail.
#[derive(Default)]
pub(super) struct Checked {
    last: BTreeMap<&'static str, i64>,
    /// The devices that were let in once.
    admitted: BTreeSet<Id>,
}

/// Fails with a reason unless something holds.
fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn is_barred(state: DeviceState) -> bool {
    matches!(state, DeviceState::Retired | DeviceState::Blocked)
}

fn is_open(row: &Enrollment) -> bool {
    matches!(row.state, EnrollmentState::Approved | EnrollmentState::Ordered)
}

/// When a certificate is renewed rather than given again.
fn renewal(row: &IssuedCertificate) -> Millis {
    row.not_before.plus((row.not_after.0 - row.not_before.0) * 2 / 3)
}

impl World<'_> {
    /// Compares what is known with what was known before the step.
    pub(super) async fn check(&mut self) -> Result<(), String> {
        let now = Snapshot::take(&self.observer).await;
        let events = self.new_events().await;
        self.check_moves(&now, &events)?;
        self.check_names(&now)?;
        self.check_certificates(&now)?;
        self.check_enrollments(&now)?;
        self.check_exchanges(&now)?;
        require(now.credential.used <= USES, || "the credential was used too often".to_owned())?;
        if now.credential.used > self.before.credential.used {
            self.tally.premise(Premise::CredentialSpent);
        }
        self.closed_requests(&now);
        self.before = now;
        Ok(())
    }

    async fn new_events(&mut self) -> Vec<StoredEvent> {
        let mut all = Vec::new();
        for node in NODES {
            let last = self.checked.last.entry(node).or_default();
            let rows = self.observer.chain(node, *last, u32::MAX).await.unwrap();
            *last = rows.last().map_or(*last, |row| row.seq);
            all.extend(rows);
        }
        all
    }

    /// Each change of a device's state has its event, and a new device does.
    fn check_moves(&mut self, now: &Snapshot, events: &[StoredEvent]) -> Result<(), String> {
        for event in events.iter().filter(|event| event.kind == "device-admitted") {
            self.checked.admitted.extend(event.device.clone());
        }
        if events.iter().any(|event| event.kind == "store-failed") {
            self.tally.premise(Premise::DatabaseAway);
        }
        for known in &now.devices {
            let device = &known.device;
            let before = self.before.device(&device.id).map(|known| known.device.state);
            if before == Some(device.state) {
                continue;
            }
            self.tally.premise(Premise::DeviceMoved);
            require(events.iter().any(|event| event.device.as_ref() == Some(&device.id)), || {
                format!("{known:?} came from {before:?}, and no event says so")
            })?;
        }
        Ok(())
    }

    /// No two devices have one name, whatever its case.
    fn check_names(&self, now: &Snapshot) -> Result<(), String> {
        let mut names: BTreeMap<String, &KnownDevice> = BTreeMap::new();
        for known in &now.devices {
            let Some(name) = &known.device.name else { continue };
            if let Some(other) = names.insert(name.to_lowercase(), known) {
                return Err(format!("{known:?} and {other:?} have one name"));
            }
            let had = self.before.device(&known.device.id).and_then(|old| old.device.name.clone());
            let serial = known.identity.serial().unwrap_or_default().to_lowercase();
            if had.is_none() && name.starts_with(&format!("{serial}-")) && !serial.is_empty() {
                self.tally.premise(Premise::NameDistinct);
            }
        }
        Ok(())
    }

    /// A certificate is for a device that was let in, and not for one that an operator barred before.
    fn check_certificates(&self, now: &Snapshot) -> Result<(), String> {
        let is_new = |row: &&IssuedCertificate| {
            !self.before.certificates.iter().any(|old| old.fingerprint == row.fingerprint)
        };
        for row in now.certificates.iter().filter(is_new) {
            let Some(known) = now.device(&row.device) else {
                return Err(format!("certificate {} is nobody's", row.fingerprint));
            };
            let enrollment = now.enrollments.iter().find(|each| each.id == row.enrollment);
            require(enrollment.is_some_and(|each| each.device == row.device), || {
                format!("certificate {} answers no enrollment of its device", row.fingerprint)
            })?;
            let is_let_in = matches!(known.identity, Identity::Credential { .. })
                || self.checked.admitted.contains(&row.device);
            require(is_let_in, || {
                format!("certificate {} is for a device that was never let in", row.fingerprint)
            })?;
            if row.revoked_at.is_some() {
                self.tally.premise(Premise::CertificateUnwanted);
                continue;
            }
            self.tally.premise(Premise::CertificateStored);
            let state = known.device.state;
            require(!is_barred(state), || {
                format!("certificate {} is for a device that is {state:?}", row.fingerprint)
            })?;
            let others = now
                .certificates
                .iter()
                .filter(|each| each.enrollment == row.enrollment && each.revoked_at.is_none());
            require(others.count() == 1, || {
                format!("enrollment {} has two certificates", row.enrollment)
            })?;
        }
        Ok(())
    }

    /// One open enrollment and one order for one wish; what is issued stays issued; nothing is issued twice.
    fn check_enrollments(&self, now: &Snapshot) -> Result<(), String> {
        let mut open = BTreeSet::new();
        for row in &now.enrollments {
            require(!is_open(row) || open.insert(row.key), || {
                format!("two enrollments with the key {} are open", row.key)
            })?;
            let order = now.orders.iter().find(|order| order.id.as_str() == row.id.as_str());
            require(row.state != EnrollmentState::Ordered || order.is_some(), || {
                format!("enrollment {} has no order", row.id)
            })?;
            let old = self.before.enrollments.iter().find(|old| old.id == row.id);
            match old.map(|old| &old.state) {
                Some(issued @ EnrollmentState::Issued { .. }) => {
                    require(*issued == row.state, || {
                        format!("enrollment {} was {issued:?}, and is {:?}", row.id, row.state)
                    })?;
                }
                Some(_) => {}
                None => self.check_new_enrollment(now, row)?,
            }
        }
        for old in &self.before.enrollments {
            require(now.enrollments.iter().any(|row| row.id == old.id), || {
                format!("{} is lost", old.id)
            })?;
        }
        Ok(())
    }

    /// A wish that was fulfilled, and whose certificate is fresh, is not ordered again.
    fn check_new_enrollment(&self, now: &Snapshot, row: &Enrollment) -> Result<(), String> {
        self.tally.premise(Premise::EnrollmentBegan);
        for old in self.before.enrollments.iter().filter(|old| old.key == row.key) {
            let EnrollmentState::Issued { certificate } = &old.state else { continue };
            let found = now.certificates.iter().find(|each| each.fingerprint == *certificate);
            let is_fresh = found
                .is_some_and(|found| found.revoked_at.is_none() && self.latest < renewal(found));
            require(!is_fresh, || {
                format!("enrollment {} is ordered again, after {}", row.id, old.id)
            })?;
        }
        Ok(())
    }

    /// What a pledge rejected stays rejected.
    fn check_exchanges(&self, now: &Snapshot) -> Result<(), String> {
        for old in &self.before.exchanges {
            let row = now.exchanges.iter().find(|row| row.id == old.id);
            let Some(row) = row else { return Err(format!("{} is lost", old.id)) };
            let was_rejected = matches!(old.state, VoucherState::Rejected { .. });
            require(!was_rejected || matches!(row.state, VoucherState::Rejected { .. }), || {
                format!("exchange {} was rejected, and is not any more", row.id)
            })?;
        }
        Ok(())
    }

    /// Judges what came of a request.
    pub(super) async fn finished(&mut self, task: &Task, done: Done) -> Result<(), String> {
        let Done::Answer { status, body } = done else { return Ok(()) };
        self.trace.push(status);
        if status == 503 && body.starts_with(b"the registrar") {
            self.tally.premise(Premise::DatabaseAway);
        }
        // It must have been closed all the time, to the very end.
        let now = Snapshot::take(&self.observer).await;
        let still = |pledge: usize| {
            task.closed
                .filter(|closed| now.closed(&task.asked, pledge, task.shown) == Some(*closed))
        };
        match &task.asked {
            Asked::Voucher { pledge, nonce } => {
                self.check_closed(still(*pledge), status)?;
                if status == 200 { self.check_voucher(*pledge, *nonce, &body) } else { Ok(()) }
            }
            Asked::Certificate { pledge, key, name, is_own } => {
                self.check_closed(still(*pledge), status)?;
                require(*is_own || status != 200 || self.had_name(&now, *pledge, name), || {
                    format!("pledge {pledge} got a certificate for {name}")
                })?;
                if status == 200 {
                    self.check_certificate(&now, *pledge, *key, name, &body)
                } else {
                    Ok(())
                }
            }
            Asked::Other | Asked::Inside => Ok(()),
        }
    }

    /// Whether a name that was another pledge's became this one's meanwhile.
    fn had_name(&self, now: &Snapshot, pledge: usize, name: &str) -> bool {
        let known = now.of_pledge(pledge);
        known.is_some_and(|known| known.device.name.as_deref() == Some(name))
    }

    /// Nothing comes of a request that was closed all the time.
    fn check_closed(&self, closed: Option<Closed>, status: u16) -> Result<(), String> {
        let Some(closed) = closed else { return Ok(()) };
        self.tally.premise(match closed {
            Closed::Barred => Premise::BarredAsked,
            Closed::Unvouchered => Premise::UnvoucheredAsked,
            Closed::Rejected => Premise::RejectedAsked,
            Closed::Impostor => Premise::ImpostorAsked,
            Closed::Revoked => Premise::RevokedAsked,
        });
        // An impostor's key may be asked about: that is no yes.
        let is_no = status >= 400 || closed == Closed::Impostor && status == 202;
        require(is_no, || format!("a request that is closed ({closed:?}) was answered {status}"))
    }

    fn check_voucher(&self, pledge: usize, nonce: u8, body: &[u8]) -> Result<(), String> {
        self.tally.premise(Premise::VoucherGiven);
        let voucher = Unverified::<Voucher>::parse(body).map_err(|error| error.to_string())?;
        let content = voucher.content();
        let is_right = content.nonce() == Some(&Nonce::from_random([nonce; 16]))
            && content.serial_number().as_str() == PLEDGES[pledge].1;
        require(is_right, || format!("pledge {pledge} got a voucher of another request"))
    }

    fn check_certificate(
        &mut self,
        now: &Snapshot,
        pledge: usize,
        key: usize,
        name: &str,
        body: &[u8],
    ) -> Result<(), String> {
        self.tally.premise(Premise::CertificateGiven);
        let der = transfer::decode(body).map_err(|error| error.to_string())?;
        let given = certs_only::decode(&der).map_err(|error| error.to_string())?;
        let [certificate] = &given[..] else {
            return Err(format!("{} certificates were given", given.len()));
        };
        let read = Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        let row = now.certificates.iter().find(|row| row.fingerprint == Sha256::of(certificate));
        let Some(row) = row else { return Err("a certificate was given and not stored".into()) };
        let owner = now.of_pledge(pledge).map(|known| &known.device.id);
        require(owner == Some(&row.device), || {
            format!("pledge {pledge} was given {}", row.fingerprint)
        })?;
        require(row.spki == SITE.spki(pledge, key), || {
            format!("{} has another key", row.fingerprint)
        })?;
        require(read.dns_names() == [name], || {
            format!("{} has another name than {name}", row.fingerprint)
        })?;
        self.issued[pledge].push(certificate.clone().into_owned());
        Ok(())
    }

    /// What must be true when nothing is under way any more.
    pub(super) async fn at_rest(&self) -> Result<(), String> {
        for row in &self.before.enrollments {
            require(!is_open(row), || {
                format!("enrollment {} ({:?}) is lost: nobody drives it", row.id, row.state)
            })?;
        }
        let key = SITE.identity.key().spki_der().to_vec();
        for node in NODES {
            let mut verifier = Verifier::new(node, Vec::new(), std::slice::from_ref(&key));
            for row in self.observer.chain(node, 0, u32::MAX).await.unwrap() {
                verifier.push(row);
                self.tally.premise(Premise::ChainVerified);
            }
            let report = verifier.finish();
            require(report.findings.is_empty(), || format!("{report:?}"))?;
        }
        Ok(())
    }

    /// Whoever may enroll, and comes back with the name that it was given, gets its certificate.
    pub(super) async fn come_back(&mut self) -> Result<(), String> {
        // What the CA refused is not asked again before that, and the clock may have been ahead.
        let seconds = (self.latest.0 - self.now().0) / 1000 + 660;
        self.step(&Op::Clock { seconds }).await?;
        for pledge in 0..PRINTER {
            let may = self.before.of_pledge(pledge).is_some_and(|known| {
                matches!(known.device.state, DeviceState::Vouchered | DeviceState::Enrolled)
                    && self.before.is_genuine(known, pledge)
            });
            if !may {
                continue;
            }
            let again = Op::Enroll {
                pledge,
                key: 0,
                proof: Proof::Own,
                name: Name::Own,
                node: 0,
                pace: u8::MAX,
            };
            self.step(&again).await?;
            self.step(&Op::Clock { seconds: 61 }).await?;
            if let Some(order) = self.before.open_order() {
                let issue = Op::Ca { order, outcome: Outcome::Issues, node: 0, pace: u8::MAX };
                self.step(&issue).await?;
            }
            self.settle().await?;
            self.step(&again).await?;
            let last = self.trace.last().copied();
            require(last == Some(200), || {
                format!("pledge {pledge} may enroll, came back, and was answered {last:?}")
            })?;
            self.tally.premise(Premise::CameBack);
        }
        Ok(())
    }
}
