//! Where a private key lives: a file, or an object in a PKCS#11 token, named by a URI (RFC 7512).
//!
//! Invariant: a URI has no PIN in it, only where the PIN is read from, so that it may stand in a configuration, an
//! error and a log line.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What a URI begins with.
const SCHEME: &str = "pkcs11:";

/// Where a private key lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// PKCS#8 PEM in a file of mode 0600.
    File(PathBuf),
    /// An object in a token.
    Token(TokenUri),
}

impl KeyPlace {
    /// Reads a path, relative to `folder`, or a URI.
    ///
    /// # Errors
    /// [`UriError`].
    pub fn parse(text: &str, folder: &Path) -> Result<Self, UriError> {
        match text.strip_prefix(SCHEME) {
            Some(rest) => TokenUri::parse(rest, folder).map(Self::Token),
            None => Ok(Self::File(folder.join(text))),
        }
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Token(uri) => write!(formatter, "{uri}"),
        }
    }
}

/// A key in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUri {
    /// The token's label.
    pub token: String,
    /// The label of the private key and of its public key.
    pub object: Option<String>,
    /// Their identifier (CKA_ID).
    pub id: Option<Vec<u8>>,
    /// The library that reaches the token.
    pub module: PathBuf,
    /// The file that holds the PIN, mode 0600.
    pub pin: PathBuf,
}

/// Why a URI names no key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UriError {
    /// An attribute is needed.
    #[error("the PKCS#11 URI has no {0}")]
    Missing(&'static str),
    /// An attribute is not known here, and ignoring it could choose another key.
    #[error(
        "the PKCS#11 URI has {0:?}; known are token, object, id, type, module-path and pin-source"
    )]
    Unknown(String),
    /// A PIN does not belong into a configuration.
    #[error(
        "the PKCS#11 URI has a pin-value; write the PIN to a file of mode 0600 and name that: pin-source=file:PATH"
    )]
    PinValue,
    /// An attribute stands twice.
    #[error("the PKCS#11 URI has {0} twice")]
    Twice(String),
    /// It is not an attribute, or its escapes are wrong.
    #[error("the PKCS#11 URI has {0:?}, which is not NAME=VALUE in UTF-8 with %XX escapes")]
    Syntax(String),
    /// The type is another one.
    #[error("the PKCS#11 URI has type={0}; a private key is needed")]
    Type(String),
}

impl TokenUri {
    /// Reads what stands behind the scheme. Relative paths are relative to `folder`.
    fn parse(text: &str, folder: &Path) -> Result<Self, UriError> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let attributes = path.split(';').chain(query.split('&')).filter(|each| !each.is_empty());
        let (mut token, mut object, mut id) = (None, None, None);
        let (mut module, mut pin, mut kind) = (None, None, None);
        for attribute in attributes {
            let wrong = || UriError::Syntax(attribute.split('=').next().unwrap_or_default().into());
            let (name, value) = attribute.split_once('=').ok_or_else(wrong)?;
            if name == "pin-value" {
                return Err(UriError::PinValue);
            }
            let octets = decode(value).ok_or_else(wrong)?;
            let place = match name {
                "token" => &mut token,
                "object" => &mut object,
                "id" => &mut id,
                "type" => &mut kind,
                "module-path" => &mut module,
                "pin-source" => &mut pin,
                other => return Err(UriError::Unknown(other.to_owned())),
            };
            if place.replace(octets).is_some() {
                return Err(UriError::Twice(name.to_owned()));
            }
        }
        let text = |octets: Vec<u8>, name: &str| {
            String::from_utf8(octets).map_err(|_| UriError::Syntax(name.to_owned()))
        };
        let kind = kind.map(|octets| text(octets, "type")).transpose()?;
        if let Some(kind) = kind.filter(|kind| kind != "private") {
            return Err(UriError::Type(kind));
        }
        let token = text(token.ok_or(UriError::Missing("token"))?, "token")?;
        let object = object.map(|octets| text(octets, "object")).transpose()?;
        let module = text(module.ok_or(UriError::Missing("module-path"))?, "module-path")?;
        let pin = text(pin.ok_or(UriError::Missing("pin-source"))?, "pin-source")?;
        let pin = pin.strip_prefix("file:").unwrap_or(&pin);
        Ok(Self { token, object, id, module: folder.join(module), pin: folder.join(pin) })
    }

    /// The same token, another object.
    #[must_use]
    pub fn with_object(&self, label: &str) -> Self {
        Self { object: Some(label.to_owned()), id: None, ..self.clone() }
    }
}

