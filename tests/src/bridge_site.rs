//! The bridge inside a test, on the registrar's own store and DNS responder, before a real CA.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use acme_bridge::account::{Account, Connect, DirectoryConfig};
use acme_bridge::bridge::{Bridge, BridgeConfig, Progress};
use acme_bridge::dns::{DnsConfig, Responder, Zone};
use acme_bridge::solver::BuiltIn;
use acme_bridge::{
    AnswerKind, AnswerStore, ChallengeAnswer, ChallengeType, Clock, Contacts, Csr, IssuerName,
    OrderId, OrderStore, OrderStoreError, OrderTerms,
};
use anyhow::Context as _;
use async_trait::async_trait;
use brski_registrar::clock::SystemClock;
use brski_registrar::issue::answers::Answers;
use brski_registrar::issue::orders::Orders;
use brski_registrar::observe::metrics::Metrics;
use brski_registrar::store::model::{
    Device, DeviceState, Enrollment, EnrollmentState, Entry, Event, Id, Identity, IdevidOptions,
    KnownDevice, Manufacturer, MasaOptions, Millis, Sha256,
};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::watch::{Access, Watcher};
use brski_registrar::store::{Change, Store};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The zone that names are in.
pub const ZONE: &str = "iot.bridge.example";
/// The issuer's name.
pub const ISSUER: &str = "ca";

/// Which CA, and how it is asked.
#[derive(Clone, Debug)]
pub struct Ca {
    /// Its directory.
    pub directory: String,
    /// The file of the anchor of its TLS certificate.
    pub tls_anchor: PathBuf,
    /// The file of its root.
    pub root: PathBuf,
    /// The file of the external account, if it wants one.
    pub external_account: Option<PathBuf>,
    /// How it reaches the account's owner.
    pub contacts: Contacts,
}

/// A bridge with what it needs.
pub struct BridgeSite {
    /// What it keeps.
    pub store: Arc<dyn Store>,
    /// The account at the CA.
    pub account: Arc<Account>,
    /// The bridge, which runs.
    pub bridge: Arc<Bridge>,
    folder: Arc<TempDir>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// TXT records that no bridge placed, by their owner names.
pub type Texts = Arc<Mutex<HashMap<String, Vec<String>>>>;

/// The registrar's answers, and those of a bare client beside it.
struct Both {
    answers: Answers,
    texts: Texts,
}

#[async_trait]
impl AnswerStore for Both {
    async fn put(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        self.answers.put(answer).await
    }

    async fn retire(&self, order: &OrderId) -> Result<(), OrderStoreError> {
        self.answers.retire(order).await
    }

    async fn retired(&self, limit: u32) -> Result<Vec<ChallengeAnswer>, OrderStoreError> {
        self.answers.retired(limit).await
    }

    async fn is_in_force(&self, answer: &ChallengeAnswer) -> Result<bool, OrderStoreError> {
        self.answers.is_in_force(answer).await
    }

    async fn in_force_at(&self, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        self.answers.in_force_at(owner).await
    }

    async fn remove(&self, answer: &ChallengeAnswer) -> Result<(), OrderStoreError> {
        self.answers.remove(answer).await
    }

    async fn values(&self, kind: AnswerKind, owner: &str) -> Result<Vec<String>, OrderStoreError> {
        let bare = self.texts.lock().unwrap_or_else(PoisonError::into_inner).get(owner).cloned();
        match bare {
            Some(texts) => Ok(texts),
            None => self.answers.values(kind, owner).await,
        }
    }

    async fn is_above_answer(&self, name: &str) -> Result<bool, OrderStoreError> {
        self.answers.is_above_answer(name).await
    }
}

/// Counts the transactions of a store.
#[derive(Default)]
struct Writes(AtomicU64);

impl Watcher for Writes {
    fn committed(&self, _: &[Event], _: Duration) {}

    fn grouped(&self, _: usize) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, _: Access) {}
}

/// The DNS responder of a site, which is there before the CA that asks it.
pub struct Dns {
    /// TXT records of somebody else than the bridge.
    pub texts: Texts,
    store: Arc<SqliteStore>,
    writes: Arc<Writes>,
    responder: Responder,
    folder: Arc<TempDir>,
}

