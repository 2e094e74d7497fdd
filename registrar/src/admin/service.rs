//! What an operator can do, as methods on the store: the admin socket and the command line call the same.

use std::sync::Arc;

use acme_bridge::{Clock, OrderId};
use async_trait::async_trait;
use brski_voucher::idevid::MasaUrl;
use brski_voucher::trust::Anchors;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::api::{
    CertificateView, Counters, DeviceStory, DeviceView, EnrollmentView, EventView, Failure,
    FailureKind, ManufacturerView, NewManufacturer,
};
use crate::entropy::random_id;
use crate::store::model::{
    DeviceFilter, Enrollment, EnrollmentState, Event, EventFilter, Id, IssuedCertificate,
    KnownDevice, Manufacturer, Millis, StoredEvent, Verdict, VoucherState,
};
use crate::store::{Change, Conflict, Store, StoreError};

/// The longest name of a manufacturer, in octets.
const NAME_OCTETS: usize = 64;
/// How many events a device's story shows.
const STORY_EVENTS: u32 = 50;

/// Whoever must hear of a change at once: the daemon.
#[async_trait]
pub trait Observer: Send + Sync + 'static {
    /// The manufacturers changed.
    async fn manufacturers_changed(&self);
    /// How the daemon does.
    fn counters(&self) -> Counters;
}

/// An observer for commands without a daemon.
pub struct NoDaemon;

#[async_trait]
impl Observer for NoDaemon {
    async fn manufacturers_changed(&self) {}

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// The operator's side of the store.
pub struct Service {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
}

impl Service {
    /// A service on this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Self {
        Self { store, clock, observer }
    }

    /// Adds a manufacturer.
    ///
    /// # Errors
    /// [`Failure`] that names what is wrong with it.
    pub async fn add_manufacturer(
        &self,
        new: NewManufacturer,
    ) -> Result<ManufacturerView, Failure> {
        let now = Millis(self.clock.now());
        let row = manufacturer(new, random_id(), now)?;
        let event = Event {
            time: now,
            kind: "manufacturer-added",
            verdict: Verdict::Done,
            device: None,
            peer: "operator".to_owned(),
            clause: "RFC 8995 §2.8",
            detail: format!("manufacturer {}", row.name),
            correlation: random_id().to_string(),
        };
        let change = Change::AddManufacturer(row.clone());
        self.store.commit(vec![change], vec![event]).await.map_err(failure)?;
        self.observer.manufacturers_changed().await;
        Ok(view(&row))
    }

    /// Lists the manufacturers.
    ///
    /// # Errors
    /// [`FailureKind::Unavailable`] if the store fails.
    pub async fn manufacturers(&self) -> Result<Vec<ManufacturerView>, Failure> {
        Ok(self.store.manufacturers().await.map_err(failure)?.iter().map(view).collect())
    }

    /// Lists the devices.
    ///
    /// # Errors
    /// [`FailureKind::Unavailable`] if the store fails.
    pub async fn devices(&self) -> Result<Vec<DeviceView>, Failure> {
        let filter = DeviceFilter::default();
        let devices = self.store.devices(&filter, None, 1_000_000).await.map_err(failure)?;
        self.views(&devices).await
    }

    /// Tells the story of the device whose identifier, name or serial number is `text`.
    ///
    /// # Errors
    /// [`FailureKind::NotFound`], or [`FailureKind::Ambiguous`] with the candidates.
    pub async fn device(&self, text: &str) -> Result<DeviceStory, Failure> {
        let known = self.find(text).await?;
        let device = &known.device.id;
        let exchange = self.store.latest_voucher_exchange(device).await.map_err(failure)?;
        let mut enrollments = Vec::new();
        for enrollment in self.store.enrollments_of(device).await.map_err(failure)? {
            enrollments.push(self.enrollment(enrollment).await?);
        }
        let certificates = self.store.certificates_of(device).await.map_err(failure)?;
        let filter = EventFilter { device: Some(device.clone()), ..EventFilter::default() };
        let events = self.store.events(&filter, None, STORY_EVENTS).await.map_err(failure)?;
        let view = self.views(std::slice::from_ref(&known)).await?.into_iter().next();
        Ok(DeviceStory {
            device: view.ok_or_else(|| not_found(text))?,
            voucher: exchange.map(|exchange| voucher_word(&exchange.state).to_owned()),
            enrollments,
            certificates: certificates.iter().map(certificate).collect(),
            events: events.into_iter().map(event).collect(),
        })
    }

