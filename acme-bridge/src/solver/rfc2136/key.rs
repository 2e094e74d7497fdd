//! A TSIG key from a file: as BIND writes it, or `ALGORITHM:NAME:SECRET` on one line.
//!
//! RFC 8945; algorithms from hmac-sha256 up.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, TSigner};

use crate::solver::secret_file::{self, SecretFileError};

/// How far apart the clocks of both ends may be (RFC 8945 §10), in seconds.
const FUDGE_SECS: u16 = 300;

/// A key that signs updates. It prints its name and nothing else.
#[derive(Clone)]
pub struct TsigKey(TSigner);

impl fmt::Debug for TsigKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TsigKey({})", self.0.signer_name())
    }
}

impl TsigKey {
    /// Reads a key file, mode 0600.
    ///
    /// # Errors
    /// [`SecretFileError`].
    pub fn load(path: &Path) -> Result<Self, SecretFileError> {
        let text = secret_file::read(path)?;
        Self::parse(&text)
            .map_err(|reason| SecretFileError::Format { path: path.to_owned(), reason })
    }

    /// Its name, with a final dot.
    #[must_use]
    pub fn name(&self) -> String {
        self.0.signer_name().to_ascii()
    }

    pub(super) fn signer(&self) -> &TSigner {
        &self.0
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let words = words(text)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (name, algorithm, secret) = match words.as_slice() {
            ["key", name, "{", first, one, ";", second, two, ";", "}"]
            | ["key", name, "{", first, one, ";", second, two, ";", "}", ";"] => {
                match (*first, *second) {
                    ("algorithm", "secret") => (*name, *one, *two),
                    ("secret", "algorithm") => (*name, *two, *one),
                    _ => return Err("a key has one 'algorithm' and one 'secret'"),
                }
            }
            [line] => {
                let mut parts = line.splitn(3, ':');
                match (parts.next(), parts.next(), parts.next()) {
                    (Some(algorithm), Some(name), Some(secret)) => (name, algorithm, secret),
                    _ => return Err(SHAPES),
                }
            }
            _ => return Err(SHAPES),
        };
        let algorithm = match algorithm.to_ascii_lowercase().trim_end_matches('.') {
            "hmac-sha256" => TsigAlgorithm::HmacSha256,
            "hmac-sha384" => TsigAlgorithm::HmacSha384,
            "hmac-sha512" => TsigAlgorithm::HmacSha512,
            _ => return Err("its algorithm is none of hmac-sha256, hmac-sha384 and hmac-sha512"),
        };
        let name = Name::from_ascii(name).map_err(|_| "its name is no DNS name")?;
        let secret = STANDARD.decode(secret).map_err(|_| "its secret is no base64")?;
        if secret.len() < 16 {
            return Err("its secret is shorter than 16 octets");
        }
        let signer = TSigner::new(secret, algorithm, name, FUDGE_SECS);
        signer.map(Self).map_err(|_| "its algorithm cannot be used")
    }
}

const SHAPES: &str =
    "it is neither 'key \"NAME\" { algorithm …; secret \"…\"; };' nor 'ALGORITHM:NAME:SECRET'";

/// The words and marks of a key file, without comments and quotation marks.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    for line in text.lines() {
        let mut word = String::new();
        let mut is_quoted = false;
        for (at, each) in line.char_indices() {
            // A comment begins where a word may; base64 has slashes of its own.
            let rest = line.get(at..).unwrap_or_default();
            let is_comment = word.is_empty() && (each == '#' || rest.starts_with("//"));
            match each {
                '"' => is_quoted = !is_quoted,
                _ if is_quoted => word.push(each),
                _ if is_comment => break,
                '{' | '}' | ';' => {
                    words.extend(take(&mut word));
                    words.push(each.to_string());
                }
                _ if each.is_whitespace() => words.extend(take(&mut word)),
                _ => word.push(each),
            }
        }
        if is_quoted {
            return Err("a quotation mark is open");
        }
        words.extend(take(&mut word));
    }
    Ok(words)
}

fn take(word: &mut String) -> Option<String> {
    (!word.is_empty()).then(|| std::mem::take(word))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    #[test]
    fn reads_a_key_as_bind_writes_it_and_on_one_line() {
        for text in [
            format!("key \"acme\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{SECRET}\";\n}};\n"),
            format!("key acme {{ secret {SECRET}; algorithm HMAC-SHA512.; }};"),
            format!("# a comment\nkey \"acme.\" {{ algorithm hmac-sha384; secret \"{SECRET}\"; }}"),
            format!("hmac-sha256:acme:{SECRET}\n"),
            format!("// a comment\nhmac-sha256:acme:{}A= // 32 octets", "A//".repeat(14)),
        ] {
            let key = TsigKey::parse(&text).unwrap();
            assert_eq!(key.name(), "acme.", "{text}");
            assert_eq!(key.signer().key().len(), 32);
        }
    }

    #[test]
    fn refuses_what_is_no_key_and_says_why_without_showing_it() {
        for (text, reason) in [
            (String::new(), "neither"),
            ("acme".into(), "neither"),
            (format!("key acme {{ algorithm hmac-md5; secret {SECRET}; }};"), "algorithm"),
            (format!("hmac-sha1:acme:{SECRET}"), "algorithm"),
            (format!("hmac-sha256:a..b:{SECRET}"), "name"),
            ("hmac-sha256:acme:*".into(), "base64"),
            ("hmac-sha256:acme:c2hvcnQ=".into(), "shorter"),
            (format!("key acme {{ secret {SECRET}; secret {SECRET}; }};"), "one"),
            (format!("key acme {{ algorithm hmac-sha256; secret \"{SECRET}; }};"), "quotation"),
            (format!("key a {{ algorithm hmac-sha256; secret {SECRET}; }}; key b {{"), "neither"),
        ] {
            let refused = TsigKey::parse(&text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
            assert!(!refused.contains(SECRET));
        }
    }

    #[test]
    fn prints_its_name_alone() {
        let key = TsigKey::parse(&format!("hmac-sha256:acme:{SECRET}")).unwrap();
        assert_eq!(format!("{key:?}"), "TsigKey(acme.)");
    }
}
