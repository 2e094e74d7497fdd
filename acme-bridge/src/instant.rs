//! [`AcmeClient`] by the instant-acme crate; this file and the HTTP client under it are all that know it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use instant_acme::{
    Account, AuthorizationStatus as TheirAuthorizationStatus, CertificateIdentifier,
    ChallengeStatus, ChallengeType as TheirChallengeType, Error, Identifier,
    KeyAuthorization as TheirKeyAuthorization, NewOrder, Order, OrderStatus as TheirOrderStatus,
};
use rustls_pki_types::CertificateDer;

use crate::challenge::{Challenge, ChallengeType, KeyAuthorization};
use crate::client::{
    AcmeClient, AcmeError, AuthorizationStatus, AuthorizationView, ChallengeProgress,
    DomainAuthorization, Downloaded, Offer, OfferedChallenge, OrderRequest, OrderStatus, OrderView,
    RenewalWindow, RevocationReason,
};
use crate::problem::{Problem, ProblemKind};
use crate::signed::{Authorization, BelowTerms, Signed};

/// How many orders are remembered between two calls.
const REMEMBERED: usize = 1024;
const INVALID_PROFILE: &str = "urn:ietf:params:acme:error:invalidProfile";
/// What is waited where a CA says nothing of when to ask again about a renewal (RFC 9773 §4.3.3), in seconds.
const RENEWAL_SECS: u64 = 6 * 3600;

/// An account, reached over HTTPS.
pub(crate) struct InstantAcme {
    account: Account,
    signed: Signed,
    url: String,
    /// Orders as they were seen last, so that what was read a moment ago is not read again.
    /// What may have changed an order takes it out first: after a lost answer the CA is read anew.
    orders: Mutex<HashMap<String, Order>>,
}

impl InstantAcme {
    /// Opens the account at `url`.
    pub(crate) async fn open(
        signed: Signed,
        directory: &str,
        url: &str,
    ) -> Result<Self, AcmeError> {
        let account = Account::builder_with_http(Box::new(signed.http.clone()))
            .from_parts(url.to_owned(), signed.key.pkcs8().clone_key(), directory.to_owned())
            .await
            .map_err(error)?;
        Ok(Self { account, signed, url: url.to_owned(), orders: Mutex::default() })
    }

    async fn read(&self, url: &str) -> Result<Order, AcmeError> {
        self.signed.http.check_origin(url)?;
        self.account.order(url.to_owned()).await.map_err(error)
    }

    fn orders(&self) -> std::sync::MutexGuard<'_, HashMap<String, Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The order as it was seen last, or as the CA has it; nobody else finds it before it is remembered again.
    async fn recall(&self, url: &str) -> Result<Order, AcmeError> {
        let remembered = self.orders().remove(url);
        match remembered {
            Some(order) => Ok(order),
            None => self.read(url).await,
        }
    }

    fn remember(&self, order: Order) {
        let mut orders = self.orders();
        if orders.len() >= REMEMBERED {
            // They are read again when they are asked for.
            orders.clear();
        }
        orders.insert(order.url().to_owned(), order);
    }

    fn domain(&self, url: String, authorization: Authorization) -> DomainAuthorization {
        let thumbprint = self.signed.key.thumbprint();
        let failure =
            authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref()).map(
                |error| Problem::from_answer(0, error.to_string().as_bytes(), None).to_string(),
            );
        let offered = authorization.challenges.into_iter().filter_map(|challenge| {
            let kind = ChallengeType::parse(&challenge.kind)?;
            let token = challenge.token;
            let key_authorization = KeyAuthorization::new(format!("{token}.{thumbprint}"))?;
            let read = Challenge::authorized(kind, key_authorization, &self.url)?;
            Some((challenge.url, read))
        });
        DomainAuthorization {
            url,
            status: authorization.status,
            offered: offered.collect(),
            failure,
        }
    }

    fn view(&self, order: &mut Order) -> OrderView {
        let mut view = view(order);
        view.retry_after_secs = self.signed.http.take_wait(&view.url);
        view
    }
}

