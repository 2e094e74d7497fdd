//! The answer of `/serverkeygen`: a private key and a certificate, each in a part of its own
//! (RFC 7030 §4.4.2, RFC 8951 §3.2.4, RFC 2046 §5.1).

use std::fmt;

use rustls_pki_types::CertificateDer;
use thiserror::Error;
use zeroize::Zeroizing;

use super::GeneratedKey;
use crate::certs_only::{self, CertsOnlyError};
use crate::media_type;
use crate::transfer::{self, Folding, TransferError};

/// The longest answer that is read, in octets.
const ANSWER_OCTETS: usize = 512 * 1024;
/// The longest boundary (RFC 2046 §5.1.1).
const BOUNDARY_CHARACTERS: usize = 70;
/// The most parts, and the most headers of one.
const PARTS_MOST: usize = 8;
const HEADERS_MOST: usize = 16;

/// Why an answer holds no key and certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MultipartError {
    /// It is longer than this library reads.
    #[error("the answer has {octets} octets, more than {ANSWER_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// The Content-Type is not multipart/mixed.
    #[error("the answer is not multipart/mixed")]
    NotMultipart,
    /// The boundary is missing, or none that RFC 2046 allows.
    #[error(
        "the boundary is not 1 to {BOUNDARY_CHARACTERS} of the characters that RFC 2046 allows"
    )]
    Boundary,
    /// The last part does not end.
    #[error("the answer ends inside a part")]
    Unterminated,
    /// There are more parts, or more headers of one, than any answer has.
    #[error("the answer has more {0} than any real one")]
    TooMany(&'static str),
    /// A header of a part is not text with a colon.
    #[error("a header in the answer cannot be read")]
    Header,
    /// There is no key, or more than one.
    #[error("the answer holds {count} private keys, not one")]
    Keys {
        /// How many.
        count: usize,
    },
    /// There is no part of certificates, or more than one.
    #[error("the answer holds {count} parts of certificates, not one")]
    Certificates {
        /// How many.
        count: usize,
    },
    /// A part is not base64 of DER.
    #[error("a part of the answer cannot be read: {0}")]
    Transfer(#[from] TransferError),
    /// The certificates cannot be read.
    #[error("the certificates in the answer cannot be read: {0}")]
    CertsOnly(#[from] CertsOnlyError),
}

/// What separates the parts. It must not occur in them, and as base64 has no `-` it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    /// Makes one of random octets.
    #[must_use]
    pub fn from_random(octets: [u8; 16]) -> Self {
        Self(octets.iter().map(|octet| format!("{octet:02x}")).collect())
    }

    /// Takes one: 1 to 70 characters of those that RFC 2046 §5.1.1 allows, no space at the end.
    ///
    /// # Errors
    /// [`MultipartError::Boundary`].
    pub fn parse(text: &str) -> Result<Self, MultipartError> {
        let is_legal = |each: u8| each.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&each);
        let fits = (1..=BOUNDARY_CHARACTERS).contains(&text.len());
        if fits && text.bytes().all(is_legal) && !text.ends_with(' ') {
            Ok(Self(text.to_owned()))
        } else {
            Err(MultipartError::Boundary)
        }
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The private key of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyPart {
    /// As it is, PKCS#8.
    Plain(GeneratedKey),
    /// Encrypted for the client: what [`encrypt_key`](super::encrypt_key) makes.
    Encrypted(Vec<u8>),
}

/// An answer that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAnswer {
    key: KeyPart,
    certificates: Vec<CertificateDer<'static>>,
}

impl KeyAnswer {
    /// The private key.
    #[must_use]
    pub fn key(&self) -> &KeyPart {
        &self.key
    }

    /// The certificates, in the order sent.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Reads an answer. `content_type`: the header's value; `body`: at most 512 KiB.
    ///
    /// Preamble and epilogue are passed over, as are parts of other types; a Content-Transfer-Encoding says nothing.
    ///
    /// # Errors
    /// [`MultipartError`].
    pub fn parse(content_type: &str, body: &[u8]) -> Result<Self, MultipartError> {
        if body.len() > ANSWER_OCTETS {
            return Err(MultipartError::TooLong { octets: body.len() });
        }
        if !media_type::is(content_type, media_type::MULTIPART_MIXED) {
            return Err(MultipartError::NotMultipart);
        }
        let boundary = media_type::parameter(content_type, "boundary");
        let boundary = Boundary::parse(&boundary.ok_or(MultipartError::Boundary)?)?;
        let mut keys = Vec::new();
        let mut chains = Vec::new();
        for part in parts(body, &boundary)? {
            match part.kind() {
                Some(PartKind::Plain) => {
                    let pkcs8 = Zeroizing::new(part.decode_key()?);
                    keys.push(KeyPart::Plain(GeneratedKey::from_pkcs8_der(&pkcs8)));
                }
                Some(PartKind::Encrypted) => keys.push(KeyPart::Encrypted(part.decode()?)),
                Some(PartKind::Certificates) => chains.push(certs_only::decode(&part.decode()?)?),
                None => {}
            }
        }
        let (key_count, chain_count) = (keys.len(), chains.len());
        let key = keys.pop().filter(|_| key_count == 1);
        let key = key.ok_or(MultipartError::Keys { count: key_count })?;
        let certificates = chains.pop().filter(|_| chain_count == 1);
        let certificates =
            certificates.ok_or(MultipartError::Certificates { count: chain_count })?;
        Ok(Self { key, certificates })
    }
}

/// An answer to send.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyAnswerBody {
    content_type: String,
    body: Vec<u8>,
}

