//! Base64 around every EST body (RFC 8951 §3), as read from anyone and written for everyone.
//!
//! Clients in the field contradict each other: one chokes on a line break, another on a line above 1000 characters.
//! So an answer is one line with a line feed, except for clients that fold their own requests.
//! A Content-Transfer-Encoding says nothing (RFC 8951 §3): whoever calls this need not look at it.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use thiserror::Error;

/// The longest body that is decoded, in octets.
pub const BODY_OCTETS: usize = 64 * 1024;
/// Up to here one line suits everybody.
const LINE_CHARACTERS: usize = 1000;
const FOLD: usize = 64;
/// The longest PEM label that an error repeats, in characters.
const LABEL_CHARACTERS: usize = 64;
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// What a CSR is called in PEM: by RFC 7468 §7, and by older programs.
const CSR_LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a body is no base64 of DER.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// It is empty.
    #[error("the body is empty")]
    Empty,
    /// It is longer than is read here.
    #[error("the body has {octets} octets, more than {most}")]
    TooLong {
        /// Its length.
        octets: usize,
        /// The longest that is read.
        most: usize,
    },
    /// It is neither base64 nor DER.
    #[error("the body is neither base64 nor DER")]
    NotBase64,
    /// A PEM block has no end, or another's.
    #[error("a PEM block in the body does not end as it begins")]
    Armour,
    /// There are several PEM blocks where one belongs.
    #[error("there are {count} PEM blocks in the body, not one")]
    Blocks {
        /// How many.
        count: usize,
    },
    /// A PEM block holds something else than what is asked for.
    #[error("the body is a PEM block of {label:?}, which does not belong there")]
    Label {
        /// What it says it holds.
        label: String,
    },
    /// A PEM block holds a private key, which must not leave its owner.
    #[error("the body holds a private key: take the key for disclosed, and make a new one")]
    PrivateKey,
}

/// Takes the base64 off a body: folded or not, with PEM's armour or without; plain DER passes as it is.
///
/// What stands outside a PEM block is passed over, as `openssl req -text` writes it.
///
/// # Errors
/// [`TransferError`].
pub fn decode(body: &[u8]) -> Result<Vec<u8>, TransferError> {
    decode_within(body, BODY_OCTETS)
}

/// Takes the base64 off a body that is to hold a CSR: as [`decode`], and a PEM block must be called
/// `CERTIFICATE REQUEST` or `NEW CERTIFICATE REQUEST`.
///
/// # Errors
/// [`TransferError`].
pub fn decode_csr(body: &[u8]) -> Result<Vec<u8>, TransferError> {
    let body = bounded(body, BODY_OCTETS)?;
    match one_block(body, PrivateKeys::Refused)? {
        Some(block) if !CSR_LABELS.contains(&block.label) => {
            Err(TransferError::Label { label: shortened(block.label) })
        }
        Some(block) => base64(&block.contents),
        None => without_armour(body),
    }
}

/// As [`decode`], for a body of another greatest length.
pub(crate) fn decode_within(body: &[u8], most: usize) -> Result<Vec<u8>, TransferError> {
    decode_block(body, most, PrivateKeys::Refused)
}

/// As [`decode`], for a body that is to hold a private key.
pub(crate) fn decode_key(body: &[u8], most: usize) -> Result<Vec<u8>, TransferError> {
    decode_block(body, most, PrivateKeys::Taken)
}

fn decode_block(
    body: &[u8],
    most: usize,
    private_keys: PrivateKeys,
) -> Result<Vec<u8>, TransferError> {
    let body = bounded(body, most)?;
    match one_block(body, private_keys)? {
        Some(block) => base64(&block.contents),
        None => without_armour(body),
    }
}

/// The contents of each PEM block of this label; empty if there is no block at all.
///
/// # Errors
/// [`TransferError`], also where one block has another label.
pub(crate) fn pem_blocks(
    body: &[u8],
    label: &str,
    most: usize,
) -> Result<Vec<Vec<u8>>, TransferError> {
    blocks(bounded(body, most)?, PrivateKeys::Refused)?
        .into_iter()
        .map(|block| match block.label == label {
            true => base64(&block.contents),
            false => Err(TransferError::Label { label: shortened(block.label) }),
        })
        .collect()
}