fn error(error: Error) -> AcmeError {
    match error {
        Error::Api(problem) => AcmeError::Problem(translate(&problem)),
        Error::Json(error) => {
            AcmeError::Malformed { what: "ACME object", reason: error.to_string() }
        }
        Error::Str(reason) => {
            AcmeError::Malformed { what: "ACME object", reason: reason.to_owned() }
        }
        Error::Unsupported(what) => AcmeError::Unsupported(what),
        // What our HTTP client said comes out as it went in.
        Error::Other(error) => match error.downcast::<AcmeError>() {
            Ok(error) => *error,
            Err(error) => AcmeError::Unreachable(error.to_string()),
        },
        other => AcmeError::Unreachable(other.to_string()),
    }
}

fn translate(problem: &instant_acme::Problem) -> Problem {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let mut translated = Problem::from_ca(kind, problem.detail.as_deref().unwrap_or_default());
    translated.add_subproblems(problem.subproblems.iter().map(|sub| {
        let identifier = sub.identifier.as_ref().and_then(name).unwrap_or_default();
        let kind = sub.r#type.as_deref().unwrap_or_default();
        (identifier, kind, sub.detail.as_deref().unwrap_or_default())
    }));
    translated
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
    let problem = state.error.as_ref().map(translate);
    OrderView { url, status, problem, retry_after_secs: None }
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

/// The account as challenges name it, and the names of the CA.
struct Parties<'a> {
    /// Any key authorization of the account, whose second half is that of all of them.
    sample: &'a str,
    account: &'a str,
    issuers: Vec<String>,
}

/// What is offered; a challenge that cannot be answered, for a token that is none, say, is not.
fn offered(listed: Vec<Listed>, parties: &Parties<'_>) -> Vec<OfferedChallenge> {
    let thumbprint = parties.sample.rsplit('.').next().unwrap_or_default();
    let read = |Listed { kind, token, progress }| {
        let challenge = match kind {
            ChallengeType::DnsPersist01 => {
                Challenge::persistent(parties.issuers.clone(), parties.account)?
            }
            kind => {
                let key_authorization = KeyAuthorization::new(format!("{token}.{thumbprint}"))?;
                Challenge::authorized(kind, key_authorization, parties.account)?
            }
        };
        Some(OfferedChallenge { challenge, progress })
    };
    listed.into_iter().filter_map(read).collect()
}

#[async_trait]
impl AcmeClient for InstantAcme {
    async fn new_order(&self, request: &OrderRequest<'_>) -> Result<OrderView, AcmeError> {
        let offer = &self.signed.directory;
        // What the directory does not have is not sent: some CAs would ignore it in silence.
        let profile = match request.profile {
            Some(profile) if !offer.meta.profiles.contains_key(profile) => {
                let known: Vec<&str> = offer.meta.profiles.keys().map(String::as_str).collect();
                let detail =
                    format!("the CA has no profile {profile:?}; it has {}", known.join(", "));
                let problem = Problem::new(ProblemKind::Configuration, INVALID_PROFILE, &detail);
                return Err(AcmeError::Problem(problem));
            }
            other => other,
        };
        let replaces = request.replaces.filter(|_| offer.renewal_info.is_some());
        if let Some(ancestor) = request.ancestor.filter(|_| offer.meta.subdomain_auth_allowed) {
            let terms = BelowTerms { ancestor, profile, replaces };
            let url = self.signed.new_order_below(&self.url, request.names, terms).await?;
            return self.order(&url).await;
        }
        let identifiers: Vec<Identifier> =
            request.names.iter().cloned().map(Identifier::Dns).collect();
        let mut order = NewOrder::new(&identifiers);
        if let Some(profile) = profile {
            order = order.profile(profile);
        }
        if let Some((authority, serial)) = replaces.and_then(|text| text.split_once('.')) {
            order = order.replaces(CertificateIdentifier {
                authority_key_identifier: authority.into(),
                serial: serial.into(),
            });
        }
        let mut order = self.account.new_order(&order).await.map_err(error)?;
        let view = self.view(&mut order);
        self.remember(order);
        Ok(view)
    }

    async fn order(&self, url: &str) -> Result<OrderView, AcmeError> {
        self.orders().remove(url);
        let mut order = self.read(url).await?;
        let view = self.view(&mut order);
        self.remember(order);
        Ok(view)
    }