impl Dns {
    /// Starts a responder on a store of its own, on a free port.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = Arc::new(tempfile::tempdir()?);
        let (file, writes) = (folder.path().join("registrar.db"), Arc::new(Writes::default()));
        let watcher: Arc<dyn Watcher> = Arc::<Writes>::clone(&writes);
        let store = Arc::new(SqliteStore::open_watched(&file, "node", watcher)?);
        let texts = Texts::default();
        let answers = Answers::new(Arc::<SqliteStore>::clone(&store));
        let answers: Arc<dyn AnswerStore> = Arc::new(Both { answers, texts: Arc::clone(&texts) });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let zones = vec![Zone::new(ZONE, &[])?];
        let config = DnsConfig { address, zones, answers_per_second: 100_000 };
        let responder = Responder::start(config, answers).await?;
        let manufacturer = Manufacturer {
            id: id(0),
            name: "pumps".into(),
            anchors: Vec::new(),
            masa_url: None,
            masa_anchors: Vec::new(),
            masa_hosts: Vec::new(),
            voucher_anchors: Vec::new(),
            masa: MasaOptions::default(),
            idevid: IdevidOptions::default(),
            entry: Entry::Voucher,
            created_at: Millis(1),
        };
        store.commit(vec![Change::AddManufacturer(manufacturer)], vec![]).await?;
        Ok(Self { texts, store, writes, responder, folder })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.responder.address()
    }

    /// How many transactions the store has made durable.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.writes.0.load(Ordering::Relaxed)
    }

    /// How many answers to challenges are left.
    ///
    /// # Errors
    /// What the database says.
    pub fn answers_left(&self) -> anyhow::Result<i64> {
        let database = rusqlite::Connection::open(self.folder.path().join("registrar.db"))?;
        let sql = "SELECT count(*) FROM challenge_answers";
        Ok(database.query_row(sql, [], |row| row.get(0))?)
    }
}

fn id(number: u64) -> Id {
    Id::from_stored(format!("{number:032x}"))
}

/// The device of a wish.
fn device_of(wish: &Wish) -> Id {
    Id::from_stored(format!("d{}", wish.id.as_str().get(1..).unwrap_or_default()))
}

/// What a device asks for.
pub struct Wish {
    /// The order's identifier, and its enrollment's.
    pub id: OrderId,
    /// The CSR.
    pub csr: Csr,
}

impl Wish {
    /// The device that has it, as orders name it.
    #[must_use]
    pub fn device(&self) -> String {
        device_of(self).to_string()
    }
}

/// A CSR of a new key for the device with this number.
///
/// # Errors
/// What the library says.
pub fn wish(number: u64) -> anyhow::Result<Wish> {
    let key = KeyPair::generate()?;
    let name = format!("dev-{number}.{ZONE}");
    let mut parameters = CertificateParams::new(vec![name.clone()])?;
    // CAs refuse a common name that is none of the names.
    parameters.distinguished_name = DistinguishedName::new();
    let request = parameters.serialize_request(&key)?;
    let csr =
        Csr { der: request.der().to_vec(), names: vec![name], spki: key.subject_public_key_info() };
    Ok(Wish { id: OrderId::new(id(number).as_str()), csr })
}

impl BridgeSite {
    /// Starts a bridge to a CA. `change`: what is different from a plain one.
    ///
    /// # Errors
    /// What cannot be started.
    pub fn start(
        dns: &Dns,
        ca: &Ca,
        change: impl FnOnce(&mut BridgeConfig),
    ) -> anyhow::Result<Self> {
        let store: Arc<dyn Store> = Arc::<SqliteStore>::clone(&dns.store);
        let metrics = Arc::new(Metrics::new([], Millis(0)));
        let orders: Arc<dyn OrderStore> = Arc::new(Orders::new(Arc::clone(&store), metrics));
        let answers: Arc<dyn AnswerStore> = Arc::new(Answers::new(Arc::clone(&store)));
        let directory = directory(ca, &dns.folder.path().join("account.key"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let issuer = IssuerName::new(ISSUER);
        let (clock, kept): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Arc::clone(&orders));
        let account = Account::new(provider, directory, issuer.clone(), kept, Arc::clone(&clock))?;
        let account = Arc::new(account);
        let roots = vec![CertificateDer::from_pem_file(&ca.root)?];
        let mut config = BridgeConfig::new(issuer, "node", roots);
        change(&mut config);
        let solver = Arc::new(BuiltIn::new(answers, vec![ChallengeType::Dns01]));
        let connect: Arc<dyn Connect> = Arc::<Account>::clone(&account);
        let bridge = Arc::new(Bridge::new(config, orders, solver, connect, clock));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(Arc::clone(&bridge).run(stopped));
        Ok(Self { store, account, bridge, folder: Arc::clone(&dns.folder), stop, task })
    }

    /// The account as another node on the same store has it. `key`: that node's file.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn account_elsewhere(&self, ca: &Ca, key: &Path) -> anyhow::Result<Account> {
        let metrics = Arc::new(Metrics::new([], Millis(0)));
        let orders = Arc::new(Orders::new(Arc::clone(&self.store), metrics));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let directory = directory(ca, key)?;
        let clock = Arc::new(SystemClock);
        Ok(Account::new(provider, directory, IssuerName::new(ISSUER), orders, clock)?)
    }