impl fmt::Display for TokenUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}token={}", encode(self.token.as_bytes()))?;
        if let Some(object) = &self.object {
            write!(formatter, ";object={}", encode(object.as_bytes()))?;
        }
        if let Some(id) = &self.id {
            write!(formatter, ";id={}", encode(id))?;
        }
        let path = |path: &Path| encode(path.as_os_str().as_encoded_bytes());
        let (module, pin) = (path(&self.module), path(&self.pin));
        write!(formatter, "?module-path={module}&pin-source=file:{pin}")
    }
}

/// The octets of a value with %XX escapes.
fn decode(value: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        octets.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(octets)
}

/// Everything that is not unreserved, and no slash, as %XX (RFC 7512 §2.3).
fn encode(octets: &[u8]) -> String {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~/".contains(&octet);
    octets
        .iter()
        .map(|octet| match is_plain(*octet) {
            true => char::from(*octet).to_string(),
            false => format!("%{octet:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<KeyPlace, UriError> {
        KeyPlace::parse(text, Path::new("/etc/registrar"))
    }

    #[test]
    fn reads_a_uri_and_writes_it_again() {
        let text = "pkcs11:token=My%20HSM;object=registrar;id=%01%fe;type=private\
                    ?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:pin";
        let KeyPlace::Token(uri) = parse(text).unwrap() else { panic!("it is a URI") };
        assert_eq!(uri.token, "My HSM");
        assert_eq!(uri.object.as_deref(), Some("registrar"));
        assert_eq!(uri.id.as_deref(), Some([1, 0xfe].as_slice()));
        assert_eq!(uri.pin, Path::new("/etc/registrar/pin"));
        let again = parse(&uri.to_string()).unwrap();
        assert_eq!(again, KeyPlace::Token(uri));
    }

    #[test]
    fn anything_else_is_a_path() {
        let file = KeyPlace::File("/etc/registrar/registrar.key".into());
        assert_eq!(parse("registrar.key").unwrap(), file);
        assert_eq!(parse("/etc/registrar/registrar.key").unwrap(), file);
    }

    #[test]
    fn refuses_by_name_what_it_does_not_know() {
        let tail = "?module-path=/m.so&pin-source=file:/p";
        for (text, error) in [
            ("pkcs11:object=a?module-path=/m.so&pin-source=/p", UriError::Missing("token")),
            ("pkcs11:token=a?pin-source=/p", UriError::Missing("module-path")),
            ("pkcs11:token=a?module-path=/m.so", UriError::Missing("pin-source")),
            ("pkcs11:token=a?module-path=/m.so&pin-value=1234", UriError::PinValue),
            (&format!("pkcs11:token=a;token=b{tail}"), UriError::Twice("token".into())),
            (&format!("pkcs11:token=a;slot-id=1{tail}"), UriError::Unknown("slot-id".into())),
            (&format!("pkcs11:token=a;type=cert{tail}"), UriError::Type("cert".into())),
            (&format!("pkcs11:token=%ff{tail}"), UriError::Syntax("token".into())),
            (&format!("pkcs11:token=%1{tail}"), UriError::Syntax("token".into())),
            (&format!("pkcs11:token{tail}"), UriError::Syntax("token".into())),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_pin_in_a_uri_is_in_no_message() {
        let error = parse("pkcs11:token=a?module-path=/m.so&pin-value=hunter2").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
