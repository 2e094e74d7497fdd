//! The local issuer's certificates and its revocation list, judged by OpenSSL.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use brski_est::csr::{Csr, KeyKind};
use brski_est::csr_attributes::Linking;
use brski_registrar::clock::SystemClock;
use brski_registrar::config::{LocalConfig, Profile, RenewKey, ServerKeygen};
use brski_registrar::http::crl::{self, Lists};
use brski_registrar::issue::local::LocalIssuer;
use brski_registrar::issue::{ApprovedCsr, Issuer as _, Submission};
use brski_registrar::keys::KeyPlace;
use brski_registrar::observe::metrics::Metrics;
use brski_registrar::policy::admission::readmit_stored;
use brski_registrar::store::model::{
    Device, DeviceState, Enrollment, EnrollmentState, Entry, Id, Identity, IdevidOptions,
    IssuedCertificate, KnownDevice, Manufacturer, MasaOptions, Millis, SeenIdevid, Sha256, hex,
};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::{Change, Store};
use brski_tests::programs;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const NAME: &str = "dev-1.iot.example.org";
const SERVER: &str = "1.3.6.1.5.5.7.3.1";
const CLIENT: &str = "1.3.6.1.5.5.7.3.2";
const CMC_RA: &str = "1.3.6.1.5.5.7.3.28";
const ANY: &str = "2.5.29.37.0";

/// A device CA in a folder, and a profile.
struct Ca {
    folder: tempfile::TempDir,
    issuer: LocalIssuer,
}

impl Ca {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "device CA, TEST ONLY");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        std::fs::write(folder.path().join("ca.pem"), parameters.self_signed(&key)?.pem())?;
        let file = folder.path().join("ca.key");
        std::fs::write(&file, key.serialize_pem())?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
        let config = LocalConfig {
            certificate: folder.path().join("ca.pem"),
            key: KeyPlace::File(folder.path().join("ca.key")),
            validity_days: 30,
            crl_url: Some("http://registrar.example.org/crl/local.crl".into()),
        };
        let issuer = LocalIssuer::load("local", &config, metrics())?;
        Ok(Self { folder, issuer })
    }

    async fn issue(
        &self,
        profile: &Profile,
        asks: &[ExtendedKeyUsagePurpose],
    ) -> anyhow::Result<CertificateDer<'static>> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(vec![NAME.to_owned()])?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.extended_key_usages = asks.to_vec();
        let csr = Csr::parse(parameters.serialize_request(&key)?.der())?.prove()?;
        let approved = ApprovedCsr::approve(readmit_stored(known())?, csr, profile, None)?;
        let now = Millis(acme_bridge::Clock::now(&SystemClock));
        match self.issuer.submit(&id(1), &approved, now).await? {
            Submission::Issued(chain) => Ok(chain.leaf),
            Submission::Ordered => anyhow::bail!("the local issuer orders nothing"),
        }
    }

    fn write(&self, name: &str, label: &str, der: &[u8]) -> anyhow::Result<()> {
        Ok(std::fs::write(self.folder.path().join(name), brski_lab::pki::pem(label, der))?)
    }

    /// What OpenSSL says, and whether it is content.
    fn openssl(&self, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
        let output =
            Command::new("openssl").args(arguments).current_dir(self.folder.path()).output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }
}

fn id(number: u8) -> Id {
    Id::from_random([number; 16])
}

fn known() -> KnownDevice {
    KnownDevice {
        device: Device {
            id: id(10),
            name: Some(NAME.into()),
            profile: "default".into(),
            site: None,
            state: DeviceState::Vouchered,
            created_at: Millis(1),
            updated_at: Millis(1),
        },
        identity: Identity::Idevid {
            manufacturer: id(9),
            serial: "S1".into(),
            seen: Some(SeenIdevid {
                spki: Sha256([1; 32]),
                certificate: CertificateDer::from(vec![1]),
            }),
        },
    }
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new([], Millis(0)))
}

