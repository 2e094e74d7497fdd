//! May this device join, and under which name? (RFC 8995 §5.3.)
//!
//! Invariant: nothing but this file makes an [`Admitted`], and nothing without one gets a voucher or a certificate.

use brski_voucher::certificate::Certificate;

use super::name::{NameSource, candidates};
use super::rules::{Facts, Judgement, Rule, Rules, Ruling, Standing};
use crate::flow::peer::Idevid;
use crate::flow::refusal::Refusal;
use crate::store::Change;
use crate::store::model::{
    Approval, ApprovalReason, ApprovalState, Credential, Device, DeviceState, Entry as Needs, Id,
    Identity, IssuedCertificate, KnownDevice, Millis, SeenIdevid, Sha256,
};

/// When a device should ask again while it waits for a person, in seconds.
const APPROVAL_RETRY_SECS: u32 = 30;

/// Proof that policy lets a device in, asked at this very request.
#[derive(Clone, Debug)]
pub struct Admitted {
    known: KnownDevice,
    name: String,
}

impl Admitted {
    /// The device.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.known.device
    }

    /// The device with its identity.
    #[must_use]
    pub fn known(&self) -> &KnownDevice {
        &self.known
    }

    /// The device's one name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Where a device gets its name and profile from.
#[derive(Clone, Copy, Debug)]
pub struct Placement<'a> {
    /// The profile, by its name in the configuration.
    pub profile: &'a str,
    /// The template of its name.
    pub template: &'a str,
    /// The profile's zone.
    pub zone: &'a str,
    /// Where it stands, in the operator's words, if nobody knew it before.
    pub site: Option<&'a str>,
}

/// A device that asks to join.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// What it proved.
    pub idevid: &'a Idevid,
    /// Who asks: its address, and what it proved.
    pub peer: &'a str,
    /// When.
    pub now: Millis,
}

impl Applicant<'_> {
    fn seen(&self) -> SeenIdevid {
        SeenIdevid {
            spki: key_digest(&self.idevid.certificate),
            certificate: self.idevid.certificate.der().clone(),
        }
    }
}

/// What policy says to an applicant.
#[derive(Debug)]
pub enum Admission {
    /// It was let in before.
    Known(Box<Admitted>),
    /// It is let in now: the first of these whose name is free is committed.
    New(Vec<Entry>),
    /// A person is asked: these changes are committed, and the applicant comes back.
    Ask {
        /// The device that asks; it may be new.
        device: Id,
        /// What to write.
        changes: Vec<Change>,
        /// Why the person is asked, the first time that it is.
        reason: Option<ApprovalReason>,
        /// What the applicant is told.
        refusal: Refusal,
    },
}

/// One way to let a device in.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The device as it will be.
    pub admitted: Admitted,
    /// What to write.
    pub changes: Vec<Change>,
}

/// A device that asks, with what is known of it.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The device that asks.
    pub applicant: Applicant<'a>,
    /// The device with this manufacturer and serial number.
    pub known: Option<KnownDevice>,
    /// The newest question about this very key.
    pub question: Option<Approval>,
}

impl Case<'_> {
    /// Asks the rules about the device. What a person granted needs not be asked again.
    ///
    /// Without a MASA, nobody but an operator vouches for an unexpected device: a person, or a rule that names it.
    #[must_use]
    pub fn judge<'r>(&self, rules: &'r Rules) -> Judgement<'r> {
        let idevid = self.applicant.idevid;
        let standing = self.standing();
        let facts = Facts {
            manufacturer: &idevid.manufacturer.row.name,
            serial: idevid.serial.as_str(),
            made: idevid.certificate.not_before(),
            standing,
            now: self.applicant.now,
        };
        let judgement = rules.judge(&facts);
        let is_named = judgement.rule.is_some_and(Rule::names_serials);
        let lacks_masa = idevid.manufacturer.row.entry == Needs::Est;
        let ruling = match judgement.ruling {
            Ruling::Ask if self.is_granted() => Ruling::Admit,
            Ruling::Refuse if self.is_granted() && judgement.rule.is_none() => Ruling::Admit,
            Ruling::Admit
                if standing == Standing::Unexpected
                    && lacks_masa
                    && !is_named
                    && !self.is_granted() =>
            {
                Ruling::Ask
            }
            ruling => ruling,
        };
        Judgement { ruling, ..judgement }
    }

    fn standing(&self) -> Standing {
        match self.known.as_ref().map(|known| known.device.state) {
            None | Some(DeviceState::Pending) => Standing::Unexpected,
            // A person answered the question: nobody expected it for all that.
            Some(DeviceState::Expected) if self.is_granted() => Standing::Unexpected,
            Some(DeviceState::Expected) => Standing::Expected,
            Some(_) => Standing::Admitted,
        }
    }

    /// Whether a person said yes to this very key.
    fn is_granted(&self) -> bool {
        self.question.as_ref().is_some_and(|question| question.state == ApprovalState::Granted)
    }
}

