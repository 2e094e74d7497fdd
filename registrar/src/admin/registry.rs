//! Those who may use the admin API over TLS: who a certificate or a token is.

use std::collections::HashMap;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use brski_voucher::certificate::Certificate;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::actor::{Actor, Role};
use crate::config::{Admin, Problem, Recognised};
use crate::identity::{check_mode, read_certificates};
use crate::store::model::{Millis, Sha256};

/// The shortest token, in characters: 128 bits in hexadecimal.
const TOKEN_CHARACTERS: usize = 32;
/// The longest file with a token, in octets.
const TOKEN_OCTETS: usize = 4096;

/// Why a certificate is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Stranger {
    /// It is neither one that is configured nor from the administrators' CA.
    #[error("the certificate is neither configured nor from admin.client_ca: {reason}")]
    Untrusted {
        /// What the path check says.
        reason: String,
    },
    /// It is from the administrators' CA, and its common name is not configured.
    #[error("there is no [admin.client.{name:?}]")]
    Unnamed {
        /// Its common name.
        name: String,
    },
}

/// Everybody who may use the admin API over TLS.
#[derive(Debug, Default)]
pub struct Registry {
    by_fingerprint: HashMap<Sha256, Actor>,
    by_common_name: HashMap<String, Actor>,
    by_token: Vec<(Sha256, Actor)>,
    by_claim: Vec<(String, Role)>,
    anchors: Vec<TrustAnchor<'static>>,
}

impl Registry {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with the key of the configuration.
    pub fn load(admin: &Admin, file: &std::path::Path) -> Result<Self, Vec<Problem>> {
        let mut registry = Self::default();
        let mut problems = Vec::new();
        let mut problem = |key: String, reason: String| {
            problems.push(Problem { file: file.to_owned(), key, reason });
        };
        if let Some(path) = &admin.client_ca {
            match anchors(path) {
                Ok(anchors) => registry.anchors = anchors,
                Err(reason) => problem("admin.client_ca".to_owned(), reason),
            }
        }
        for client in &admin.clients {
            let name = format!("certificate {}", client.name);
            let actor = Actor { name, role: client.role };
            match client.by {
                Recognised::Fingerprint(sha256) => {
                    registry.by_fingerprint.insert(sha256, actor);
                }
                Recognised::CommonName => {
                    registry.by_common_name.insert(client.name.clone(), actor);
                }
            }
        }
        for token in &admin.tokens {
            let actor = Actor { name: format!("token {}", token.name), role: token.role };
            match read_token(&token.file) {
                Ok(digest) => registry.by_token.push((digest, actor)),
                Err(reason) => problem(format!("admin.token.{}.file", token.name), reason),
            }
        }
        if let Some(openid) = &admin.openid {
            registry.by_claim.clone_from(&openid.roles);
        }
        if problems.is_empty() { Ok(registry) } else { Err(problems) }
    }

    /// What somebody may do of whom an OpenID Connect provider says these values; the highest role counts.
    #[must_use]
    pub fn by_claim(&self, values: &[String]) -> Option<Role> {
        let given = self.by_claim.iter().filter(|(value, _)| values.contains(value));
        given.map(|(_, role)| *role).max()
    }

    /// Whose certificate this is. `chain`: the certificate first, then any intermediates.
    ///
    /// One that is configured by its SHA-256 needs no CA, and its end is not looked at: it is removed from
    /// the configuration when it shall not be good any more.
    ///
    /// # Errors
    /// [`Stranger`].
    pub fn by_certificate(
        &self,
        chain: &[CertificateDer<'_>],
        now: Millis,
    ) -> Result<Actor, Stranger> {
        let untrusted = |reason: String| Stranger::Untrusted { reason };
        let Some((own, above)) = chain.split_first() else {
            return Err(untrusted("there is none".to_owned()));
        };
        if let Some(actor) = self.by_fingerprint.get(&Sha256::of(own)) {
            return Ok(actor.clone());
        }
        let seconds = u64::try_from(now.seconds()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let certificate =
            EndEntityCert::try_from(own).map_err(|error| untrusted(error.to_string()))?;
        certificate
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &self.anchors,
                above,
                now,
                KeyUsage::client_auth(),
                None,
                None,
            )
            .map_err(|error| untrusted(error.to_string()))?;
        let readable = Certificate::from_der(own).map_err(|error| untrusted(error.to_string()))?;
        let name = readable.subject_common_name().unwrap_or_default();
        let actor = self.by_common_name.get(name).cloned();
        actor.ok_or_else(|| Stranger::Unnamed { name: name.to_owned() })
    }

    /// Whose token this is; every known one is compared, each in constant time.
    #[must_use]
    pub fn by_token(&self, token: &str) -> Option<Actor> {
        self.by_token_digest(&Sha256::of(token.as_bytes()))
    }

    /// Whose token has this SHA-256.
    #[must_use]
    pub fn by_token_digest(&self, digest: &Sha256) -> Option<Actor> {
        let mut found = None;
        for (known, actor) in &self.by_token {
            if verify_slices_are_equal(&known.0, &digest.0).is_ok() {
                found = Some(actor.clone());
            }
        }
        found
    }

    /// Whether somebody may do at least this much.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        let clients = self.by_fingerprint.values().chain(self.by_common_name.values());
        clients.chain(self.by_token.iter().map(|(_, actor)| actor)).any(|each| each.role >= role)
    }
}

fn anchors(path: &std::path::Path) -> Result<Vec<TrustAnchor<'static>>, String> {
    let certificates = read_certificates(path).map_err(|error| error.to_string())?;
    certificates
        .iter()
        .map(|certificate| {
            anchor_from_trusted_cert(certificate.der())
                .map(|anchor| anchor.to_owned())
                .map_err(|error| format!("{}: {error}", path.display()))
        })
        .collect()
}

/// The SHA-256 of the token in a file that only its owner may read.
fn read_token(path: &std::path::Path) -> Result<Sha256, String> {
    check_mode(path).map_err(|error| error.to_string())?;
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    let token = text.trim();
    if token.len() < TOKEN_CHARACTERS || text.len() > TOKEN_OCTETS {
        return Err(format!(
            "{}: a token has {TOKEN_CHARACTERS} characters or more; \
             make one with: umask 077; openssl rand -hex 32 > {}",
            path.display(),
            path.display()
        ));
    }
    Ok(Sha256::of(token.as_bytes()))
}