fn bounded(body: &[u8], most: usize) -> Result<&[u8], TransferError> {
    if body.len() > most {
        return Err(TransferError::TooLong { octets: body.len(), most });
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(TransferError::Empty);
    }
    Ok(body)
}

fn without_armour(body: &[u8]) -> Result<Vec<u8>, TransferError> {
    // '0' is 0x30 and begins base64 of another thing than a SEQUENCE, so the whole of the body decides.
    match (base64(body), body.first()) {
        (Ok(octets), _) => Ok(octets),
        (Err(_), Some(0x30)) => Ok(body.to_vec()),
        (Err(error), _) => Err(error),
    }
}

fn base64(text: &[u8]) -> Result<Vec<u8>, TransferError> {
    let text: Vec<u8> = text.iter().copied().filter(|each| !each.is_ascii_whitespace()).collect();
    LENIENT.decode(text).map_err(|_| TransferError::NotBase64)
}

/// Whether a PEM block may hold a private key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PrivateKeys {
    Refused,
    Taken,
}

struct Block<'a> {
    label: &'a str,
    contents: Vec<u8>,
}

/// The one PEM block in a body, if there is any.
fn one_block(body: &[u8], private_keys: PrivateKeys) -> Result<Option<Block<'_>>, TransferError> {
    let mut blocks = blocks(body, private_keys)?;
    match blocks.len() {
        0 | 1 => Ok(blocks.pop()),
        count => Err(TransferError::Blocks { count }),
    }
}

/// The PEM blocks in a body (RFC 7468).
fn blocks(body: &[u8], private_keys: PrivateKeys) -> Result<Vec<Block<'_>>, TransferError> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Ok(Vec::new());
    };
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for line in text.lines().map(str::trim) {
        if let Some(label) = between(line, BEGIN) {
            if label.ends_with("PRIVATE KEY") && private_keys == PrivateKeys::Refused {
                return Err(TransferError::PrivateKey);
            }
            if open.replace(Block { label, contents: Vec::new() }).is_some() {
                return Err(TransferError::Armour);
            }
        } else if let Some(label) = between(line, END) {
            match open.take() {
                Some(block) if block.label == label => blocks.push(block),
                _ => return Err(TransferError::Armour),
            }
        } else if let Some(block) = &mut open {
            block.contents.extend_from_slice(line.as_bytes());
        }
    }
    if open.is_some() { Err(TransferError::Armour) } else { Ok(blocks) }
}

fn between<'a>(line: &'a str, prefix: &str) -> Option<&'a str> {
    line.strip_prefix(prefix)?.strip_suffix(DASHES)
}

fn shortened(label: &str) -> String {
    label.chars().take(LABEL_CHARACTERS).collect()
}

/// Whether an answer is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// One line.
    Never,
    /// Lines of 64 characters where one line would be long.
    WhenLong,
}

impl Folding {
    /// What suits a client that sent this body (empty for a GET) and calls itself so.
    #[must_use]
    pub fn for_client(request_body: &[u8], user_agent: &str) -> Self {
        let trimmed = request_body.trim_ascii();
        if trimmed.contains(&b'\n') || user_agent.starts_with("libest") {
            Self::WhenLong
        } else {
            Self::Never
        }
    }
}

/// Puts base64 around DER, with one line feed at the end.
#[must_use]
pub fn encode(der: &[u8], folding: Folding) -> String {
    let mut text = STANDARD.encode(der);
    if folding == Folding::WhenLong && text.len() > LINE_CHARACTERS {
        let lines: Vec<&[u8]> = text.as_bytes().chunks(FOLD).collect();
        text = String::from_utf8_lossy(&lines.join(&b'\n')).into_owned();
    }
    text.push('\n');
    text
}
