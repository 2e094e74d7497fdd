//! What must be refused is refused: with its status, a reason, an event, and nothing half-done.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use brski_est::csr_builder::{CsrRequest, EcdsaKey};
use brski_est::{media_type as est_media_type, transfer};
use brski_lab::acme::{AcmeCa, CaStyle};
use brski_lab::fault::report::{Finding, Verdict, text};
use brski_lab::fault::run::{Workshop, run};
use brski_lab::fault::{Fault, Liar};
use brski_lab::http::{Answer, Connection};
use brski_lab::masa::{Masa, Misbehaviour};
use brski_lab::pki::Manufacturer;
use brski_lab::pledge::journey::Label;
use brski_lab::pledge::tls::TlsVersions;
use brski_lab::pledge::{Pledge, journey, tls};
use brski_lab::process;
use brski_lab::registrar::Site;
use brski_lab::up::{Lab, MANUFACTURER, ZONE, introduce};
use brski_registrar::store::model::{DeviceState, Millis};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::{Change, Store as _};
use brski_tests::programs;
use brski_tests::site::{self, TestSite, event_kinds, json};
use brski_voucher::idevid::SerialNumber;
use brski_voucher::telemetry::Status;
use brski_voucher::{media_type, path};
use rcgen::KeyPair;

/// Sends a voucher request over a connection of this pledge.
async fn request(
    site: &TestSite,
    pledge: &Pledge,
    body: Vec<u8>,
) -> anyhow::Result<(Answer, Connection)> {
    let (mut connection, _) = pledge.connect(site.lab.registrar.address()).await?;
    let answer = connection.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, body).await?;
    Ok((answer, connection))
}

/// A correct voucher request of this pledge.
async fn correct(site: &TestSite, pledge: &Pledge) -> anyhow::Result<Vec<u8>> {
    let (_, chain) = pledge.connect(site.lab.registrar.address()).await?;
    Ok(pledge.voucher_request(chain.own().expect("a server has a certificate"))?.der)
}

/// Asserts the answer's status and reason, the newest event, and that no device came of it.
async fn assert_refused(
    site: &TestSite,
    answer: &Answer,
    status: u16,
    words: &str,
    event: &str,
) -> anyhow::Result<()> {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(words), "{}", answer.text());
    assert_eq!(answer.content_type, "text/plain; charset=utf-8");
    let kinds = event_kinds(site.site()).await?;
    assert_eq!(kinds.last().map(String::as_str), Some(event), "{kinds:?}");
    Ok(())
}

async fn assert_no_device(site: &TestSite) -> anyhow::Result<()> {
    let devices = json(site.site(), "device list", &[]).await?;
    assert_eq!(devices.as_array().map(Vec::len), Some(0), "{devices}");
    assert_eq!(site.lab.masa.requests(), 0, "the MASA was not asked");
    Ok(())
}

#[tokio::test]
async fn refuses_a_client_without_a_certificate() -> anyhow::Result<()> {
    let site = site::local().await?;
    let body = correct(&site, &site.lab.pledge("BAD-1")?).await?;
    let (mut connection, _) =
        tls::provisional(site.lab.registrar.address(), None, TlsVersions::Any).await?;
    let answer = connection.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, body).await?;
    assert_refused(&site, &answer, 401, "needs the device's IDevID", "no-client-certificate")
        .await?;
    assert_no_device(&site).await
}

#[tokio::test]
async fn refuses_a_device_of_an_unknown_manufacturer() -> anyhow::Result<()> {
    let site = site::local().await?;
    let stranger = Manufacturer::new("stranger")?;
    let idevid = stranger.authority.idevid("BAD-2", &site.lab.masa.url())?;
    let pledge = Pledge::new(idevid, stranger.authority.certificate())?;
    let body = correct(&site, &pledge).await?;
    let (answer, _) = request(&site, &pledge, body).await?;
    assert_refused(&site, &answer, 403, "registrar manufacturer add", "unknown-manufacturer")
        .await?;
    assert_no_device(&site).await
}

#[tokio::test]
async fn refuses_a_serial_number_unlike_the_certificates() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("BAD-3")?;
    let (_, chain) = pledge.connect(site.lab.registrar.address()).await?;
    let own = chain.own().expect("a server has a certificate");
    let body = pledge.voucher_request_as(SerialNumber::parse("ANOTHER")?, own)?.der;
    let (answer, _) = request(&site, &pledge, body).await?;
    assert_refused(&site, &answer, 403, "\"ANOTHER\"", "voucher-request-serial").await?;
    assert_no_device(&site).await
}

