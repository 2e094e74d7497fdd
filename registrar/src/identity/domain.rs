//! What only the domain CA's key can do: the registrar's next certificate, and the next root.
//!
//! The key may be elsewhere, and then each of these says what to do instead.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use brski_voucher::certificate::Certificate;
use rustls_pki_types::PrivatePkcs8KeyDer;
use thiserror::Error;

use super::IdentityError;
use super::issue::{self, DomainIssueError, Root};
use super::live::{Identities, record};
use crate::config::IdentityFiles;
use crate::entropy::random_id;
use crate::keys::{Key, KeyPlace, KeyType};
use crate::store::Change;
use crate::store::model::{Millis, OwnRecords, RootChange, Sha256, hex};

/// How many octets of a key's SHA-256 name its file.
const NAME_OCTETS: usize = 8;
/// What a key in a token is called where its URI names no object.
const LABEL: &str = "root";

/// Why the domain CA did not do it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DomainError {
    /// The configuration names no key.
    #[error(
        "the domain CA's key is not here (identity.domain_ca_key): take the output of \
         'registrar identity request' to it, and its answer to 'registrar identity install'"
    )]
    NoKey,
    /// The key is of another root.
    #[error(
        "neither {} nor {} is the key of the domain's root in use (SHA-256 of its key {root})",
        .configured,
        .beside
    )]
    ForeignKey {
        /// What the configuration names.
        configured: Box<KeyPlace>,
        /// Where the key of a root is that took over.
        beside: Box<KeyPlace>,
        /// SHA-256 of the root's SubjectPublicKeyInfo.
        root: String,
    },
    /// The registrar's certificate is of a CA below the root.
    #[error(
        "the registrar's certificate comes from a CA below the domain's root, which alone renews it: \
         take the output of 'registrar identity request' to it, and its answer to 'registrar identity install'"
    )]
    Intermediate,
    /// A key file.
    #[error(transparent)]
    File(#[from] IdentityError),
    /// The new key was not kept.
    #[error("{}: cannot be written: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No key was made.
    #[error("no key was made: {0}")]
    Making(String),
    /// A certificate was not made.
    #[error(transparent)]
    Issue(#[from] DomainIssueError),
}

/// The key of the root in use.
///
/// # Errors
/// [`DomainError::NoKey`], [`DomainError::ForeignKey`], [`DomainError::File`].
pub fn key(files: &IdentityFiles, root: &Certificate) -> Result<Key, DomainError> {
    let configured = files.domain_ca_key.as_ref().ok_or(DomainError::NoKey)?;
    let beside = beside(configured, root.spki_der());
    // The first is there after a rotation alone, and then the other one need not be.
    if let Ok(key) = Key::open(&beside)
        && key.spki_der() == root.spki_der()
    {
        return Ok(key);
    }
    let key = Key::open(configured)?;
    if key.spki_der() == root.spki_der() {
        return Ok(key);
    }
    let root = Sha256::of(root.spki_der()).to_string();
    let configured = Box::new(configured.clone());
    Err(DomainError::ForeignKey { configured, beside: Box::new(beside), root })
}

/// Where the key of a later root is kept: beside the first one's, under a name that its public key gives.
fn beside(configured: &KeyPlace, spki: &[u8]) -> KeyPlace {
    let digest = Sha256::of(spki);
    let digits = hex(digest.0.get(..NAME_OCTETS).unwrap_or_default());
    match configured {
        KeyPlace::File(path) => {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let end = path.extension().unwrap_or_default().to_string_lossy();
            let dot = if end.is_empty() { "" } else { "." };
            KeyPlace::File(path.with_file_name(format!("{stem}-{digits}{dot}{end}")))
        }
        KeyPlace::Token(uri) => {
            let label = uri.object.as_deref().unwrap_or(LABEL);
            KeyPlace::Token(uri.with_object(&format!("{label}-{digits}")))
        }
    }
}

/// The registrar's next certificate: the change that gives it to all nodes.
#[derive(Debug)]
pub struct Renewed {
    /// The certificate.
    pub certificate: Certificate,
    /// What is to be written.
    pub change: Change,
}

/// Renews the registrar's certificate with the same key.
///
/// # Errors
/// [`DomainError`].
pub fn renew(
    files: &IdentityFiles,
    identities: &Identities,
    records: &OwnRecords,
    now: Millis,
) -> Result<Renewed, DomainError> {
    let current = identities.current();
    if current.certificates().len() > 1 {
        return Err(DomainError::Intermediate);
    }
    let root = identities.roots().current();
    let key = key(files, root)?;
    let root = Root { certificate: root, key: &key };
    let certificate = issue::registrar(current.certificate(), current.key(), root, now)?;
    let row = record(std::slice::from_ref(&certificate), records, now);
    Ok(Renewed { certificate, change: Change::AddOwnCertificate(row) })
}

/// A new root of the domain, with the registrar's certificate under it.
#[derive(Debug)]
pub struct Rotated {
    /// The new root.
    pub root: Certificate,
    /// The registrar's certificate under it.
    pub certificate: Certificate,
    /// Where the new root's key is.
    pub key: KeyPlace,
    /// What is to be written, in one commit.
    pub changes: Vec<Change>,
}

/// Makes a new root.
///
/// Its key is on the disk when this returns, and counts for nothing before the changes are committed: whoever is
/// interrupted between the two leaves a key file that nobody needs, and begins anew.
///
/// # Errors
/// [`DomainError`].
pub fn rotate(
    files: &IdentityFiles,
    identities: &Identities,
    records: &OwnRecords,
    now: Millis,
) -> Result<Rotated, DomainError> {
    let configured = files.domain_ca_key.as_ref().ok_or(DomainError::NoKey)?;
    let current = identities.current();
    if current.certificates().len() > 1 {
        return Err(DomainError::Intermediate);
    }
    let before = identities.roots().current();
    let old_key = key(files, before)?;
    let (new_key, path) = make_key(configured, old_key.kind())?;
    let old = Root { certificate: before, key: &old_key };
    let made = issue::root(old, &new_key, now)?;
    let new = Root { certificate: &made.root, key: &new_key };
    let certificate = issue::registrar(current.certificate(), current.key(), new, now)?;
    let change = RootChange {
        seq: records.roots.iter().map(|change| change.seq).max().unwrap_or(0) + 1,
        root: made.root.der().clone(),
        previous: before.der().clone(),
        old_with_new: made.old_with_new.der().clone(),
        new_with_old: made.new_with_old.der().clone(),
        created_at: now,
        left_at: None,
    };
    let row = record(std::slice::from_ref(&certificate), records, now);
    let changes = vec![Change::ChangeRoot(change), Change::AddOwnCertificate(row)];
    Ok(Rotated { root: made.root, certificate, key: path, changes })
}

/// A fresh key of a kind, durable: in a file of its own, or where the one before is, in the token.
fn make_key(configured: &KeyPlace, kind: KeyType) -> Result<(Key, KeyPlace), DomainError> {
    let KeyPlace::File(path) = configured else {
        return make_in_token(configured, kind);
    };
    let making = |error: rcgen::Error| DomainError::Making(error.to_string());
    let pair = kind.generate().map_err(making)?;
    let octets = PrivatePkcs8KeyDer::from(pair.serialize_der());
    let key = Key::from_pkcs8(octets).map_err(DomainError::Making)?;
    let place = beside(configured, key.spki_der());
    let KeyPlace::File(file) = &place else {
        return Err(DomainError::NoKey);
    };
    let pem = zeroize::Zeroizing::new(pair.serialize_pem());
    let folder = path.parent().unwrap_or(Path::new("/"));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| {
            file.write_all(pem.as_bytes())?;
            file.sync_all()
        })
        // The name, too, must be there after a power cut.
        .and_then(|()| File::open(folder)?.sync_all());
    match written {
        Ok(()) => Ok((key, place)),
        Err(source) => Err(DomainError::Write { path: file.clone(), source }),
    }
}

/// A fresh key in the token, under a label that its public key gives.
fn make_in_token(configured: &KeyPlace, kind: KeyType) -> Result<(Key, KeyPlace), DomainError> {
    let KeyPlace::Token(uri) = configured else {
        return Err(DomainError::NoKey);
    };
    let making = format!("{LABEL}-new-{}", random_id());
    let key = Key::make_in_token(&uri.with_object(&making), kind)?;
    let place = beside(configured, key.spki_der());
    if let KeyPlace::Token(named) = &place {
        Key::rename_in_token(&uri.with_object(&making), named)?;
    }
    Ok((Key::open(&place)?, place))
}