/// Decides about a device that wants to join.
///
/// `judgement`: what [`Case::judge`] said; `id`: for a row to insert.
///
/// # Errors
/// [`Refusal::DeviceBarred`], [`Refusal::Unexpected`], [`Refusal::RuleRefused`], or [`Refusal::KeyChanged`] if a person
/// refused the key.
pub fn decide(
    case: Case<'_>,
    judgement: Judgement<'_>,
    placement: Placement<'_>,
    id: &Id,
) -> Result<Admission, Refusal> {
    let Case { applicant, known, question } = case;
    let Some(known) = known else {
        return match judgement.ruling {
            Ruling::Admit => Ok(Admission::New(enter(applicant, None, placement, id))),
            Ruling::Ask => Ok(ask_about_new(applicant, placement, id)),
            Ruling::Refuse => Err(refused(judgement)),
        };
    };
    let state = known.device.state;
    if matches!(state, DeviceState::Retired | DeviceState::Blocked) {
        return Err(Refusal::DeviceBarred { state });
    }
    let key = key_digest(&applicant.idevid.certificate);
    let is_same_key = known.identity.seen().is_none_or(|idevid| idevid.spki == key);
    if !is_same_key {
        return match question.as_ref().map(|question| question.state) {
            Some(ApprovalState::Refused) => {
                Err(Refusal::KeyChanged { serial: applicant.idevid.serial.to_string() })
            }
            _ => Ok(ask_again(applicant, &known, question, ApprovalReason::KeyChanged, id)),
        };
    }
    match (judgement.ruling, state) {
        (Ruling::Refuse, _) => Err(refused(judgement)),
        (Ruling::Ask, DeviceState::Pending | DeviceState::Expected) => {
            Ok(ask_again(applicant, &known, question, ApprovalReason::Unexpected, id))
        }
        (Ruling::Admit, DeviceState::Pending | DeviceState::Expected) => {
            let mut entries = enter(applicant, Some(known), placement, id);
            let answer = question.and_then(|question| answer(&question, judgement, applicant.now));
            for entry in &mut entries {
                entry.changes.extend(answer.clone());
            }
            Ok(Admission::New(entries))
        }
        // Whoever was let in is not asked about again.
        (Ruling::Admit | Ruling::Ask, _) => Ok(Admission::Known(Box::new(open(known)?))),
    }
}

fn refused(judgement: Judgement<'_>) -> Refusal {
    match judgement.rule {
        None => Refusal::Unexpected,
        Some(rule) => Refusal::RuleRefused { rule: rule.name.clone() },
    }
}

/// A changed configuration may answer a question that waits.
fn answer(question: &Approval, judgement: Judgement<'_>, at: Millis) -> Option<Change> {
    let by = match judgement.rule {
        None => "policy".to_owned(),
        Some(rule) => format!("policy, {}", rule.name),
    };
    let (approval, state) = (question.id.clone(), ApprovalState::Granted);
    (question.state == ApprovalState::Waiting).then_some(Change::DecideApproval {
        approval,
        state,
        by,
        at,
    })
}

/// Asks the rules about a device that was let in before: only one that speaks of all devices can keep it out.
///
/// # Errors
/// [`Refusal::RuleRefused`].
pub fn still_allowed(
    applicant: Applicant<'_>,
    known: &KnownDevice,
    rules: &Rules,
) -> Result<(), Refusal> {
    let case = Case { applicant, known: Some(known.clone()), question: None };
    let judgement = case.judge(rules);
    match (case.standing(), judgement.ruling) {
        (Standing::Admitted, Ruling::Refuse) => Err(refused(judgement)),
        _ => Ok(()),
    }
}

