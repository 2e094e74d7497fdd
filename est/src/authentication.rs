//! HTTP authentication inside TLS, for both sides (RFC 7030 §3.2.3, RFC 7617, RFC 7616).
//!
//! A server reads [`Credentials`] from an Authorization header. A client reads [`Challenge`]s from a 401 and answers one.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request};
use http_auth::ChallengeRef;
use md5::{Digest as _, Md5};
use thiserror::Error;
use zeroize::Zeroizing;

/// The longest user name and the longest password, in octets.
const PART_OCTETS: usize = 256;
/// The longest Authorization header that is read, in octets.
const HEADER_OCTETS: usize = 1024;
/// The most challenges that are kept, and the longest parameter of one, in characters.
const CHALLENGES_MOST: usize = 8;
const PARAMETER_CHARACTERS: usize = 512;

/// Why a name and a password cannot be had, or cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The header is of another scheme than Basic.
    #[error("the Authorization is not Basic")]
    Scheme,
    /// The header is not base64 of a name and a password with a colon between.
    #[error("the Authorization is not base64 of a name, a colon and a password")]
    Encoding,
    /// The name has a colon, or name or password has control characters.
    #[error("a user name with a colon, or with control characters, cannot be sent")]
    Characters,
    /// Name or password is longer than any.
    #[error("a user name or password has more than {PART_OCTETS} octets")]
    TooLong,
    /// The challenge asks for an algorithm or a protection that is not known here.
    #[error("the server asks for Digest with {what}, which is not known here")]
    Digest {
        /// What it asks for.
        what: String,
    },
}

/// A name and a password. Its debug form shows the name alone.
///
/// It is not compared with another: a server compares hashes of passwords, in constant time.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: Zeroizing<String>,
}

impl Credentials {
    /// Takes a name, which may be empty (RFC 7030 §3.2.3), and a password; at most 256 octets each.
    ///
    /// # Errors
    /// [`CredentialsError::Characters`], [`CredentialsError::TooLong`].
    pub fn new(user: &str, password: &str) -> Result<Self, CredentialsError> {
        if user.contains(':') || [user, password].iter().any(|part| part.contains(char::is_control))
        {
            return Err(CredentialsError::Characters);
        }
        if user.len() > PART_OCTETS || password.len() > PART_OCTETS {
            return Err(CredentialsError::TooLong);
        }
        Ok(Self { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) })
    }

    /// Reads the value of an Authorization header of scheme Basic.
    ///
    /// # Errors
    /// [`CredentialsError`], but for its `Digest`.
    ///
    /// RFC 7617 §2.
    pub fn from_basic(header: &str) -> Result<Self, CredentialsError> {
        if header.len() > HEADER_OCTETS {
            return Err(CredentialsError::TooLong);
        }
        let (scheme, encoded) = header.trim().split_once(' ').ok_or(CredentialsError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(CredentialsError::Scheme);
        }
        let decoded = STANDARD.decode(encoded.trim()).map_err(|_| CredentialsError::Encoding)?;
        let decoded = Zeroizing::new(decoded);
        let text = std::str::from_utf8(&decoded).map_err(|_| CredentialsError::Encoding)?;
        let (user, password) = text.split_once(':').ok_or(CredentialsError::Encoding)?;
        Self::new(user, password)
    }

    /// The name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Adds an Authorization of scheme Basic to a request, as clients do at once where no challenge is awaited.
    pub fn authorize_basic<B>(&self, request: &mut Request<B>) {
        let text = Zeroizing::new(format!("{}:{}", self.user, &*self.password));
        authorize(request, &format!("Basic {}", STANDARD.encode(text.as_bytes())));
    }

    /// Adds an Authorization of scheme Digest to a request.
    ///
    /// `client_nonce`: random octets; `count`: how often the challenge's nonce was answered, this time included.
    ///
    /// # Errors
    /// [`CredentialsError::Digest`].
    ///
    /// RFC 7616 §3.4.
    pub fn authorize_digest<B>(
        &self,
        challenge: &DigestChallenge,
        request: &mut Request<B>,
        client_nonce: [u8; 16],
        count: u32,
    ) -> Result<(), CredentialsError> {
        let uri = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let nonce = STANDARD.encode(client_nonce);
        let answer =
            self.digest_answer(challenge, request.method().as_str(), &uri, &nonce, count)?;
        authorize(request, &answer);
        Ok(())
    }

    fn digest_answer(
        &self,
        challenge: &DigestChallenge,
        method: &str,
        uri: &str,
        client_nonce: &str,
        count: u32,
    ) -> Result<String, CredentialsError> {
        let algorithm = challenge.digest_algorithm()?;
        let hash = |text: &str| algorithm.hash(text);
        let DigestChallenge { realm, nonce, .. } = challenge;
        let secret = Zeroizing::new(format!("{}:{realm}:{}", self.user, &*self.password));
        let mut key = hash(&secret);
        if challenge.is_session() {
            key = hash(&format!("{key}:{nonce}:{client_nonce}"));
        }
        let request = hash(&format!("{method}:{uri}"));
        let count = format!("{count:08x}");
        let has_protection = challenge.protection()?;
        let response = match has_protection {
            true => hash(&format!("{key}:{nonce}:{count}:{client_nonce}:auth:{request}")),
            false => hash(&format!("{key}:{nonce}:{request}")),
        };
        let user = quoted(&self.user);
        let mut answer = format!(
            "Digest username={user}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quoted(realm),
            quoted(nonce),
            quoted(uri),
        );
        if let Some(algorithm) = &challenge.algorithm {
            answer.push_str(&format!(", algorithm={algorithm}"));
        }
        if has_protection || challenge.is_session() {
            answer.push_str(&format!(", cnonce={}", quoted(client_nonce)));
        }
        if has_protection {
            answer.push_str(&format!(", qop=auth, nc={count}"));
        }
        if let Some(opaque) = &challenge.opaque {
            answer.push_str(&format!(", opaque={}", quoted(opaque)));
        }
        Ok(answer)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What a server asks a client to prove itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Challenge {
    /// A name and a password, as they are.
    Basic {
        /// What they are for.
        realm: String,
    },
    /// A name and a hash over the password.
    Digest(DigestChallenge),
    /// Something else.
    Other {
        /// The scheme.
        scheme: String,
    },
}

impl Challenge {
    /// Reads the challenges of a 401, in the order sent. One that cannot be read ends the list.
    #[must_use]
    pub fn all(headers: &HeaderMap) -> Vec<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| http_auth::parser::ChallengeParser::new(value).map_while(Result::ok))
            .take(CHALLENGES_MOST)
            .map(|challenge| Self::of(&challenge))
            .collect()
    }

    fn of(challenge: &ChallengeRef<'_>) -> Self {
        let parameter = |name: &str| {
            let mut parameters = challenge.params.iter();
            let found = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| {
                value.to_unescaped().chars().take(PARAMETER_CHARACTERS).collect::<String>()
            })
        };
        let realm = parameter("realm").unwrap_or_default();
        match challenge.scheme.to_ascii_lowercase().as_str() {
            "basic" => Self::Basic { realm },
            "digest" => Self::Digest(DigestChallenge {
                realm,
                nonce: parameter("nonce").unwrap_or_default(),
                opaque: parameter("opaque"),
                algorithm: parameter("algorithm"),
                protections: parameter("qop"),
            }),
            other => Self::Other { scheme: other.to_owned() },
        }
    }
}