#[tokio::test]
async fn refuses_a_foreign_proximity_certificate_and_closes() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("BAD-4")?;
    let body = pledge.voucher_request(pledge.idevid().der())?.der;
    let (answer, mut connection) = request(&site, &pledge, body).await?;
    assert_refused(&site, &answer, 401, "proximity-registrar-cert", "voucher-request-proximity")
        .await?;
    assert_eq!(answer.connection, "close");
    assert!(connection.get("/.well-known/est/cacerts").await.is_err(), "the connection is closed");
    assert_no_device(&site).await
}

#[tokio::test]
async fn refuses_broken_cms() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("BAD-5")?;
    for body in [Vec::new(), b"garbage".to_vec(), vec![0x30, 0x82, 0xff]] {
        let (answer, _) = request(&site, &pledge, body).await?;
        assert_refused(&site, &answer, 406, "cannot be read", "voucher-request-unreadable").await?;
    }
    let mut changed = correct(&site, &pledge).await?;
    // The signature is the last value in the message.
    *changed.last_mut().expect("it is not empty") ^= 1;
    let (answer, _) = request(&site, &pledge, changed).await?;
    assert_refused(&site, &answer, 403, "signature", "voucher-request-signature").await?;
    assert_no_device(&site).await
}

#[tokio::test]
async fn refuses_a_body_above_64_kib() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("BAD-6")?;
    let (answer, _) = request(&site, &pledge, vec![0x30; 64 * 1024 + 1]).await?;
    assert_refused(&site, &answer, 413, "65536", "body-too-long").await?;
    assert_no_device(&site).await
}

#[tokio::test]
async fn refuses_another_media_type_and_another_method() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("BAD-7")?;
    let body = correct(&site, &pledge).await?;
    let (mut connection, _) = pledge.connect(site.lab.registrar.address()).await?;
    let answer = connection.post(path::REQUEST_VOUCHER, "application/json", body).await?;
    assert_refused(&site, &answer, 415, "application/json", "media-type-unknown").await?;
    let answer = connection.get(path::REQUEST_VOUCHER).await?;
    assert_eq!(answer.status, 405);
    let answer = connection.get("/nowhere").await?;
    assert_eq!(answer.status, 404);
    assert_no_device(&site).await
}

#[tokio::test]
async fn refuses_to_enroll_before_a_voucher() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("BAD-8")?;
    let (mut connection, _) = pledge.connect(site.lab.registrar.address()).await?;
    let answer = enroll(&mut connection, csr("bad-8")?).await?;
    assert_refused(&site, &answer, 403, "no voucher", "no-voucher").await?;
    assert_no_device(&site).await
}

#[tokio::test]
async fn a_pledge_that_rejects_its_voucher_stays_out_until_it_has_another() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("REJECTS")?;
    let body = correct(&site, &pledge).await?;
    let (answer, mut connection) = request(&site, &pledge, body.clone()).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let report = Status::failure("pinned to a stranger").to_json();
    let answer = connection.post(path::VOUCHER_STATUS, "application/json", report).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let story = json(site.site(), "device show", &["REJECTS"]).await?;
    assert_eq!(
        (&story["voucher"], &story["device"]["state"]),
        (&"rejected".into(), &"admitted".into())
    );
    let answer = enroll(&mut connection, csr("rejects")?).await?;
    assert_refused(&site, &answer, 403, "no voucher", "no-voucher").await?;
    let (answer, _) = request(&site, &pledge, body).await?;
    assert_refused(&site, &answer, 406, "new", "voucher-request-ended").await?;
    journey::run(&pledge, site.lab.registrar.address(), &Label::default()).await?;
    Ok(())
}

