//! What an operator can do, as methods on the store: one file for each thing.
//!
//! Facts are read, [`flow::operator`](crate::flow::operator) decides, the decision is committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use acme_bridge::{Clock, RevocationReason};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use brski_voucher::encoding::Encoding;
use brski_voucher::idevid::MasaUrl;

use super::actor::Actor;
use super::api::status::{ConsoleLink, Counters, Reloaded};
use super::api::{MOST, PAGE};
use super::problem::{Kind, Problem};
use crate::config::{Config, IssuerConfig, Profile};
use crate::flow::Decision;
use crate::flow::nonceless::Subject;
use crate::flow::operator::DeviceFacts;
use crate::flow::refusal::Refusal;
use crate::issue::acme::revocation;
use crate::issue::desk::{CaAccount, OrderDesk};
use crate::masa::probe::Found;
use crate::store::model::{Identity, KnownDevice, Manufacturer, Millis, NoncelessVoucher};
use crate::store::{Change, Store, StoreError};

mod approvals;
mod certificates;
mod clock;
mod credentials;
mod devices;
mod events;
mod import;
mod manufacturers;
mod masa;
mod orders;
mod own;
mod vouchers;

/// The daemon, which must hear of some changes at once.
#[async_trait]
pub trait Observer: Send + Sync + 'static {
    /// The manufacturers changed.
    async fn manufacturers_changed(&self);
    /// The registrar's own certificate or the root of its domain changed.
    async fn identity_changed(&self);
    /// Asks the MASA for a voucher without a nonce now; what came of it, `None` where no daemon runs.
    ///
    /// # Errors
    /// If the store fails.
    async fn fetch_voucher(
        &self,
        row: NoncelessVoucher,
    ) -> Result<Option<NoncelessVoucher>, StoreError>;
    /// Signs a request for a voucher without a nonce; `None` where no daemon runs. `issuer`: the idevid-issuer.
    fn voucher_request(
        &self,
        subject: Subject<'_>,
        issuer: Vec<u8>,
        encoding: Encoding,
    ) -> Option<Result<Vec<u8>, Refusal>>;
    /// How the daemon does; `None` where none runs.
    fn counters(&self) -> Option<Counters>;
    /// Looks at the MASA of a manufacturer; `None` where no daemon runs.
    async fn test_masa(&self, url: &MasaUrl, manufacturer: &Manufacturer) -> Option<Vec<Found>>;
    /// Makes a link that logs somebody in to the console once; `None` where there is no console.
    fn console_link(&self, actor: &Actor) -> Option<ConsoleLink>;
    /// Reads the configuration again and applies what can be applied.
    ///
    /// # Errors
    /// What is wrong with it, line by line; then nothing was applied.
    async fn reload(&self) -> Result<Reloaded, Vec<String>>;
}

/// An observer for commands without a daemon.
pub struct NoDaemon;

#[async_trait]
impl Observer for NoDaemon {
    async fn manufacturers_changed(&self) {}

    async fn identity_changed(&self) {}
    async fn fetch_voucher(
        &self,
        _: NoncelessVoucher,
    ) -> Result<Option<NoncelessVoucher>, StoreError> {
        Ok(None)
    }

    fn voucher_request(
        &self,
        _: Subject<'_>,
        _: Vec<u8>,
        _: Encoding,
    ) -> Option<Result<Vec<u8>, Refusal>> {
        None
    }

    fn counters(&self) -> Option<Counters> {
        None
    }

    async fn test_masa(&self, _: &MasaUrl, _: &Manufacturer) -> Option<Vec<Found>> {
        None
    }

    fn console_link(&self, _: &Actor) -> Option<ConsoleLink> {
        None
    }

    async fn reload(&self) -> Result<Reloaded, Vec<String>> {
        Ok(Reloaded::default())
    }
}

/// The operator's side of the registrar.
pub struct Service {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    config: Arc<ArcSwap<Config>>,
    desk: OrderDesk,
    /// The SubjectPublicKeyInfo, DER, of the key that signs the trail.
    key: Vec<u8>,
}

