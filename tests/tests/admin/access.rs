//! Who gets in over TLS, and what each role may do; every refusal leaves an event.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use brski_lab::pki::Credential;
use brski_lab::pledge::tls::TlsVersions;
use brski_lab::process;
use brski_registrar::store::model::Sha256;
use brski_tests::admin::{Reply, over_tls, request, text};
use brski_tests::site::{self, TestSite, edit, event_kinds};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::json;

const OPERATOR: &str = "0123456789abcdef0123456789abcdef-operator";
const APPROVER: &str = "0123456789abcdef0123456789abcdef-approver";
const VIEWER: &str = "0123456789abcdef0123456789abcdef-viewer";

/// A site whose admin API is open over TLS.
struct Open {
    site: TestSite,
    address: SocketAddr,
}

impl Open {
    /// `more`: lines at the end of `[admin]`.
    async fn with(more: &str) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
        let site = site::prepared(|folder| {
            let tokens = [("operator", OPERATOR), ("approver", APPROVER), ("viewer", VIEWER)];
            let mut section = format!("[admin]\n{more}\n");
            for (role, token) in tokens {
                write_secret(&folder.join(format!("{role}.token")), token)?;
                section.push_str(&format!(
                    "[admin.token.{role}]\nrole = \"{role}\"\nfile = \"{role}.token\"\n"
                ));
            }
            edit(folder, "[admin]\n", &section)?;
            edit(folder, "# admin = \"0.0.0.0:8444\"", &format!("admin = \"{address}\""))?;
            Ok(Vec::new())
        })
        .await?;
        Ok(Self { site, address })
    }

    async fn ask(
        &self,
        method: &str,
        target: &str,
        body: Option<&serde_json::Value>,
        token: Option<&str>,
    ) -> anyhow::Result<Reply> {
        let mut connection = over_tls(self.address, None, TlsVersions::Any).await?;
        Ok(connection.request(request(method, target, body, token)?).await?.into())
    }
}

fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}

/// What the certificate of a person says.
fn person(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    parameters
}

fn self_signed(name: &str) -> anyhow::Result<Credential> {
    let key = KeyPair::generate()?;
    let certificate = person(name).self_signed(&key)?.der().clone();
    Ok(Credential { certificate, key: PrivatePkcs8KeyDer::from(key.serialize_der()) })
}

/// The CA of administrators' certificates.
struct Administrators(CertifiedIssuer<'static, KeyPair>);

impl Administrators {
    fn found() -> anyhow::Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?))
    }

    fn client(&self, name: &str) -> anyhow::Result<Credential> {
        let key = KeyPair::generate()?;
        let certificate = person(name).signed_by(&key, &self.0)?.der().clone();
        Ok(Credential { certificate, key: PrivatePkcs8KeyDer::from(key.serialize_der()) })
    }
}

#[tokio::test]
async fn each_role_may_do_what_it_may_and_a_refusal_is_an_event() -> anyhow::Result<()> {
    let open = Open::with("").await?;
    let allow = json!({"serial": "ROLE-1", "manufacturer": "lab-devices"});
    for (token, get, allowed, reload) in
        [(VIEWER, 200, 403, 403), (APPROVER, 200, 200, 403), (OPERATOR, 200, 400, 200)]
    {
        assert_eq!(open.ask("GET", "/v1/devices", None, Some(token)).await?.status, get);
        // The operator comes second: the device is there already.
        let reply = open.ask("POST", "/v1/devices", Some(&allow), Some(token)).await?;
        assert_eq!(reply.status, allowed, "{:?}", reply.body);
        let reply = open.ask("POST", "/v1/reload", None, Some(token)).await?;
        assert_eq!(reply.status, reload, "{:?}", reply.body);
        if reload == 403 {
            assert_eq!(reply.content_type, "application/problem+json");
            assert_eq!(text(&reply.body, "type")?, "urn:brski-registrar:problem:forbidden");
            assert!(text(&reply.body, "detail")?.contains("needs operator"));
        }
    }
    let kinds = event_kinds(open.site.site()).await?;
    assert_eq!(kinds.iter().filter(|kind| *kind == "admin-forbidden").count(), 3, "{kinds:?}");
    let events = site::json(open.site.site(), "event list", &["--kind", "device-expected"]).await?;
    assert_eq!(events[0]["peer"], "token approver", "the trail says who did it");
    Ok(())
}

