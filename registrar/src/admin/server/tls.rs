//! The admin listener over TLS: strict about certificates, never open to whoever has none and no token.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use acme_bridge::Clock;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig};
use rustls::{OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::access::record;
use super::identity::ServerIdentity;
use crate::admin::actor::Actor;
use crate::admin::problem::{Kind, Problem};
use crate::admin::registry::{Registry, Stranger};
use crate::admin::service::Service;
use crate::policy::attempts::Attempts;
use crate::store::model::Millis;
use crate::tls::peer::Peer;

/// Paths that say whether the daemon lives, and nothing else: for whoever watches it.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Builds the TLS configuration of the admin listener.
///
/// Sessions are not resumed: whoever was taken out of the configuration stays out from then on.
///
/// # Errors
/// If the provider cannot do TLS 1.2 and 1.3.
pub fn server_config(
    provider: Arc<CryptoProvider>,
    identity: Arc<ServerIdentity>,
    registry: Arc<ArcSwap<Registry>>,
    clock: Arc<dyn Clock>,
) -> Result<ServerConfig, Error> {
    let verifier = AdminVerifier { provider: Arc::clone(&provider), registry, clock };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(identity);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Lets administrators' certificates through, and clients without one, who then need a token.
struct AdminVerifier {
    provider: Arc<CryptoProvider>,
    registry: Arc<ArcSwap<Registry>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for AdminVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AdminVerifier").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for AdminVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<CertificateDer<'_>> =
            std::iter::once(end_entity).chain(intermediates).cloned().collect();
        match self.registry.load().by_certificate(&chain, Millis(self.clock.now())) {
            // Whoever comes from the right CA gets an answer that says what is missing.
            Ok(_) | Err(Stranger::Unnamed { .. }) => Ok(ClientCertVerified::assertion()),
            Err(stranger) => {
                let reason = OtherError(Arc::new(stranger));
                Err(Error::InvalidCertificate(CertificateError::Other(reason)))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Who knows the administrators, and how often somebody who is none has tried.
struct Door {
    registry: Arc<ArcSwap<Registry>>,
    service: Arc<Service>,
    attempts: Attempts<IpAddr>,
}

/// Puts the question who asks before every route of `router`. Requests carry their [`Peer`].
pub fn guarded(router: Router, registry: Arc<ArcSwap<Registry>>, service: Arc<Service>) -> Router {
    let door = Arc::new(Door { registry, service, attempts: Attempts::default() });
    router.layer(from_fn_with_state(door, recognise))
}

async fn recognise(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Arc<Peer>>().cloned();
    let token = bearer(&request).map(str::to_owned);
    match door.actor(peer, token).await {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl Door {
    async fn actor(
        &self,
        peer: Option<Arc<Peer>>,
        token: Option<String>,
    ) -> Result<Actor, Problem> {
        let Some(peer) = peer else {
            return Err(Problem::new(Kind::Unauthenticated, "the connection is not known", ""));
        };
        let (address, now) = (peer.address.ip(), self.service.now());
        let reason = match self.recognised(&peer, token.as_deref(), now) {
            Ok(actor) => return Ok(actor),
            Err(reason) => reason,
        };
        // Whoever has the right token gets in all the same, so that nobody is locked out by a neighbour.
        if self.attempts.is_barred(&address, now) {
            let detail = format!("too many failed attempts from {address}");
            let hint = "wait a minute, and look for a program that uses an old token";
            return Err(Problem::new(Kind::TooMany, detail, hint));
        }
        self.attempts.failed(address, now);
        let whence = peer.address.to_string();
        record(&self.service, "admin-unauthenticated", &whence, reason.clone()).await;
        let hint =
            "use a client certificate or a bearer token that [admin] of the configuration names";
        Err(Problem::new(Kind::Unauthenticated, reason, hint))
    }

    /// A certificate is looked at alone: a token beside one that is nobody's does not help.
    fn recognised(&self, peer: &Peer, token: Option<&str>, now: Millis) -> Result<Actor, String> {
        let registry = self.registry.load();
        if !peer.certificates.is_empty() {
            return registry
                .by_certificate(&peer.certificates, now)
                .map_err(|stranger| stranger.to_string());
        }
        let token = token.ok_or("no client certificate and no token was given")?;
        registry.by_token(token).ok_or_else(|| "the token is nobody's".to_owned())
    }
}

/// The token of `Authorization: Bearer` (RFC 6750 §2.1).
fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
