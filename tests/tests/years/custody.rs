//! The task that looks after certificates and roots, on a clock of the test's own: what it does once, and when an
//! earlier root leaves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use acme_bridge::Clock;
use brski_registrar::config::Config;
use brski_registrar::identity::RegistrarIdentity;
use brski_registrar::identity::custodian::Custodian;
use brski_registrar::identity::domain;
use brski_registrar::identity::live::{Identities, LiveIdentity};
use brski_registrar::observe::metrics::Metrics;
use brski_registrar::store::model::{
    Device, DeviceState, Entry, EventFilter, Id, Identity, IdevidOptions, KnownDevice,
    Manufacturer, MasaOptions, Millis, NoncelessVoucher, RootChange, Sha256, VoucherExchange,
    VoucherState,
};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::{Change, Store};
use brski_tests::programs;
use brski_voucher::artefact::{Assertion, Binding, VoucherFields};
use brski_voucher::certificate::Certificate;
use brski_voucher::encoding::Encoding;
use brski_voucher::idevid::SerialNumber;
use brski_voucher::signature::PrivateKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, UnixTime};
use tempfile::TempDir;

const DAY: i64 = 24 * 3600 * 1000;

/// A clock that is turned by hand.
#[derive(Debug)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A domain with one or more nodes on one store.
struct Domain {
    folder: TempDir,
    clock: Arc<Hands>,
    store: Arc<dyn Store>,
}

impl Domain {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = programs::ours("registrar").unwrap();
        let made = std::process::Command::new(program)
            .args(["init", "--domain", "iot.example.org", "--listen", "127.0.0.1:0", "--dir"])
            .arg(folder.path().join("registrar"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let now = i64::try_from(brski_lab::masa::now().as_secs()).unwrap() * 1000;
        let store = SqliteStore::open(&folder.path().join("test.db"), "node").unwrap();
        Self { folder, clock: Arc::new(Hands(AtomicI64::new(now))), store: Arc::new(store) }
    }

    fn now(&self) -> Millis {
        Millis(self.clock.now())
    }

    fn pass(&self, days: i64) {
        self.clock.0.fetch_add(days * DAY, Ordering::Relaxed);
    }

    fn config(&self) -> Config {
        Config::load(&self.file("registrar.toml")).unwrap()
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("registrar").join(name)
    }

    async fn node(&self) -> Custodian {
        let config = self.config();
        let live = LiveIdentity::open(&config.identity, &*self.store, self.now()).await.unwrap();
        Custodian {
            store: Arc::clone(&self.store),
            clock: Arc::<Hands>::clone(&self.clock),
            live: Arc::new(live),
            config: Arc::new(arc_swap::ArcSwap::from_pointee(config)),
            metrics: Arc::new(Metrics::new([], Millis(0))),
        }
    }

    async fn rotate(&self) -> Certificate {
        let files = self.config().identity;
        let records = self.store.own_records().await.unwrap();
        let configured = Arc::new(RegistrarIdentity::load(&files).unwrap());
        let identities = Identities::choose(&configured, files.pin, &records, self.now());
        let rotated = domain::rotate(&files, &identities, &records, self.now()).unwrap();
        self.store.commit(rotated.changes, vec![]).await.unwrap();
        rotated.root
    }

    async fn kinds(&self) -> Vec<String> {
        let events = self.store.events(&EventFilter::default(), None, 1000).await.unwrap();
        events.into_iter().map(|event| event.kind).collect()
    }

    async fn earlier(&self, node: &Custodian) -> usize {
        node.look().await.unwrap();
        node.live.load().roots().earlier().len()
    }
}

#[tokio::test]
async fn two_nodes_renew_once_and_show_the_same() {
    let domain = Domain::new();
    let (one, other) = (domain.node().await, domain.node().await);
    domain.pass(1740);
    let (first, second) = tokio::join!(one.look(), other.look());
    first.unwrap();
    second.unwrap();
    one.look().await.unwrap();
    assert_eq!(domain.kinds().await, ["identity-renewed"]);
    let shown = |node: &Custodian| node.live.load().current().certificate().der().clone();
    assert_eq!(shown(&one), shown(&other));
    assert_eq!(domain.store.own_records().await.unwrap().certificates.len(), 2);
    let text = one.metrics.text();
    let end = one.live.load().current().certificate().not_after();
    let line = text.lines().find(|line| line.starts_with("registrar_own_certificate_end")).unwrap();
    assert!(
        text.contains(&format!("registrar_own_certificate_end_timestamp_seconds {end}")),
        "{line}"
    );
}

#[tokio::test]
async fn warnings_are_told_once_at_each_stage() {
    let domain = Domain::new();
    std::fs::remove_file(domain.file("domain-ca.key")).unwrap();
    let (one, other) = (domain.node().await, domain.node().await);
    let mut told = Vec::new();
    for days in [1700, 40, 60, 20, 4, 1] {
        domain.pass(days);
        for node in [&one, &other, &one] {
            node.look().await.unwrap();
        }
        told.push(domain.kinds().await.len());
    }
    // Not yet; due; 30, 7 and 1 days are left; and then it has ended, of which was told.
    assert_eq!(told, [0, 1, 2, 3, 4, 4]);
    assert!(domain.kinds().await.iter().all(|kind| kind == "identity-renewal-failed"));
}

#[tokio::test]
async fn the_end_of_the_root_is_told_a_year_ahead() {
    let domain = Domain::new();
    let node = domain.node().await;
    // Twenty years of 365 days. The registrar's certificates are renewed, and never outlive the root.
    for _ in 0..13 {
        domain.pass(530);
        node.look().await.unwrap();
    }
    domain.pass(40);
    node.look().await.unwrap();
    let kinds = domain.kinds().await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "domain-root-expiring").count(), 0, "{kinds:?}");
    domain.pass(10);
    node.look().await.unwrap();
    node.look().await.unwrap();
    let kinds = domain.kinds().await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "domain-root-expiring").count(), 1, "{kinds:?}");
    let identities = node.live.load();
    let root_end = identities.roots().current().not_after();
    assert!(identities.current().certificate().not_after() <= root_end);
    // A new root has twenty years again.
    let root = domain.rotate().await;
    assert!(root.not_after() > root_end + 6000 * 24 * 3600);
    node.look().await.unwrap();
    assert_eq!(node.live.load().current().domain_ca().der(), root.der());
}

