//! The provider: what it says of itself, and whom it sends.
//!
//! It is asked over HTTPS alone, each answer bounded in size and time, no redirect followed. What it says of itself,
//! with its keys, is good for a minute, so that strangers who open the log-in do not make the registrar ask all the time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use http::Uri;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessToken, AdditionalClaims, AuthType, AuthenticationFlow, AuthorizationCode, Client,
    ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, IdTokenFields, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    StandardErrorResponse, StandardTokenResponse, SubjectIdentifier, TokenResponse as _,
    UserInfoClaims,
};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::config::OpenidConfig;
use crate::identity::{IdentityError, check_mode, read_certificates};
use crate::observe::log::with_sources;
use crate::store::model::Millis;
use crate::web::{Schemes, WebClient, WebError};

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer, in octets: keys with their certificates.
const ANSWER_OCTETS: usize = 256 * 1024;
/// How long what the provider says of itself is good, in milliseconds.
const KNOWN_MILLIS: i64 = 60_000;
/// How long it is not asked again after it failed, in milliseconds.
const AWAY_MILLIS: i64 = 5_000;
/// The longest file with a secret, in octets.
const SECRET_OCTETS: usize = 4096;
/// The longest text of the provider's that is shown, in characters.
const TOLD_CHARACTERS: usize = 300;
/// The most values of the claim, and the longest of them in octets.
const VALUES_MOST: usize = 1000;
const VALUE_OCTETS: usize = 256;

/// Why a provider cannot be asked at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The anchors cannot be read.
    #[error("{0}")]
    Anchors(#[source] IdentityError),
    /// The client's secret cannot be read, or others may read it.
    #[error("{0}")]
    Mode(#[source] IdentityError),
    /// The client's secret cannot be read.
    #[error("{path}: cannot be read: {source}")]
    Secret {
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no secret.
    #[error("{path}: a secret has 1 to {SECRET_OCTETS} octets, not {octets}")]
    SecretLength {
        /// The file.
        path: String,
        /// How many it has.
        octets: usize,
    },
    /// An address is none.
    #[error("{reason}")]
    Address {
        /// The key of the configuration.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS cannot be set up on our side.
    #[error("no TLS client can be made: {0}")]
    Tls(#[from] rustls::Error),
}

impl SetupError {
    /// The key of the configuration that it is about.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Anchors(_) | Self::Tls(_) => "admin.openid.ca",
            Self::Mode(_) | Self::Secret { .. } | Self::SecretLength { .. } => {
                "admin.openid.client_secret_file"
            }
            Self::Address { key, .. } => key,
        }
    }
}

/// Why nobody is logged in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenidError {
    /// The browser comes back from a log-in that it did not begin here, or began too long ago.
    #[error(
        "this log-in was begun in another browser, more than ten minutes ago, or is over; begin it again"
    )]
    Foreign,
    /// The provider does not answer, or not as one.
    #[error("the OpenID Connect provider {issuer} cannot be used: {reason}")]
    Unusable {
        /// Its issuer identifier.
        issuer: String,
        /// What is wrong.
        reason: String,
    },
    /// The provider says no.
    #[error("the OpenID Connect provider refused the log-in: {reason}")]
    Refused {
        /// Its words, cut.
        reason: String,
    },
    /// What the provider says of somebody cannot be trusted.
    #[error("what the OpenID Connect provider says cannot be trusted: {reason}")]
    Untrusted {
        /// What is wrong.
        reason: String,
    },
}

impl OpenidError {
    /// What a provider sent back in place of a code.
    pub(super) fn refused(error: &str, description: Option<&str>) -> Self {
        let reason = match description {
            Some(description) => format!("{}: {}", told(error), told(description)),
            None => told(error),
        };
        Self::Refused { reason }
    }
}

/// Somebody whom the provider sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// How the trail names them.
    pub(super) name: String,
    /// The values of the claim that gives roles.
    pub(super) values: Vec<String>,
}

/// Every claim that OpenID Connect itself has no name for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Claims(BTreeMap<String, Value>);

impl AdditionalClaims for Claims {}

type Fields = IdTokenFields<
    Claims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

type Known = Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What came of asking the provider for what it says of itself, and when.
type Asked = (Millis, Result<Known, OpenidError>);

/// The provider.
pub struct Provider {
    config: OpenidConfig,
    issuer: IssuerUrl,
    host: String,
    redirect: RedirectUrl,
    secret: Option<ClientSecret>,
    web: WebClient,
    asked: Mutex<Option<Asked>>,
}

