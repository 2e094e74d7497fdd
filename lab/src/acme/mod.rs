//! A simulated ACME CA (RFC 8555): it checks each request as a CA does (the signature, a nonce used once, the URL), and
//! issues without asking for any proof. On demand it lies; and it does what no CA does that can be had: whole domains
//! authorized before any order (RFC 9444), and two chains of a certificate (RFC 8555 §7.4.2).
//!
//! Where validation is what matters, [`crate::pebble`] is the CA.

mod answer;
mod certificate;
mod lie;
mod signed;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub use self::lie::CaLie;

use self::certificate::Roots;
use crate::masa;
use crate::pki::Authority;
use crate::service::Service;

/// Why there is no CA.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaError {
    /// It cannot listen.
    #[error("the CA cannot listen: {0}")]
    Listen(#[from] io::Error),
    /// Its certificates cannot be made.
    #[error("the CA's certificates cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Its TLS certificate cannot be used.
    #[error("the CA's TLS certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// What a CA is like, from its start on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaStyle {
    /// An order has an authorization, and a certificate one chain.
    #[default]
    Plain,
    /// Whole domains are authorized beforehand, and the first of a certificate's two chains leads nowhere.
    Domains,
}

/// An account as the CA keeps it.
#[derive(Debug)]
struct Account {
    /// Its public key.
    key: Vec<u8>,
    /// How its owner is reached.
    contact: Vec<String>,
}

/// An order as the CA keeps it.
#[derive(Debug, Default)]
struct Order {
    names: Vec<String>,
    is_authorized: bool,
    chains: Option<[String; 2]>,
}

#[derive(Default)]
struct State {
    lie: CaLie,
    nonces: BTreeSet<String>,
    made: u64,
    /// Accounts, by number.
    accounts: BTreeMap<u64, Account>,
    orders: BTreeMap<u64, Order>,
    /// Whether the domain is authorized.
    is_authorized: bool,
    /// What was asked: path and payload.
    asked: Vec<(String, Value)>,
}

struct Shared {
    base: String,
    style: CaStyle,
    roots: Roots,
    state: Mutex<State>,
    told: AtomicU64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it tells this lie now, where it could; counted.
    fn tells(&self, lie: CaLie) -> bool {
        let is_told = self.state().lie == lie;
        self.told.fetch_add(u64::from(is_told), Ordering::Relaxed);
        is_told
    }
}

/// A running CA; it ends when this is dropped.
pub struct AcmeCa {
    shared: Arc<Shared>,
    tls_anchor: String,
    service: Service,
}

impl AcmeCa {
    /// Starts it on this address; port 0 takes a free one.
    ///
    /// # Errors
    /// [`CaError`].
    pub async fn start(address: SocketAddr, style: CaStyle) -> Result<Self, CaError> {
        let authority = Authority::new("ACME TLS CA, LAB ONLY")?;
        let host = match address.ip() {
            ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            ip => ip,
        };
        let own = authority.server_at("ACME CA, LAB ONLY", host)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.certificate], PrivateKeyDer::Pkcs8(own.key))?;
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let base = format!("https://{}:{}", masa::host(address), address.port());
        let (roots, state) = (Roots::new()?, Mutex::default());
        let shared = Arc::new(Shared { base, style, roots, state, told: AtomicU64::new(0) });
        let router = Router::new().fallback(answer::answer).with_state(Arc::clone(&shared));
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let service = Service::start(masa::serve(listener, acceptor, router));
        Ok(Self { shared, tls_anchor: authority.pem(), service })
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("{}/dir", self.shared.base)
    }

    /// The anchor of its TLS certificate, PEM.
    #[must_use]
    pub fn tls_anchor(&self) -> &str {
        &self.tls_anchor
    }

    /// The root that its chains lead to, PEM.
    #[must_use]
    pub fn root(&self) -> String {
        self.shared.roots.pem()
    }

    /// Makes it behave like this from now on.
    pub fn behave(&self, lie: CaLie) {
        self.shared.state().lie = lie;
    }

    /// How many lies it told.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.shared.told.load(Ordering::Relaxed)
    }

    /// The payloads of all requests to a resource, such as `/new-order`; those of an order end with its number.
    #[must_use]
    pub fn asked(&self, resource: &str) -> Vec<Value> {
        let state = self.shared.state();
        let of = |path: &str| {
            path.strip_prefix(resource).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        state.asked.iter().filter(|(path, _)| of(path)).map(|(_, it)| it.clone()).collect()
    }

    /// Waits until it ends by itself; gives why.
    pub async fn ended(&self) -> String {
        self.service.ended().await
    }
}