    /// Lists the newest events, of one device if one is named.
    ///
    /// # Errors
    /// As [`Service::device`].
    pub async fn events(
        &self,
        device: Option<&str>,
        limit: u32,
    ) -> Result<Vec<EventView>, Failure> {
        let device = match device {
            Some(text) => Some(self.find(text).await?.device.id),
            None => None,
        };
        let filter = EventFilter { device, ..EventFilter::default() };
        let events = self.store.events(&filter, None, limit).await.map_err(failure)?;
        Ok(events.into_iter().map(event).collect())
    }

    /// How the daemon does.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.observer.counters()
    }

    async fn find(&self, text: &str) -> Result<KnownDevice, Failure> {
        let mut found = self.store.find_devices(text).await.map_err(failure)?;
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(not_found(text)),
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                found.push(last);
                let candidates: Vec<String> = found
                    .iter()
                    .map(|known| {
                        let name = known.device.name.as_deref().unwrap_or("no name yet");
                        format!("{} ({name})", known.device.id)
                    })
                    .collect();
                Err(Failure {
                    kind: FailureKind::Ambiguous,
                    error: format!(
                        "{text:?} fits {} devices: {}",
                        found.len(),
                        candidates.join(", ")
                    ),
                    hint: "name one by its identifier".to_owned(),
                })
            }
        }
    }

    async fn enrollment(&self, enrollment: Enrollment) -> Result<EnrollmentView, Failure> {
        let order = OrderId::new(enrollment.id.as_str());
        let state = self.store.order(&order).await.map_err(failure)?;
        let steps = self.store.order_steps(&order).await.map_err(failure)?;
        let (word, reason) = enrollment_words(enrollment.state);
        Ok(EnrollmentView {
            id: enrollment.id.to_string(),
            issuer: enrollment.issuer,
            state: word.to_owned(),
            reason,
            order: state.map(|order| order.state.name().to_owned()),
            steps: steps.into_iter().map(|(at, step)| format!("{} {step}", moment(at))).collect(),
        })
    }

    async fn views(&self, devices: &[KnownDevice]) -> Result<Vec<DeviceView>, Failure> {
        let manufacturers = self.store.manufacturers().await.map_err(failure)?;
        let name = |id: &Id| {
            let found = manufacturers.iter().find(|row| row.id == *id);
            found.map_or_else(|| id.to_string(), |row| row.name.clone())
        };
        let view = |known: &KnownDevice| DeviceView {
            id: known.device.id.to_string(),
            name: known.device.name.clone().unwrap_or_default(),
            manufacturer: name(&known.identity.manufacturer),
            serial: known.identity.serial.clone(),
            state: known.device.state.as_str().to_owned(),
            profile: known.device.profile.clone(),
            created_at: moment(known.device.created_at),
            updated_at: moment(known.device.updated_at),
        };
        Ok(devices.iter().map(view).collect())
    }
}

fn manufacturer(new: NewManufacturer, id: Id, now: Millis) -> Result<Manufacturer, Failure> {
    let is_legal = (1..=NAME_OCTETS).contains(&new.name.len())
        && new.name.bytes().all(|each| each.is_ascii_alphanumeric() || b"._-".contains(&each));
    if !is_legal {
        let error =
            format!("the name {:?} is none of 1 to 64 letters, digits, '.', '_', '-'", new.name);
        return Err(invalid(error, "choose another --name"));
    }
    if let Some(url) = &new.masa_url {
        MasaUrl::parse(url).map_err(|error| {
            invalid(error.to_string(), "give --masa-url as host:port or https://host/path")
        })?;
    }
    if let Some(host) = new.masa_hosts.iter().find(|host| !is_host(host)) {
        let error = format!("{host:?} is neither HOST nor HOST:PORT");
        return Err(invalid(error, "give --masa-host without scheme and path"));
    }
    let anchors = anchors("--ca", &new.ca)?;
    let masa_anchors = match &new.masa_ca {
        Some(pem) => self::anchors("--masa-ca", pem)?,
        None => Vec::new(),
    };
    let voucher_anchors = match &new.voucher_ca {
        Some(pem) => self::anchors("--voucher-ca", pem)?,
        None => anchors.clone(),
    };
    Ok(Manufacturer {
        id,
        name: new.name,
        anchors,
        masa_url: new.masa_url,
        masa_anchors,
        masa_hosts: new.masa_hosts,
        voucher_anchors,
        created_at: now,
    })
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 260
        && text.bytes().all(|each| each.is_ascii_alphanumeric() || b".-:_[]".contains(&each))
}