/// Asks the rules about a device that shows no IDevID but a certificate of ours: by the IDevID that was admitted.
///
/// That the IDevID may have ended since does not matter: the certificate is what the device proves itself with.
/// `manufacturer`: the operator's name for it.
///
/// # Errors
/// [`Refusal::RuleRefused`].
pub fn still_allowed_to_renew(
    known: &KnownDevice,
    manufacturer: &str,
    rules: &Rules,
    now: Millis,
) -> Result<(), Refusal> {
    let Identity::Idevid { serial, seen: Some(seen), .. } = &known.identity else {
        return Ok(());
    };
    let idevid = Certificate::from_der(&seen.certificate).map_err(|error| Refusal::Internal {
        reason: format!("the stored IDevID of serial number {serial}: {error}"),
    })?;
    let judgement = rules.judge(&Facts {
        manufacturer,
        serial,
        made: idevid.not_before(),
        standing: Standing::Admitted,
        now,
    });
    match judgement.ruling {
        Ruling::Refuse => Err(refused(judgement)),
        Ruling::Admit | Ruling::Ask => Ok(()),
    }
}

/// Lets a device in: each entry is one attempt at a name; a device that has one keeps it.
fn enter(
    applicant: Applicant<'_>,
    known: Option<KnownDevice>,
    placement: Placement<'_>,
    id: &Id,
) -> Vec<Entry> {
    let now = applicant.now;
    let idevid = applicant.idevid;
    let named = known.as_ref().and_then(|known| known.device.name.clone());
    let names = match named {
        Some(name) => vec![name],
        None => {
            let serial = idevid.serial.to_string();
            let manufacturer = &idevid.manufacturer.row.name;
            let source = NameSource { manufacturer, serial: &serial };
            candidates(placement.template, placement.zone, source)
        }
    };
    let entry = |name: String| match &known {
        None => {
            let known = row(applicant, placement, id, DeviceState::Admitted, Some(name.clone()));
            let changes = vec![Change::AddDevice(known.clone())];
            Entry { admitted: Admitted { known, name }, changes }
        }
        Some(known) => {
            let device = known.device.id.clone();
            let mut changes = vec![
                Change::SetIdevid { device: device.clone(), idevid: applicant.seen() },
                Change::MoveDevice {
                    device: device.clone(),
                    state: DeviceState::Admitted,
                    at: now,
                },
            ];
            if known.device.name.is_none() {
                changes.push(Change::AssignName { device: device.clone(), name: name.clone() });
            }
            let mut known = known.clone();
            if known.device.profile != placement.profile {
                let profile = placement.profile.to_owned();
                changes.push(Change::SetProfile { device, profile: profile.clone() });
                known.device.profile = profile;
            }
            known.device.name = Some(name.clone());
            known.device.state = DeviceState::Admitted;
            if let Identity::Idevid { seen, .. } = &mut known.identity {
                *seen = Some(applicant.seen());
            }
            Entry { admitted: Admitted { known, name }, changes }
        }
    };
    names.into_iter().map(entry).collect()
}

fn row(
    applicant: Applicant<'_>,
    placement: Placement<'_>,
    id: &Id,
    state: DeviceState,
    name: Option<String>,
) -> KnownDevice {
    KnownDevice {
        device: Device {
            id: id.clone(),
            name,
            profile: placement.profile.to_owned(),
            site: placement.site.map(str::to_owned),
            state,
            created_at: applicant.now,
            updated_at: applicant.now,
        },
        identity: Identity::Idevid {
            manufacturer: applicant.idevid.manufacturer.row.id.clone(),
            serial: applicant.idevid.serial.to_string(),
            seen: Some(applicant.seen()),
        },
    }
}

fn ask_about_new(applicant: Applicant<'_>, placement: Placement<'_>, id: &Id) -> Admission {
    let known = row(applicant, placement, id, DeviceState::Pending, None);
    let question = question(applicant, id, ApprovalReason::Unexpected, id);
    Admission::Ask {
        device: id.clone(),
        changes: vec![Change::AddDevice(known), Change::AddApproval(question)],
        reason: Some(ApprovalReason::Unexpected),
        refusal: Refusal::ApprovalWaiting { retry_after_secs: APPROVAL_RETRY_SECS },
    }
}

