//! A scripted ACME server for what no CA that can be had offers: authorizations of whole domains before any order
//! (RFC 8555 §7.4.1, RFC 9444), and other chains of the same certificate (RFC 8555 §7.4.2).
//!
//! It checks each request as a CA does: the signature, a nonce used once, the URL.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brski_lab::pki::Authority;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer,
    DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs as provider;
use rustls_pki_types::{CertificateSigningRequestDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

type Root = CertifiedIssuer<'static, KeyPair>;

#[derive(Default)]
struct State {
    nonces: BTreeSet<String>,
    made: u64,
    key: Option<Vec<u8>>,
    is_authorized: bool,
    chain: Option<[String; 2]>,
    /// What was asked, each with its payload.
    asked: Vec<(String, Value)>,
}

struct Shared {
    base: String,
    right: Root,
    wrong: Root,
    state: Mutex<State>,
}

/// A running server; it ends when this is dropped.
pub struct ScriptedCa {
    shared: Arc<Shared>,
    tls_anchor: String,
    task: JoinHandle<()>,
}

fn authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters
}

fn root(name: &str) -> anyhow::Result<Root> {
    Ok(Root::self_signed(authority(name), KeyPair::generate()?)?)
}

impl ScriptedCa {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// What cannot be made.
    pub async fn start() -> anyhow::Result<Self> {
        let tls = Authority::new("scripted CA's TLS, TEST ONLY")?;
        let own = tls.server("scripted CA, TEST ONLY")?;
        let server = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.certificate], PrivateKeyDer::Pkcs8(own.key))?;
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let base = format!("https://localhost:{}", listener.local_addr()?.port());
        let (right, wrong) = (root("right root, TEST ONLY")?, root("wrong root, TEST ONLY")?);
        let shared = Arc::new(Shared { base, right, wrong, state: Mutex::default() });
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&shared)));
        Ok(Self { shared, tls_anchor: tls.pem(), task })
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

    /// The root that one of its two chains leads to, PEM.
    #[must_use]
    pub fn root(&self) -> String {
        self.shared.right.pem()
    }

    /// The payloads of all requests to a path.
    #[must_use]
    pub fn asked(&self, path: &str) -> Vec<Value> {
        let state = self.shared.state();
        state.asked.iter().filter(|(asked, _)| asked == path).map(|(_, it)| it.clone()).collect()
    }
}