impl Service {
    /// A service on this store.
    ///
    /// `accounts`: at ACME CAs, by their issuers' names.
    /// `key`: the SubjectPublicKeyInfo, DER, of the key that signs the trail.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
        config: Arc<ArcSwap<Config>>,
        accounts: BTreeMap<String, CaAccount>,
        key: Vec<u8>,
    ) -> Self {
        let desk = OrderDesk::new(Arc::clone(&store), Arc::clone(&clock), accounts);
        Self { store, clock, observer, config, desk, key }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Millis {
        Millis(self.clock.now())
    }

    /// How the daemon does.
    ///
    /// # Errors
    /// If none runs.
    pub fn counters(&self) -> Result<Counters, Problem> {
        self.observer.counters().ok_or_else(no_daemon)
    }

    /// Reads the configuration again.
    ///
    /// # Errors
    /// What is wrong with it; if no daemon runs.
    pub async fn reload(&self) -> Result<Reloaded, Problem> {
        if self.observer.counters().is_none() {
            return Err(no_daemon());
        }
        self.observer.reload().await.map_err(|lines| {
            Problem::invalid(lines.join("\n"), "nothing was applied; mend the file and repeat")
        })
    }

    /// Makes a link that logs `actor` in to the console once.
    ///
    /// # Errors
    /// If no daemon runs, or it has no console.
    pub fn console_link(&self, actor: &Actor) -> Result<ConsoleLink, Problem> {
        self.counters()?;
        self.observer.console_link(actor).ok_or_else(|| {
            Problem::new(
                Kind::NotFound,
                "this registrar has no console",
                "set listen.admin and 'console = true' in [admin], and start it again",
            )
        })
    }

    async fn commit(&self, mut decision: Decision) -> Result<(), Problem> {
        let wishes = self.revocations(&decision).await?;
        decision.changes.extend(wishes);
        Ok(self.store.commit(decision.changes, decision.events).await?)
    }

    /// What is revoked here is revoked at its ACME CA, too: the wish is written with it, and the bridge follows.
    async fn revocations(&self, decision: &Decision) -> Result<Vec<Change>, Problem> {
        let mut wishes = Vec::new();
        for change in &decision.changes {
            let Change::RevokeCertificate { fingerprint, at } = change else {
                continue;
            };
            let Some(certificate) = self.store.certificate(fingerprint).await? else {
                continue;
            };
            let config = self.config.load();
            if let Some(IssuerConfig::Acme(_)) = config.issuers.get(&certificate.issuer) {
                let reason = RevocationReason::CessationOfOperation;
                wishes.push(Change::RequestRevocation(revocation(&certificate, reason, *at)));
            }
        }
        Ok(wishes)
    }

    /// The profile of this name.
    fn profile(&self, name: &str) -> Result<Profile, Problem> {
        let config = self.config.load();
        config.profiles.get(name).map(|profile| Profile::clone(profile)).ok_or_else(|| {
            let known: Vec<&str> = config.profiles.keys().map(String::as_str).collect();
            Problem::invalid(
                format!("the configuration has no profile {name:?}"),
                format!("there is {}", known.join(", ")),
            )
        })
    }

    /// The one device whose identifier, name or serial number is `text`.
    async fn find(&self, text: &str) -> Result<KnownDevice, Problem> {
        let mut found = self.store.find_devices(text).await?;
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(Problem::new(
                Kind::NotFound,
                format!("no device has the identifier, name or serial number {text:?}"),
                "'registrar device list' shows all of them",
            )),
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
                Err(Problem::new(
                    Kind::Ambiguous,
                    format!("{text:?} fits {} devices: {}", found.len(), candidates.join(", ")),
                    "name one by its identifier",
                ))
            }
        }
    }

    /// Everything that is known of a device.
    async fn facts(&self, known: KnownDevice) -> Result<DeviceFacts, Problem> {
        let device = known.device.id.clone();
        Ok(DeviceFacts {
            known,
            enrollments: self.store.enrollments_of(&device).await?,
            certificates: self.store.certificates_of(&device).await?,
            approvals: self.store.approvals_of(&device).await?,
        })
    }

    /// The operator's name for the manufacturer of an identity.
    async fn manufacturer_names(
        &self,
    ) -> Result<impl Fn(&Identity) -> Option<String> + use<>, Problem> {
        let manufacturers = self.store.manufacturers().await?;
        Ok(move |identity: &Identity| {
            let id = identity.manufacturer()?;
            let found = manufacturers.iter().find(|row| row.id == *id);
            Some(found.map_or_else(|| id.to_string(), |row| row.name.clone()))
        })
    }
}

fn no_daemon() -> Problem {
    Problem::new(
        Kind::NoDaemon,
        "no daemon runs on this configuration",
        "start one with 'registrar serve --config FILE'",
    )
}

/// How many things a page has.
fn limit(wanted: Option<u32>) -> Result<u32, Problem> {
    match wanted.unwrap_or(PAGE) {
        limit @ 1..=MOST => Ok(limit),
        other => Err(Problem::invalid(
            format!("'limit' is {other}"),
            format!("give a number from 1 to {MOST}"),
        )),
    }
}