/// Asks a person, or notes that the device asks again.
fn ask_again(
    applicant: Applicant<'_>,
    known: &KnownDevice,
    asked: Option<Approval>,
    reason: ApprovalReason,
    id: &Id,
) -> Admission {
    let device = known.device.id.clone();
    let waiting = asked.filter(|question| question.state == ApprovalState::Waiting);
    let (change, reason) = match waiting {
        Some(question) => {
            let peer = applicant.peer.to_owned();
            let approval = question.id;
            (Change::AskApprovalAgain { approval, peer, at: applicant.now }, None)
        }
        None => (Change::AddApproval(question(applicant, &device, reason, id)), Some(reason)),
    };
    let refusal = Refusal::ApprovalWaiting { retry_after_secs: APPROVAL_RETRY_SECS };
    Admission::Ask { device, changes: vec![change], reason, refusal }
}

fn question(applicant: Applicant<'_>, device: &Id, reason: ApprovalReason, id: &Id) -> Approval {
    let SeenIdevid { spki, certificate } = applicant.seen();
    Approval {
        id: id.clone(),
        device: device.clone(),
        reason,
        spki,
        certificate,
        peer: applicant.peer.to_owned(),
        state: ApprovalState::Waiting,
        decided_by: None,
        created_at: applicant.now,
        asked_at: applicant.now,
        decided_at: None,
    }
}

/// Asks policy about a device that was let in before.
///
/// # Errors
/// [`Refusal::KeyChanged`] if the IDevID has another key than the one that was admitted;
/// [`Refusal::DeviceBarred`] if the device is retired or blocked; [`Refusal::NoVoucher`] if it was never let in.
pub fn readmit(known: KnownDevice, idevid: &Idevid) -> Result<Admitted, Refusal> {
    let key = key_digest(&idevid.certificate);
    if known.identity.seen().is_some_and(|admitted| admitted.spki != key) {
        return Err(Refusal::KeyChanged { serial: idevid.serial.to_string() });
    }
    open(known)
}

/// Asks policy about the device of a certificate that this registrar issued.
///
/// # Errors
/// [`Refusal::CertificateRevoked`], or as for [`readmit`].
pub fn readmit_issued(
    known: KnownDevice,
    certificate: &IssuedCertificate,
) -> Result<Admitted, Refusal> {
    match certificate.revoked_at {
        Some(_) => Err(Refusal::CertificateRevoked),
        None => open(known),
    }
}

/// Asks policy about the device of an enrollment that was approved before a restart.
///
/// # Errors
/// As for [`readmit`].
pub fn readmit_stored(known: KnownDevice) -> Result<Admitted, Refusal> {
    open(known)
}

fn open(known: KnownDevice) -> Result<Admitted, Refusal> {
    match (known.device.state, known.device.name.clone()) {
        (DeviceState::Admitted | DeviceState::Vouchered | DeviceState::Enrolled, Some(name)) => {
            Ok(Admitted { known, name })
        }
        (state @ (DeviceState::Retired | DeviceState::Blocked), _) => {
            Err(Refusal::DeviceBarred { state })
        }
        _ => Err(Refusal::NoVoucher),
    }
}

/// Lets the device of a credential in: the one that it made before, or a new one that is called as the credential is.
///
/// `id`: for a new device. `zone`: of the credential's profile.
///
/// # Errors
/// [`Refusal::DeviceBarred`] if the device is retired or blocked.
pub fn enter_with_credential(
    credential: &Credential,
    known: Option<KnownDevice>,
    zone: &str,
    id: Id,
    now: Millis,
) -> Result<Entry, Refusal> {
    let Some(mut known) = known else {
        let name = format!("{}.{zone}", credential.name);
        let device = Device {
            id,
            name: Some(name.clone()),
            profile: credential.profile.clone(),
            site: None,
            state: DeviceState::Admitted,
            created_at: now,
            updated_at: now,
        };
        let identity = Identity::Credential { name: credential.name.clone() };
        let known = KnownDevice { device, identity };
        let changes = vec![Change::AddDevice(known.clone())];
        return Ok(Entry { admitted: Admitted { known, name }, changes });
    };
    let mut changes = Vec::new();
    if known.device.state == DeviceState::Expected {
        // An operator restored it.
        let device = known.device.id.clone();
        changes.push(Change::MoveDevice { device, state: DeviceState::Admitted, at: now });
        known.device.state = DeviceState::Admitted;
    }
    Ok(Entry { admitted: open(known)?, changes })
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo.
#[must_use]
pub fn key_digest(certificate: &Certificate) -> Sha256 {
    Sha256::of(certificate.spki_der())
}
