//! What does not change from run to run: keys, certificates, requests that were signed once, the configuration.
//!
//! Signing is what costs, so that every message is made when it is wanted first, and kept.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, LazyLock, Mutex};

use brski_lab::pki::{self, Manufacturer};
use brski_registrar::config::{Config, IssuerConfig};
use brski_registrar::identity::live::LiveIdentity;
use brski_registrar::issue::local::LocalIssuer;
use brski_registrar::observe::metrics::Metrics;
use brski_registrar::store::model::{
    Entry, Id, IdevidOptions, Manufacturer as ManufacturerRow, MasaOptions, Millis, Sha256,
};
use brski_voucher::artefact::{Assertion, Nonce, PledgeRequestFields};
use brski_voucher::certificate::Certificate;
use brski_voucher::idevid::SerialNumber;
use brski_voucher::signature::PrivateKey;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SubjectPublicKeyInfo,
    date_time_ymd,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tempfile::TempDir;

/// The zone of every device.
pub(super) const ZONE: &str = "iot.example.org";
/// When a run begins: 2026-01-01, in Unix milliseconds.
pub(super) const BEGIN: i64 = 1_767_225_600_000;
/// How long certificates last, in days.
pub(super) const DAYS: i64 = 90;
/// The manufacturers: devices of the first need a voucher, those of the second do not.
pub(super) const MAKERS: [&str; 2] = ["pumps", "meters"];
/// Each pledge's manufacturer and serial number; a credential's client has none.
///
/// The second and the third would have the same name in lower case, the fourth claims to be the first with another
/// key, the last two would have the same name as the first.
pub(super) const PLEDGES: [(usize, &str); 6] =
    [(0, "P-0"), (0, "P-1"), (0, "p-1"), (0, "P-0"), (1, "M-0"), (1, "p-0")];
/// The client that has a credential and no IDevID.
pub(super) const PRINTER: usize = PLEDGES.len();
/// How many keys a pledge enrolls with.
pub(super) const KEYS: usize = 2;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A manufacturer with its MASA's signer, read.
pub(super) struct Maker {
    pub(super) row: ManufacturerRow,
    pub(super) signer: PrivateKey,
    pub(super) chain: Vec<Certificate>,
    factory: Manufacturer,
}

/// A pledge's IDevID.
struct Device {
    certificate: CertificateDer<'static>,
    read: Certificate,
    key: PrivateKey,
}

/// See the module.
pub(super) struct Site {
    _folder: TempDir,
    pub(super) config: Config,
    pub(super) identity: Arc<LiveIdentity>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) local: Arc<LocalIssuer>,
    pub(super) makers: Vec<Maker>,
    devices: Vec<Device>,
    keys: Vec<Vec<KeyPair>>,
    /// The root of the simulated ACME CA.
    pub(super) acme: Authority,
    requests: Mutex<HashMap<(usize, u8), Vec<u8>>>,
    csrs: Mutex<HashMap<(usize, usize, String), Vec<u8>>>,
}

/// The one site of this process.
pub(super) static SITE: LazyLock<Site> = LazyLock::new(Site::new);

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2200, 1, 1);
    parameters
}

fn authority(name: &str) -> Authority {
    let mut parameters = parameters(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// Writes the registrar's own files, and a configuration that refers to them.
fn files(folder: &TempDir) -> Config {
    let domain = authority("domain CA, LAB ONLY");
    let device = authority("device CA, LAB ONLY");
    let mut own = parameters("registrar, LAB ONLY");
    own.is_ca = IsCa::ExplicitNoCa;
    own.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
    own.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 28]),
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    own.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let own = own.signed_by(&key, &domain).unwrap();
    let write = |name: &str, pem: &str| std::fs::write(folder.path().join(name), pem).unwrap();
    write("domain-ca.pem", &domain.pem());
    write("device-ca.pem", &device.pem());
    write("device-ca.key", &device.key().serialize_pem());
    let owner_alone = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("device-ca.key"), owner_alone).unwrap();
    let credential =
        pki::Credential { certificate: own.der().clone(), key: key.serialize_der().into() };
    pki::write(folder.path(), "registrar", &credential).unwrap();
    let mut text = format!(
        "[listen]\nest = \"127.0.0.1:0\"\ndns = \"127.0.0.1:0\"\n\
         [identity]\ncertificate = \"registrar.pem\"\nkey = \"registrar.key\"\ndomain_ca = \"domain-ca.pem\"\n\
         [store]\npath = \"registrar.db\"\n\
         [issuer.acme]\nkind = \"acme\"\ndirectory = \"https://localhost/dir\"\naccount_key = \"account.key\"\naccept_terms = true\n\
         [issuer.local]\nkind = \"local\"\ncertificate = \"device-ca.pem\"\nkey = \"device-ca.key\"\nvalidity_days = {DAYS}\n\
         [zone.\"{ZONE}\"]\nchallenge = \"dns-01\"\nsolver = \"built-in\"\n\
         [policy]\nunexpected = \"admit\"\n"
    );
    for (name, issuer) in [("default", "acme"), ("lab", "local")] {
        write!(
            text,
            "[profile.{name}]\nissuer = \"{issuer}\"\nzone = \"{ZONE}\"\nname = \"{{serial}}\"\nhold_secs = 2\n"
        )
        .unwrap();
    }
    let file = folder.path().join("registrar.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(&file).unwrap()
}

