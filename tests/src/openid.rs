//! OpenID Connect providers: a real one, oidc-provider under Node.js, and one that says what a test wants.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brski_lab::pki::{self, Authority};
use brski_lab::process;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::programs;
use crate::scripted::{ScriptedServer, Seen};
use crate::site::edit;

/// What every provider here calls the registrar.
pub const CLIENT: &str = "registrar";
/// The client's secret; it has what must be escaped in HTTP Basic (RFC 6749 §2.3.1).
pub const SECRET: &str = "of-the-tests-alone:%+&=/";

/// Lets a registrar log people in at a provider. `console`: where browsers find it.
///
/// # Errors
/// If a file cannot be written.
pub fn configure(folder: &Path, issuer: &str, ca: &str, console: &str) -> anyhow::Result<()> {
    std::fs::write(folder.join("sso-ca.pem"), ca)?;
    let secret = folder.join("openid.secret");
    std::fs::write(&secret, format!("{SECRET}\n"))?;
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600))?;
    let section = format!(
        "[admin.openid]\nissuer = \"{issuer}\"\nclient_id = \"{CLIENT}\"\n\
         client_secret_file = \"openid.secret\"\nca = \"sso-ca.pem\"\nconsole_url = \"{console}\"\n\
         scopes = [\"profile\", \"groups\"]\n\
         [admin.openid.roles]\noperators = \"operator\"\neveryone = \"viewer\"\n\n[store]\n"
    );
    edit(folder, "[store]\n", &section)
}

/// A running oidc-provider; it ends when this is dropped.
pub struct NodeProvider {
    /// Its issuer identifier.
    pub issuer: String,
    /// The CA of its TLS certificate, PEM.
    pub ca: String,
    _child: Child,
}

impl NodeProvider {
    /// Starts one that sends browsers back to this console; where a part is missing, says so and gives nothing.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start(folder: &Path, console: &str) -> anyhow::Result<Option<Self>> {
        let Some((node, library)) = programs::node_module("oidc-provider") else {
            return Ok(None);
        };
        let authority = Authority::new("single sign-on")?;
        pki::write(folder, "sso", &authority.server("single sign-on")?)?;
        let port = process::free_port()?;
        let mut command = Command::new(node);
        command
            .arg(programs::workspace().join("tests/oracles/openid.mjs"))
            .arg(library)
            .arg(port.to_string())
            .args([folder.join("sso.pem"), folder.join("sso.key")])
            .arg(format!("{console}/console/login/openid/return"));
        let log = folder.join("openid.log");
        let child = process::start(&mut command, &log)?;
        let up = process::until(Duration::from_secs(20), async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        });
        up.await.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
        let issuer = format!("https://localhost:{port}");
        Ok(Some(Self { issuer, ca: authority.pem(), _child: child }))
    }
}

/// What a scripted provider says; a test changes it.
#[derive(Clone, Debug)]
pub struct Says {
    /// What is put over its description of itself.
    pub metadata: Value,
    /// The claims of the ID token; `nonce` is what the browser was sent with.
    pub claims: Value,
    /// What the endpoint for more claims says; null: there is none.
    pub more: Value,
    /// The header of the ID token.
    pub header: Value,
    /// Whether the ID token is signed by another key than the one that is published.
    pub is_forged: bool,
    /// What every answer but its own description is; 200 but in tests of failures.
    pub status: u16,
    /// How many octets are added to the answer with its keys.
    pub padding: usize,
}

/// A provider that says what a test wants; it ends when this is dropped.
pub struct ScriptedProvider {
    /// Its issuer identifier.
    pub issuer: String,
    /// The CA of its TLS certificate, PEM.
    pub ca: String,
    server: ScriptedServer,
    says: Arc<Mutex<Says>>,
}

impl ScriptedProvider {
    /// Starts one that knows alice, one of the operators.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start() -> anyhow::Result<Self> {
        let authority = Authority::new("single sign-on")?;
        let port = process::free_port()?;
        let issuer = format!("https://localhost:{port}");
        let says = Arc::new(Mutex::new(Says {
            metadata: json!({}),
            claims: json!({
                "iss": issuer, "aud": CLIENT, "sub": "4711", "iat": 1_700_000_000,
                "exp": 32_503_680_000_i64, "preferred_username": "alice",
                "groups": ["operators"],
            }),
            more: Value::Null,
            header: json!({"alg": "ES256", "kid": "1"}),
            is_forged: false,
            status: 200,
            padding: 0,
        }));
        let (own, other) = (key()?, key()?);
        let (script, base) = (Arc::clone(&says), issuer.clone());
        let listen = ([127, 0, 0, 1], port).into();
        let server = ScriptedServer::start(listen, &authority, move |_, seen| {
            let says = script.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let signer = if says.is_forged { &other } else { &own };
            answer(&base, &says, &own, signer, seen)
        })
        .await?;
        Ok(Self { issuer, ca: authority.pem(), server, says })
    }

    /// Changes what it says.
    pub fn change(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.says.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What it was asked.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.server.seen()
    }
}

fn key() -> anyhow::Result<EcdsaKeyPair> {
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())?;
    Ok(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref())?)
}

fn answer(
    base: &str,
    says: &Says,
    own: &EcdsaKeyPair,
    signer: &EcdsaKeyPair,
    seen: &Seen,
) -> Response<Vec<u8>> {
    let body = match seen.path.as_str() {
        "/.well-known/openid-configuration" => return json_answer(200, &metadata(base, says)),
        "/keys" => {
            // An uncompressed point: one octet that says so, x, y.
            let point = own.public_key().as_ref();
            let part = |range| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default());
            json!({
                "keys": [{
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1",
                    "x": part(1..33), "y": part(33..65),
                }],
                "padding": "x".repeat(says.padding),
            })
        }
        "/token" if says.status == 200 => json!({
            "access_token": "a", "token_type": "Bearer", "id_token": token(says, signer),
        }),
        "/token" => json!({"error": "invalid_grant", "error_description": "the code was used"}),
        "/more" => says.more.clone(),
        _ => json!({}),
    };
    json_answer(says.status, &body)
}

fn metadata(base: &str, says: &Says) -> Value {
    let mut metadata = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "jwks_uri": format!("{base}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    put_over(&mut metadata, &says.metadata);
    if !says.more.is_null() {
        put_over(&mut metadata, &json!({"userinfo_endpoint": format!("{base}/more")}));
    }
    metadata
}

fn put_over(object: &mut Value, over: &Value) {
    if let (Some(object), Some(over)) = (object.as_object_mut(), over.as_object()) {
        object.extend(over.clone());
    }
}

/// A JWS of the claims (RFC 7515 §7.1).
fn token(says: &Says, signer: &EcdsaKeyPair) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&says.header), part(&says.claims));
    let signature = signer.sign(&SystemRandom::new(), signed.as_bytes());
    let signature = signature.map(|value| URL_SAFE_NO_PAD.encode(value)).unwrap_or_default();
    format!("{signed}.{signature}")
}

fn json_answer(status: u16, body: &Value) -> Response<Vec<u8>> {
    let mut response = Response::new(body.to_string().into_bytes());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
