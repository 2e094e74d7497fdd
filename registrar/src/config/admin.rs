//! The section `[admin]`: who may use the admin API over TLS, and in which role.

use std::path::PathBuf;

use super::openid::OpenidConfig;
use super::raw;
use super::reader::Reader;
use crate::admin::actor::Role;
use crate::store::model::Sha256;

/// Who may use the admin API over TLS.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Whether the listener has the operators' web page, below `/console`.
    pub console: bool,
    /// The listener's certificate and key; none: the registrar's own.
    pub server: Option<ServerFiles>,
    /// The CA of the administrators' certificates, PEM.
    pub client_ca: Option<PathBuf>,
    /// Those who come with a certificate.
    pub clients: Vec<AdminClient>,
    /// Those who come with a token.
    pub tokens: Vec<AdminToken>,
    /// Where those who use the console may log in elsewhere.
    pub openid: Option<OpenidConfig>,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct ServerFiles {
    /// The certificate and any intermediates, PEM.
    pub certificate: PathBuf,
    /// The key, PKCS#8 PEM, mode 0600.
    pub key: PathBuf,
}

/// Somebody with a certificate.
#[derive(Clone, Debug)]
pub struct AdminClient {
    /// The name in the trail.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// How their certificate is known.
    pub by: Recognised,
}

/// How a certificate is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// It is exactly this one, by its SHA-256.
    Fingerprint(Sha256),
    /// It chains to `client_ca` and its common name is the client's name.
    CommonName,
}

/// Somebody with a token.
#[derive(Clone, Debug)]
pub struct AdminToken {
    /// The name in the trail.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The file that holds the token, mode 0600.
    pub file: PathBuf,
}

impl Reader {
    /// `has_listener`: whether `listen.admin` is there, without which none of this is of use.
    pub(super) fn admin(&mut self, admin: &raw::Admin, has_listener: bool) -> Admin {
        // The console takes links of 'registrar console link' too.
        let has_somebody = !admin.client.is_empty() || !admin.token.is_empty() || admin.console;
        if has_listener && !has_somebody {
            let reason = "nobody could use it: give [admin.client.NAME] or [admin.token.NAME]";
            self.problem("listen.admin", reason.to_owned());
        }
        if admin.console && !has_listener {
            self.problem("admin.console", "needs listen.admin, where it is served".to_owned());
        }
        let server = match (&admin.certificate, &admin.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                Some(ServerFiles { certificate: self.path(certificate), key: self.path(key) })
            }
            (certificate, _) => {
                let missing = if certificate.is_some() { "admin.key" } else { "admin.certificate" };
                self.problem(missing, "is missing: certificate and key go together".to_owned());
                None
            }
        };
        let client_ca = admin.client_ca.as_deref().map(|path| self.path(path));
        let mut clients = Vec::new();
        for (name, client) in &admin.client {
            let key = format!("admin.client.{name}");
            let role = self.role(&key, &client.role);
            let by = self.recognised(&key, client.sha256.as_deref(), client_ca.is_some());
            if let (Some(role), Some(by)) = (role, by) {
                clients.push(AdminClient { name: name.clone(), role, by });
            }
        }
        let mut tokens = Vec::new();
        for (name, token) in &admin.token {
            if let Some(role) = self.role(&format!("admin.token.{name}"), &token.role) {
                let file = self.path(&token.file);
                tokens.push(AdminToken { name: name.clone(), role, file });
            }
        }
        let openid = admin.openid.as_ref().and_then(|openid| self.openid(openid, admin.console));
        Admin { console: admin.console, server, client_ca, clients, tokens, openid }
    }

    fn role(&mut self, key: &str, word: &str) -> Option<Role> {
        self.role_at(&format!("{key}.role"), word)
    }

    /// The role that this key names.
    pub(super) fn role_at(&mut self, key: &str, word: &str) -> Option<Role> {
        self.choose(key, word, &Role::ALL.map(|role| (role.as_str(), role)))
    }

    fn recognised(&mut self, key: &str, sha256: Option<&str>, has_ca: bool) -> Option<Recognised> {
        let by = match sha256 {
            Some(text) => Sha256::parse(text).map(Recognised::Fingerprint),
            None => has_ca.then_some(Recognised::CommonName),
        };
        if by.is_none() {
            let reason = match sha256 {
                Some(text) => format!("{text:?} is no SHA-256: 64 hexadecimal digits"),
                None => {
                    "is needed where there is no admin.client_ca: the SHA-256 of the certificate"
                        .to_owned()
                }
            };
            self.problem(&format!("{key}.sha256"), reason);
        }
        by
    }
}
