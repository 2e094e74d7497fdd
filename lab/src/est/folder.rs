//! Where a client keeps its key and its certificates: nothing in it is ever overwritten.
//!
//! The key is kept before it is sent anywhere, so that an enrollment that waits for hours, or whose answer is lost, goes
//! on with the same key when the command is run again.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use thiserror::Error;

use super::key::{Key, KeyError};
use super::trust::{TrustError, private_key};
use crate::pki::pem;

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const CHAIN: &str = "chain.pem";
const CA_CERTIFICATES: &str = "cacerts.pem";
const SECRET_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;

/// Why nothing can be kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FolderError {
    /// There is a certificate already.
    #[error("{} is there already, and nothing is overwritten", .0.display())]
    Taken(PathBuf),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key of an earlier try cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key of an earlier try cannot be read.
    #[error(transparent)]
    Read(#[from] TrustError),
}

/// A folder for one certificate.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder, which is made where it is not there.
    ///
    /// # Errors
    /// [`FolderError::Taken`] where it holds a certificate; [`FolderError::System`].
    pub fn for_certificate(path: &Path) -> Result<Self, FolderError> {
        let folder = Self::new(path)?;
        folder.is_free(CERTIFICATE)?;
        folder.is_free(CHAIN)?;
        Ok(folder)
    }

    /// A folder for CA certificates, as [`Folder::for_certificate`].
    ///
    /// # Errors
    /// As there.
    pub fn for_ca_certificates(path: &Path) -> Result<Self, FolderError> {
        let folder = Self::new(path)?;
        folder.is_free(CA_CERTIFICATES)?;
        Ok(folder)
    }

    fn new(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::System { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        Ok(Self(path.to_owned()))
    }

    fn is_free(&self, name: &str) -> Result<(), FolderError> {
        let path = self.0.join(name);
        if path.exists() { Err(FolderError::Taken(path)) } else { Ok(()) }
    }

    /// Refuses a folder that holds a key: the one to come is made elsewhere.
    ///
    /// # Errors
    /// [`FolderError::Taken`].
    pub fn without_key(self) -> Result<Self, FolderError> {
        self.is_free(KEY)?;
        Ok(self)
    }

    /// The key of an earlier try, if there is one.
    ///
    /// # Errors
    /// [`FolderError::Read`], [`FolderError::Key`].
    pub fn earlier_key(&self) -> Result<Option<Key>, FolderError> {
        let path = self.0.join(KEY);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Key::of(private_key(&path)?)?))
    }

    /// Keeps a key, mode 0600.
    ///
    /// # Errors
    /// [`FolderError::System`].
    pub fn keep_key(&self, key: &PrivatePkcs8KeyDer<'_>) -> Result<PathBuf, FolderError> {
        self.write(KEY, SECRET_MODE, &pem("PRIVATE KEY", key.secret_pkcs8_der()))
    }

    /// Where the key is, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<PathBuf> {
        Some(self.0.join(KEY)).filter(|path| path.exists())
    }

    /// Keeps a certificate, and what was sent beside it.
    ///
    /// # Errors
    /// [`FolderError::System`].
    pub fn keep_certificate(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<Vec<PathBuf>, FolderError> {
        let own = pem("CERTIFICATE", certificate);
        let mut paths = vec![self.write(CERTIFICATE, PUBLIC_MODE, &own)?];
        if !others.is_empty() {
            paths.push(self.write(CHAIN, PUBLIC_MODE, &all(others))?);
        }
        Ok(paths)
    }

    /// Keeps CA certificates.
    ///
    /// # Errors
    /// [`FolderError::System`].
    pub fn keep_ca_certificates(
        &self,
        certificates: &[CertificateDer<'_>],
    ) -> Result<PathBuf, FolderError> {
        self.write(CA_CERTIFICATES, PUBLIC_MODE, &all(certificates))
    }

    fn write(&self, name: &str, mode: u32, text: &str) -> Result<PathBuf, FolderError> {
        let path = self.0.join(name);
        let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        opened
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|source| FolderError::System { path: path.clone(), source })?;
        Ok(path)
    }
}

fn all(certificates: &[CertificateDer<'_>]) -> String {
    certificates.iter().map(|each| pem("CERTIFICATE", each)).collect()
}