impl Drop for ScriptedCa {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A status, what its Location is, and a body.
type Reply = (u16, Option<&'static str>, String);

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect().await?.to_bytes();
    let (status, location, text) = if method == Method::POST {
        match shared.signed(&path, &body).and_then(|payload| shared.reply(&path, payload)) {
            Ok(reply) => reply,
            Err(error) => {
                let kind = "urn:ietf:params:acme:error:malformed";
                (400, None, json!({"type": kind, "detail": error.to_string()}).to_string())
            }
        }
    } else {
        (200, None, shared.directory())
    };
    let mut response = Response::builder().status(status).header("replay-nonce", shared.nonce());
    if let Some(location) = location {
        response = response.header("location", format!("{}{location}", shared.base));
    }
    if path == "/cert" {
        response = response.header("link", format!("<{}/dir>;rel=\"index\"", shared.base));
        response = response.header("link", format!("<{}/cert-2>;rel=\"alternate\"", shared.base));
    }
    Ok(response.body(Full::new(Bytes::from(text)))?)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nonce(&self) -> String {
        let mut state = self.state();
        state.made += 1;
        let nonce = format!("nonce-{}", state.made);
        state.nonces.insert(nonce.clone());
        nonce
    }

    fn directory(&self) -> String {
        let url = |path: &str| format!("{}{path}", self.base);
        json!({
            "newNonce": url("/nonce"),
            "newAccount": url("/new-account"),
            "newOrder": url("/new-order"),
            "newAuthz": url("/new-authz"),
            "revokeCert": url("/revoke"),
            "meta": {"subdomainAuthAllowed": true},
        })
        .to_string()
    }

    /// Checks a JWS and gives its payload.
    fn signed(&self, path: &str, body: &[u8]) -> anyhow::Result<Value> {
        let jws: Value = serde_json::from_slice(body)?;
        let text =
            |name: &str| jws.get(name).and_then(Value::as_str).context("a member is missing");
        let (protected, payload) = (text("protected")?, text("payload")?);
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(protected)?)?;
        let member = |name: &str| header.get(name).and_then(Value::as_str).unwrap_or_default();
        ensure!(member("url") == format!("{}{path}", self.base), "another URL was signed");
        ensure!(member("alg") == "ES256", "another algorithm");
        let mut state = self.state();
        ensure!(state.nonces.remove(member("nonce")), "the nonce is not fresh");
        if let Some(jwk) = header.get("jwk") {
            let coordinate = |name: &str| {
                URL_SAFE_NO_PAD.decode(jwk.get(name).and_then(Value::as_str).unwrap_or_default())
            };
            state.key = Some([vec![4], coordinate("x")?, coordinate("y")?].concat());
        } else {
            ensure!(member("kid") == format!("{}/account", self.base), "another account");
        }
        let key =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, state.key.clone().context("no key")?);
        let signature = URL_SAFE_NO_PAD.decode(text("signature")?)?;
        let is_signed = key.verify(format!("{protected}.{payload}").as_bytes(), &signature);
        ensure!(is_signed.is_ok(), "the signature does not hold");
        let payload = match payload {
            "" => Value::Null,
            other => serde_json::from_slice(&URL_SAFE_NO_PAD.decode(other)?)?,
        };
        state.asked.push((path.to_owned(), payload.clone()));
        Ok(payload)
    }

    fn reply(&self, path: &str, payload: Value) -> anyhow::Result<Reply> {
        let mut state = self.state();
        let authorization = |is_valid: bool| {
            json!({
                "status": if is_valid { "valid" } else { "pending" },
                "identifier": {"type": "dns", "value": "iot.bridge.example"},
                "subdomainAuthAllowed": true,
                "challenges": [{"type": "dns-01", "url": format!("{}/challenge", self.base),
                                "token": "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
                                "status": if is_valid { "valid" } else { "pending" }}],
            })
            .to_string()
        };
        let order = |status: &str| {
            json!({
                "status": status,
                "authorizations": [format!("{}/authz", self.base)],
                "finalize": format!("{}/finalize", self.base),
                "certificate": (status == "valid").then(|| format!("{}/cert", self.base)),
            })
            .to_string()
        };
        match path {
            "/new-account" if payload.get("onlyReturnExisting").is_some() => {
                let kind = "urn:ietf:params:acme:error:accountDoesNotExist";
                Ok((400, None, json!({"type": kind, "detail": "none"}).to_string()))
            }
            "/new-account" => Ok((201, Some("/account"), json!({"status": "valid"}).to_string())),
            "/new-authz" => Ok((201, Some("/authz"), authorization(state.is_authorized))),
            "/authz" => Ok((200, None, authorization(state.is_authorized))),
            "/challenge" => {
                state.is_authorized = true;
                Ok((200, None, json!({"type": "dns-01", "status": "processing"}).to_string()))
            }
            "/new-order" => {
                ensure!(state.is_authorized, "the domain is not authorized");
                Ok((201, Some("/order"), order("ready")))
            }
            "/order" => {
                Ok((200, None, order(if state.chain.is_some() { "valid" } else { "ready" })))
            }
            "/finalize" => {
                let csr = payload.get("csr").and_then(Value::as_str).context("no csr")?;
                state.chain = Some(self.issue(&URL_SAFE_NO_PAD.decode(csr)?)?);
                Ok((200, None, order("valid")))
            }
            "/cert" | "/cert-2" => {
                let [first, second] = state.chain.clone().context("nothing is issued")?;
                Ok((200, None, if path == "/cert" { first } else { second }))
            }
            other => anyhow::bail!("there is no {other}"),
        }
    }

    /// Two chains of one certificate: the first leads to a root that nobody configured.
    fn issue(&self, csr: &[u8]) -> anyhow::Result<[String; 2]> {
        let middle = authority("intermediate, TEST ONLY");
        let key = KeyPair::generate()?;
        let request = CertificateSigningRequestDer::from(csr.to_vec());
        let mut request = CertificateSigningRequestParams::from_der(&request)?;
        request.params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        request.params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let leaf = request.signed_by(&Issuer::new(middle.clone(), &key))?.pem();
        let under =
            |root: &Root| Ok::<_, rcgen::Error>(middle.clone().signed_by(&key, root)?.pem());
        Ok([format!("{leaf}{}", under(&self.wrong)?), format!("{leaf}{}", under(&self.right)?)])
    }
}