/// A device, and an exchange of it that changed last at this time.
async fn exchange(domain: &Domain, state: VoucherState, at: Millis) {
    let id = |text: &str| Id::from_stored(text.to_owned());
    let known = KnownDevice {
        device: Device {
            id: id("device"),
            name: Some("device.example.org".into()),
            profile: "default".into(),
            site: None,
            state: DeviceState::Vouchered,
            created_at: at,
            updated_at: at,
        },
        identity: Identity::Idevid {
            manufacturer: id("manufacturer"),
            serial: "SERIAL".into(),
            seen: None,
        },
    };
    let manufacturer = Manufacturer {
        id: id("manufacturer"),
        name: "manufacturer".into(),
        anchors: vec![],
        masa_url: None,
        masa_anchors: vec![],
        masa_hosts: vec![],
        voucher_anchors: vec![],
        entry: Entry::Voucher,
        masa: MasaOptions::default(),
        idevid: IdevidOptions::default(),
        created_at: at,
    };
    let exchange = VoucherExchange {
        id: id("exchange"),
        request_sha256: Sha256([1; 32]),
        device: id("device"),
        pledge_request: vec![1],
        registrar_request: vec![2],
        encoding: Encoding::Cms,
        audit: None,
        state: VoucherState::Asked,
        created_at: at,
        updated_at: at,
    };
    let moved = Change::SetVoucherState { exchange: id("exchange"), state, at };
    let changes = vec![
        Change::AddManufacturer(manufacturer),
        Change::AddDevice(known),
        Change::BeginVoucherExchange(exchange),
        moved,
    ];
    domain.store.commit(changes, vec![]).await.unwrap();
}