fn profile(allow: &[&str]) -> Profile {
    Profile {
        issuer: "local".into(),
        zone: "iot.example.org".into(),
        name: "{serial}".into(),
        key_types: vec![KeyKind::EcP256],
        renew_expired_days: 0,
        renew_key: RenewKey::Any,
        linking: Linking::NotAsked,
        server_keygen: ServerKeygen::Refused,
        hold: std::time::Duration::ZERO,
        fallback: None,
        allow_eku: allow.iter().map(|usage| (*usage).to_owned()).collect(),
        require_eku: Vec::new(),
        validity_days: None,
    }
}

/// The text of a certificate's extended key usages.
fn usages(ca: &Ca, leaf: &[u8]) -> anyhow::Result<String> {
    ca.write("leaf.pem", "CERTIFICATE", leaf)?;
    Ok(ca.openssl(&["x509", "-in", "leaf.pem", "-noout", "-ext", "extendedKeyUsage"])?.1)
}

#[tokio::test]
async fn a_certificate_is_for_what_csr_and_profile_agree_on_and_never_more() -> anyhow::Result<()> {
    if programs::outside("openssl", "openssl").is_none() {
        return Ok(());
    }
    let ca = Ca::new()?;
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    let both = usages(&ca, &ca.issue(&profile(&[SERVER, CLIENT]), &[]).await?)?;
    assert!(
        both.contains("Server Authentication") && both.contains("Client Authentication"),
        "{both}"
    );
    let asked =
        usages(&ca, &ca.issue(&profile(&[SERVER, CLIENT]), std::slice::from_ref(&server)).await?)?;
    assert!(asked.contains("Server") && !asked.contains("Client"), "{asked}");
    let refused = ca.issue(&profile(&[CLIENT]), std::slice::from_ref(&server)).await.unwrap_err();
    assert!(refused.to_string().contains(SERVER), "{refused}");
    // Even a profile that slipped through gives neither of these.
    let never = usages(&ca, &ca.issue(&profile(&[SERVER, CMC_RA, ANY]), &[]).await?)?;
    assert!(!never.contains("28") && !never.contains("Any"), "{never}");
    let text = ca.openssl(&["x509", "-in", "leaf.pem", "-noout", "-text"])?.1;
    assert!(text.contains("CA:FALSE") && !text.contains("Certificate Sign"), "{text}");
    assert!(text.contains("http://registrar.example.org/crl/local.crl"), "{text}");
    let mut lacks = profile(&[SERVER]);
    lacks.require_eku = vec![CLIENT.to_owned()];
    let error = ca.issue(&lacks, &[]).await.unwrap_err().to_string();
    assert!(error.contains(CLIENT), "{error}");
    Ok(())
}

#[tokio::test]
async fn lifetimes_are_the_profiles_or_the_issuers_and_serials_are_random() -> anyhow::Result<()> {
    let ca = Ca::new()?;
    let mut serials = std::collections::BTreeSet::new();
    for (days, expected) in [(None, 30), (Some(7), 7)] {
        for _ in 0..20 {
            let rules = Profile { validity_days: days, ..profile(&[SERVER]) };
            let leaf = ca.issue(&rules, &[]).await?;
            let read = brski_voucher::certificate::Certificate::from_der(&leaf)?;
            let life = (read.not_after() - read.not_before()) / 3600;
            assert_eq!(life, expected * 24 + 1, "backdated by an hour");
            assert!(read.serial().len() >= 8, "at least 64 bits");
            serials.insert(read.serial().to_vec());
        }
    }
    assert_eq!(serials.len(), 40);
    Ok(())
}

