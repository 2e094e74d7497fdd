//! What an IDevID says: which device this is, and where its MASA lives (RFC 8995 §2.3).

use std::fmt;

use thiserror::Error;

use crate::certificate::Certificate;

/// The longest serial number, in octets.
const SERIAL_OCTETS: usize = 255;
/// The longest MASA URL, in octets.
const URL_OCTETS: usize = 2048;
/// The path of BRSKI at a MASA whose URL is an authority only (RFC 8995 §2.3.2).
const DEFAULT_PATH: &str = "/.well-known/brski";

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

/// Reads the device's serial number from its IDevID: the serialNumber attribute of the subject.
///
/// # Errors
/// [`SerialNumberError`].
///
/// RFC 8995 §2.3.1.
pub fn serial_number(certificate: &Certificate) -> Result<SerialNumber, SerialNumberError> {
    SerialNumber::parse(certificate.subject_serial_number().ok_or(SerialNumberError::Absent)?)
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
}

fn is_foreign(character: char) -> bool {
    !character.is_ascii_graphic() || matches!(character, '@' | '?' | '#' | '\\')
}

fn split_port(authority: &str) -> Option<(&str, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, port.parse().ok()?)),
            None => rest.is_empty().then_some((host, 443)),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok().filter(|port| *port != 0)?)),
        None => Some((authority, 443)),
    }
}