/// A voucher that pins this certificate until a time.
fn voucher(pinned: &Certificate, until: Millis, folder: &Path) -> Vec<u8> {
    // Who signs it does not matter here.
    let key = std::fs::read(folder.join("registrar.key")).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(&key).unwrap();
    let signer = PrivateKey::from_pkcs8_der(key.secret_pkcs8_der()).unwrap();
    let chain =
        brski_registrar::identity::read_certificates(&folder.join("registrar.pem")).unwrap();
    let seconds = |at: Millis| {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            u64::try_from(at.seconds()).unwrap(),
        ))
    };
    let fields = VoucherFields {
        assertion: Assertion::Logged,
        serial_number: SerialNumber::parse("SERIAL").unwrap(),
        binding: Binding::ExpiresOn(seconds(until)),
        created_on: seconds(Millis(0)),
        idevid_issuer: None,
        pinned_domain_cert: pinned.der().clone(),
        domain_cert_revocation_checks: None,
    };
    fields.sign(&signer, &chain, seconds(Millis(0))).unwrap()
}

#[tokio::test]
async fn an_earlier_root_leaves_after_its_days() {
    let domain = Domain::new();
    let node = domain.node().await;
    domain.rotate().await;
    assert_eq!(domain.earlier(&node).await, 1);
    domain.pass(29);
    assert_eq!(domain.earlier(&node).await, 1, "old_root_days are 30");
    assert_eq!(node.live.load().current().tls_chain().len(), 2);
    domain.pass(2);
    assert_eq!(domain.earlier(&node).await, 0);
    assert_eq!(domain.kinds().await, ["domain-root-left"]);
    assert_eq!(node.live.load().current().tls_chain().len(), 1);
    assert_eq!(node.live.load().roots().certificates().len(), 1);
    // The file still names the first root, from which the way to the one in use is signed.
    let again = domain.node().await;
    assert_eq!(domain.earlier(&again).await, 0);
    let shown = |node: &Custodian| node.live.load().current().certificate().der().clone();
    assert_eq!(shown(&again), shown(&node));
    // And another one may follow.
    let third = domain.rotate().await;
    assert_eq!(domain.earlier(&again).await, 1);
    assert_eq!(again.live.load().roots().current().der(), third.der());
}

#[tokio::test]
async fn an_earlier_root_stays_while_a_pledge_is_on_its_way() {
    let domain = Domain::new();
    let node = domain.node().await;
    exchange(&domain, VoucherState::Asked, domain.now()).await;
    domain.pass(1);
    domain.rotate().await;
    domain.pass(31);
    // The pledge asked again yesterday: it gets, or has got, a voucher that pins the earlier root.
    let issued = Change::SetVoucherState {
        exchange: Id::from_stored("exchange".to_owned()),
        state: VoucherState::Issued { voucher: vec![1] },
        at: domain.now().plus(-DAY),
    };
    domain.store.commit(vec![issued], vec![]).await.unwrap();
    assert_eq!(domain.earlier(&node).await, 1);
    // RFC 8995 §5.6: after four days it gives up.
    domain.pass(4);
    assert_eq!(domain.earlier(&node).await, 0);
}

/// A voucher that pins the root of now for 200 days, and its end.
fn pinning(domain: &Domain, node: &Custodian) -> (Vec<u8>, Millis) {
    let root = node.live.load().roots().current().clone();
    let until = domain.now().plus(200 * DAY);
    (voucher(&root, until, &domain.folder.path().join("registrar")), until)
}

/// The root of now is replaced, and is there for as long as that voucher holds.
async fn assert_leaves_after_the_voucher(domain: &Domain, node: &Custodian) {
    domain.pass(1);
    domain.rotate().await;
    domain.pass(100);
    assert_eq!(domain.earlier(node).await, 1);
    domain.pass(100);
    assert_eq!(domain.earlier(node).await, 0);
}

