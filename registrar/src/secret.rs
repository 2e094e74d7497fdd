//! Files with secrets that an operator names in the store: a path, or a credential of systemd's by its name.
//!
//! Only their owner may read them; what they hold never comes back out of this program.

use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::identity::{IdentityError, check_mode};

/// What stands before the name of a credential that systemd hands over (systemd.exec, `LoadCredential=`).
const SYSTEMD: &str = "systemd:";
/// The longest secret, in octets.
const SECRET_OCTETS: u64 = 16 * 1024;

/// Why a secret cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It is neither an absolute path nor `systemd:NAME`.
    #[error("{place:?} is neither an absolute path nor systemd:NAME")]
    Place {
        /// What stands there.
        place: String,
    },
    /// It is a credential of systemd's, and this process was given none.
    #[error("systemd gave this process no credentials; add LoadCredential={name}:FILE to its unit")]
    NoCredentials {
        /// The credential's name.
        name: String,
    },
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] IdentityError),
    /// The file is longer than any secret.
    #[error("{}: holds more than {SECRET_OCTETS} octets", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFile {
    /// A file.
    Path(PathBuf),
    /// A credential that systemd hands over, by its name.
    Systemd(String),
}

impl SecretFile {
    /// Reads an absolute path, or `systemd:` and a name without slashes.
    ///
    /// # Errors
    /// [`SecretError::Place`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let is_name = |name: &&str| {
            !name.is_empty() && *name != "." && *name != ".." && !name.contains(['/', '\0'])
        };
        if let Some(name) = text.strip_prefix(SYSTEMD).filter(is_name) {
            return Ok(Self::Systemd(name.to_owned()));
        }
        let path = Path::new(text);
        match path.is_absolute() && !text.contains('\0') {
            true => Ok(Self::Path(path.to_owned())),
            false => Err(SecretError::Place { place: text.to_owned() }),
        }
    }

    /// The file. `credentials`: the folder of systemd's credentials, `$CREDENTIALS_DIRECTORY`.
    ///
    /// # Errors
    /// [`SecretError::NoCredentials`].
    pub fn path(&self, credentials: Option<&Path>) -> Result<PathBuf, SecretError> {
        match self {
            Self::Path(path) => Ok(path.clone()),
            Self::Systemd(name) => credentials
                .map(|folder| folder.join(name))
                .ok_or_else(|| SecretError::NoCredentials { name: name.clone() }),
        }
    }

    /// What it holds, without the line's end.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn read(&self, credentials: Option<&Path>) -> Result<Zeroizing<String>, SecretError> {
        let path = self.path(credentials)?;
        check_mode(&path)?;
        let unreadable = |source| IdentityError::Read { path: path.clone(), source };
        if std::fs::metadata(&path).map_err(unreadable)?.len() > SECRET_OCTETS {
            return Err(SecretError::TooLong { path });
        }
        let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(unreadable)?);
        Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// The folder of the credentials that systemd gave this process.
#[must_use]
pub fn credentials_folder() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn reads_a_path_and_a_name_and_nothing_else() {
        let path = SecretFile::parse("/etc/registrar/masa.secret").unwrap();
        assert_eq!(path, SecretFile::Path("/etc/registrar/masa.secret".into()));
        let name = SecretFile::parse("systemd:masa").unwrap();
        assert_eq!(name.path(Some(Path::new("/run/x"))).unwrap(), Path::new("/run/x/masa"));
        assert!(matches!(name.path(None), Err(SecretError::NoCredentials { .. })));
        for text in ["", "masa.secret", "systemd:", "systemd:..", "systemd:../key", "/a\0b"] {
            assert!(matches!(SecretFile::parse(text), Err(SecretError::Place { .. })), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_others_may_read_and_what_is_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let secret = SecretFile::Path(file.clone());
        assert!(matches!(secret.read(None), Err(SecretError::File(_))));
        std::fs::write(&file, "user:pass word\r\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o640);
        assert!(secret.read(None).unwrap_err().to_string().contains("chmod 600"));
        mode(0o600);
        assert_eq!(&*secret.read(None).unwrap(), "user:pass word");
        std::fs::write(&file, "x".repeat(16 * 1024 + 1)).unwrap();
        assert!(matches!(secret.read(None), Err(SecretError::TooLong { .. })));
    }
}
