//! A bearer token in a file of its own (RFC 6750 §2.1).

use std::fmt;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use thiserror::Error;

use crate::identity::{IdentityError, check_mode};

/// The longest token that is read, in octets.
const TOKEN_OCTETS: usize = 8192;

/// Why there is no token.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Others may read the file, or nobody can.
    #[error(transparent)]
    File(#[from] IdentityError),
    /// The file holds none.
    #[error("{}: holds no token: one line of up to {TOKEN_OCTETS} visible ASCII characters", .0.display())]
    Content(PathBuf),
}

/// A token; it prints nothing.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Token").finish_non_exhaustive()
    }
}

impl Token {
    /// Reads a token from a file that only its owner may read.
    ///
    /// # Errors
    /// [`TokenError`], naming the file and never what it holds.
    pub fn read(file: &Path) -> Result<Self, TokenError> {
        check_mode(file)?;
        let unusable = || TokenError::Content(file.to_owned());
        let text = std::fs::read(file)
            .map_err(|source| IdentityError::Read { path: file.to_owned(), source })?;
        let text = String::from_utf8(text).map_err(|_| unusable())?;
        let token = text.trim();
        let is_token = (1..=TOKEN_OCTETS).contains(&token.len())
            && token.bytes().all(|each| each.is_ascii_graphic());
        let value = is_token.then(|| HeaderValue::try_from(format!("Bearer {token}")).ok());
        let mut value = value.flatten().ok_or_else(unusable)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// The value of the header `Authorization`.
    #[must_use]
    pub fn header(self) -> HeaderValue {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn reads_one_line_that_nobody_else_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let write = |text: &[u8], mode: u32| {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            Token::read(&file)
        };
        let token = write(b"s3cret\n", 0o600).unwrap();
        assert!(!format!("{token:?}").contains("s3cret"));
        assert_eq!(token.header(), "Bearer s3cret");
        let open = write(b"s3cret\n", 0o644).unwrap_err().to_string();
        assert!(open.contains("chmod 600"), "{open}");
        let long = vec![b'a'; TOKEN_OCTETS + 1];
        for text in [&b""[..], b"two words", b"a\nb", b"\xff", "é".as_bytes(), &long] {
            let error = write(text, 0o600).unwrap_err();
            assert!(matches!(error, TokenError::Content(_)), "{error}");
        }
        fs::remove_file(&file).unwrap();
        Token::read(&file).unwrap_err();
    }
}
