//! `registrar init`: what it makes, and what it leaves alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use brski_registrar::config::Config;
use brski_registrar::identity::read_certificates;
use brski_registrar::keys::{Key, KeyType};
use brski_voucher::certificate::{CLIENT_AUTH, CMC_RA, SERVER_AUTH};

use super::{Made, mode, registrar, stderr, stdout};

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