#[tokio::test]
async fn a_barred_device_gets_neither_voucher_nor_certificate() -> anyhow::Result<()> {
    let TestSite { mut lab, folder } = site::local().await?;
    let pledge = lab.pledge("BARRED")?;
    let enrolled = journey::run(&pledge, lab.registrar.address(), &Label::default()).await?;
    let stopped = lab.registrar.stop().await;
    bar(&stopped.folder().join("registrar.db"), "BARRED").await?;
    lab.registrar = stopped.serve().await?;
    let site = TestSite { lab, folder };
    let asked = site.lab.masa.requests();
    let body = correct(&site, &pledge).await?;
    let (answer, mut connection) = request(&site, &pledge, body).await?;
    assert_refused(&site, &answer, 403, "blocked", "device-barred").await?;
    assert_eq!(site.lab.masa.requests(), asked, "the MASA was not asked");
    let answer = enroll(&mut connection, csr("barred")?).await?;
    assert_refused(&site, &answer, 403, "blocked", "device-barred").await?;
    // Its certificate does not help.
    let address = site.lab.registrar.address();
    let (mut connection, _) =
        tls::provisional(address, Some(&enrolled.credential), TlsVersions::Any).await?;
    let answer = enroll(&mut connection, csr("barred")?).await?;
    assert_refused(&site, &answer, 403, "blocked", "device-barred").await
}

/// Blocks a device in the database of a registrar that does not run.
async fn bar(database: &Path, serial: &str) -> anyhow::Result<()> {
    let store = SqliteStore::open(database, "operator")?;
    let device = store.find_devices(serial).await?.remove(0).device;
    let at = Millis(device.updated_at.0 + 1);
    let change = Change::SetDeviceState { device: device.id, state: DeviceState::Blocked, at };
    Ok(store.commit(vec![change], Vec::new()).await?)
}

#[tokio::test]
async fn refuses_an_unknown_label() -> anyhow::Result<()> {
    let site = site::local().await?;
    let pledge = site.lab.pledge("BAD-9")?;
    let (mut connection, _) = pledge.connect(site.lab.registrar.address()).await?;
    let path = "/.well-known/est/nosuchlabel/simpleenroll";
    let answer = connection.post(path, est_media_type::PKCS10, csr("bad-9")?).await?;
    assert_refused(&site, &answer, 404, "nosuchlabel", "unknown-label").await
}

#[tokio::test]
async fn a_known_serial_number_with_another_key_waits_for_a_person() -> anyhow::Result<()> {
    let site = site::local().await?;
    journey::bootstrap(&site.lab.pledge("TWIN")?, site.lab.registrar.address()).await?;
    let twin = site.lab.pledge("TWIN")?;
    let asked = site.lab.masa.requests();
    for _ in 0..2 {
        let body = correct(&site, &twin).await?;
        let (answer, connection) = request(&site, &twin, body).await?;
        assert_refused(&site, &answer, 202, "an operator is asked", "approval-asked").await?;
        assert_eq!(answer.retry_after, "30");
        drop(connection);
    }
    let (mut connection, _) = twin.connect(site.lab.registrar.address()).await?;
    let answer = enroll(&mut connection, csr("twin")?).await?;
    assert_refused(&site, &answer, 403, "another key", "identity-key-changed").await?;
    let kinds = event_kinds(site.site()).await?;
    assert_eq!(kinds.iter().filter(|kind| *kind == "approval-asked").count(), 1, "asked once");
    assert_eq!(site.lab.masa.requests(), asked, "the MASA was not asked");
    Ok(())
}

