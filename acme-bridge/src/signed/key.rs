//! An account's key: P-256, in a file that nobody else may read (RFC 8555 §6.2).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use thiserror::Error;

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
    #[error("{} holds no P-256 private key in PKCS#8 PEM", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// No key could be made.
    #[error("cannot make a key")]
    Generate,
}

/// An account's key.
pub(crate) struct AccountKey {
    pair: EcdsaKeyPair,
    pkcs8: PrivatePkcs8KeyDer<'static>,
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccountKey")
    }
}

impl AccountKey {
    /// Makes a key.
    pub(crate) fn generate() -> Result<Self, AccountKeyError> {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|_| AccountKeyError::Generate)?;
        let pkcs8 = PrivatePkcs8KeyDer::from(document.as_ref().to_vec());
        Self::from_pkcs8(pkcs8).ok_or(AccountKeyError::Generate)
    }

    fn from_pkcs8(pkcs8: PrivatePkcs8KeyDer<'static>) -> Option<Self> {
        let der = pkcs8.secret_pkcs8_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok()?;
        Some(Self { pair, pkcs8 })
    }

    /// PKCS#8, for the ACME library.
    pub(crate) fn pkcs8(&self) -> &PrivatePkcs8KeyDer<'static> {
        &self.pkcs8
    }

    /// The public key as an uncompressed point: no CSR may have it (RFC 8555 §11.1).
    pub(crate) fn public_point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The public key as JWK (RFC 7517), its members in the order of the thumbprint.
    pub(crate) fn jwk(&self) -> Value {
        // 0x04, x, y.
        let point = self.public_point();
        let coordinate =
            |from: usize| URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({"crv": "P-256", "kty": "EC", "x": coordinate(1), "y": coordinate(33)})
    }

    /// RFC 7638, base64url.
    pub(crate) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.jwk().to_string().as_bytes()))
    }

    /// An ES256 signature: r and s, 32 octets each (RFC 7518 §3.4).
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.pair.sign(&SystemRandom::new(), message).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

/// The files of an account's key: the key, and beside it the next one while the CA is told of it.
#[derive(Clone, Debug)]
pub(crate) struct KeyFiles {
    current: PathBuf,
    next: PathBuf,
}

impl KeyFiles {
    pub(crate) fn new(path: &Path) -> Self {
        let mut next = path.as_os_str().to_owned();
        next.push(".next");
        Self { current: path.to_owned(), next: next.into() }
    }

    /// The key, made if there is none.
    pub(crate) fn load_or_make(&self) -> Result<AccountKey, AccountKeyError> {
        match read(&self.current)? {
            Some(key) => Ok(key),
            None => {
                let key = AccountKey::generate()?;
                write(&self.current, &key)?;
                Ok(key)
            }
        }
    }

    /// The next key, if a change was begun and its end is not known.
    pub(crate) fn next(&self) -> Result<Option<AccountKey>, AccountKeyError> {
        read(&self.next)
    }

    /// Makes the next key, durable before the CA hears of it.
    pub(crate) fn begin_change(&self) -> Result<AccountKey, AccountKeyError> {
        let key = AccountKey::generate()?;
        write(&self.next, &key)?;
        Ok(key)
    }

    /// Puts the next key in the place of the current one, in one step of the file system.
    pub(crate) fn end_change(&self) -> Result<(), AccountKeyError> {
        fs::rename(&self.next, &self.current).map_err(|source| self.failed(source))?;
        sync_folder(&self.current).map_err(|source| self.failed(source))
    }

    /// Forgets the next key, which the CA never took.
    pub(crate) fn abandon_change(&self) -> Result<(), AccountKeyError> {
        fs::remove_file(&self.next).map_err(|source| self.failed(source))?;
        sync_folder(&self.current).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> AccountKeyError {
        AccountKeyError::File { path: self.next.clone(), source }
    }
}

fn read(path: &Path) -> Result<Option<AccountKey>, AccountKeyError> {
    let Some(pem) = read_secret(path)? else {
        return Ok(None);
    };
    PrivatePkcs8KeyDer::from_pem_slice(&pem)
        .ok()
        .and_then(AccountKey::from_pkcs8)
        .map(Some)
        .ok_or_else(|| AccountKeyError::Content { path: path.to_owned() })
}

/// The longest file of a secret that is read, in octets.
const SECRET_OCTETS: u64 = 16 * 1024;

/// Reads a file that nobody else may read; none if it is not there.
pub(crate) fn read_secret(path: &Path) -> Result<Option<Vec<u8>>, AccountKeyError> {
    let failed = |source| AccountKeyError::File { path: path.to_owned(), source };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(AccountKeyError::Mode { path: path.to_owned(), mode });
    }
    if metadata.len() > SECRET_OCTETS {
        return Err(AccountKeyError::Content { path: path.to_owned() });
    }
    fs::read(path).map(Some).map_err(failed)
}

const LABEL: &str = "PRIVATE KEY";

/// Writes a new key file, durable before the key is used: a lost key is a lost account.
fn write(path: &Path, key: &AccountKey) -> Result<(), AccountKeyError> {
    let failed = |source| AccountKeyError::File { path: path.to_owned(), source };
    let mut text = format!("-----BEGIN {LABEL}-----\n");
    let body = STANDARD.encode(key.pkcs8.secret_pkcs8_der());
    for (position, character) in body.chars().enumerate() {
        if position > 0 && position % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {LABEL}-----\n"));
    // Whole or not at all, whenever the process ends.
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&draft, path))
        .and_then(|()| sync_folder(path));
    written.map_err(failed)
}

/// Makes the names in a file's folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    File::open(folder)?.sync_all()
}