impl Provider {
    /// Reads the files that the configuration names; the provider itself is asked when somebody logs in.
    ///
    /// `system`: the anchors where none are configured.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(
        config: OpenidConfig,
        provider: Arc<CryptoProvider>,
        system: RootCertStore,
    ) -> Result<Self, SetupError> {
        let anchors = match &config.ca {
            None => system,
            Some(path) => {
                let mut anchors = RootCertStore::empty();
                for certificate in read_certificates(path).map_err(SetupError::Anchors)? {
                    anchors.add(certificate.der().clone())?;
                }
                anchors
            }
        };
        let secret = config.client_secret_file.as_deref().map(read_secret).transpose()?;
        let issuer = IssuerUrl::new(config.issuer.clone()).map_err(|error| {
            SetupError::Address { key: "admin.openid.issuer", reason: error.to_string() }
        })?;
        let host = config.issuer.parse::<Uri>().ok();
        let host = host.as_ref().and_then(Uri::host).unwrap_or_default().to_owned();
        let redirect = format!("{}/console/login/openid/return", config.console_url);
        let redirect = RedirectUrl::new(redirect).map_err(|error| SetupError::Address {
            key: "admin.openid.console_url",
            reason: error.to_string(),
        })?;
        let web = WebClient::new(provider, anchors, Schemes::Https, TIMEOUT)?;
        let (web, asked) = (web.with_answers(ANSWER_OCTETS), Mutex::default());
        Ok(Self { config, issuer, host, redirect, secret, web, asked })
    }

    /// The provider's host, for people.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The claim whose values give roles.
    pub(super) fn claim(&self) -> &str {
        &self.config.claim
    }

    /// Where the browser logs in.
    pub(super) async fn address(
        &self,
        state: String,
        nonce: String,
        verifier: String,
        now: Millis,
    ) -> Result<String, OpenidError> {
        let client = self.known(now).await?;
        let challenge =
            PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier));
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let request = client
            .authorize_url(flow, || CsrfToken::new(state), || Nonce::new(nonce))
            .add_scopes(self.config.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(challenge);
        let (url, ..) = request.url();
        match url.scheme() {
            "https" => Ok(url.to_string()),
            _ => Err(self.unusable("its log-in is not at an https address".to_owned())),
        }
    }

    /// Asks the provider whom it sent with this code.
    pub(super) async fn identify(
        &self,
        code: String,
        nonce: String,
        verifier: String,
        now: Millis,
    ) -> Result<Person, OpenidError> {
        let client = self.known(now).await?;
        let ask = self.ask();
        let request = client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|error| self.unusable(error.to_string()))?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier));
        let tokens = request.request_async(&ask).await;
        let tokens = tokens.map_err(|error| OpenidError::refused(&with_sources(&error), None))?;
        let untrusted = |reason: String| OpenidError::Untrusted { reason: told(&reason) };
        let id_token =
            tokens.id_token().ok_or_else(|| untrusted("it gave no ID token".to_owned()))?;
        let moment = DateTime::from_timestamp_millis(now.0).unwrap_or_default();
        let checks = client.id_token_verifier().set_time_fn(move || moment);
        let claims = id_token.claims(&checks, &Nonce::new(nonce));
        let claims = claims.map_err(|error| untrusted(with_sources(&error)))?;
        let mut values = values(&claims.additional_claims().0, &self.config.claim);
        let subject = claims.subject().clone();
        let mut said = claims.preferred_username().map(|name| name.to_string());
        said = said.or_else(|| claims.email().map(|email| email.to_string()));
        // Many providers keep ID tokens small, and say the rest to whoever asks for it.
        if (values.is_none() || said.is_none()) && client.user_info_url().is_some() {
            let more = self.more(&client, tokens.access_token().clone(), subject.clone()).await?;
            values = values.or_else(|| self::values(&more.additional_claims().0, self.claim()));
            said = said.or_else(|| more.preferred_username().map(|name| name.to_string()));
            said = said.or_else(|| more.email().map(|email| email.to_string()));
        }
        Ok(Person { name: name(&subject, said.as_deref()), values: values.unwrap_or_default() })
    }

    async fn more(
        &self,
        client: &Known,
        token: AccessToken,
        subject: SubjectIdentifier,
    ) -> Result<UserInfoClaims<Claims, CoreGenderClaim>, OpenidError> {
        let request = client.user_info(token, Some(subject));
        let request = request.map_err(|error| self.unusable(error.to_string()))?;
        let ask = self.ask();
        let said = request.request_async(&ask).await;
        said.map_err(|error| OpenidError::Untrusted { reason: told(&with_sources(&error)) })
    }

    /// The provider as it says that it is; whoever asks meanwhile waits for the one answer.
    async fn known(&self, now: Millis) -> Result<Known, OpenidError> {
        let mut asked = self.asked.lock().await;
        if let Some((at, known)) = asked.as_ref() {
            let age = now.0.saturating_sub(at.0);
            let good = if known.is_ok() { KNOWN_MILLIS } else { AWAY_MILLIS };
            if (0..good).contains(&age) {
                return known.clone();
            }
        }
        let known = self.discover().await;
        *asked = Some((now, known.clone()));
        known
    }

    async fn discover(&self) -> Result<Known, OpenidError> {
        let ask = self.ask();
        let metadata = CoreProviderMetadata::discover_async(self.issuer.clone(), &ask).await;
        let metadata = metadata.map_err(|error| self.unusable(with_sources(&error)))?;
        let methods = metadata.token_endpoint_auth_methods_supported().cloned();
        let client_id = ClientId::new(self.config.client_id.clone());
        let client = Client::from_provider_metadata(metadata, client_id, self.secret.clone());
        let client = client.set_redirect_uri(self.redirect.clone());
        // Basic is what a provider takes that says nothing (OpenID Connect Discovery 1.0 §3).
        let wants_body = methods.is_some_and(|methods| {
            !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
                && methods.contains(&CoreClientAuthMethod::ClientSecretPost)
        });
        Ok(if wants_body { client.set_auth_type(AuthType::RequestBody) } else { client })
    }

    fn unusable(&self, reason: String) -> OpenidError {
        OpenidError::Unusable { issuer: self.config.issuer.clone(), reason: told(&reason) }
    }

    /// How the provider is asked.
    fn ask(
        &self,
    ) -> impl Fn(
        HttpRequest,
    )
        -> std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, WebError>> + Send>>
    + Send
    + Sync
    + use<> {
        let web = self.web.clone();
        move |request| {
            let web = web.clone();
            Box::pin(async move {
                Ok(web.send(request.map(Bytes::from)).await?.map(|body| body.to_vec()))
            })
        }
    }
}

