//! Everything that `serve` would find wrong, found before: the files that a configuration names, and the addresses.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use acme_bridge::account::check_external_account;
use acme_bridge::solver::acme_dns::Registration;
use acme_bridge::solver::rfc2136::TsigKey;
use brski_est::certs_only;
use brski_est::transfer::{self, Folding};
use brski_voucher::certificate::{Certificate, SERVER_AUTH};
use brski_voucher::trust::ValidityTime;

use super::{
    AcmeConfig, Config, Database, IssuerConfig, PostConfig, Problem, ProgramConfig, ServerFiles,
    ServerKeygen, SolverConfig, danger,
};
use crate::admin::registry::Registry;
use crate::clock::unix_time;
use crate::identity::{RegistrarIdentity, read_certificates, read_key};
use crate::keys::{Key, KeyPlace};
use crate::notify::token::Token;
use crate::store::model::Millis;
use crate::store::sqlite::require_database;

#[cfg(feature = "openid")]
mod openid;
mod usage;

/// How long the body of `/cacerts` may be, in characters of base64, for clients that read it at once.
const CA_CERTS_CHARACTERS: usize = 12 * 1024;

/// Whether a daemon runs on this configuration, which then holds its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Daemon {
    /// It runs.
    Running,
    /// It does not.
    Stopped,
}

/// Checks what a configuration refers to.
#[must_use]
pub fn check(config: &Config, daemon: Daemon, now: Millis) -> Vec<Problem> {
    let mut problems = Problems { config, found: Vec::new() };
    problems.identity(now);
    problems.admin();
    #[cfg(feature = "openid")]
    problems.found.extend(openid::problem(config));
    problems.discovery();
    for (name, issuer) in &config.issuers {
        match issuer {
            IssuerConfig::Local(local) => {
                problems.device_ca(name, &local.certificate, &local.key);
            }
            IssuerConfig::Acme(acme) => problems.acme(name, acme),
        }
    }
    for (name, zone) in &config.zones {
        problems.zone(&format!("zone.{name:?}"), &zone.solver);
    }
    problems.notify();
    problems.database();
    if daemon == Daemon::Stopped {
        problems.address("listen.est", config.listen.est);
        if let Some(admin) = config.listen.admin {
            problems.address("listen.admin", admin);
        }
        if let Some(http01) = config.listen.http01 {
            problems.address("listen.http01", http01);
        }
        if let Some(dns) = config.listen.dns {
            problems.address("listen.dns", dns);
            problems.datagram_address("listen.dns", dns);
        }
        if let Some(metrics) = config.listen.metrics {
            problems.address("listen.metrics", metrics);
        }
    }
    problems.found
}

/// What `serve` would take, or a lab alone, and somebody may regret.
#[must_use]
pub fn warnings(config: &Config) -> Vec<Problem> {
    let mut warnings: Vec<Problem> = narrow_certificate(config).into_iter().collect();
    warnings.extend(danger::lab_certificates(config));
    for (key, reason) in danger::warnings(&config.danger) {
        warnings.push(Problem { file: config.file.clone(), key: key.to_owned(), reason });
    }
    warnings.extend(long_ca_certificates(config));
    warnings.extend(usage::warnings(config));
    if let Database::File(path) = &config.store.database
        && !path.exists()
    {
        let reason = format!("there is no {}: 'serve' makes an empty database", path.display());
        warnings.push(Problem { file: config.file.clone(), key: "store.path".to_owned(), reason });
    }
    warnings
}

/// A registrar's certificate that clients of TLS do not take for a server's.
fn narrow_certificate(config: &Config) -> Option<Problem> {
    // What cannot be read is `check`'s business.
    let certificates = read_certificates(&config.identity.certificate).unwrap_or_default();
    let own = certificates.first()?;
    let reason = "lacks the extended key usage serverAuth: pledges take it before they have a voucher, and many an \
                  EST client does not";
    let key = "identity.certificate".to_owned();
    let problem = Problem { file: config.file.clone(), key, reason: reason.to_owned() };
    (!own.has_extended_key_usage(SERVER_AUTH)).then_some(problem)
}

