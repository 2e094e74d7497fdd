//! Where the MASA of a device lives, as its IDevID or an operator says (RFC 8995 §2.3.2).

use std::fmt;
use std::net::Ipv6Addr;

use rustls_pki_types::ServerName;
use thiserror::Error;

/// The longest MASA URL, in octets.
const URL_OCTETS: usize = 2048;
/// The path of BRSKI at a MASA whose URL is an authority only (RFC 8995 §2.3.2).
const DEFAULT_PATH: &str = "/.well-known/brski";
/// The port of HTTPS where none is named.
const HTTPS_PORT: u16 = 443;

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
    /// It names no host: neither a DNS name nor an IP address.
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
        // Brackets are for IPv6 and for nothing else (RFC 3986 §3.2.2).
        let is_host = match authority.starts_with('[') {
            true => host.parse::<Ipv6Addr>().is_ok(),
            false => !host.contains(':') && ServerName::try_from(host).is_ok(),
        };
        if !is_host {
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