    async fn authorizations(&self, url: &str) -> Result<Vec<AuthorizationView>, AcmeError> {
        let mut order = self.recall(url).await?;
        if order.state().authorizations.iter().any(|each| each.state.is_some()) {
            // They were read before, and may have changed.
            order = self.read(url).await?;
        }
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
                    let issuers = self.signed.http.take_issuer_names(authorization.url());
                    let sample = listed.first().and_then(|first| {
                        authorization
                            .challenge(their(first.kind))
                            .map(|one| one.key_authorization())
                    });
                    let sample =
                        sample.as_ref().map(TheirKeyAuthorization::as_str).unwrap_or_default();
                    let parties = Parties { sample, account: self.account.id(), issuers };
                    let offered = offered(listed, &parties);
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
        self.remember(order);
        Ok(views)
    }

    async fn validate(
        &self,
        url: &str,
        wanted: &str,
        kind: ChallengeType,
    ) -> Result<(), AcmeError> {
        let mut order = self.recall(url).await?;
        let mut is_told = false;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(error)?;
            let is_wanted = name(authorization.identifier().identifier) == Some(wanted);
            if is_wanted && let Some(mut challenge) = authorization.challenge(their(kind)) {
                challenge.set_ready().await.map_err(error)?;
                is_told = true;
                break;
            }
        }
        if is_told {
            self.remember(order);
            return Ok(());
        }
        let reason = format!("there is none for {wanted}");
        Err(AcmeError::Malformed { what: kind.as_str(), reason })
    }

    async fn finalize(&self, url: &str, csr: &[u8]) -> Result<OrderView, AcmeError> {
        let mut order = self.recall(url).await?;
        if !matches!(order.state().status, TheirOrderStatus::Ready) {
            order = self.read(url).await?;
        }
        // Its status decides: a CSR is sent to an order that is ready, and to no other.
        if matches!(order.state().status, TheirOrderStatus::Ready) {
            order.finalize_csr(csr).await.map_err(error)?;
        }
        let view = self.view(&mut order);
        self.remember(order);
        Ok(view)
    }

    async fn certificate(&self, url: &str) -> Result<Downloaded, AcmeError> {
        let mut order = self.recall(url).await?;
        let Some(certificate) = order.state().certificate.clone() else {
            return Err(AcmeError::Malformed {
                what: "certificate URL",
                reason: "the order is valid without one".to_owned(),
            });
        };
        let download = self.signed.download(&self.url, &certificate).await?;
        Ok(Downloaded { pem: download.pem, alternates: download.alternates })
    }

    async fn alternate(&self, url: &str) -> Result<String, AcmeError> {
        Ok(self.signed.download(&self.url, url).await?.pem)
    }

    async fn revoke(
        &self,
        certificate: &CertificateDer<'_>,
        reason: RevocationReason,
    ) -> Result<(), AcmeError> {
        self.signed.revoke(&self.url, certificate, reason).await
    }

    async fn renewal_info(&self, identifier: &str) -> Result<RenewalWindow, AcmeError> {
        let (authority, serial) = identifier.split_once('.').ok_or(AcmeError::Malformed {
            what: "certificate identifier",
            reason: "it has no dot".to_owned(),
        })?;
        let identifier = CertificateIdentifier {
            authority_key_identifier: authority.into(),
            serial: serial.into(),
        };
        let (info, wait) = self.account.renewal_info(&identifier).await.map_err(error)?;
        let window = info.suggested_window;
        let millis = |time: time::OffsetDateTime| time.unix_timestamp().saturating_mul(1000);
        let (start, end) = (millis(window.start), millis(window.end));
        if end <= start {
            let reason = format!("it ends at {} and begins at {}", window.end, window.start);
            return Err(AcmeError::Malformed { what: "renewal window", reason });
        }
        let wait = if wait.is_zero() { RENEWAL_SECS } else { wait.as_secs() };
        let retry_after_secs = u32::try_from(wait.clamp(60, 24 * 3600)).unwrap_or(u32::MAX);
        Ok(RenewalWindow { start, end, retry_after_secs })
    }

    fn offer(&self) -> Offer {
        Offer::from(&*self.signed.directory)
    }

    async fn authorize_domain(&self, domain: &str) -> Result<DomainAuthorization, AcmeError> {
        let (url, authorization) = self.signed.new_authorization(&self.url, domain).await?;
        Ok(self.domain(url, authorization))
    }

    async fn domain_authorization(&self, url: &str) -> Result<DomainAuthorization, AcmeError> {
        let authorization = self.signed.authorization(&self.url, url).await?;
        Ok(self.domain(url.to_owned(), authorization))
    }

    async fn accept(&self, challenge: &str) -> Result<(), AcmeError> {
        self.signed.accept(&self.url, challenge).await
    }
}