async fn store(folder: &Path, leaf: &CertificateDer<'static>) -> anyhow::Result<Arc<dyn Store>> {
    let store = SqliteStore::open(&folder.join("registrar.db"), "node")?;
    let read = brski_voucher::certificate::Certificate::from_der(leaf)?;
    let manufacturer = Manufacturer {
        id: id(9),
        name: "m".into(),
        anchors: vec![],
        masa_url: None,
        masa_anchors: vec![],
        masa_hosts: vec![],
        voucher_anchors: vec![],
        masa: MasaOptions::default(),
        idevid: IdevidOptions::default(),
        entry: Entry::Voucher,
        created_at: Millis(1),
    };
    let enrollment = Enrollment {
        id: id(20),
        device: id(10),
        profile: "default".into(),
        issuer: "local".into(),
        name: NAME.into(),
        key: Sha256([3; 32]),
        csr: vec![],
        replaces: None,
        state: EnrollmentState::Approved,
        created_at: Millis(1),
        updated_at: Millis(1),
    };
    let certificate = IssuedCertificate {
        fingerprint: Sha256::of(leaf),
        device: id(10),
        enrollment: id(20),
        issuer: "local".into(),
        certificate: leaf.clone(),
        serial: hex(read.serial()),
        authority: None,
        spki: Sha256([4; 32]),
        not_before: Millis(read.not_before() * 1000),
        not_after: Millis(read.not_after() * 1000),
        revoked_at: None,
        created_at: Millis(1),
    };
    let changes = vec![
        Change::AddManufacturer(manufacturer),
        Change::AddDevice(known()),
        Change::ApproveEnrollment(enrollment),
        Change::AddCertificate(certificate),
    ];
    store.commit(changes, vec![]).await?;
    Ok(Arc::new(store))
}

/// Asks for a file over HTTP, and gives status line, head and body.
async fn fetch(lists: Arc<Lists>, path: &str) -> anyhow::Result<(String, Vec<u8>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = TowerToHyperService::new(crl::routes(lists));
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: registrar\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    server.await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("there is a head");
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    Ok((head, answer[end + 4..].to_vec()))
}

#[tokio::test]
async fn openssl_reads_the_revocation_list_and_refuses_what_is_on_it() -> anyhow::Result<()> {
    if programs::outside("openssl", "openssl").is_none() {
        return Ok(());
    }
    let ca = Ca::new()?;
    let leaf = ca.issue(&profile(&[SERVER, CLIENT]), &[]).await?;
    ca.write("leaf.pem", "CERTIFICATE", &leaf)?;
    let store = store(ca.folder.path(), &leaf).await?;
    let issuer = Arc::new(LocalIssuer::load(
        "local",
        &LocalConfig {
            certificate: ca.folder.path().join("ca.pem"),
            key: KeyPlace::File(ca.folder.path().join("ca.key")),
            validity_days: 30,
            crl_url: None,
        },
        metrics(),
    )?);
    let lists = || {
        let issuers = [Arc::clone(&issuer)];
        Arc::new(Lists::new(Arc::clone(&store), Arc::new(SystemClock), issuers))
    };
    let verify = ["verify", "-CAfile", "ca.pem", "-crl_check", "-CRLfile", "list.pem", "leaf.pem"];
    let (head, list) = fetch(lists(), "/crl/local.crl").await?;
    assert!(head.starts_with("http/1.1 200") && head.contains("application/pkix-crl"), "{head}");
    ca.write("list.pem", "X509 CRL", &list)?;
    let (is_content, text) = ca.openssl(&verify)?;
    assert!(is_content, "{text}");
    let revoke = Change::RevokeCertificate {
        fingerprint: Sha256::of(&leaf),
        at: Millis(acme_bridge::Clock::now(&SystemClock)),
    };
    store.commit(vec![revoke], vec![]).await?;
    let (_, list) = fetch(lists(), "/crl/local.crl").await?;
    ca.write("list.pem", "X509 CRL", &list)?;
    let (is_content, text) = ca.openssl(&verify)?;
    assert!(!is_content && text.contains("certificate revoked"), "{text}");
    let (is_content, text) =
        ca.openssl(&["crl", "-in", "list.pem", "-CAfile", "ca.pem", "-noout", "-text"])?;
    assert!(
        is_content && text.contains("verify OK") && text.contains("X509v3 CRL Number"),
        "{text}"
    );
    for path in ["/crl/other.crl", "/crl/local", "/crl/../registrar.db", "/"] {
        let (head, _) = fetch(lists(), path).await?;
        assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
    }
    Ok(())
}