#[tokio::test]
async fn says_503_while_the_masa_is_away_and_goes_on_when_it_is_back() -> anyhow::Result<()> {
    let site = impatient().await?;
    let pledge = site.lab.pledge("MASA-1")?;
    let body = correct(&site, &pledge).await?;
    site.lab.masa.behave(Misbehaviour::Unavailable);
    let (answer, _) = request(&site, &pledge, body.clone()).await?;
    assert_refused(&site, &answer, 503, "MASA", "masa-unavailable").await?;
    assert_eq!(answer.retry_after, "30");
    assert!(site.lab.masa.requests() > 1, "it was asked again within the hold time");
    site.lab.masa.behave(Misbehaviour::None);
    let (answer, _) = request(&site, &pledge, body).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn says_503_when_nobody_listens_at_the_masas_address() -> anyhow::Result<()> {
    let site = impatient().await?;
    let closed = format!("https://localhost:{}", process::free_port()?);
    let idevid = site.lab.manufacturer.authority.idevid("MASA-2", &closed)?;
    let pledge = Pledge::new(idevid, site.lab.manufacturer.authority.certificate())?;
    let body = correct(&site, &pledge).await?;
    let (answer, mut connection) = request(&site, &pledge, body).await?;
    assert_refused(&site, &answer, 503, "cannot be reached", "masa-unavailable").await?;
    assert_eq!(answer.retry_after, "30");
    let answer = enroll(&mut connection, csr("masa-2")?).await?;
    assert_refused(&site, &answer, 403, "no voucher", "no-voucher").await
}

#[tokio::test]
async fn calls_no_masa_outside_the_allowed_hosts() -> anyhow::Result<()> {
    let site = impatient().await?;
    let elsewhere = site.lab.masa.url().replace("localhost", "127.0.0.1");
    let idevid = site.lab.manufacturer.authority.idevid("MASA-3", &elsewhere)?;
    let pledge = Pledge::new(idevid, site.lab.manufacturer.authority.certificate())?;
    let body = correct(&site, &pledge).await?;
    let (answer, _) = request(&site, &pledge, body).await?;
    assert_refused(&site, &answer, 403, "", "masa-unusable").await?;
    assert_eq!(site.lab.masa.requests(), 0, "the MASA was not asked");
    Ok(())
}

#[tokio::test]
async fn forwards_no_voucher_that_the_pledge_would_refuse() -> anyhow::Result<()> {
    let site = impatient().await?;
    for (misbehaviour, words) in [
        (Misbehaviour::WrongNonce, "nonce"),
        (Misbehaviour::WrongSerial, "another device"),
        (Misbehaviour::WrongPin, "pinned-domain-cert"),
        (Misbehaviour::Garbage, "cannot be read"),
    ] {
        site.lab.masa.behave(misbehaviour);
        let pledge = site.lab.pledge(&format!("MASA-{misbehaviour:?}"))?;
        let body = correct(&site, &pledge).await?;
        let (answer, _) = request(&site, &pledge, body).await?;
        assert_refused(&site, &answer, 502, words, "voucher-unusable").await?;
    }
    site.lab.masa.behave(Misbehaviour::Refuses);
    let pledge = site.lab.pledge("MASA-REFUSES")?;
    let body = correct(&site, &pledge).await?;
    let (answer, _) = request(&site, &pledge, body).await?;
    assert_refused(&site, &answer, 403, "sold to somebody else", "masa-refused").await
}

/// A site whose registrar holds requests for a second only.
async fn impatient() -> anyhow::Result<TestSite> {
    let TestSite { mut lab, folder } = site::local().await?;
    let stopped = lab.registrar.stop().await;
    let config = std::fs::read_to_string(stopped.config())?;
    let mut config = config.replace("hold_secs = 10", "hold_secs = 1");
    for key in ["masa_timeout_secs = 10", "body_timeout_secs = 30"] {
        let name = key.split(' ').next().unwrap_or_default();
        config = config.replace(key, &format!("{name} = 3"));
    }
    std::fs::write(stopped.config(), config)?;
    lab.registrar = stopped.serve().await?;
    Ok(TestSite { lab, folder })
}

/// Whose event does not name the device, since nobody vouches for what it showed.
const ANONYMOUS: [&str; 6] = [
    "no-client-certificate",
    "unknown-manufacturer",
    "serial-number-unusable",
    "no-credential",
    "credential-refused",
    "renewal-without-certificate",
];

/// Tells these lies to a site, and asserts the refusal and the event of each.
async fn assert_all_refused(
    site: &TestSite,
    ca: Option<&AcmeCa>,
    faults: &[Fault],
) -> anyhow::Result<()> {
    let workshop = Workshop {
        registrar: site.lab.registrar.address(),
        manufacturer: &site.lab.manufacturer,
        masa: &site.lab.masa,
        ca,
        prefix: "LIE".to_owned(),
    };
    let mut findings: Vec<Finding> = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        findings.push(run(&workshop, number, *fault).await);
    }
    let is_passed = |finding: &Finding| finding.verdict == Verdict::Passed;
    assert!(findings.iter().all(is_passed), "{}", text(&findings));
    let events = json(site.site(), "event list", &["--limit", "1000000"]).await?;
    let events = events.as_array().expect("events are a list");
    for finding in &findings {
        let (name, kind) = (finding.listed.name, finding.listed.event);
        let device = format!("{}-", finding.serial);
        let is_its = |event: &&serde_json::Value| {
            event["kind"] == kind
                && (ANONYMOUS.contains(&kind) || event.to_string().contains(&device))
        };
        if kind.is_empty() || events.iter().any(|event| is_its(&event)) {
            continue;
        }
        // It came with a certificate of ours, by which the peer is known instead of by its IDevID.
        let by_certificate = |event: &serde_json::Value| {
            let peer = event["peer"].as_str().unwrap_or_default();
            event["kind"] == kind && event["device"].is_null() && peer.contains(" certificate ")
        };
        if events.iter().any(by_certificate) {
            continue;
        }
        let story = json(site.site(), "device show", &[&format!("{device}LIE")]).await?;
        let told = story["events"].as_array().expect("a story has events");
        assert!(told.iter().any(|event| event["kind"] == kind), "{name}: no event {kind}");
    }
    Ok(())
}