impl KeyAnswerBody {
    /// Writes an answer: the key first, then the certificate alone.
    ///
    /// The parts say that they are base64, since one client in the field refuses them otherwise; no other header is in
    /// them, since another refuses that.
    #[must_use]
    pub fn new(
        key: &KeyPart,
        certificate: &CertificateDer<'_>,
        boundary: &Boundary,
        folding: Folding,
    ) -> Self {
        let (key_type, key) = match key {
            KeyPart::Plain(key) => (media_type::PKCS8, transfer::encode(key.pkcs8_der(), folding)),
            KeyPart::Encrypted(message) => {
                (media_type::SERVER_GENERATED_KEY, transfer::encode(message, folding))
            }
        };
        let certificates = transfer::encode(&certs_only::encode(&[certificate]), folding);
        let part = |kind: &str, text: &str| {
            format!(
                "--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
                text.trim_end()
            )
        };
        let body = [
            part(key_type, &key),
            part(media_type::CERTS_ONLY, &certificates),
            format!("--{boundary}--\r\n"),
        ];
        let quote = if boundary.0.bytes().all(is_token) { "" } else { "\"" };
        Self {
            content_type: format!(
                "{}; boundary={quote}{boundary}{quote}",
                media_type::MULTIPART_MIXED
            ),
            body: body.concat().into_bytes(),
        }
    }

    /// The Content-Type, with the boundary.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, to be sent.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }
}

impl fmt::Debug for KeyAnswerBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyAnswerBody")
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

/// A character that needs no quotes in a header's parameter (RFC 9110 §5.6.2).
fn is_token(character: u8) -> bool {
    character.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&character)
}

enum PartKind {
    Plain,
    Encrypted,
    Certificates,
}

struct Part<'a> {
    content_type: &'a str,
    lines: Vec<&'a [u8]>,
}

impl Part<'_> {
    fn kind(&self) -> Option<PartKind> {
        let smime_type = media_type::parameter(self.content_type, "smime-type");
        let smime_type = smime_type.map(|each| each.to_ascii_lowercase());
        if media_type::is(self.content_type, media_type::PKCS8) {
            return Some(PartKind::Plain);
        }
        if !media_type::is(self.content_type, media_type::CERTS_ONLY) {
            return None;
        }
        match smime_type.as_deref() {
            Some("server-generated-key" | "enveloped-data") => Some(PartKind::Encrypted),
            Some("certs-only") | None => Some(PartKind::Certificates),
            Some(_) => None,
        }
    }

    fn decode(&self) -> Result<Vec<u8>, MultipartError> {
        Ok(transfer::decode_within(&self.body(), ANSWER_OCTETS)?)
    }

    fn decode_key(&self) -> Result<Vec<u8>, MultipartError> {
        Ok(transfer::decode_key(&Zeroizing::new(self.body()), ANSWER_OCTETS)?)
    }

    /// The lines, without the break before the boundary, which belongs to that.
    fn body(&self) -> Vec<u8> {
        self.lines.join(&b'\n')
    }
}

/// Takes a body apart at its boundaries.
fn parts<'a>(body: &'a [u8], boundary: &Boundary) -> Result<Vec<Part<'a>>, MultipartError> {
    let delimiter = format!("--{boundary}");
    let mut parts: Vec<Part<'a>> = Vec::new();
    let mut lines = body.split(|octet| *octet == b'\n');
    // What stands before the first boundary is a preamble.
    let mut open: Option<Part<'a>> = None;
    while let Some(line) = lines.next() {
        match line.strip_prefix(delimiter.as_bytes()).map(<[u8]>::trim_ascii_end) {
            Some(rest @ (b"" | b"--")) => {
                parts.extend(open.take());
                if rest == b"--" {
                    // What stands after the last boundary is an epilogue.
                    return Ok(parts);
                }
                if parts.len() == PARTS_MOST {
                    return Err(MultipartError::TooMany("parts"));
                }
                let content_type = read_headers(&mut lines)?;
                open = Some(Part { content_type, lines: Vec::new() });
            }
            _ => {
                if let Some(part) = &mut open {
                    part.lines.push(line);
                }
            }
        }
    }
    Err(MultipartError::Unterminated)
}

/// Reads the headers of a part up to the empty line; gives its Content-Type.
fn read_headers<'a>(lines: &mut impl Iterator<Item = &'a [u8]>) -> Result<&'a str, MultipartError> {
    let mut content_type = "";
    for line in lines.take(HEADERS_MOST.saturating_add(1)) {
        let line = std::str::from_utf8(line).map_err(|_| MultipartError::Header)?.trim();
        if line.is_empty() {
            return Ok(content_type);
        }
        let (name, value) = line.split_once(':').ok_or(MultipartError::Header)?;
        if name.trim().eq_ignore_ascii_case("content-type") {
            content_type = value.trim();
        }
    }
    Err(MultipartError::TooMany("headers"))
}