    /// The file of the account's key.
    #[must_use]
    pub fn account_key(&self) -> PathBuf {
        self.folder.path().join("account.key")
    }

    /// Places the order of a wish, with its device and enrollment.
    ///
    /// # Errors
    /// What the store says.
    pub async fn place(&self, wish: &Wish, terms: OrderTerms) -> anyhow::Result<()> {
        self.prepare(wish).await?;
        self.order(wish, terms).await
    }

    /// Places the order of a wish that was prepared.
    ///
    /// # Errors
    /// What the store says.
    pub async fn order(&self, wish: &Wish, terms: OrderTerms) -> anyhow::Result<()> {
        let terms = OrderTerms { device: device_of(wish).to_string(), ..terms };
        Ok(self.bridge.place(wish.id.clone(), wish.csr.clone(), terms).await?)
    }

    /// Makes the device and the enrollment of a wish.
    ///
    /// # Errors
    /// What the store says.
    pub async fn prepare(&self, wish: &Wish) -> anyhow::Result<()> {
        let device = device_of(wish);
        let name = wish.csr.names.first().context("a wish has a name")?.clone();
        let known = KnownDevice {
            device: Device {
                id: device.clone(),
                name: Some(name.clone()),
                profile: "default".into(),
                site: None,
                state: DeviceState::Vouchered,
                created_at: Millis(1),
                updated_at: Millis(1),
            },
            identity: Identity::Idevid {
                manufacturer: id(0),
                serial: wish.id.to_string(),
                seen: None,
            },
        };
        let enrollment = Enrollment {
            id: Id::from_stored(wish.id.to_string()),
            device: device.clone(),
            profile: "default".into(),
            issuer: ISSUER.into(),
            name,
            key: Sha256::of(wish.id.as_str().as_bytes()),
            csr: wish.csr.der.clone(),
            replaces: None,
            state: EnrollmentState::Approved,
            created_at: Millis(1),
            updated_at: Millis(1),
        };
        let changes = vec![Change::AddDevice(known), Change::ApproveEnrollment(enrollment)];
        Ok(self.store.commit(changes, vec![]).await?)
    }

    /// Places another order for the device of an earlier wish.
    ///
    /// # Errors
    /// What the store says.
    pub async fn place_renewal(
        &self,
        first: &Wish,
        again: &Wish,
        terms: OrderTerms,
    ) -> anyhow::Result<()> {
        let id = Id::from_stored(first.id.to_string());
        let first = self.store.enrollment(&id).await?.context("the first enrollment is there")?;
        let enrollment = Enrollment {
            id: Id::from_stored(again.id.to_string()),
            key: Sha256::of(again.id.as_str().as_bytes()),
            csr: again.csr.der.clone(),
            state: EnrollmentState::Approved,
            ..first
        };
        let terms = OrderTerms { device: enrollment.device.to_string(), ..terms };
        self.store.commit(vec![Change::ApproveEnrollment(enrollment)], vec![]).await?;
        self.bridge.place(again.id.clone(), again.csr.clone(), terms).await?;
        Ok(())
    }

    /// Takes the device with this number to a certificate.
    ///
    /// # Errors
    /// How its order ended, with its steps.
    pub async fn enroll(&self, number: u64) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let wish = wish(number)?;
        self.place(&wish, OrderTerms::default()).await?;
        self.wait(&wish.id, Duration::from_secs(60)).await
    }

    /// Waits for an order's certificate.
    ///
    /// # Errors
    /// How its order ended, with its steps.
    pub async fn wait(
        &self,
        id: &OrderId,
        limit: Duration,
    ) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        match self.bridge.wait(id, limit).await? {
            Progress::Issued(chain) => Ok(chain),
            other => {
                let steps = self.store.order_steps(id).await?;
                anyhow::bail!("{other:?} after {steps:#?}")
            }
        }
    }

    /// Ends the bridge as a clean stop of its process does.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.task.await;
    }
}

fn directory(ca: &Ca, account_key: &Path) -> anyhow::Result<DirectoryConfig> {
    let mut anchors = RootCertStore::empty();
    anchors.add(CertificateDer::from_pem_file(&ca.tls_anchor)?)?;
    Ok(DirectoryConfig {
        url: ca.directory.clone(),
        anchors: Arc::new(anchors),
        account_key: account_key.to_owned(),
        external_account: ca.external_account.clone(),
        contacts: ca.contacts.clone(),
        timeout: Duration::from_secs(20),
    })
}

/// A key in a PEM file, to compare it with another.
///
/// # Errors
/// If there is none.
pub fn key_in(file: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(PrivatePkcs8KeyDer::from_pem_file(file)?.secret_pkcs8_der().to_vec())
}
