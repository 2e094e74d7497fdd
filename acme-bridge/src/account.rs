//! The account at a CA: its key in a file, its URL in the store (RFC 8555 §7.3).

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::client::{AcmeClient, AcmeError};
use crate::instant::{Connection, InstantAcme, generate_key};
use crate::order::IssuerName;
use crate::store::{AccountRecord, OrderStore};

/// Where a CA lives and how it is trusted.
#[derive(Clone, Debug)]
pub struct DirectoryConfig {
    /// The directory's URL, HTTPS.
    pub url: String,
    /// The anchors of its TLS certificate.
    pub anchors: Arc<RootCertStore>,
    /// The file of the account's key: P-256, PKCS#8, PEM, mode 0600. It is made if it is not there.
    pub account_key: PathBuf,
    /// How long one request may take.
    pub timeout: Duration,
}

/// Why the account's key cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccountKeyError {
    /// The file cannot be read or made.
    #[error("cannot read or make {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others may read it.
    #[error("{} may be read by others (mode {mode:03o}); run 'chmod 600' on it", .path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no such key.
    #[error("{} holds no private key in PKCS#8 PEM", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// No key could be made.
    #[error("cannot make a key")]
    Generate,
}

/// A way to an account.
#[async_trait]
pub trait Connect: Send + Sync + 'static {
    /// The account, opened if it is not.
    ///
    /// # Errors
    /// [`AcmeError`].
    async fn client(&self) -> Result<Arc<dyn AcmeClient>, AcmeError>;
}

/// An account over HTTPS, found or made when it is first needed.
pub struct Account {
    provider: Arc<CryptoProvider>,
    directory: DirectoryConfig,
    key: PrivatePkcs8KeyDer<'static>,
    issuer: IssuerName,
    store: Arc<dyn OrderStore>,
    open: Mutex<Option<Arc<dyn AcmeClient>>>,
}

impl Account {
    /// Reads the account's key, or makes it.
    ///
    /// # Errors
    /// [`AccountKeyError`].
    pub fn new(
        provider: Arc<CryptoProvider>,
        directory: DirectoryConfig,
        issuer: IssuerName,
        store: Arc<dyn OrderStore>,
    ) -> Result<Self, AccountKeyError> {
        let key = key(&directory.account_key)?;
        Ok(Self { provider, directory, key, issuer, store, open: Mutex::new(None) })
    }

    fn connection(&self) -> Connection<'_> {
        Connection {
            provider: Arc::clone(&self.provider),
            anchors: Arc::clone(&self.directory.anchors),
            directory: &self.directory.url,
            key: &self.key,
            timeout: self.directory.timeout,
        }
    }
}

#[async_trait]
impl Connect for Account {
    async fn client(&self) -> Result<Arc<dyn AcmeClient>, AcmeError> {
        let mut open = self.open.lock().await;
        if let Some(client) = &*open {
            return Ok(Arc::clone(client));
        }
        let store =
            |error: crate::store::OrderStoreError| AcmeError::Unreachable(error.to_string());
        let known = self.store.account(&self.issuer).await.map_err(store)?;
        let client = match known.filter(|account| account.directory == self.directory.url) {
            Some(account) => InstantAcme::open(self.connection(), &account.url).await?,
            None => {
                let (client, url) = InstantAcme::create(self.connection()).await?;
                let account = AccountRecord { url, directory: self.directory.url.clone() };
                self.store.save_account(&self.issuer, &account).await.map_err(store)?;
                client
            }
        };
        let client: Arc<dyn AcmeClient> = Arc::new(client);
        *open = Some(Arc::clone(&client));
        Ok(client)
    }
}

fn key(path: &Path) -> Result<PrivatePkcs8KeyDer<'static>, AccountKeyError> {
    let failed = |source| AccountKeyError::File { path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(metadata) => {
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(AccountKeyError::Mode { path: path.to_owned(), mode });
            }
            let pem = fs::read(path).map_err(failed)?;
            PrivatePkcs8KeyDer::from_pem_slice(&pem)
                .map_err(|_| AccountKeyError::Content { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = generate_key().map_err(|_| AccountKeyError::Generate)?;
            write(path, key.secret_pkcs8_der()).map_err(failed)?;
            Ok(key)
        }
        Err(error) => Err(failed(error)),
    }
}

const LABEL: &str = "PRIVATE KEY";

/// Writes a new key file, durable before the key is used: a lost key is a lost account.
fn write(path: &Path, pkcs8: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let text = STANDARD.encode(pkcs8);
    writeln!(file, "-----BEGIN {LABEL}-----")?;
    for line in text.as_bytes().chunks(64) {
        file.write_all(line)?;
        writeln!(file)?;
    }
    writeln!(file, "-----END {LABEL}-----")?;
    file.sync_all()
}
