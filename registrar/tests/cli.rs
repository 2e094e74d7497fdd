//! The command line as an operator meets it: files, modes, refusals and what they say to do next.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use acme_bridge::{Clock, Spending};
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_registrar::clock::SystemClock;
use brski_registrar::config::{Config, agreement};
use brski_registrar::identity::live::LiveIdentity;
use brski_registrar::identity::read_certificates;
use brski_registrar::keys::{Key, KeyType};
use brski_registrar::store::model::{
    Device, DeviceState, Entry, Id, Identity, IdevidOptions, KnownDevice, Manufacturer,
    MasaOptions, Millis, NodeSettings, SeenIdevid, Sha256,
};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::{Change, Store as _};
use brski_registrar::trail::keeper::Keeper;
use brski_voucher::artefact::{
    Assertion, Binding, Nonce, PledgeRequestFields, RegistrarRequestFields, VoucherFields,
};
use brski_voucher::certificate::{CLIENT_AUTH, CMC_RA, SERVER_AUTH};
use brski_voucher::encoding::Encoding;
use brski_voucher::idevid::SerialNumber;
use brski_voucher::signature::PrivateKey;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, UnixTime};
use tempfile::TempDir;

fn registrar(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_registrar")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder made by `registrar init`.
struct Made {
    _temporary: TempDir,
    folder: PathBuf,
}

impl Made {
    fn new(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("registrar");
        let dir = folder.to_string_lossy().into_owned();
        // Port 0: nothing else may hold a port that a test needs.
        let fixed =
            ["init", "--dir", &dir, "--domain", "iot.example.org", "--listen", "127.0.0.1:0"];
        let all: Vec<&str> = fixed.iter().chain(arguments).copied().collect();
        let output = registrar(&all);
        assert!(output.status.success(), "{}", stderr(&output));
        Self { _temporary: temporary, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn config(&self) -> String {
        self.file("registrar.toml").to_string_lossy().into_owned()
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    /// Puts keys into the section `[notify]`.
    fn notify(&self, keys: &str) {
        self.edit("\ntimeout_secs = 10\n", &format!("\n{keys}\n"));
    }

    fn run(&self, command: &[&str]) -> Output {
        let config = self.config();
        let tail = ["--config", &config];
        registrar(&command.iter().chain(&tail).copied().collect::<Vec<_>>())
    }

    fn problems(&self) -> String {
        let output = self.run(&["check"]);
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        stderr(&output)
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_makes_all_that_check_asks_for() {
    let made = Made::new(&["--name", "registrar.example.org", "--name", "192.0.2.7"]);
    for name in ["domain-ca.key", "device-ca.key", "registrar.key", "registrar.db"] {
        assert_eq!(mode(&made.file(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&made.folder), 0o700);
    let certificate = &read_certificates(&made.file("registrar.pem")).unwrap()[0];
    for usage in [CMC_RA, SERVER_AUTH, CLIENT_AUTH] {
        assert!(certificate.has_extended_key_usage(usage));
    }
    assert!(certificate.subject_key_identifier().is_some());
    assert_eq!(certificate.dns_names(), ["localhost", "registrar.example.org"]);
    assert!(read_certificates(&made.file("domain-ca.pem")).unwrap()[0].is_ca());
    let output = made.run(&["check"]);
    assert_eq!(stdout(&output), "ok\n", "{}", stderr(&output));
}

#[test]
fn init_overwrites_nothing() {
    let made = Made::new(&[]);
    let before = fs::read(made.file("registrar.key")).unwrap();
    let dir = made.folder.to_string_lossy();
    let output = registrar(&["init", "--dir", &dir, "--domain", "iot.example.org"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("domain-ca.pem is there already"), "{}", stderr(&output));
    assert_eq!(fs::read(made.file("registrar.key")).unwrap(), before);
}

#[test]
fn init_says_what_an_acme_ca_needs() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new").to_string_lossy().into_owned();
    let fixed = ["init", "--dir", &dir, "--domain", "iot.example.org", "--issuer", "acme"];
    let url = "https://ca.example/dir";
    for (arguments, words) in [
        (vec![], "--acme-directory"),
        (vec!["--acme-directory", url], "--accept-terms"),
        (vec!["--acme-directory", "http://ca.example", "--accept-terms"], "https://"),
    ] {
        let output = registrar(&fixed.iter().copied().chain(arguments).collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        assert!(!Path::new(&dir).exists(), "nothing is made");
    }
    let domain = registrar(&["init", "--dir", &dir, "--domain", "no name"]);
    assert_eq!(domain.status.code(), Some(2));
}

#[test]
fn the_file_that_init_writes_is_read_with_every_key() {
    let made = Made::new(&[
        "--issuer",
        "acme",
        "--acme-directory",
        "https://ca.example/dir",
        "--accept-terms",
        "--dns-listen",
        "127.0.0.1:0",
    ]);
    let config = Config::load(Path::new(&made.config())).unwrap();
    assert_eq!(config.profiles["default"].issuer, "acme");
    // A public CA logs names, so they show nothing.
    assert_eq!(config.profiles["default"].name, "{opaque}");
    assert_eq!(config.zones.keys().collect::<Vec<_>>(), ["iot.example.org"]);
}

#[test]
fn a_mistyped_key_gets_the_nearest_known_one() {
    let made = Made::new(&[]);
    made.edit("hold_secs", "hold_seconds");
    let text = made.problems();
    assert!(text.contains("unknown field `hold_seconds`"), "{text}");
    assert!(text.contains("did you mean 'hold_secs'?"), "{text}");
}

#[test]
fn check_names_file_and_key_of_each_problem() {
    for (from, to, words) in [
        ("est = \"127.0.0.1:0\"", "est = \"8443\"", "listen.est"),
        ("pin = \"root\"", "pin = \"leaf\"", "identity.pin"),
        ("issuer = \"local\"", "issuer = \"remote\"", "profile.default.issuer"),
        ("[profile.default]", "[profile.other]", "profile.default"),
        ("[profile.default]", "[profile.cacerts]", "profile.cacerts"),
        ("name = \"{serial}\"", "name = \"device\"", "profile.default.name"),
        ("key_types = [\"ec-p256\"", "key_types = [\"ec-p257\"", "profile.default.key_types"),
        ("certificate = \"registrar.pem\"", "certificate = \"nothing.pem\"", "nothing.pem"),
        ("certificate = \"registrar.pem\"", "certificate = \"domain-ca.pem\"", "another key"),
        ("key = \"device-ca.key\"", "key = \"domain-ca.key\"", "issuer.local.key"),
        ("connections = 1000", "connections = 0", "limits.connections"),
        ("# metrics = \"127.0.0.1:9464\"", "metrics = \"9464\"", "listen.metrics"),
        ("level = \"info\"", "level = \"inof\"", "did you mean \"info\"?"),
        ("level = \"info\"", "level = \"a=b=c\"", "log.level"),
        ("format = \"text\"", "format = \"xml\"", "log.format"),
        ("queues_secs = 15", "queues_secs = 0", "metrics.queues_secs"),
        ("certificates_secs = 300", "certificates_secs = 90000", "metrics.certificates_secs"),
        ("\ntimeout_secs = 10", "\ntimeout_secs = 0", "notify.timeout_secs"),
        ("body_octets = 65536", "body_octets = 65537", "limits.body_octets"),
        ("body_timeout_secs = 30", "body_timeout_secs = 0", "limits.body_timeout_secs"),
        ("header_timeout_secs = 30", "header_timeout_secs = 301", "limits.header_timeout_secs"),
        ("handshake_timeout_secs", "handshake_timeout", "handshake_timeout_secs"),
        ("server_keygen = false", "server_keygen = \"no\"", "server_keygen"),
        (
            "# [discovery]",
            "[discovery]\ninterfaces = []",
            "discovery.interfaces: names no interface",
        ),
        ("# [discovery]", "[discovery]\ninterfaces = [\"a/b\"]", "discovery.interfaces"),
        ("# [discovery]", "[discovery]\ninterfaces = [\"absent-0\"]", "no network interface"),
        ("# [discovery]", "[discovery]\ninterfaces = [\"lo\"]", "discovery.port"),
        ("# [discovery]", "[discovery]\ninterfaces = [\"lo\"]\nport = 0", "discovery.port"),
        ("# [discovery]", "[discovery]\ninterfaces = [\"lo\"]\nname = \"\"", "discovery.name"),
        ("# [discovery]", "[discovery]\ninterface = [\"lo\"]", "did you mean 'interfaces'?"),
    ] {
        let made = Made::new(&[]);
        made.edit(from, to);
        let text = made.problems();
        assert!(text.contains(words), "{words}: {text}");
        assert!(text.contains("registrar.toml"), "{text}");
    }
}

#[test]
fn an_unknown_kind_of_event_gets_the_nearest_known_one() {
    for (word, words) in [
        ("voucher-rejcted", "did you mean \"voucher-rejected\"?"),
        ("enrolment-failed", "did you mean \"enrollment-failed\"?"),
        ("fail", "did you mean \"failed\"?"),
        ("certificate-waiting", "is logged, but is no event that is kept"),
        ("", "is no kind of event"),
    ] {
        let made = Made::new(&[]);
        let events = format!("events = [\"failed\", \"csr-name\", {word:?}]");
        made.notify(&format!("{events}\nprogram = [\"/bin/true\"]"));
        let text = made.problems();
        assert!(text.contains("notify.events") && text.contains(words), "{words}: {text}");
        assert!(!text.contains("csr-name\" is"), "{text}");
    }
}

#[test]
fn check_names_what_is_wrong_with_who_is_told() {
    let https = "url = \"https://alerts.example.org/x\"";
    for (keys, words) in [
        ("events = [\"failed\"]", "there is nobody to tell"),
        ("program = [\"/bin/true\"]", "notify.events: is empty"),
        ("events = [\"failed\"]\nprogram = []", "is no absolute path"),
        ("events = [\"failed\"]\nprogram = [\"tell\"]", "\"tell\" is no absolute path"),
        ("events = [\"failed\"]\nprogram = [\"/no/such\"]", "/no/such: No such file"),
        ("events = [\"failed\"]\nprogram = [\"/etc/passwd\"]", "is no program that can be run"),
        ("events = [\"failed\"]\nprogram = [\"/bin\"]", "is no program that can be run"),
        ("events = [\"failed\"]\nurl = \"http://alerts.example.org\"", "begins with https://"),
        ("events = [\"failed\"]\nurl = \"https://a:b@alerts.example\"", "begins with https://"),
        ("events = [\"failed\"]\nurl = \"https:///x\"", "begins with https://"),
        ("token_file = \"open\"", "notify.token_file: is for notify.url"),
        ("ca = \"domain-ca.pem\"", "notify.ca: is for notify.url"),
        (&format!("events = [\"failed\"]\n{https}\nca = \"no.pem\""), "notify.ca"),
        (&format!("events = [\"failed\"]\n{https}\ntoken_file = \"no\""), "notify.token_file"),
        (&format!("events = [\"failed\"]\n{https}\ntoken_file = \"open\""), "chmod 600"),
        (
            &format!("events = [\"failed\"]\n{https}\ntoken_file = \"registrar.key\""),
            "holds no token",
        ),
        ("event = [\"failed\"]", "did you mean 'events'?"),
    ] {
        let made = Made::new(&[]);
        fs::write(made.file("open"), "token").unwrap();
        fs::set_permissions(made.file("open"), fs::Permissions::from_mode(0o640)).unwrap();
        made.notify(keys);
        let output = made.run(&["check"]);
        assert_eq!(output.status.code(), Some(1), "{keys}");
        assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
    }
}

#[test]
fn the_commented_keys_of_the_sample_are_right() {
    let made = Made::new(&[]);
    fs::write(made.file("alerts.token"), "token\n").unwrap();
    fs::set_permissions(made.file("alerts.token"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::copy(made.file("domain-ca.pem"), made.file("alerts-ca.pem")).unwrap();
    for key in ["metrics", "events", "token_file"] {
        made.edit(&format!("# {key} = "), &format!("{key} = "));
    }
    // A zone has a key of this name, too.
    made.edit("# url = \"https://alerts", "url = \"https://alerts");
    made.edit("metrics = \"127.0.0.1:9464\"", "metrics = \"127.0.0.1:0\"");
    made.edit("# ca = \"alerts-ca.pem\"", "ca = \"alerts-ca.pem\"");
    made.edit("# program = [\"/usr/local/bin/tell-operator\"", "program = [\"/bin/true\"");
    let output = made.run(&["check"]);
    assert_eq!(stdout(&output), "ok\n", "{}", stderr(&output));
    let config = Config::load(Path::new(&made.config())).unwrap();
    assert!(config.notify.events.has("x", "failed") && !config.notify.events.has("x", "done"));
    assert!(config.notify.events.has("voucher-rejected", "done"));
    assert!(config.notify.program.is_some() && config.notify.post.is_some());
}

#[cfg(not(feature = "otlp"))]
#[test]
fn spans_need_a_program_that_was_built_for_them() {
    let made = Made::new(&[]);
    made.edit("# otlp_endpoint", "otlp_endpoint");
    let text = made.problems();
    assert!(text.contains("log.otlp_endpoint: this program was built without OTLP"), "{text}");
    assert!(text.contains("--features otlp"), "{text}");
    let serve = made.run(&["serve"]);
    assert_eq!(serve.status.code(), Some(1));
    assert!(stderr(&serve).contains("--features otlp"), "{}", stderr(&serve));
}

#[cfg(feature = "otlp")]
#[test]
fn a_collector_needs_an_address() {
    for address in ["127.0.0.1:4318", "ftp://collector", "http://"] {
        let made = Made::new(&[]);
        let key = format!("otlp_endpoint = {address:?}");
        made.edit("# otlp_endpoint = \"http://127.0.0.1:4318\"", &key);
        let text = made.problems();
        assert!(text.contains("is no address of a collector"), "{text}");
    }
}

#[test]
fn check_warns_when_the_configured_roots_are_more_than_clients_read() {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    let arguments = [
        "--issuer",
        "acme",
        "--acme-directory",
        "https://ca.example.org/directory",
        "--accept-terms",
        "--acme-root",
        roots.to_str().unwrap(),
    ];
    for (count, warns) in [(2, false), (40, true)] {
        let pem: String = (0..count).map(|number| root(&format!("root {number}"))).collect();
        fs::write(&roots, pem).unwrap();
        let output = Made::new(&arguments).run(&["check"]);
        assert_eq!(stdout(&output), "ok\n", "{}", stderr(&output));
        assert_eq!(stderr(&output).contains("warning: "), warns, "{}", stderr(&output));
        assert_eq!(stderr(&output).contains("/cacerts has"), warns, "{}", stderr(&output));
    }
}

#[test]
fn check_warns_of_a_certificate_that_is_for_no_server() {
    let made = Made::new(&[]);
    let output = made.run(&["check"]);
    assert!(!stderr(&output).contains("serverAuth"), "{}", stderr(&output));
    // RFC 8995 §5.5.4 asks for cmcRA alone.
    certify(&made, ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 28]));
    let output = made.run(&["check"]);
    assert_eq!(stdout(&output), "ok\n", "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("identity.certificate: lacks") && told.contains("serverAuth"), "{told}");
    // Without cmcRA no MASA gives it a voucher.
    certify(&made, ExtendedKeyUsagePurpose::ServerAuth);
    assert!(made.problems().contains("lacks the extended key usage cmcRA"));
}

/// Gives the registrar's key a certificate of another domain CA, for one usage.
fn certify(made: &Made, usage: ExtendedKeyUsagePurpose) {
    let key = KeyPair::from_pem(&fs::read_to_string(made.file("registrar.key")).unwrap()).unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut parameters = CertificateParams::default();
    parameters.extended_key_usages = vec![usage];
    let certificate = parameters.signed_by(&key, &authority).unwrap();
    fs::write(made.file("registrar.pem"), certificate.pem()).unwrap();
    fs::write(made.file("domain-ca.pem"), authority.pem()).unwrap();
}

/// A root certificate, PEM.
fn root(name: &str) -> String {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let made = Made::new(&[]);
    fs::set_permissions(made.file("registrar.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let text = made.problems();
    assert!(text.contains("chmod 600"), "{text}");
    let serve = made.run(&["serve"]);
    assert_eq!(serve.status.code(), Some(1));
    assert!(stderr(&serve).contains("chmod 600"), "{}", stderr(&serve));
}

#[test]
fn manufacturers_are_added_and_listed_without_a_daemon() {
    let made = Made::new(&[]);
    let ca = made.file("device-ca.pem").to_string_lossy().into_owned();
    let add = |name: &str, rest: &[&str]| {
        let fixed = ["manufacturer", "add", "--name", name, "--ca", &ca];
        made.run(&fixed.iter().chain(rest).copied().collect::<Vec<_>>())
    };
    let output =
        add("pumps", &["--masa-url", "masa.example.com:9443", "--masa-host", "masa.example.com"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let list = stdout(&made.run(&["manufacturer", "list"]));
    assert!(list.contains("pumps") && list.contains("masa.example.com"), "{list}");
    let again = add("pumps", &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("already"), "{}", stderr(&again));
    for (name, rest) in [
        ("a b", vec![]),
        ("x", vec!["--masa-url", "https://a@b"]),
        ("x", vec!["--masa-host", "a/b"]),
    ] {
        let refused = add(name, &rest);
        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    }
    let events = stdout(&made.run(&["event", "list", "--json"]));
    assert_eq!(events.matches("manufacturer-added").count(), 1);
}

#[test]
fn settings_of_a_manufacturer_are_changed_one_by_one() {
    let made = Made::new(&[]);
    let ca = made.file("device-ca.pem").to_string_lossy().into_owned();
    let added = made.run(&[
        "manufacturer",
        "add",
        "--name",
        "pumps",
        "--ca",
        &ca,
        "--masa-url",
        "masa.example.com",
        "--serial-from",
        "common-name=^SN (.+)$",
        "--accept-ended",
    ]);
    assert!(added.status.success(), "{}", stderr(&added));
    let set = |rest: &[&str]| made.run(&[&["manufacturer", "set"], rest].concat());
    let json = |output: &std::process::Output| -> serde_json::Value {
        assert!(output.status.success(), "{}", stderr(output));
        serde_json::from_str(&stdout(output)).unwrap()
    };
    let changed = json(&set(&["pumps", "--accept-ended", "no", "--json"]));
    assert_eq!(changed["idevid"]["accept_ended"], false);
    assert_eq!(changed["idevid"]["serial"][0]["pattern"], "^SN (.+)$", "it stays");
    assert_eq!(changed["masa_url"], "masa.example.com");
    let changed = json(&set(&[
        "pumps",
        "--serial-from",
        "hardware-module-name",
        "--serial-from",
        "subject-serial-number",
        "--masa-url",
        "idevid",
        "--masa-host",
        "a.example",
        "--masa-host",
        "b.example",
        "--audit-log",
        "off",
        "--est-without-brski",
        "yes",
        "--voucher-ca",
        &ca,
        "--masa-ca",
        &ca,
        "--json",
    ]));
    assert_eq!(changed["idevid"]["serial"].as_array().unwrap().len(), 2);
    assert_eq!((&changed["masa_url"], &changed["masa"]["audit_log"]), (&().into(), &"off".into()));
    assert_eq!(
        (&changed["masa_hosts"][1], &changed["est_without_brski"]),
        (&"b.example".into(), &true.into())
    );
    let told = set(&["pumps", "--masa-host", "any", "--audit-log", "configured", "--ca", &ca]);
    assert!(stdout(&told).starts_with("changed manufacturer pumps ("), "{}", stderr(&told));
    let list = json(&made.run(&["manufacturer", "list", "--json"]));
    assert_eq!(list[0]["masa_hosts"], serde_json::json!([]));
    assert_eq!(list[0]["masa"]["audit_log"], serde_json::Value::Null);
    let events = stdout(&made.run(&["event", "list", "--json"]));
    assert_eq!(events.matches("manufacturer-changed").count(), 3);
    assert!(events.contains("serial numbers from hardware-module-name, subject-serial-number"));
}

#[test]
fn settings_that_are_none_change_nothing_of_a_manufacturer() {
    let made = Made::new(&[]);
    let ca = made.file("device-ca.pem").to_string_lossy().into_owned();
    let added = made.run(&["manufacturer", "add", "--name", "pumps", "--ca", &ca]);
    assert!(added.status.success(), "{}", stderr(&added));
    let before = stdout(&made.run(&["manufacturer", "list", "--json"]));
    let list = made.file("list.csv").to_string_lossy().into_owned();
    let listed = format!("list={list}");
    for (content, rest, code, words) in [
        ("", vec!["valves", "--accept-ended", "yes"], 1, "no manufacturer \"valves\""),
        ("", vec!["pumps"], 2, "nothing is to be changed"),
        ("", vec!["pumps", "--accept-ended", "perhaps"], 2, "perhaps"),
        ("", vec!["pumps", "--serial-from", "somewhere"], 1, "none of subject-serial-number"),
        ("", vec!["pumps", "--serial-from", "subject=("], 2, "cannot be used"),
        ("", vec!["pumps", "--serial-from", "common-name"], 1, "none of"),
        ("", vec!["pumps", "--masa-host", "a/b"], 2, "neither HOST"),
        ("", vec!["pumps", "--masa-url", "https://a@b"], 2, "does not belong"),
        ("", vec!["pumps", "--serial-from", &listed], 2, "0 devices"),
        ("P-1\n", vec!["pumps", "--serial-from", &listed], 1, "line 1: there is no comma"),
        ("0a,P-1\n", vec!["pumps", "--serial-from", &listed], 1, "line 1: it does not begin"),
    ] {
        fs::write(&list, content).unwrap();
        let refused = made.run(&[&["manufacturer", "set"], rest.as_slice()].concat());
        assert_eq!(refused.status.code(), Some(code), "{rest:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(words), "{rest:?}: {}", stderr(&refused));
    }
    assert_eq!(stdout(&made.run(&["manufacturer", "list", "--json"])), before);
    let events = stdout(&made.run(&["event", "list", "--json"]));
    assert!(!events.contains("manufacturer-changed"), "{events}");
}

#[test]
fn an_unknown_device_is_a_failure_that_says_where_to_look() {
    let made = Made::new(&[]);
    let output = made.run(&["device", "show", "nobody"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("registrar device list"), "{}", stderr(&output));
    let status = made.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    assert!(stderr(&status).contains("registrar serve"), "{}", stderr(&status));
}

#[tokio::test]
async fn an_ambiguous_device_is_a_usage_error_with_the_candidates() {
    let made = Made::new(&[]);
    {
        let store = SqliteStore::open(&made.file("registrar.db"), "test").unwrap();
        for (number, manufacturer) in [(1, "pumps"), (2, "valves")] {
            let (manufacturer, device) = twin(number, manufacturer);
            let changes = vec![Change::AddManufacturer(manufacturer), Change::AddDevice(device)];
            store.commit(changes, Vec::new()).await.unwrap();
        }
    }
    let output = made.run(&["device", "show", "TWIN"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    for number in [1, 2] {
        let (manufacturer, device) = twin(number, "");
        assert!(text.contains(manufacturer.id.as_str().get(..4).unwrap()), "{text}");
        assert!(text.contains(device.device.name.as_deref().unwrap()), "{text}");
    }
    let (_, first) = twin(1, "");
    let output = made.run(&["device", "show", first.device.name.as_deref().unwrap(), "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains(first.device.id.as_str()), "{}", stdout(&output));
}

/// A device of a manufacturer of its own, with the serial number that all of them have.
fn twin(number: u8, name: &str) -> (Manufacturer, KnownDevice) {
    let (id, at) = (Id::from_random([number; 16]), Millis(1));
    let manufacturer = Manufacturer {
        id: id.clone(),
        name: name.to_owned(),
        anchors: Vec::new(),
        masa_url: None,
        masa_anchors: Vec::new(),
        masa_hosts: Vec::new(),
        voucher_anchors: Vec::new(),
        masa: MasaOptions::default(),
        idevid: IdevidOptions::default(),
        entry: Entry::Voucher,
        created_at: at,
    };
    let device = Device {
        id: id.clone(),
        name: Some(format!("twin-{number}.iot.example.org")),
        profile: "default".to_owned(),
        site: None,
        state: DeviceState::Admitted,
        created_at: at,
        updated_at: at,
    };
    let identity = Identity::Idevid {
        manufacturer: id,
        serial: "TWIN".to_owned(),
        seen: Some(SeenIdevid { spki: Sha256::of(&[number]), certificate: vec![number].into() }),
    };
    (manufacturer, KnownDevice { device, identity })
}

#[test]
fn inspect_says_what_a_file_is() {
    let made = Made::new(&[]);
    let output = registrar(&["inspect", &made.file("registrar.pem").to_string_lossy()]);
    assert!(stdout(&output).contains("localhost"), "{}", stdout(&output));
    let output = registrar(&["inspect", &made.config()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is not a voucher, a voucher request"), "{}", stderr(&output));
    let output = registrar(&["inspect", &made.file("nothing").to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1));
}

/// Runs `inspect --json` on octets in a file; gives the exit code and the object.
fn inspected(octets: &[u8], name: &str, arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, octets).unwrap();
    let file = file.to_string_lossy();
    let all: Vec<&str> = ["inspect", &file, "--json"].iter().chain(arguments).copied().collect();
    let output = registrar(&all);
    let object = serde_json::from_slice(&output.stdout);
    (output.status.code(), object.unwrap_or_else(|_| panic!("{}", stderr(&output))))
}

#[test]
fn inspect_decodes_and_verifies_artefacts_in_each_encoding() {
    let made = Made::new(&[]);
    let anchor = made.file("domain-ca.pem").to_string_lossy().into_owned();
    let foreign = made.file("device-ca.pem").to_string_lossy().into_owned();
    let own = read_certificates(&made.file("registrar.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(made.file("registrar.key")).unwrap();
    let (signer, now) = (PrivateKey::from_der(&key).unwrap(), UnixTime::now());
    let voucher = VoucherFields {
        assertion: Assertion::Logged,
        serial_number: SerialNumber::parse("X-1").unwrap(),
        binding: Binding::ExpiresOn(now),
        created_on: now,
        idevid_issuer: None,
        pinned_domain_cert: own[0].der().clone(),
        domain_cert_revocation_checks: None,
    };
    for (encoding, word) in
        [(Encoding::Cms, "cms"), (Encoding::Jws, "jws"), (Encoding::Cose, "cose")]
    {
        let octets = voucher.sign_as(encoding, &signer, &own, now).unwrap();
        let (code, seen) = inspected(&octets, "file", &[]);
        assert_eq!((code, &seen["verified"]), (Some(0), &serde_json::Value::Null));
        assert_eq!(
            (seen["kind"].as_str(), seen["encoding"].as_str()),
            (Some("voucher"), Some(word))
        );
        assert_eq!(seen["fields"]["serial-number"], "X-1");
        assert_eq!(seen["forgiven"], serde_json::json!([]));
        let (code, seen) = inspected(&octets, "file", &["--trust", &anchor]);
        assert_eq!((code, &seen["verified"]), (Some(0), &true.into()), "{word}");
        let (code, seen) = inspected(&octets, "file", &["--trust", &foreign]);
        assert_eq!((code, &seen["verified"]), (Some(1), &false.into()), "{word}");
        let later = ["--trust", &anchor, "--at", "2099-01-01T00:00:00Z"];
        assert_eq!(inspected(&octets, "file", &later).0, Some(1));
    }
    let octets = voucher.sign(&signer, &own, now).unwrap();
    let folded = format!("{}\n", STANDARD.encode(&octets));
    let (code, seen) = inspected(folded.as_bytes(), "file", &["--trust", &anchor]);
    assert_eq!((code, &seen["forgiven"]), (Some(0), &serde_json::json!(["base64-body"])));
}

#[test]
fn inspect_tells_the_kinds_apart() {
    let made = Made::new(&[]);
    let own = read_certificates(&made.file("registrar.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(made.file("registrar.key")).unwrap();
    let (signer, now) = (PrivateKey::from_der(&key).unwrap(), UnixTime::now());
    let serial = SerialNumber::parse("X-1").unwrap();
    let nonce = Nonce::from_random([1; 16]);
    let pledge = PledgeRequestFields {
        assertion: Assertion::Proximity,
        serial_number: serial.clone(),
        nonce: nonce.clone(),
        created_on: None,
        proximity_registrar_cert: own[0].der().clone(),
    };
    let pledge = pledge.sign(&signer, &own, now).unwrap();
    let registrar = RegistrarRequestFields {
        assertion: None,
        serial_number: serial,
        nonce: None,
        created_on: now,
        idevid_issuer: vec![4, 0],
        prior_signed_voucher_request: None,
    };
    let registrar = registrar.sign_as(Encoding::Cose, &signer, &own, now).unwrap();
    let log = br#"{"version":"1","events":[],"truncation":{"arbitrary":"2"}}"#;
    let status = br#"{"version":1,"status":false,"reason":"no"}"#;
    for (octets, name, kind, encoding) in [
        (&pledge[..], "file", "pledge-request", "cms"),
        (&registrar, "file", "registrar-request", "cose"),
        (log, "file", "audit-log", "json"),
        (status, "file", "voucher-status", "json"),
        (status, "enrollstatus.json", "enroll-status", "json"),
    ] {
        let (code, seen) = inspected(octets, name, &[]);
        assert_eq!(code, Some(0));
        assert_eq!(
            (seen["kind"].as_str(), seen["encoding"].as_str()),
            (Some(kind), Some(encoding))
        );
        for key in ["fields", "signers", "verified", "forgiven"] {
            assert!(seen.get(key).is_some(), "{key}");
        }
    }
    let unusable = registrar_with_stdin(&["inspect", "-"], b"hello");
    assert_eq!(unusable.status.code(), Some(2));
    let there = registrar_with_stdin(&["inspect", "-"], status);
    assert!(stdout(&there).starts_with("voucher-status in json"), "{}", stdout(&there));
}

fn registrar_with_stdin(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_registrar"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn orders_and_accounts_without_a_daemon() {
    let made = Made::new(&[]);
    let listed = made.run(&["order", "list"]);
    assert_eq!(
        stdout(&listed),
        "ID  STATE  ISSUER  NAMES  TAKEN  PROBLEM\n",
        "{}",
        stderr(&listed)
    );
    assert_eq!(stdout(&made.run(&["order", "list", "--json"])), "[]\n");
    for (arguments, code, words) in [
        (vec!["order", "list", "--state", "lost"], 2, "states: intended"),
        (vec!["order", "list", "--device", "nobody"], 1, "device list"),
        (vec!["order", "show", "../devices"], 1, "there is no order"),
        (vec!["order", "retry", "x"], 1, "order list"),
        (vec!["order", "cancel", "x"], 1, "order list"),
        (vec!["acme", "account", "show", "local"], 1, "there is none"),
        (vec!["acme", "account", "rotate-key", "local"], 1, "kind = \"acme\""),
        (vec!["acme", "account", "deactivate", "local"], 1, "kind = \"acme\""),
    ] {
        let output = made.run(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{arguments:?} {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn check_warns_of_usages_that_an_issuer_will_not_give() {
    let made = Made::new(&[]);
    made.edit("# require_eku = [", "require_eku = [");
    let output = made.run(&["check"]);
    assert!(
        !stderr(&output).contains("require_eku"),
        "the local issuer gives it: {}",
        stderr(&output)
    );
    made.edit("[\"server-auth\", \"client-auth\"]", "[\"server-auth\"]");
    let output = made.run(&["check"]);
    assert!(stderr(&output).contains("profile.default.require_eku"), "{}", stderr(&output));
    assert!(stderr(&output).contains("issuer-failed"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "ok\n", "it is a warning");
    for (directory, root, words) in [
        ("https://acme-v02.api.letsencrypt.org/directory", "", Some("is a public CA")),
        ("https://ca.example/dir", "", Some("the operating system's")),
        ("https://letsencrypt.org.ca.example/dir", "root = \"domain-ca.pem\"\n", None),
    ] {
        let made =
            Made::new(&["--issuer", "acme", "--accept-terms", "--acme-directory", directory]);
        made.edit("# require_eku = [", "require_eku = [");
        made.edit("[issuer.acme]\n", &format!("[issuer.acme]\n{root}"));
        let said = stderr(&made.run(&["check"]));
        match words {
            None => assert!(!said.contains("require_eku"), "{said}"),
            Some(words) => {
                assert!(said.contains(words) && said.contains("certificate-mismatch"), "{said}");
            }
        }
    }
}

/// Limits that are full again are forgotten, as many as there are.
#[tokio::test]
async fn limits_that_are_full_again_are_removed_in_small_steps() {
    let made = Made::new(&[]);
    let config = Config::load(&made.file("registrar.toml")).unwrap();
    let store = Arc::new(SqliteStore::open(&made.file("registrar.db"), "node").unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let spend = |number: usize, after: i64| {
        Change::SpendQuota(Spending { bucket: format!("ca/name/{number}"), before: None, after })
    };
    let later = clock.now() + 3_600_000;
    store.commit((0..1200).map(|number| spend(number, 1000)).collect(), vec![]).await.unwrap();
    store.commit(vec![spend(9999, later)], vec![]).await.unwrap();
    let now = Millis(clock.now());
    let identity = LiveIdentity::open(&config.identity, &*store, now).await.unwrap();
    let identity = Arc::new(identity);
    let keeper = Keeper {
        store: Arc::<SqliteStore>::clone(&store),
        clock,
        identity,
        node: "node".to_owned(),
        config: Arc::new(ArcSwap::from_pointee(config)),
    };
    keeper.prune().await.unwrap();
    assert_eq!(store.full_quotas(Millis(i64::MAX), 9).await.unwrap(), 1);
    assert_eq!(store.quotas(&["ca/name/9999".to_owned()]).await.unwrap(), [Some(later)]);
}

#[test]
fn wrong_files_and_names_are_refused_with_what_to_do() {
    let made = Made::new(&[]);
    let folder = made.folder.to_string_lossy().into_owned();
    let output = registrar(&["device", "list", "--config", &folder]);
    assert!(stderr(&output).contains("name the file in it"), "{}", stderr(&output));
    let key = made.file("text.toml");
    fs::write(&key, [0xff, 0xfe, 0x00]).unwrap();
    let output = registrar(&["check", "--config", &key.to_string_lossy()]);
    assert!(stderr(&output).contains("UTF-8") && !stderr(&output).contains("init"));
    let empty = [
        vec!["device", "show", ""],
        vec!["device", "replace", "old", ""],
        vec!["certificate", "show", ""],
        vec!["approval", "grant", ""],
        vec!["credential", "revoke", ""],
        vec!["order", "show", ""],
        vec!["acme", "account", "show", ""],
    ];
    for (arguments, words) in [
        (vec!["event", "list", "--kind", "device-lost"], "lists all kinds"),
        (vec!["event", "list", "--verdict", "maybe"], "verdicts: done"),
    ]
    .into_iter()
    .chain(empty.into_iter().map(|arguments| (arguments, "it is empty")))
    {
        let output = made.run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?} {}", stderr(&output));
    }
}

#[test]
fn a_database_that_is_missing_or_another_thing_is_told_and_not_made() {
    let made = Made::new(&[]);
    let (file, away) = (made.file("registrar.db"), made.file("away.db"));
    fs::rename(&file, &away).unwrap();
    let output = made.run(&["device", "list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("restore a backup"), "{}", stderr(&output));
    assert!(!file.exists(), "a command makes no database");
    let output = made.run(&["check"]);
    assert!(stderr(&output).contains("'serve' makes an empty database"), "{}", stderr(&output));
    for content in ["no database", "no database at all, and a longer text"] {
        fs::write(&file, content).unwrap();
        assert!(made.problems().contains("it is not a database"));
        let output = made.run(&["device", "list"]);
        assert!(stderr(&output).contains("not a database"), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(&file).unwrap(), content, "and it is left as it is");
    }
    fs::rename(&away, &file).unwrap();
    assert_eq!(stdout(&made.run(&["check"])), "ok\n");
}

#[tokio::test]
async fn check_asks_the_store_for_the_settings_of_other_nodes() {
    let made = Made::new(&[]);
    let said = stderr(&made.run(&["check"]));
    assert!(!said.contains("devices may meet any node"), "nobody else is there: {said}");
    let config = Config::load(&made.file("registrar.toml")).unwrap();
    let identity = LiveIdentity::of_files(&config.identity, Millis(SystemClock.now())).unwrap();
    let own = agreement::statement(&config, identity.key().spki_der());
    let told = |node: &str, minutes_ago: i64, changed: &[(&str, Option<&str>)]| {
        let mut settings = own.clone();
        for (key, value) in changed {
            match value {
                Some(value) => settings.insert((*key).to_owned(), (*value).to_owned()),
                None => settings.remove(*key),
            };
        }
        let at = Millis(SystemClock.now() - minutes_ago * 60_000);
        Change::TellSettings(NodeSettings { node: node.to_owned(), at, settings })
    };
    let pin = ("identity.pin", Some("\"ee\""));
    let another = [
        pin,
        ("policy.unexpected", None),
        ("danger.accept_any_device_as", Some("\"\u{1b}[2Jany\"")),
    ];
    let rows = vec![
        told("another", 1, &another),
        told("alike", 1, &[]),
        told("gone", 10, &[pin]),
        told("registrar", 0, &[pin]),
    ];
    let store = SqliteStore::open(&made.file("registrar.db"), "registrar").unwrap();
    store.commit(rows, Vec::new()).await.unwrap();
    // Also beside a process that has the store open.
    for store in [Some(store), None] {
        let output = made.run(&["check"]);
        assert_eq!(stdout(&output), "ok\n", "{}", stderr(&output));
        let said = stderr(&output);
        let found: Vec<&str> = said.lines().filter(|line| line.contains("any node")).collect();
        let file = made.config();
        let line = |text: &str| format!("warning: {file}: {text}: devices may meet any node");
        let expected = [
            line(
                "danger.accept_any_device_as is left out, and \"\\u{1b}[2Jany\" at the node another",
            ),
            line("identity.pin is \"root\", and \"ee\" at the node another"),
            line("policy.unexpected is \"admit\", and left out at the node another"),
        ];
        assert_eq!(found, expected);
        drop(store);
    }
}

#[test]
fn init_makes_keys_of_the_kind_that_is_asked_for() {
    for (word, kind) in
        [("ec-p256", KeyType::EcP256), ("ec-p384", KeyType::EcP384), ("rsa-2048", KeyType::Rsa2048)]
    {
        let made = Made::new(&["--key-type", word]);
        for name in ["registrar.key", "domain-ca.key", "device-ca.key"] {
            assert_eq!(Key::read(&made.file(name)).unwrap().kind(), kind, "{name}");
        }
        assert_eq!(stdout(&made.run(&["check"])), "ok\n");
    }
    let output =
        registrar(&["init", "--key-type", "ec-p521", "--dir", "x", "--domain", "x.example"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("ec-p256, ec-p384, rsa-2048"), "{}", stderr(&output));
}

#[test]
fn check_says_when_the_other_nodes_cannot_be_asked() {
    let made = Made::new(&[]);
    let url = made.file("postgres.url");
    // Nobody listens on the discard port of this machine, or speaks PostgreSQL there.
    fs::write(&url, "postgres://somebody:pass-4711@127.0.0.1:9/registrar\n").unwrap();
    fs::set_permissions(&url, fs::Permissions::from_mode(0o600)).unwrap();
    made.edit("path = \"registrar.db\"", "url_file = \"postgres.url\"\nnode = \"one\"");
    let said = stderr(&made.run(&["check"]));
    assert!(said.contains("the other nodes' settings are not known: cannot open"), "{said}");
    assert!(said.contains("registrar at 127.0.0.1") && !said.contains("4711"), "{said}");
}

#[test]
fn every_command_has_help() {
    for command in [
        vec!["init"],
        vec!["serve"],
        vec!["check"],
        vec!["manufacturer", "add"],
        vec!["manufacturer", "set"],
        vec!["manufacturer", "list"],
        vec!["device", "list"],
        vec!["device", "show"],
        vec!["event", "list"],
        vec!["order", "list"],
        vec!["order", "show"],
        vec!["order", "retry"],
        vec!["order", "cancel"],
        vec!["acme", "account", "show"],
        vec!["acme", "account", "rotate-key"],
        vec!["acme", "account", "deactivate"],
        vec!["status"],
        vec!["inspect"],
    ] {
        let all: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let output = registrar(&all);
        assert!(output.status.success());
        assert!(stdout(&output).lines().next().is_some_and(|line| line.len() > 10), "{command:?}");
    }
}

/// A console that people log in to elsewhere. `keys`: those of the section.
fn openid(keys: &str) -> Made {
    let made = Made::new(&[]);
    made.edit("# admin = \"0.0.0.0:8444\"", "admin = \"127.0.0.1:0\"");
    made.edit("# console = true", "console = true");
    made.edit("\n[store]\n", &format!("\n[admin.openid]\n{keys}\n\n[store]\n"));
    made
}

const OPENID: &str = "issuer = \"https://sso.example.org\"\nclient_id = \"registrar\"\n\
    console_url = \"https://registrar.example.org:8444\"\nroles = { staff = \"viewer\" }";

#[cfg(not(feature = "openid"))]
#[test]
fn log_in_elsewhere_needs_a_program_that_was_built_for_it() {
    let text = openid(OPENID).problems();
    assert!(text.contains("admin.openid: this program was built without OpenID"), "{text}");
    assert!(text.contains("--features openid"), "{text}");
}

#[cfg(feature = "openid")]
#[test]
fn each_mistake_in_log_in_elsewhere_is_named_with_its_key() {
    let output = openid(OPENID).run(&["check"]);
    assert_eq!(stdout(&output), "ok\n", "{}", stderr(&output));
    for (right, wrong, words) in [
        ("https://sso", "http://sso", "admin.openid.issuer: \"http://sso.example.org\" is no"),
        ("https://sso", "https://a:b@sso", "admin.openid.issuer: "),
        (":8444", ":8444/console", "admin.openid.console_url: ends after host and port"),
        ("\"registrar\"", "\"\"", "admin.openid.client_id: is empty"),
        ("\"viewer\"", "\"root\"", "admin.openid.roles.staff: "),
        ("{ staff = \"viewer\" }", "{}", "admin.openid.roles: nobody would get in"),
        ("roles", "claim = \"\"\nroles", "admin.openid.claim: is empty"),
        ("roles", "scopes = [\"a b\"]\nroles", "admin.openid.scopes: \"a b\" is no scope"),
        ("roles", "ca = \"nosuch.pem\"\nroles", "admin.openid.ca: "),
        ("roles", "client_secret_file = \"no\"\nroles", "admin.openid.client_secret_file: "),
        ("client_id", "client", "unknown field"),
    ] {
        let text = openid(&OPENID.replacen(right, wrong, 1)).problems();
        assert!(text.contains(words) && text.contains("registrar.toml"), "{wrong}: {text}");
    }
    let made = openid(OPENID);
    made.edit("\nconsole = true", "\nconsole = false");
    made.edit("admin = \"127.0.0.1:0\"", "");
    assert!(made.problems().contains("admin.openid: is for the console"));
    let made = openid(&format!("client_secret_file = \"secret\"\n{OPENID}"));
    fs::write(made.file("secret"), "").unwrap();
    fs::set_permissions(made.file("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(made.problems().contains("a secret has 1 to 4096 octets, not 0"));
    fs::set_permissions(made.file("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(made.problems().contains("admin.openid.client_secret_file: "));
}