#[tokio::test]
async fn an_earlier_root_stays_while_a_voucher_in_force_pins_it() {
    let domain = Domain::new();
    let node = domain.node().await;
    let (voucher, _) = pinning(&domain, &node);
    exchange(&domain, VoucherState::Accepted { voucher }, domain.now()).await;
    assert_leaves_after_the_voucher(&domain, &node).await;
}

#[tokio::test]
async fn an_earlier_root_stays_while_a_voucher_that_was_fetched_ahead_pins_it() {
    let domain = Domain::new();
    let node = domain.node().await;
    let (voucher, until) = pinning(&domain, &node);
    // The exchange itself is over, and pins nothing.
    exchange(&domain, VoucherState::Failed { reason: "away".into() }, domain.now()).await;
    let mut row = NoncelessVoucher {
        device: Id::from_stored("device".to_owned()),
        encoding: Encoding::Cms,
        registrar_request: vec![1],
        voucher: None,
        expires_at: None,
        attempts: 0,
        due: domain.now(),
        problem: None,
        created_at: domain.now(),
        updated_at: domain.now(),
    };
    let wanted = Change::WantNoncelessVoucher(row.clone());
    (row.voucher, row.expires_at) = (Some(voucher), Some(until));
    let kept = Change::KeepNoncelessVoucher(row);
    domain.store.commit(vec![wanted, kept], vec![]).await.unwrap();
    assert_leaves_after_the_voucher(&domain, &node).await;
}

#[tokio::test]
async fn a_root_that_nobody_signed_is_not_believed() {
    let domain = Domain::new();
    let node = domain.node().await;
    let before = node.live.load().roots().current().clone();
    domain.rotate().await;
    let change = domain.store.own_records().await.unwrap().roots.remove(0);
    let stranger = Domain::new();
    let foreign = stranger.node().await.live.load().roots().current().clone();
    stranger.rotate().await;
    let theirs = stranger.store.own_records().await.unwrap().roots.remove(0);
    let forged = [
        // Somebody who can write to the database, and has no key of the domain.
        RootChange { root: foreign.der().clone(), ..change.clone() },
        RootChange { new_with_old: theirs.new_with_old.clone(), ..change.clone() },
        RootChange { previous: before.der().clone(), ..theirs.clone() },
    ];
    for (number, forged) in forged.into_iter().enumerate() {
        let roots = brski_registrar::identity::roots::DomainRoots::follow(&before, &[forged]);
        assert_eq!(roots.current().der(), before.der(), "forgery {number}");
        assert!(roots.earlier().is_empty());
    }
    // An earlier root that the current one does not vouch for is not served.
    let forged = RootChange { old_with_new: theirs.old_with_new, ..change.clone() };
    let roots = brski_registrar::identity::roots::DomainRoots::follow(&before, &[forged]);
    assert_eq!(roots.current().der(), &change.root);
    assert!(roots.earlier().is_empty());
}

#[tokio::test]
async fn who_is_interrupted_after_the_key_was_made_begins_anew() {
    let domain = Domain::new();
    let node = domain.node().await;
    let files = domain.config().identity;
    let records = domain.store.own_records().await.unwrap();
    let lost = domain::rotate(&files, &node.live.load(), &records, domain.now()).unwrap();
    assert!(
        Path::new(&lost.key.to_string()).is_file(),
        "its key is on the disk before anything counts"
    );
    node.look().await.unwrap();
    assert!(node.live.load().roots().earlier().is_empty());
    let root = domain.rotate().await;
    assert_ne!(root.der(), lost.root.der());
    assert_eq!(domain.earlier(&node).await, 1);
    // Two that run at the same time: the second one is refused, whole.
    domain.store.commit(lost.changes, vec![]).await.unwrap_err();
    assert_eq!(domain.store.own_records().await.unwrap().roots.len(), 1);
}