#[tokio::test]
async fn a_viewer_reads_orders_and_accounts_and_an_operator_alone_changes_them()
-> anyhow::Result<()> {
    let open = Open::with("").await?;
    for (token, changed) in [(VIEWER, 403), (APPROVER, 403), (OPERATOR, 404)] {
        assert_eq!(open.ask("GET", "/v1/orders", None, Some(token)).await?.status, 200);
        // The site has no ACME CA.
        let reply = open.ask("GET", "/v1/accounts/none-such", None, Some(token)).await?;
        assert_eq!(reply.status, 404, "{:?}", reply.body);
        for path in [
            "/v1/orders/none-such/retry",
            "/v1/orders/none-such/cancel",
            "/v1/accounts/none-such/rotate-key",
            "/v1/accounts/none-such/deactivate",
        ] {
            let reply = open.ask("POST", path, None, Some(token)).await?;
            assert_eq!(reply.status, changed, "{path} {:?}", reply.body);
        }
    }
    let kinds = event_kinds(open.site.site()).await?;
    assert_eq!(kinds.iter().filter(|kind| *kind == "admin-forbidden").count(), 8, "{kinds:?}");
    Ok(())
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_or_a_certificate() -> anyhow::Result<()> {
    let open = Open::with("").await?;
    for target in ["/v1/devices", "/v1/credentials", "/openapi.json"] {
        for token in [None, Some("wrong"), Some("")] {
            let reply = open.ask("GET", target, None, token).await?;
            assert_eq!(reply.status, 401, "{target} {token:?}");
            assert_eq!(text(&reply.body, "type")?, "urn:brski-registrar:problem:unauthenticated");
        }
    }
    let kinds = event_kinds(open.site.site()).await?;
    assert_eq!(kinds.iter().filter(|kind| *kind == "admin-unauthenticated").count(), 9);
    // The tenth failure is the last that is looked at; the right token still works.
    assert_eq!(open.ask("GET", "/v1/devices", None, None).await?.status, 401);
    assert_eq!(open.ask("GET", "/v1/devices", None, None).await?.status, 429);
    assert_eq!(open.ask("GET", "/v1/devices", None, Some(VIEWER)).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn certificates_are_known_by_fingerprint_or_by_their_ca_and_name() -> anyhow::Result<()> {
    let alice = self_signed("alice")?;
    let ca = Administrators::found()?;
    let fingerprint = Sha256::of(&alice.certificate);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("admin-ca.pem");
    std::fs::write(&file, ca.0.pem())?;
    let open = Open::with(&format!(
        "client_ca = \"{}\"\n[admin.client.alice]\nrole = \"viewer\"\nsha256 = \"{fingerprint}\"\n\
         [admin.client.bob]\nrole = \"operator\"\n",
        file.display()
    ))
    .await?;
    let bob = ca.client("bob")?;
    let eve = ca.client("eve")?;
    for versions in [TlsVersions::Tls12, TlsVersions::Tls13] {
        for (who, credential, status) in [("alice", &alice, 403), ("bob", &bob, 200)] {
            let mut connection = over_tls(open.address, Some(credential), versions).await?;
            let answer = connection.request(request("POST", "/v1/reload", None, None)?).await?;
            assert_eq!(answer.status, status, "{who}: {}", answer.text());
        }
    }
    // From the right CA, but nobody: an answer that says so. A token does not help her.
    let mut connection = over_tls(open.address, Some(&eve), TlsVersions::Any).await?;
    let answer = connection.request(request("GET", "/v1/devices", None, Some(OPERATOR))?).await?;
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("eve"), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_foreign_certificate_does_not_pass_the_handshake() -> anyhow::Result<()> {
    let alice = self_signed("alice")?;
    let open = Open::with(&format!(
        "[admin.client.alice]\nrole = \"viewer\"\nsha256 = \"{}\"\n",
        Sha256::of(&alice.certificate)
    ))
    .await?;
    let device =
        open.site.lab.manufacturer.authority.idevid("ADMIN-1", &open.site.lab.masa.url())?;
    for credential in [self_signed("alice")?, device] {
        let refused = match over_tls(open.address, Some(&credential), TlsVersions::Any).await {
            Err(_) => true,
            // TLS 1.3 tells the client with the first answer.
            Ok(mut connection) => connection.get("/v1/devices").await.is_err(),
        };
        assert!(refused, "the certificate is nobody's");
    }
    Ok(())
}

#[tokio::test]
async fn whoever_is_taken_out_of_the_configuration_stays_out() -> anyhow::Result<()> {
    let open = Open::with("").await?;
    let mut connection = over_tls(open.address, None, TlsVersions::Any).await?;
    let viewer = || request("GET", "/v1/devices", None, Some(VIEWER));
    assert_eq!(connection.request(viewer()?).await?.status, 200);
    let section = "[admin.token.viewer]\nrole = \"viewer\"\nfile = \"viewer.token\"\n";
    edit(open.site.site().folder(), section, "")?;
    open.site.site().command::<&str>("reload", &[]).await?;
    assert_eq!(connection.request(viewer()?).await?.status, 401, "on the open connection, too");
    Ok(())
}