#[tokio::test]
async fn every_lie_is_refused_and_its_honest_twin_is_served() -> anyhow::Result<()> {
    let is_of_ca = |fault: &&Fault| fault.card().liar == Liar::Ca;
    let faults: Vec<Fault> = Fault::ALL.iter().filter(|each| !is_of_ca(each)).copied().collect();
    assert_all_refused(&impatient().await?, None, &faults).await
}

/// A site whose ACME CA lies on demand, and whose registrar holds requests for a second only.
async fn with_lying_ca() -> anyhow::Result<(TestSite, AcmeCa)> {
    let loopback = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let folder = tempfile::tempdir()?;
    let manufacturer = Manufacturer::new(MANUFACTURER)?;
    let masa = Masa::start(loopback(0), &manufacturer).await?;
    let ca = AcmeCa::start(loopback(0), CaStyle::Plain).await?;
    let (tls, root) = (folder.path().join("tls.pem"), folder.path().join("root.pem"));
    std::fs::write(&tls, ca.tls_anchor())?;
    std::fs::write(&root, ca.root())?;
    let site = Site::new(&programs::ours("registrar")?, &folder.path().join("registrar"))?;
    let (listen, dns) = (loopback(process::free_port()?), loopback(process::free_port()?));
    let mut arguments: Vec<OsString> = Vec::new();
    arguments.extend(["--domain".into(), ZONE.into()]);
    arguments.extend(["--listen".into(), listen.to_string().into()]);
    arguments.extend(["--issuer".into(), "acme".into(), "--accept-terms".into()]);
    arguments.extend(["--acme-directory".into(), ca.directory().into()]);
    arguments.extend(["--acme-ca".into(), tls.into(), "--acme-root".into(), root.into()]);
    arguments.extend(["--dns-listen".into(), dns.to_string().into()]);
    site.init(&arguments).await?;
    site::edit(site.folder(), "hold_secs = 10", "hold_secs = 1")?;
    let usage = "[profile.default]\nrequire_eku = [\"client-auth\"]";
    site::edit(site.folder(), "[profile.default]", usage)?;
    let registrar = site.serve().await?;
    introduce(&site, folder.path(), &manufacturer).await?;
    let lab = Lab { manufacturer, masa, pebble: None, registrar };
    Ok((TestSite { lab, folder }, ca))
}

/// The lies of CAs: those whose refusal is final, or those after which a device is told to come back.
fn lies_of_cas(is_final: bool) -> Vec<Fault> {
    let cards = Fault::ALL.iter().map(|fault| (fault, fault.card()));
    let fits = cards.filter(|(_, card)| card.liar == Liar::Ca && (card.status != 202) == is_final);
    fits.map(|(fault, _)| *fault).collect()
}

#[tokio::test]
async fn every_lie_of_a_ca_that_ends_an_order_gives_the_device_nothing() -> anyhow::Result<()> {
    let (site, ca) = with_lying_ca().await?;
    let faults = lies_of_cas(true);
    assert!(faults.len() >= 20, "{}", faults.len());
    assert_all_refused(&site, Some(&ca), &faults).await?;
    // What was issued wrong is told, each once, and in words that harm nobody.
    let events = json(site.site(), "event list", &["--limit", "1000000"]).await?;
    let events = events.as_array().expect("events are a list");
    let wrong = faults.iter().filter(|fault| fault.card().event == "certificate-mismatch").count();
    let told = events.iter().filter(|event| event["kind"] == "certificate-mismatch").count();
    assert_eq!((told, wrong >= 15), (wrong, true));
    for event in events {
        let is_clean =
            |text: &str| !text.chars().any(|each| each.is_control() || each == '\u{202e}');
        assert!(event["detail"].as_str().is_some_and(is_clean), "{event}");
    }
    Ok(())
}