fn anchors(option: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let unusable = |reason: String| {
        invalid(format!("the file of {option} {reason}"), "give a PEM file with CA certificates")
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(format!("is not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(unusable("holds no certificate".to_owned()));
    }
    Anchors::new(&certificates).map_err(|error| unusable(format!("cannot be used: {error}")))?;
    Ok(certificates)
}

fn invalid(error: String, hint: &str) -> Failure {
    Failure { kind: FailureKind::Invalid, error, hint: hint.to_owned() }
}

fn not_found(text: &str) -> Failure {
    Failure {
        kind: FailureKind::NotFound,
        error: format!("no device has the identifier, name or serial number {text:?}"),
        hint: "'registrar device list' shows all of them".to_owned(),
    }
}

fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::Conflict(Conflict::ManufacturerName(name)) => Failure {
            kind: FailureKind::Conflict,
            error: format!("there is a manufacturer {name:?} already"),
            hint: "choose another --name; 'registrar manufacturer list' shows all of them"
                .to_owned(),
        },
        other => Failure {
            kind: FailureKind::Unavailable,
            error: other.to_string(),
            hint: "look at the disk and the daemon's log, and try again".to_owned(),
        },
    }
}

fn view(row: &Manufacturer) -> ManufacturerView {
    ManufacturerView {
        id: row.id.to_string(),
        name: row.name.clone(),
        anchors: row.anchors.len(),
        masa_url: row.masa_url.clone(),
        masa_hosts: row.masa_hosts.clone(),
        voucher_anchors: row.voucher_anchors.len(),
        created_at: moment(row.created_at),
    }
}

fn certificate(row: &IssuedCertificate) -> CertificateView {
    CertificateView {
        fingerprint: row.fingerprint.to_string(),
        serial: row.serial.clone(),
        issuer: row.issuer.clone(),
        not_before: moment(row.not_before),
        not_after: moment(row.not_after),
        revoked_at: row.revoked_at.map(moment),
    }
}

fn event(row: StoredEvent) -> EventView {
    EventView {
        time: moment(row.time),
        kind: row.kind,
        verdict: row.verdict,
        device: row.device.map(|id| id.to_string()),
        peer: row.peer,
        clause: row.clause,
        detail: row.detail,
        correlation: row.correlation,
    }
}

fn voucher_word(state: &VoucherState) -> &'static str {
    match state {
        VoucherState::Asked => "asked",
        VoucherState::Issued { .. } => "issued",
        VoucherState::Accepted { .. } => "accepted",
        VoucherState::Rejected { .. } => "rejected",
        VoucherState::Failed { .. } => "failed",
    }
}

fn enrollment_words(state: EnrollmentState) -> (&'static str, Option<String>) {
    match state {
        EnrollmentState::Approved => ("approved", None),
        EnrollmentState::Ordered => ("ordered", None),
        EnrollmentState::Issued { .. } => ("issued", None),
        EnrollmentState::Refused { reason } => ("refused", Some(reason)),
        EnrollmentState::Failed { reason } => ("failed", Some(reason)),
        EnrollmentState::Cancelled { reason } => ("cancelled", Some(reason)),
    }
}

/// RFC 3339 in UTC, to the second.
fn moment(at: Millis) -> String {
    OffsetDateTime::from_unix_timestamp(at.seconds())
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| at.0.to_string())
}