/// How the trail names somebody: by what never changes, with what people know them by.
fn name(subject: &SubjectIdentifier, said: Option<&str>) -> String {
    match said.filter(|said| !said.is_empty() && *said != subject.as_str()) {
        Some(said) => format!("openid {} ({})", told(said), told(subject.as_str())),
        None => format!("openid {}", told(subject.as_str())),
    }
}

/// The values of a claim: a text, or those in a list. Dots lead into objects where no claim has the whole name.
fn values(claims: &BTreeMap<String, Value>, claim: &str) -> Option<Vec<String>> {
    let found = claims.get(claim).or_else(|| {
        let mut path = claim.split('.');
        let first = claims.get(path.next()?)?;
        path.try_fold(first, |value, key| value.get(key))
    })?;
    let all = match found {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let texts = all.iter().filter_map(Value::as_str).filter(|text| text.len() <= VALUE_OCTETS);
    Some(texts.take(VALUES_MOST).map(str::to_owned).collect())
}

/// A text of the provider's, cut, without what a terminal would obey.
fn told(text: &str) -> String {
    text.chars().filter(|each| !each.is_control()).take(TOLD_CHARACTERS).collect()
}

fn read_secret(path: &Path) -> Result<ClientSecret, SetupError> {
    check_mode(path).map_err(SetupError::Mode)?;
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| SetupError::Secret { path: shown.clone(), source })?;
    match text.trim() {
        "" => Err(SetupError::SecretLength { path: shown, octets: 0 }),
        _ if text.len() > SECRET_OCTETS => {
            Err(SetupError::SecretLength { path: shown, octets: text.len() })
        }
        secret => Ok(ClientSecret::new(secret.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> BTreeMap<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_claim_is_a_text_a_list_or_inside_of_objects() {
        let said = claims(json!({
            "groups": ["a", 7, "b", {"c": 1}],
            "one": "a",
            "realm_access": {"roles": ["x"]},
            "https://example.org/roles": ["y"],
            "long": ["x".repeat(VALUE_OCTETS + 1)],
        }));
        for (claim, expected) in [
            ("groups", Some(vec!["a", "b"])),
            ("one", Some(vec!["a"])),
            ("realm_access.roles", Some(vec!["x"])),
            ("https://example.org/roles", Some(vec!["y"])),
            ("realm_access", Some(vec![])),
            ("long", Some(vec![])),
            ("realm_access.groups", None),
            ("groups.0", None),
            ("nosuch", None),
            ("", None),
        ] {
            let expected = expected.map(|all| all.into_iter().map(str::to_owned).collect());
            assert_eq!(values(&said, claim), expected, "{claim}");
        }
    }

    #[test]
    fn the_trail_names_somebody_by_what_they_cannot_change() {
        let subject = SubjectIdentifier::new("248289761001".to_owned());
        assert_eq!(name(&subject, Some("alice")), "openid alice (248289761001)");
        assert_eq!(name(&subject, None), "openid 248289761001");
        assert_eq!(name(&subject, Some("248289761001")), "openid 248289761001");
        let hostile = name(&subject, Some(&format!("\u{1b}[2J\n{}", "x".repeat(1000))));
        assert!(hostile.len() < 400 && !hostile.chars().any(char::is_control), "{hostile}");
    }
}