/// The CA is left alone for a while after each of them, so they are told at four sites at once.
#[tokio::test]
async fn every_lie_of_a_ca_that_ends_no_order_has_the_device_come_back() -> anyhow::Result<()> {
    let faults = lies_of_cas(false);
    let tell = async |faults: &[Fault]| {
        let (site, ca) = with_lying_ca().await?;
        assert_all_refused(&site, Some(&ca), faults).await
    };
    let parts: Vec<&[Fault]> = faults.chunks(faults.len().div_ceil(4)).collect();
    let [first, second, third, fourth] = parts[..] else {
        panic!("{} parts", parts.len());
    };
    tokio::try_join!(tell(first), tell(second), tell(third), tell(fourth))?;
    Ok(())
}

fn key() -> anyhow::Result<EcdsaKey> {
    Ok(EcdsaKey::from_pkcs8_der(KeyPair::generate()?.serialized_der())?)
}

fn name(label: &str) -> String {
    format!("{label}.iot.lab.example")
}

fn csr(label: &str) -> anyhow::Result<Vec<u8>> {
    Ok(CsrRequest::new(&[&name(label)]).sign(&key()?)?)
}

async fn enroll(connection: &mut Connection, csr: Vec<u8>) -> anyhow::Result<Answer> {
    let body = transfer::encode(&csr, transfer::Folding::Never);
    Ok(connection.post("/.well-known/est/simpleenroll", est_media_type::PKCS10, body).await?)
}

#[tokio::test]
async fn refuses_csrs_that_ask_for_what_they_may_not_have_and_orders_nothing() -> anyhow::Result<()>
{
    let Some(site) = site::with_acme().await? else {
        return Ok(());
    };
    let pledge = site.lab.pledge("CSR-1")?;
    let (mut connection, _) = journey::bootstrap(&pledge, site.lab.registrar.address()).await?;
    let own = name("csr-1");
    let request = || CsrRequest::new(&[&own]);
    let mut broken = request().sign(&key()?)?;
    *broken.last_mut().expect("it is not empty") ^= 1;
    // id-ce-certificatePolicies, which no profile gives; cmcRA, which would make a registrar.
    let policies: (&[u8], &[u8]) = (&[0x55, 0x1d, 32], &[0x30, 0]);
    let cmc_ra: (&[u8], &[u8]) = (&[0x55, 0x1d, 37], &[0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 28]);
    let p521 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512)?;
    let foreign_key = rcgen::CertificateParams::new(vec![own.clone()])?.serialize_request(&p521)?;
    let cases = [
        (CsrRequest::new(&[&name("csr-2")]).sign(&key()?)?, 403, "csr-name"),
        (CsrRequest::new(&["csr-1.eviliot.lab.example"]).sign(&key()?)?, 403, "csr-name"),
        (CsrRequest::new(&[&own, "www.example.org"]).sign(&key()?)?, 403, "csr-name"),
        (CsrRequest::new(&[]).with_common_name(&own).sign(&key()?)?, 403, "csr-name"),
        (request().with_common_name("somebody else").sign(&key()?)?, 403, "csr-name"),
        (broken, 400, "csr-signature"),
        (request().with_ca_true().sign(&key()?)?, 400, "csr-extension"),
        (request().with_extension(policies.0, policies.1).sign(&key()?)?, 400, "csr-extension"),
        (request().with_extension(cmc_ra.0, cmc_ra.1).sign(&key()?)?, 400, "csr-extension"),
        (request().with_challenge_password("guess").sign(&key()?)?, 403, "csr-challenge-password"),
        (foreign_key.der().to_vec(), 400, "csr-key"),
        (b"no CSR".to_vec(), 400, "csr-unreadable"),
    ];
    for (csr, status, event) in cases {
        let answer = enroll(&mut connection, csr).await?;
        assert_refused(&site, &answer, status, "", event).await?;
    }
    assert_eq!(site.pebble_counts()?, (0, 0), "no order was made");
    let story = json(site.site(), "device show", &["CSR-1"]).await?;
    assert_eq!(story["enrollments"].as_array().map(Vec::len), Some(0));
    // And the honest twin succeeds.
    let answer = enroll(&mut connection, request().with_common_name(&own).sign(&key()?)?).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(site.pebble_counts()?, (1, 1));
    Ok(())
}
