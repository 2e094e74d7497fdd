//! `registrar check`: every problem by file and key, and what is allowed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use acme_bridge::Clock as _;
use brski_registrar::clock::SystemClock;
use brski_registrar::config::{Config, agreement};
use brski_registrar::identity::live::LiveIdentity;
use brski_registrar::store::model::{Millis, NodeSettings};
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::{Change, Store as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

use super::{Made, stderr, stdout};

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

#[test]
fn check_names_a_contact_that_no_ca_may_take() {
    let directory = "https://ca.example/dir";
    let arguments = ["--issuer", "acme", "--accept-terms", "--acme-directory", directory];
    let written = "# contact = [\"mailto:pki@example.org\"]";
    for (contact, words) in [
        ("[\"mailto:pki@example.org?subject=hello\"]", "has header fields"),
        ("[\"mailto:a@example.org,b@example.org\"]", "names several addresses"),
        ("[\"pki@example.org\"]", "is no URL, such as \"mailto:pki@example.org\""),
        ("[\"mailto:pki\"]", "is no mail address: it has no '@'"),
        ("[\"mailto:a@b.example\", \"mailto:a@b.example\"]", "is there twice"),
        ("\"mailto:pki@example.org\"", "expected a sequence"),
    ] {
        let made = Made::new(&arguments);
        made.edit(written, &format!("contact = {contact}"));
        let text = made.problems();
        assert!(text.contains(words), "{words}: {text}");
        if !words.contains("sequence") {
            assert!(text.contains("issuer.acme.contact: "), "{text}");
        }
    }
    let made = Made::new(&arguments);
    made.edit(written, "contact = [\"mailto:pki@example.org\", \"tel:+12025550100\"]");
    let output = made.run(&["check"]);
    assert_eq!(stdout(&output), "ok\n", "{}", stderr(&output));
    let told = "issuer.acme.contact: the CA is told of mailto:pki@example.org, tel:+12025550100";
    assert!(stderr(&output).contains(told), "{}", stderr(&output));
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