impl Maker {
    fn new(number: usize, name: &str) -> Self {
        let factory = Manufacturer::new(name).unwrap();
        let anchor = factory.authority.certificate().clone();
        let signer = &factory.voucher_signer;
        let row = ManufacturerRow {
            id: Id::from_random([u8::try_from(number).unwrap(); 16]),
            name: name.to_owned(),
            anchors: vec![anchor.clone()],
            masa_url: None,
            masa_anchors: vec![anchor.clone()],
            masa_hosts: vec![format!("{name}.example")],
            voucher_anchors: vec![anchor.clone()],
            masa: MasaOptions::default(),
            idevid: IdevidOptions::default(),
            entry: if number == 0 { Entry::Voucher } else { Entry::Est },
            created_at: Millis(BEGIN),
        };
        Self {
            row,
            signer: PrivateKey::from_pkcs8_der(signer.key.secret_pkcs8_der()).unwrap(),
            chain: [&signer.certificate, &anchor]
                .map(|der| Certificate::from_der(der).unwrap())
                .to_vec(),
            factory,
        }
    }
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = files(&folder);
        let metrics = Arc::new(Metrics::new(["acme"], Millis(BEGIN)));
        let Some(IssuerConfig::Local(local)) = config.issuers.get("local") else {
            panic!("there is a local issuer");
        };
        let local = LocalIssuer::load("local", local, Arc::clone(&metrics)).unwrap();
        let makers: Vec<Maker> =
            MAKERS.iter().enumerate().map(|(number, name)| Maker::new(number, name)).collect();
        let device = |(maker, serial): &(usize, &str)| {
            let authority = &makers[*maker].factory.authority;
            let made = authority.idevid(serial, &format!("{}.example", MAKERS[*maker])).unwrap();
            Device {
                read: Certificate::from_der(&made.certificate).unwrap(),
                key: PrivateKey::from_pkcs8_der(made.key.secret_pkcs8_der()).unwrap(),
                certificate: made.certificate,
            }
        };
        let devices = PLEDGES.iter().map(device).collect();
        let pair = || (0..KEYS).map(|_| KeyPair::generate().unwrap()).collect();
        Self {
            identity: Arc::new(LiveIdentity::of_files(&config.identity, Millis(BEGIN)).unwrap()),
            local: Arc::new(local),
            keys: (0..=PRINTER).map(|_| pair()).collect(),
            acme: authority("ACME root, LAB ONLY"),
            requests: Mutex::default(),
            csrs: Mutex::default(),
            _folder: folder,
            config,
            metrics,
            makers,
            devices,
        }
    }

    /// A pledge's IDevID; none of the client that has a credential.
    pub(super) fn idevid(&self, pledge: usize) -> Option<&CertificateDer<'static>> {
        self.devices.get(pledge).map(|device| &device.certificate)
    }

    /// SHA-256 of the SubjectPublicKeyInfo of one of a pledge's keys.
    pub(super) fn spki(&self, pledge: usize, key: usize) -> Sha256 {
        use rcgen::PublicKeyData as _;
        Sha256::of(&self.keys[pledge][key].subject_public_key_info())
    }

    /// A pledge's voucher request with one of its nonces.
    pub(super) fn voucher_request(&self, pledge: usize, nonce: u8) -> Vec<u8> {
        let mut requests = self.requests.lock().unwrap();
        let made = requests.entry((pledge, nonce)).or_insert_with(|| {
            let device = &self.devices[pledge];
            let at = UnixTime::since_unix_epoch(std::time::Duration::from_millis(
                u64::try_from(BEGIN).unwrap(),
            ));
            PledgeRequestFields {
                assertion: Assertion::Proximity,
                serial_number: SerialNumber::parse(PLEDGES[pledge].1).unwrap(),
                nonce: Nonce::from_random([nonce; 16]),
                created_on: Some(at),
                proximity_registrar_cert: self
                    .identity
                    .load()
                    .current()
                    .certificate()
                    .der()
                    .clone(),
            }
            .sign(&device.key, std::slice::from_ref(&device.read), at)
            .unwrap()
        });
        made.clone()
    }

    /// The SHA-256 of every voucher request that was made.
    pub(super) fn request_digests(&self) -> Vec<Sha256> {
        let requests = self.requests.lock().unwrap();
        requests.values().map(|request| Sha256::of(request)).collect()
    }

    /// A pledge's CSR for a name, with one of its keys.
    pub(super) fn csr(&self, pledge: usize, key: usize, name: &str) -> Vec<u8> {
        let mut csrs = self.csrs.lock().unwrap();
        let made = csrs.entry((pledge, key, name.to_owned())).or_insert_with(|| {
            let mut parameters = CertificateParams::default();
            parameters.distinguished_name = DistinguishedName::new();
            parameters.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
            parameters.serialize_request(&self.keys[pledge][key]).unwrap().der().to_vec()
        });
        made.clone()
    }

    /// What the ACME CA makes of an order at a time.
    pub(super) fn certify(&self, name: &str, spki: &[u8], now: Millis) -> CertificateDer<'static> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        let begin = date_time_ymd(2026, 1, 1);
        let since = std::time::Duration::from_millis(u64::try_from(now.0 - BEGIN).unwrap_or(0));
        parameters.not_before = begin + since;
        parameters.not_after = parameters.not_before
            + std::time::Duration::from_secs(u64::try_from(DAYS * 24 * 3600).unwrap());
        let key = SubjectPublicKeyInfo::from_der(spki).unwrap();
        parameters.signed_by(&key, &self.acme).unwrap().der().clone()
    }
}
