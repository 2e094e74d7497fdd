//! The sections `[zone."NAME"]`: what each solver needs, and how every wrong value is named with its file and key.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use acme_bridge::ChallengeType;
use brski_registrar::config::check::{Daemon, check};
use brski_registrar::config::{Config, Problem, SolverConfig};
use brski_registrar::store::model::Millis;

const ZONE: &str = r#"zone."iot.example.org""#;

/// A configuration whose zones are written as given.
fn load_in(folder: &Path, zones: &str, listen: &str) -> Result<Config, Vec<Problem>> {
    let text = format!(
        r#"
[listen]
est = "127.0.0.1:0"
{listen}
[identity]
certificate = "registrar.pem"
key = "registrar.key"
domain_ca = "domain-ca.pem"
[issuer.acme]
kind = "acme"
directory = "https://ca.example/dir"
account_key = "account.key"
accept_terms = true
{zones}
[profile.default]
issuer = "acme"
zone = "iot.example.org"
"#
    );
    let file = folder.join("registrar.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(&file)
}

fn load(zones: &str) -> Result<Config, Vec<Problem>> {
    let folder = tempfile::tempdir().unwrap();
    load_in(folder.path(), zones, "dns = \"127.0.0.1:0\"\nhttp01 = \"127.0.0.1:0\"")
}

fn zone(keys: &str) -> Result<Config, Vec<Problem>> {
    load(&format!("[{ZONE}]\n{keys}"))
}

fn solver(keys: &str) -> SolverConfig {
    zone(keys).unwrap().zones["iot.example.org"].solver.clone()
}

#[test]
fn a_zone_is_proven_by_one_type_or_by_the_first_of_several() {
    let config = zone("challenge = \"http-01\"\nsolver = \"built-in\"").unwrap();
    assert_eq!(config.zones["iot.example.org"].challenges, [ChallengeType::Http01]);
    let several = "challenge = [\"dns-account-01\", \"dns-01\"]\nsolver = \"built-in\"";
    let config = zone(several).unwrap();
    let both = [ChallengeType::DnsAccount01, ChallengeType::Dns01];
    assert_eq!(config.zones["iot.example.org"].challenges, both);
}

#[test]
fn what_is_left_out_of_a_solver_has_a_default() {
    let folder = tempfile::tempdir().unwrap();
    let keys = "challenge = \"dns-01\"\nsolver = \"rfc2136\"\nserver = \"192.0.2.53\"\n\
                tsig_key = \"tsig.key\"\nname_servers = [\"ns1.example.net\", \"[2001:db8::1]:5353\"]";
    let listen = "dns = \"127.0.0.1:0\"";
    let config = load_in(folder.path(), &format!("[{ZONE}]\n{keys}"), listen).unwrap();
    let SolverConfig::Rfc2136(updates) = &config.zones["iot.example.org"].solver else { panic!() };
    assert_eq!(
        (updates.server.as_str(), updates.zone.as_str()),
        ("192.0.2.53:53", "iot.example.org")
    );
    assert_eq!(updates.name_servers, ["ns1.example.net:53", "[2001:db8::1]:5353"]);
    assert_eq!(updates.visible_within, Duration::from_secs(60));
    assert_eq!(updates.tsig_key, folder.path().join("tsig.key"));

    let keys = "challenge = \"dns-01\"\nsolver = \"exec\"\nprogram = \"/bin/true\"";
    let SolverConfig::Exec(hook) = solver(keys) else { panic!() };
    assert_eq!((hook.arguments.len(), hook.timeout), (0, Duration::from_secs(60)));
    let keys = "challenge = \"dns-persist-01\"\nsolver = \"manual\"";
    assert!(matches!(solver(keys), SolverConfig::Manual));
}

#[test]
fn an_alias_is_the_zone_that_is_updated_unless_another_is_named() {
    let updated = |more: &str| {
        let keys = format!(
            "challenge = \"dns-01\"\nsolver = \"rfc2136\"\nserver = \"192.0.2.53\"\n\
             tsig_key = \"k\"\nchallenge_alias = \"Acme.example.net\"\n{more}"
        );
        let SolverConfig::Rfc2136(updates) = solver(&keys) else { panic!() };
        updates.zone
    };
    assert_eq!(updated(""), "acme.example.net");
    assert_eq!(updated("update_zone = \"example.net\""), "example.net");
}

/// The keys of a zone are refused with a problem that names the file, this key and the reason.
#[track_caller]
fn assert_named(keys: &str, key: &str, reason: &str) {
    let problems = zone(keys).unwrap_err();
    let place = format!("{ZONE}.{key}");
    let found = problems.iter().find(|problem| problem.key == place);
    let found = found.unwrap_or_else(|| panic!("{keys}: {problems:?}"));
    assert!(found.reason.contains(reason), "{keys}: {}", found.reason);
    assert!(found.file.ends_with("registrar.toml"));
}

#[test]
fn a_wrong_challenge_or_solver_is_named_with_file_and_key() {
    for (challenge, solver, reason) in [
        ("\"dns-02\"", "\"built-in\"", "none of \"dns-01\""),
        ("[]", "\"built-in\"", "is empty"),
        ("[\"dns-01\", \"dns-01\"]", "\"built-in\"", "twice"),
        ("\"http-01\"", "\"exec\"\nprogram = \"p\"", "none of"),
        ("\"tls-alpn-01\"", "\"manual\"", "dns-persist-01"),
    ] {
        assert_named(&format!("challenge = {challenge}\nsolver = {solver}"), "challenge", reason);
    }
    assert_named("challenge = \"dns-01\"\nsolver = \"bind\"", "solver", "none of \"built-in\"");
}

#[test]
fn a_wrong_value_of_any_solver_is_named_with_file_and_key() {
    let rfc2136 = "rfc2136\"\ntsig_key = \"k\"\nserver = \"a\"\n";
    let with = |more: &str| format!("{rfc2136}{more}");
    for (solver, key, reason) in [
        ("built-in\"\nserver = \"x\"".to_owned(), "server", "rfc2136"),
        ("built-in\"\nprogram = \"x\"".into(), "program", "exec"),
        ("built-in\"\nurl = \"x\"".into(), "url", "acme-dns"),
        ("exec\"\nprogram = \"p\"\nrecords = []".into(), "records", "built-in"),
        ("built-in\"\nrecords = [\"ns1 IN A x\"]".into(), "records", "ns1 IN A x"),
        ("rfc2136\"\ntsig_key = \"k\"".into(), "server", "needed"),
        ("rfc2136\"\nserver = \"a\"".into(), "tsig_key", "needed"),
        ("rfc2136\"\ntsig_key = \"k\"\nserver = \"a:b\"".into(), "server", "no DNS server"),
        ("rfc2136\"\ntsig_key = \"k\"\nserver = \"a:70000\"".into(), "server", "no DNS server"),
        (with("name_servers = [\"b c\"]"), "name_servers", "no DNS server"),
        (with("update_zone = \"t.example.org\""), "update_zone", "does not hold"),
        (with("update_zone = \"a..b\""), "update_zone", "no DNS name"),
        (with("propagation_secs = 0"), "propagation_secs", "between 1 and 100"),
        ("exec\"".into(), "program", "needed"),
        ("exec\"\nprogram = \"p\"\ntimeout_secs = 101".into(), "timeout_secs", "between 1 and 100"),
        ("acme-dns\"\ncredentials = \"c\"".into(), "url", "needed"),
        ("acme-dns\"\nurl = \"https://a\"".into(), "credentials", "needed"),
        ("acme-dns\"\nurl = \"http://a\"\ncredentials = \"c\"".into(), "url", "https://"),
    ] {
        assert_named(&format!("challenge = \"dns-01\"\nsolver = \"{solver}"), key, reason);
    }
}

#[test]
fn an_alias_that_leads_nowhere_is_named_with_file_and_key() {
    let acme_dns = "acme-dns\"\nurl = \"https://a\"\ncredentials = \"c\"";
    for (challenge, solver, alias, reason) in [
        ("dns-01", acme_dns, "b.c", "acme-dns"),
        ("dns-01", "built-in\"", "a..b", "no DNS name"),
        ("dns-01", "built-in\"", "acme.example.net", "serves itself"),
        ("http-01", "built-in\"", "a.b", "dns-01"),
    ] {
        let keys = format!(
            "challenge = \"{challenge}\"\nsolver = \"{solver}\nchallenge_alias = \"{alias}\""
        );
        assert_named(&keys, "challenge_alias", reason);
    }
}

#[test]
fn a_zone_that_is_there_twice_or_is_no_name_is_refused() {
    let keys = "challenge = \"dns-01\"\nsolver = \"built-in\"";
    let twice = load(&format!("[{ZONE}]\n{keys}\n[zone.\"IOT.example.org\"]\n{keys}")).unwrap_err();
    assert!(twice[0].reason.contains("twice"), "{twice:?}");
    let none = load(&format!("[{ZONE}]\n{keys}\n[zone.\"_x.example.org\"]\n{keys}")).unwrap_err();
    assert_eq!(none[0].key, "zone.\"_x.example.org\"");
    let unknown = zone(&format!("{keys}\nsolvers = 1")).unwrap_err();
    assert!(unknown[0].reason.contains("did you mean 'solver'?"), "{unknown:?}");
}

#[test]
fn a_listener_is_needed_for_what_the_registrar_answers_itself() {
    let folder = tempfile::tempdir().unwrap();
    for (challenge, key) in [
        ("dns-01", Some("listen.dns")),
        ("dns-persist-01", Some("listen.dns")),
        ("http-01", Some("listen.http01")),
        ("tls-alpn-01", None),
    ] {
        let zone = format!("[{ZONE}]\nchallenge = \"{challenge}\"\nsolver = \"built-in\"");
        let loaded = load_in(folder.path(), &zone, "");
        let found = loaded.err().map(|problems| problems[0].key.clone());
        assert_eq!(found.as_deref(), key, "{challenge}");
    }
    let elsewhere = format!("[{ZONE}]\nchallenge = \"dns-01\"\nsolver = \"exec\"\nprogram = \"p\"");
    assert!(load_in(folder.path(), &elsewhere, "").is_ok());
}

#[test]
fn check_looks_at_the_files_that_a_solver_names() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write("open.key", "hmac-sha256:a:MDEyMzQ1Njc4OWFiY2RlZg==", 0o644);
    write("wrong.key", "hmac-md5:a:MDEyMzQ1Njc4OWFiY2RlZg==", 0o600);
    write("good.key", "hmac-sha256:a:MDEyMzQ1Njc4OWFiY2RlZg==", 0o600);
    write("plain", "#!/bin/sh\n", 0o600);
    write("program", "#!/bin/sh\n", 0o700);
    write("open.json", "{}", 0o604);
    write("wrong.json", "{\"fulldomain\": \"a.b\"}", 0o600);
    let dns = "challenge = \"dns-01\"";
    let rfc2136 = |key: &str| {
        format!("{dns}\nsolver = \"rfc2136\"\nserver = \"127.0.0.1\"\ntsig_key = \"{key}\"")
    };
    let exec = |program: &str| format!("{dns}\nsolver = \"exec\"\nprogram = \"{program}\"");
    let acme_dns = |credentials: &str| {
        format!(
            "{dns}\nsolver = \"acme-dns\"\nurl = \"https://a\"\ncredentials = \"{credentials}\""
        )
    };
    for (keys, key, reason) in [
        (rfc2136("none.key"), "tsig_key", "cannot read"),
        (rfc2136("open.key"), "tsig_key", "chmod 600"),
        (rfc2136("wrong.key"), "tsig_key", "hmac-sha256"),
        (rfc2136("good.key"), "tsig_key", ""),
        (exec("none"), "program", "cannot be started"),
        (exec("plain"), "program", "not executable"),
        (exec("program"), "program", ""),
        (acme_dns("none.json"), "credentials", "cannot read"),
        (acme_dns("open.json"), "credentials", "chmod 600"),
        (acme_dns("wrong.json"), "credentials", "no JSON object"),
    ] {
        let config = load_in(folder.path(), &format!("[{ZONE}]\n{keys}"), "").unwrap();
        let problems = check(&config, Daemon::Running, Millis(0));
        let place = format!("{ZONE}.{key}");
        let found = problems.iter().find(|problem| problem.key == place);
        match (found, reason) {
            (None, "") => {}
            (Some(found), reason) if !reason.is_empty() => {
                assert!(found.reason.contains(reason), "{keys}: {}", found.reason);
            }
            (found, _) => panic!("{keys}: {found:?}"),
        }
    }
}
