//! The section `[admin.openid]`: where those who use the console may log in, and who gets which role.
//!
//! OpenID Connect Core 1.0, OpenID Connect Discovery 1.0.

use std::path::PathBuf;

use http::Uri;

use super::raw;
use super::reader::Reader;
use crate::admin::actor::Role;

/// The most scopes that are asked for, and the most roles that are given.
const ENTRIES_MOST: usize = 100;

/// Where those who use the console may log in, and who gets which role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenidConfig {
    /// The provider's issuer identifier, as it writes it itself: an https address without query.
    pub issuer: String,
    /// What the provider calls this registrar.
    pub client_id: String,
    /// A file with the client's secret, mode 0600; none: a public client.
    pub client_secret_file: Option<PathBuf>,
    /// Anchors of the provider's TLS certificate; none: the operating system's.
    pub ca: Option<PathBuf>,
    /// Where browsers find the console: `https://HOST[:PORT]`.
    pub console_url: String,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim whose values give roles; dots lead into objects.
    pub claim: String,
    /// Which value gives which role.
    pub roles: Vec<(String, Role)>,
}

impl Reader {
    /// `has_console`: whether there is anything to log in to.
    pub(super) fn openid(
        &mut self,
        openid: &raw::AdminOpenid,
        has_console: bool,
    ) -> Option<OpenidConfig> {
        if !cfg!(feature = "openid") {
            let reason = "this program was built without OpenID Connect: build it with \
                          'cargo build --release --features openid', or leave the section out";
            self.problem("admin.openid", reason.to_owned());
            return None;
        }
        if !has_console {
            let reason = "is for the console: set 'console = true' in [admin]";
            self.problem("admin.openid", reason.to_owned());
        }
        let issuer = self.https("admin.openid.issuer", &openid.issuer);
        let console_url = self.https("admin.openid.console_url", &openid.console_url);
        if console_url.as_ref().is_some_and(|url| url.path() != "/") {
            let reason = "ends after host and port, such as \"https://registrar.example.org:8444\"";
            self.problem("admin.openid.console_url", reason.to_owned());
        }
        if openid.client_id.is_empty() {
            self.problem("admin.openid.client_id", "is empty".to_owned());
        }
        if let Some(scope) = openid.scopes.iter().find(|scope| !is_scope(scope)) {
            let reason = format!("{scope:?} is no scope: visible ASCII without blanks and quotes");
            self.problem("admin.openid.scopes", reason);
        }
        let claim = openid.claim.clone().unwrap_or_else(|| "groups".to_owned());
        if claim.is_empty() {
            self.problem("admin.openid.claim", "is empty".to_owned());
        }
        for (key, number) in [("scopes", openid.scopes.len()), ("roles", openid.roles.len())] {
            if number > ENTRIES_MOST {
                let reason = format!("has {number} entries; at most {ENTRIES_MOST} are taken");
                self.problem(&format!("admin.openid.{key}"), reason);
            }
        }
        if openid.roles.is_empty() {
            let reason = "nobody would get in: give values of the claim a role, \
                          such as registrar-operators = \"operator\"";
            self.problem("admin.openid.roles", reason.to_owned());
        }
        let mut roles = Vec::new();
        for (value, word) in &openid.roles {
            if let Some(role) = self.role_at(&format!("admin.openid.roles.{value}"), word) {
                roles.push((value.clone(), role));
            }
        }
        Some(OpenidConfig {
            issuer: issuer.map(|_| openid.issuer.clone())?,
            client_id: openid.client_id.clone(),
            client_secret_file: openid.client_secret_file.as_ref().map(|path| self.path(path)),
            ca: openid.ca.as_ref().map(|path| self.path(path)),
            console_url: console_url
                .map(|_| openid.console_url.trim_end_matches('/').to_owned())?,
            scopes: openid.scopes.clone(),
            claim,
            roles,
        })
    }

    /// An https address without a name, a password or a query.
    fn https(&mut self, key: &str, text: &str) -> Option<Uri> {
        let parsed = text.parse::<Uri>().ok().filter(|url| {
            let has_password =
                url.authority().is_some_and(|authority| authority.as_str().contains('@'));
            url.scheme_str() == Some("https")
                && url.host().is_some_and(|host| !host.is_empty())
                && url.query().is_none()
                && !has_password
        });
        if parsed.is_none() {
            self.problem(key, format!("{text:?} is no address that begins with https://"));
        }
        parsed
    }
}

/// Whether a text is a scope-token (RFC 6749 §3.3).
fn is_scope(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'"' && octet != b'\\')
}
