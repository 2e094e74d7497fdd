//! Files that hold credentials: short, and readable by their owner alone.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The longest credential file, in octets.
const OCTETS: u64 = 64 * 1024;

/// Why a credential file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
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
    /// It is longer than any credential, or no text.
    #[error("{} is no text of at most {OCTETS} octets", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// It does not hold what it should.
    #[error("{}: {reason}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never what is in it.
        reason: &'static str,
    },
}

/// Reads a credential file: its mode is that of the file that is read, not of one that took its place meanwhile.
pub(super) fn read(path: &Path) -> Result<String, SecretFileError> {
    let failed = |source| SecretFileError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::Mode { path: path.to_owned(), mode });
    }
    let mut octets = Vec::new();
    file.take(OCTETS + 1).read_to_end(&mut octets).map_err(failed)?;
    String::from_utf8(octets)
        .ok()
        .filter(|text| u64::try_from(text.len()).is_ok_and(|length| length <= OCTETS))
        .ok_or_else(|| SecretFileError::Content { path: path.to_owned() })
}
