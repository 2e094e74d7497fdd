//! [`AcmeClient`] by the instant-acme crate; this file and the HTTP client under it are all that know it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use instant_acme::{
    Account, AuthorizationStatus as TheirAuthorizationStatus, ChallengeStatus,
    ChallengeType as TheirChallengeType, Error, Identifier, Key,
    KeyAuthorization as TheirKeyAuthorization, NewOrder, Order, OrderStatus as TheirOrderStatus,
};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::challenge::{Challenge, ChallengeType, KeyAuthorization};
use crate::client::{
    AcmeClient, AcmeError, AuthorizationStatus, AuthorizationView, ChallengeProgress,
    OfferedChallenge, OrderStatus, OrderView,
};
use crate::http_client::AcmeHttpClient;
use crate::problem::{Problem, ProblemKind};

/// What is needed to reach an account.
pub(crate) struct Connection<'a> {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) anchors: Arc<RootCertStore>,
    pub(crate) directory: &'a str,
    pub(crate) key: &'a PrivatePkcs8KeyDer<'static>,
    pub(crate) timeout: Duration,
}

/// An account, reached over HTTPS.
pub(crate) struct InstantAcme {
    account: Account,
}

impl InstantAcme {
    /// Opens an account whose URL is known: one request, the directory.
    pub(crate) async fn open(connection: Connection<'_>, url: &str) -> Result<Self, AcmeError> {
        let http = http(&connection)?;
        let account = Account::builder_with_http(Box::new(http))
            .from_parts(url.to_owned(), connection.key.clone_key(), connection.directory.to_owned())
            .await
            .map_err(error)?;
        Ok(Self { account })
    }

    /// Finds the account of the key at the CA, or makes it, agreeing to the CA's terms of service.
    ///
    /// A key that has an account gets that one (RFC 8555 §7.3.1), so a crash between this and writing it down is harmless.
    pub(crate) async fn create(connection: Connection<'_>) -> Result<(Self, String), AcmeError> {
        let http = http(&connection)?;
        let key = Key::from_pkcs8_der(connection.key.clone_key()).map_err(error)?;
        let der = PrivateKeyDer::Pkcs8(connection.key.clone_key());
        let (account, _) = Account::builder_with_http(Box::new(http))
            .create_from_key((key, der), connection.directory.to_owned())
            .await
            .map_err(error)?;
        let url = account.id().to_owned();
        Ok((Self { account }, url))
    }

    async fn read(&self, url: &str) -> Result<Order, AcmeError> {
        self.account.order(url.to_owned()).await.map_err(error)
    }
}

/// Makes a P-256 account key: PKCS#8.
pub(crate) fn generate_key() -> Result<PrivatePkcs8KeyDer<'static>, AcmeError> {
    Key::generate_pkcs8().map(|(_, key)| key).map_err(error)
}

fn http(connection: &Connection<'_>) -> Result<AcmeHttpClient, AcmeError> {
    let (provider, anchors) = (Arc::clone(&connection.provider), Arc::clone(&connection.anchors));
    AcmeHttpClient::new(provider, anchors, connection.timeout)
        .map_err(|error| AcmeError::Unreachable(error.to_string()))
}

fn error(error: Error) -> AcmeError {
    match error {
        Error::Api(problem) => AcmeError::Problem(translate(&problem)),
        // With its sources: "client error (Connect)" alone helps nobody.
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(&other);
            while let Some(cause) = source {
                text.push_str(": ");
                text.push_str(&cause.to_string());
                source = cause.source();
            }
            AcmeError::Unreachable(text)
        }
    }
}

fn translate(problem: &instant_acme::Problem) -> Problem {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let mut detail = problem.detail.clone().unwrap_or_default();
    for sub in &problem.subproblems {
        if let Some(text) = &sub.detail {
            detail.push_str("; ");
            detail.push_str(text);
        }
    }
    Problem::from_ca(kind, &detail)
}

fn view(order: &mut Order) -> OrderView {
    let url = order.url().to_owned();
    let state = order.state();
    let status = match state.status {
        TheirOrderStatus::Pending => OrderStatus::Pending,
        TheirOrderStatus::Ready => OrderStatus::Ready,
        TheirOrderStatus::Processing => OrderStatus::Processing,
        TheirOrderStatus::Valid => OrderStatus::Valid,
        TheirOrderStatus::Invalid => OrderStatus::Invalid,
    };
    OrderView { url, status, problem: state.error.as_ref().map(translate) }
}

fn name(identifier: &Identifier) -> Option<&str> {
    match identifier {
        Identifier::Dns(name) => Some(name),
        _ => None,
    }
}