/// Whether `/cacerts` is longer than some clients read.
fn long_ca_certificates(config: &Config) -> Option<Problem> {
    let roots = configured_roots(config);
    let body = certs_only::encode(&roots.iter().map(Certificate::der).collect::<Vec<_>>());
    let characters = transfer::encode(&body, Folding::Never).len();
    let reason = format!(
        "/cacerts has {characters} characters of base64 with the configured roots alone; \
         some clients read {CA_CERTS_CHARACTERS} at most: leave roots out that no issued chain ends at"
    );
    let file = config.file.clone();
    (characters > CA_CERTS_CHARACTERS).then_some(Problem { file, key: "issuer".to_owned(), reason })
}

/// What `/cacerts` serves whatever was issued; what cannot be read is [`check`]'s business.
fn configured_roots(config: &Config) -> Vec<Certificate> {
    // Of an own CA the first certificate counts; of an ACME CA there may be several roots.
    let issuers = config.issuers.values().filter_map(|issuer| match issuer {
        IssuerConfig::Local(local) => Some((&local.certificate, 1)),
        IssuerConfig::Acme(acme) => acme.root.as_ref().map(|root| (root, usize::MAX)),
    });
    let mut roots: Vec<Certificate> = Vec::new();
    for (file, most) in std::iter::once((&config.identity.domain_ca, 1)).chain(issuers) {
        for certificate in read_certificates(file).unwrap_or_default().into_iter().take(most) {
            if !roots.iter().any(|each| each.der() == certificate.der()) {
                roots.push(certificate);
            }
        }
    }
    roots
}

struct Problems<'a> {
    config: &'a Config,
    found: Vec<Problem>,
}

