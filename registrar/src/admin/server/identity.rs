//! The certificate of the admin listener: of files of its own, or the registrar's, each as it is now.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use crate::config::ServerFiles;
use crate::identity::live::LiveIdentity;
use crate::identity::{IdentityError, read_certificates};
use crate::keys::Key;

/// Why the files make no server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerIdentityError {
    /// The certificate cannot be read.
    #[error("admin.certificate: {0}")]
    Certificate(#[source] IdentityError),
    /// The key cannot be read.
    #[error("admin.key: {0}")]
    Key(#[source] IdentityError),
    /// They do not belong together.
    #[error("admin.certificate and admin.key do not make a TLS server: {0}")]
    Pair(#[source] rustls::Error),
}

/// The certificate of the admin listener.
#[derive(Debug)]
pub struct ServerIdentity {
    files: ArcSwapOption<CertifiedKey>,
    own: Arc<LiveIdentity>,
}

impl ServerIdentity {
    /// Reads the files, if there are any.
    ///
    /// # Errors
    /// [`ServerIdentityError`].
    pub fn load(
        files: Option<&ServerFiles>,
        own: Arc<LiveIdentity>,
    ) -> Result<Self, ServerIdentityError> {
        Ok(Self { files: ArcSwapOption::new(certified(files)?), own })
    }

    /// Reads the files again; whether there is another certificate since.
    ///
    /// # Errors
    /// [`ServerIdentityError`]; then it stays as it was.
    pub fn reload(&self, files: Option<&ServerFiles>) -> Result<bool, ServerIdentityError> {
        let new = certified(files)?;
        let chain = |key: &Option<Arc<CertifiedKey>>| key.as_ref().map(|key| key.cert.clone());
        let is_other = chain(&new) != chain(&self.files.load_full());
        self.files.store(new);
        Ok(is_other)
    }
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.files.load_full().or_else(|| Some(self.own.certified()))
    }
}

fn certified(
    files: Option<&ServerFiles>,
) -> Result<Option<Arc<CertifiedKey>>, ServerIdentityError> {
    let Some(files) = files else {
        return Ok(None);
    };
    let chain = read_certificates(&files.certificate).map_err(ServerIdentityError::Certificate)?;
    let key = Key::read(&files.key).map_err(ServerIdentityError::Key)?;
    let chain = chain.iter().map(|each| each.der().clone()).collect();
    let certified = CertifiedKey::new(chain, key.tls());
    certified.keys_match().map_err(ServerIdentityError::Pair)?;
    Ok(Some(Arc::new(certified)))
}