fn their(kind: ChallengeType) -> TheirChallengeType {
    match kind {
        ChallengeType::Dns01 => TheirChallengeType::Dns01,
        ChallengeType::Http01 => TheirChallengeType::Http01,
        ChallengeType::TlsAlpn01 => TheirChallengeType::TlsAlpn01,
        other => TheirChallengeType::Unknown(other.as_str().to_owned()),
    }
}

/// A challenge of a known type as it is listed: its token and how far it is.
struct Listed {
    kind: ChallengeType,
    token: String,
    progress: ChallengeProgress,
}

fn listed(challenges: &[instant_acme::Challenge]) -> Vec<Listed> {
    let read = |kind| {
        let challenge = challenges.iter().find(|challenge| challenge.r#type == their(kind))?;
        let progress = match challenge.status {
            ChallengeStatus::Pending => ChallengeProgress::Open,
            _ => ChallengeProgress::Validating,
        };
        Some(Listed { kind, token: challenge.token.clone(), progress })
    };
    ChallengeType::ALL.into_iter().filter_map(read).collect()
}

/// What is offered; a token that is none is not. `sample`: any key authorization of the account, whose second half
/// is that of all of them.
fn offered(listed: Vec<Listed>, sample: &str, account: &str) -> Vec<OfferedChallenge> {
    let thumbprint = sample.rsplit('.').next().unwrap_or_default();
    let read = |Listed { kind, token, progress }| {
        let key_authorization = KeyAuthorization::new(format!("{token}.{thumbprint}"))?;
        let challenge = Challenge::authorized(kind, key_authorization, account)?;
        Some(OfferedChallenge { challenge, progress })
    };
    listed.into_iter().filter_map(read).collect()
}

#[async_trait]
impl AcmeClient for InstantAcme {
    async fn new_order(&self, names: &[String]) -> Result<OrderView, AcmeError> {
        let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
        let mut order =
            self.account.new_order(&NewOrder::new(&identifiers)).await.map_err(error)?;
        Ok(view(&mut order))
    }

    async fn order(&self, url: &str) -> Result<OrderView, AcmeError> {
        Ok(view(&mut self.read(url).await?))
    }

    async fn authorizations(&self, url: &str) -> Result<Vec<AuthorizationView>, AcmeError> {
        let mut order = self.read(url).await?;
        let mut views = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(error)?;
            let Some(name) = name(authorization.identifier().identifier).map(str::to_owned) else {
                continue;
            };
            let failure = authorization.challenges.iter().find_map(|each| each.error.as_ref());
            let failure = failure.map(translate);
            let status = match authorization.status {
                TheirAuthorizationStatus::Valid => AuthorizationStatus::Valid,
                TheirAuthorizationStatus::Pending => {
                    let listed = listed(&authorization.challenges);
                    let sample = listed.first().and_then(|first| {
                        authorization
                            .challenge(their(first.kind))
                            .map(|one| one.key_authorization())
                    });
                    let sample =
                        sample.as_ref().map(TheirKeyAuthorization::as_str).unwrap_or_default();
                    let offered = offered(listed, sample, self.account.id());
                    AuthorizationStatus::Pending { offered }
                }
                other => AuthorizationStatus::Failed {
                    problem: failure.unwrap_or_else(|| {
                        let detail = format!("the authorization of {name} is {other:?}");
                        Problem::new(ProblemKind::Validation, "", &detail)
                    }),
                },
            };
            views.push(AuthorizationView { name, status });
        }
        Ok(views)
    }

    async fn validate(
        &self,
        url: &str,
        wanted: &str,
        kind: ChallengeType,
    ) -> Result<(), AcmeError> {
        let mut order = self.read(url).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(error)?;
            let is_wanted = name(authorization.identifier().identifier) == Some(wanted);
            if is_wanted && let Some(mut challenge) = authorization.challenge(their(kind)) {
                return challenge.set_ready().await.map_err(error);
            }
        }
        Err(AcmeError::Unreachable(format!("the order has no {kind} challenge for {wanted}")))
    }

    async fn finalize(&self, url: &str, csr: &[u8]) -> Result<OrderView, AcmeError> {
        let mut order = self.read(url).await?;
        // Its status decides: a CSR is sent to an order that is ready, and to no other.
        if matches!(order.state().status, TheirOrderStatus::Ready) {
            order.finalize_csr(csr).await.map_err(error)?;
        }
        Ok(view(&mut order))
    }

    async fn certificate(&self, url: &str) -> Result<String, AcmeError> {
        let mut order = self.read(url).await?;
        order.certificate().await.map_err(error)?.ok_or_else(|| {
            AcmeError::Unreachable("the order is valid without a certificate".to_owned())
        })
    }
}