impl Problems<'_> {
    fn add(&mut self, key: &str, reason: String) {
        self.found.push(Problem { file: self.config.file.clone(), key: key.to_owned(), reason });
    }

    fn identity(&mut self, now: Millis) {
        let mut profiles = self.config.profiles.values();
        if matches!(self.config.identity.key, KeyPlace::Token(_))
            && profiles.any(|profile| profile.server_keygen == ServerKeygen::Offered)
        {
            let reason = "is in a token, and a profile has server_keygen, which needs a key file";
            self.add("identity.key", reason.to_owned());
        }
        match RegistrarIdentity::load(&self.config.identity) {
            Err(error) => self.add("identity", error.to_string()),
            Ok(identity) => {
                if let Err(reason) = identity.verify(ValidityTime::At(unix_time(now))) {
                    let path = self.config.identity.certificate.display();
                    let ca = self.config.identity.domain_ca.display();
                    let reason = format!("{path} does not chain to {ca}: {reason}");
                    self.add("identity.certificate", reason);
                }
            }
        }
    }

    fn admin(&mut self) {
        if let Err(found) = Registry::load(&self.config.admin, &self.config.file) {
            self.found.extend(found);
        }
        let Some(ServerFiles { certificate, key }) = &self.config.admin.server else {
            return;
        };
        if let Err(error) = read_certificates(certificate) {
            self.add("admin.certificate", error.to_string());
        }
        if let Err(error) = read_key(key) {
            self.add("admin.key", error.to_string());
        }
    }

    fn device_ca(&mut self, name: &str, certificate: &Path, place_of_key: &KeyPlace) {
        let place = format!("issuer.{name}");
        let ca = match read_certificates(certificate) {
            Ok(certificates) => certificates,
            Err(error) => return self.add(&format!("{place}.certificate"), error.to_string()),
        };
        let key = match Key::open(place_of_key) {
            Ok(key) => key,
            Err(error) => return self.add(&format!("{place}.key"), error.to_string()),
        };
        let Some(ca) = ca.first() else {
            return;
        };
        if !ca.is_ca() {
            let reason = format!("{} is no CA certificate", certificate.display());
            self.add(&format!("{place}.certificate"), reason);
        }
        if key.spki_der() != ca.spki_der() {
            let reason = format!("{place_of_key} is not the key of {}", certificate.display());
            self.add(&format!("{place}.key"), reason);
        }
    }

    fn acme(&mut self, name: &str, acme: &AcmeConfig) {
        for (key, path) in [("directory_ca", &acme.directory_ca), ("root", &acme.root)] {
            if let Some(path) = path
                && let Err(error) = read_certificates(path)
            {
                self.add(&format!("issuer.{name}.{key}"), error.to_string());
            }
        }
        if let Some(file) = &acme.eab_file
            && let Err(error) = check_external_account(file)
        {
            self.add(&format!("issuer.{name}.eab_file"), error.to_string());
        }
        if acme.account_key.exists()
            && let Err(error) = read_key(&acme.account_key)
        {
            self.add(&format!("issuer.{name}.account_key"), error.to_string());
        }
    }

    /// That a file is another thing than a database; `serve` makes one where there is none.
    fn database(&mut self) {
        let Database::File(path) = &self.config.store.database else {
            return;
        };
        if let Err(error) = require_database(path) {
            self.add("store.path", format!("{}: {error}", path.display()));
        }
    }

    fn notify(&mut self) {
        if let Some(ProgramConfig { program, .. }) = &self.config.notify.program {
            let is_program = program
                .metadata()
                .map(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
            match is_program {
                Ok(true) => {}
                Ok(false) => {
                    let reason = format!("{} is no program that can be run", program.display());
                    self.add("notify.program", reason);
                }
                Err(error) => self.add("notify.program", format!("{}: {error}", program.display())),
            }
        }
        if let Some(PostConfig { ca, token_file, .. }) = &self.config.notify.post {
            if let Some(Err(error)) = ca.as_deref().map(read_certificates) {
                self.add("notify.ca", error.to_string());
            }
            if let Some(Err(error)) = token_file.as_deref().map(Token::read) {
                self.add("notify.token_file", error.to_string());
            }
        }
    }

    fn discovery(&mut self) {
        let Some(discovery) = &self.config.discovery else {
            return;
        };
        for interface in &discovery.interfaces {
            if !Path::new("/sys/class/net").join(interface).exists() {
                let reason = format!("this machine has no network interface {interface:?}");
                self.add("discovery.interfaces", reason);
            }
        }
        if self.config.listen.est.ip().is_loopback() && discovery.port.is_none() {
            let reason = "is needed: listen.est is a loopback address, which no device reaches, so \
                          name the port of what leads to it";
            self.add("discovery.port", reason.to_owned());
        }
    }

    fn zone(&mut self, place: &str, solver: &SolverConfig) {
        match solver {
            SolverConfig::BuiltIn { .. } | SolverConfig::Manual => {}
            SolverConfig::Rfc2136(updates) => {
                if let Err(error) = TsigKey::load(&updates.tsig_key) {
                    self.add(&format!("{place}.tsig_key"), error.to_string());
                }
            }
            SolverConfig::Exec(hook) => {
                let mode = std::fs::metadata(&hook.program).map(|file| file.permissions().mode());
                let program = hook.program.display();
                let reason = match mode {
                    Err(error) => format!("{program} cannot be started: {error}"),
                    Ok(mode) if mode & 0o111 == 0 => format!("{program} is not executable"),
                    Ok(_) => return,
                };
                self.add(&format!("{place}.program"), reason);
            }
            SolverConfig::AcmeDns(acme_dns) => {
                if let Err(error) = Registration::load(&acme_dns.credentials) {
                    self.add(&format!("{place}.credentials"), error.to_string());
                }
                if let Some(Err(error)) = acme_dns.ca.as_deref().map(read_certificates) {
                    self.add(&format!("{place}.ca"), error.to_string());
                }
            }
        }
    }

    fn address(&mut self, key: &str, address: SocketAddr) {
        if let Err(error) = TcpListener::bind(address) {
            self.add(key, format!("cannot listen on {address}: {error}"));
        }
    }

    fn datagram_address(&mut self, key: &str, address: SocketAddr) {
        if let Err(error) = UdpSocket::bind(address) {
            self.add(key, format!("cannot listen on {address} (UDP): {error}"));
        }
    }
}