/// A challenge of scheme Digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestChallenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Option<String>,
    protections: Option<String>,
}

impl DigestChallenge {
    /// What the name and the password are for.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    fn is_session(&self) -> bool {
        self.algorithm.as_deref().is_some_and(|each| each.to_ascii_lowercase().ends_with("-sess"))
    }

    fn digest_algorithm(&self) -> Result<DigestAlgorithm, CredentialsError> {
        let name = self.algorithm.as_deref().unwrap_or("MD5").to_ascii_lowercase();
        match name.strip_suffix("-sess").unwrap_or(&name) {
            "md5" => Ok(DigestAlgorithm::Md5),
            "sha-256" => Ok(DigestAlgorithm::Sha256),
            other => Err(CredentialsError::Digest { what: other.to_owned() }),
        }
    }

    /// Whether the answer counts and takes part in what is hashed: `auth`, or the form of before RFC 2617.
    fn protection(&self) -> Result<bool, CredentialsError> {
        match &self.protections {
            None => Ok(false),
            Some(list) if list.split(',').any(|each| each.trim().eq_ignore_ascii_case("auth")) => {
                Ok(true)
            }
            Some(list) => Err(CredentialsError::Digest { what: list.clone() }),
        }
    }
}

/// MD5 is broken as a hash; here it stands inside TLS, and older servers know nothing else.
#[derive(Clone, Copy)]
enum DigestAlgorithm {
    Md5,
    Sha256,
}

impl DigestAlgorithm {
    fn hash(self, text: &str) -> String {
        let octets = match self {
            Self::Md5 => Md5::digest(text.as_bytes()).to_vec(),
            Self::Sha256 => digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec(),
        };
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn authorize<B>(request: &mut Request<B>, value: &str) {
    // Names and passwords hold no control characters, so the value is always one of a header.
    if let Ok(mut value) = HeaderValue::from_bytes(value.as_bytes()) {
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
}

#[cfg(test)]
mod tests {
    use super::{Challenge, Credentials, CredentialsError};

    fn challenge(text: &'static str) -> Challenge {
        let mut headers = http::HeaderMap::new();
        headers.insert("www-authenticate", http::HeaderValue::from_static(text));
        Challenge::all(&headers).remove(0)
    }

    /// RFC 7616 §3.9.1.
    #[test]
    fn answers_as_the_published_example() {
        let credentials = Credentials::new("Mufasa", "Circle of Life").unwrap();
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let text = format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let Challenge::Digest(challenge) = challenge(text.leak()) else { panic!("no digest") };
            let nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let answer =
                credentials.digest_answer(&challenge, "GET", "/dir/index.html", nonce, 1).unwrap();
            assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
            assert!(answer.contains("nc=00000001") && answer.contains("qop=auth,"), "{answer}");
        }
    }

    #[test]
    fn refuses_algorithms_and_protections_that_it_does_not_know() {
        let credentials = Credentials::new("a", "b").unwrap();
        for text in [
            "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256, qop=\"auth\"",
            "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"",
        ] {
            let Challenge::Digest(challenge) = challenge(text) else { panic!("no digest") };
            let answer = credentials.digest_answer(&challenge, "GET", "/", "c", 1);
            assert!(matches!(answer, Err(CredentialsError::Digest { .. })), "{answer:?}");
        }
    }

    #[test]
    fn a_session_and_the_oldest_form_differ() {
        let credentials = Credentials::new("a", "b").unwrap();
        let answer = |text| {
            let Challenge::Digest(challenge) = challenge(text) else { panic!("no digest") };
            credentials.digest_answer(&challenge, "GET", "/", "c", 1).unwrap()
        };
        assert!(!answer("Digest realm=\"r\", nonce=\"n\"").contains("cnonce"));
        let session = answer("Digest realm=\"r\", nonce=\"n\", algorithm=MD5-sess");
        assert!(session.contains("cnonce=\"c\"") && session.contains("algorithm=MD5-sess"));
    }
}
