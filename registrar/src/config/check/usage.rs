//! Usages that a profile requires and that its issuer is known not to give: told before a certificate is revoked for it.

use crate::config::usage::{CLIENT_AUTH, SERVER_AUTH};
use crate::config::{AcmeConfig, Config, IssuerConfig, Problem, Profile};

/// Hosts of directories of public CAs, all of which issue for TLS servers alone.
const PUBLIC: [&str; 7] = [
    "letsencrypt.org",
    "pki.goog",
    "zerossl.com",
    "ssl.com",
    "buypass.com",
    "sectigo.com",
    "digicert.com",
];

/// A warning for each profile whose requirement cannot hold.
pub(super) fn warnings(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    for (name, profile) in &config.profiles {
        for issuer in std::iter::once(&profile.issuer).chain(&profile.fallback) {
            let Some(reason) =
                config.issuers.get(issuer).and_then(|it| lacking(profile, issuer, it))
            else {
                continue;
            };
            let key = format!("profile.{name}.require_eku");
            found.push(Problem { file: config.file.clone(), key, reason });
        }
    }
    found
}

/// Why certificates of this issuer will lack a usage that the profile requires, as far as that is known.
fn lacking(profile: &Profile, name: &str, issuer: &IssuerConfig) -> Option<String> {
    match issuer {
        IssuerConfig::Acme(acme) => {
            let why = public(acme)?;
            let usage = profile.require_eku.iter().find(|usage| *usage != SERVER_AUTH)?;
            Some(format!(
                "issuer.{name} will not give {}: {why}, and public CAs issue for TLS servers alone; \
                 each certificate would be revoked with the event 'certificate-mismatch', and its device get none",
                word(usage)
            ))
        }
        // The local issuer gives what the CSR asks for and the profile allows.
        IssuerConfig::Local(_) => {
            let usage =
                profile.require_eku.iter().find(|each| !profile.allow_eku.contains(each))?;
            Some(format!(
                "issuer.{name} will not give {}: allow_eku does not have it; \
                 each enrollment would fail with the event 'issuer-failed'",
                word(usage)
            ))
        }
    }
}

/// Why a CA is taken for a public one.
fn public(acme: &AcmeConfig) -> Option<String> {
    let host = acme.directory.strip_prefix("https://")?.split(['/', ':']).next()?;
    let host = host.to_ascii_lowercase();
    let known = PUBLIC.iter().any(|known| {
        host.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    match (known, &acme.root) {
        (true, _) => Some(format!("{host} is a public CA")),
        (false, None) => Some("its root is one of the operating system's".to_owned()),
        (false, Some(_)) => None,
    }
}

fn word(usage: &str) -> String {
    match usage {
        CLIENT_AUTH => format!("client-auth ({usage})"),
        other => other.to_owned(),
    }
}
