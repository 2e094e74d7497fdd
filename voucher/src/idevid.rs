//! What an IDevID says: which device this is, and where its MASA lives (RFC 8995 §2.3).

use std::fmt;

use aws_lc_rs::digest;
use thiserror::Error;

use crate::certificate::Certificate;
use crate::tlv::{OCTET_STRING, SEQUENCE, only, tagged};

/// The longest serial number, in octets.
const SERIAL_OCTETS: usize = 255;
/// The longest MASA URL, in octets.
const URL_OCTETS: usize = 2048;
/// The path of BRSKI at a MASA whose URL is an authority only (RFC 8995 §2.3.2).
const DEFAULT_PATH: &str = "/.well-known/brski";
/// The port of HTTPS where none is named.
const HTTPS_PORT: u16 = 443;
/// Tag of keyIdentifier in an authority key identifier (RFC 5280 §4.2.1.1).
const KEY_IDENTIFIER: u8 = 0x80;

/// A device's serial number: 1 to 255 octets of text without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SerialNumber(String);

/// A serial number that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SerialNumberError {
    /// The subject has no serialNumber attribute.
    #[error("the subject has no serialNumber attribute (2.5.4.5)")]
    Absent,
    /// It is empty or too long.
    #[error("it has {octets} octets, not 1 to {SERIAL_OCTETS}")]
    Length {
        /// Its length.
        octets: usize,
    },
    /// It has control characters.
    #[error("it has control characters")]
    ControlCharacter,
}

impl SerialNumber {
    /// Takes a serial number as it is written.
    ///
    /// # Errors
    /// [`SerialNumberError::Length`], [`SerialNumberError::ControlCharacter`].
    pub fn parse(text: &str) -> Result<Self, SerialNumberError> {
        if !(1..=SERIAL_OCTETS).contains(&text.len()) {
            return Err(SerialNumberError::Length { octets: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(SerialNumberError::ControlCharacter);
        }
        Ok(Self(text.to_owned()))
    }

    /// The serial number as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where in an IDevID a manufacturer puts the serial number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SerialRule {
    /// The serialNumber attribute (2.5.4.5) of the subject, as RFC 8995 §2.3.1 asks.
    #[default]
    SubjectSerialNumber,
}

impl SerialRule {
    /// Reads the device's serial number from its IDevID.
    ///
    /// # Errors
    /// [`SerialNumberError`].
    pub fn read(self, certificate: &Certificate) -> Result<SerialNumber, SerialNumberError> {
        let text = match self {
            Self::SubjectSerialNumber => certificate.subject_serial_number(),
        };
        SerialNumber::parse(text.ok_or(SerialNumberError::Absent)?)
    }
}

/// Reads the device's serial number from its IDevID by the default rule.
///
/// # Errors
/// [`SerialNumberError`].
///
/// RFC 8995 §2.3.1.
pub fn serial_number(certificate: &Certificate) -> Result<SerialNumber, SerialNumberError> {
    SerialRule::default().read(certificate)
}

/// The idevid-issuer of an IDevID: its authority key identifier with the OCTET STRING around it, verbatim.
///
/// Where it has none, one is made of the SHA-1 of the IDevID's own public key.
///
/// draft-ietf-anima-rfc8366bis §6.1.
#[must_use]
pub fn issuer(idevid: &Certificate) -> Vec<u8> {
    if let Some(identifier) = idevid.authority_key_identifier() {
        return tagged(OCTET_STRING, identifier);
    }
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, idevid.public_key());
    tagged(OCTET_STRING, &tagged(SEQUENCE, &tagged(KEY_IDENTIFIER, sha1.as_ref())))
}

/// Whether an idevid-issuer that somebody sent means this IDevID's issuer.
///
/// The authority key identifier is found in the field with its OCTET STRING, without it,
/// and as the bare key identifier; each of them will do.
#[must_use]
pub fn is_issuer(sent: &[u8], idevid: &Certificate) -> bool {
    let own = issuer(idevid);
    let Ok(wrapped) = only(&own, OCTET_STRING) else {
        return false;
    };
    let key_identifier = only(wrapped.contents, SEQUENCE)
        .and_then(|fields| fields.inside().expect(KEY_IDENTIFIER))
        .map(|identifier| identifier.contents);
    sent == own
        || sent == wrapped.contents
        || key_identifier.is_ok_and(|identifier| !identifier.is_empty() && sent == identifier)
}

/// Where a MASA lives: host, port and path; always HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasaUrl {
    host: String,
    port: u16,
    path: String,
}

/// A MASA URL that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MasaUrlError {
    /// It is empty or too long.
    #[error("the MASA URL has {octets} octets, not 1 to {URL_OCTETS}")]
    Length {
        /// Its length.
        octets: usize,
    },
    /// A character that no such URL has: white space, control characters, `@`, `?`, `#`, `\`.
    #[error("the MASA URL {url:?} has a character {character:?} that does not belong there")]
    Character {
        /// The URL.
        url: String,
        /// The character.
        character: char,
    },
    /// It names no host.
    #[error("the MASA URL {url:?} names no host")]
    Host {
        /// The URL.
        url: String,
    },
    /// Its port is none.
    #[error("the MASA URL {url:?} has no valid port")]
    Port {
        /// The URL.
        url: String,
    },
}

impl MasaUrl {
    /// Reads a MASA URL as IDevIDs and operators write it: an authority alone, or a whole URI.
    ///
    /// The scheme does not matter; HTTPS is used (RFC 8995 §2.3.2).
    ///
    /// # Errors
    /// [`MasaUrlError`].
    pub fn parse(url: &str) -> Result<Self, MasaUrlError> {
        if !(1..=URL_OCTETS).contains(&url.len()) {
            return Err(MasaUrlError::Length { octets: url.len() });
        }
        if let Some(character) = url.chars().find(|character| is_foreign(*character)) {
            return Err(MasaUrlError::Character { url: url.to_owned(), character });
        }
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (authority, path) = match rest.find('/').and_then(|slash| rest.split_at_checked(slash))
        {
            Some((authority, path)) => (authority, path.trim_end_matches('/')),
            None => (rest, ""),
        };
        let (host, port) =
            split_port(authority).ok_or_else(|| MasaUrlError::Port { url: url.to_owned() })?;
        if host.is_empty() {
            return Err(MasaUrlError::Host { url: url.to_owned() });
        }
        let path = if path.is_empty() { DEFAULT_PATH } else { path };
        Ok(Self { host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }

    /// The host: a DNS name, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 443 if none is named.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of an operation, such as `requestvoucher`.
    #[must_use]
    pub fn path(&self, operation: &str) -> String {
        format!("{}/{operation}", self.path)
    }

    /// The whole URL of an operation, such as `requestvoucher`.
    #[must_use]
    pub fn endpoint(&self, operation: &str) -> String {
        format!("{self}/{operation}")
    }
}

impl fmt::Display for MasaUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(formatter, "https://{open}{}{close}", self.host)?;
        if self.port != HTTPS_PORT {
            write!(formatter, ":{}", self.port)?;
        }
        formatter.write_str(&self.path)
    }
}

fn is_foreign(character: char) -> bool {
    !character.is_ascii_graphic() || matches!(character, '@' | '?' | '#' | '\\')
}

fn split_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return None,
            }
        }
        None => {
            authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
        }
    };
    match port {
        // `u16` would take a sign.
        Some(port) if !port.starts_with('+') => {
            Some((host, port.parse().ok().filter(|port| *port != 0)?))
        }
        Some(_) => None,
        None => Some((host, HTTPS_PORT)),
    }
}
