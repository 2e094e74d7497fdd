//! A site whose registrar has its console open.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use brski_lab::http::Connection;
use brski_lab::pledge::tls::TlsVersions;
use brski_lab::process;
use bytes::Bytes;
use http::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{Request, Response};

use crate::admin::over_tls;
use crate::site::{self, TestSite, edit};

/// The tokens of the roles: viewer, approver, operator.
pub const TOKENS: [(&str, &str); 3] = [
    ("viewer", "0123456789abcdef0123456789abcdef-viewer"),
    ("approver", "0123456789abcdef0123456789abcdef-approver"),
    ("operator", "0123456789abcdef0123456789abcdef-operator"),
];

/// A site whose console is open.
pub struct ConsoleSite {
    /// The site.
    pub site: TestSite,
    /// Where the console is.
    pub address: SocketAddr,
}

impl ConsoleSite {
    /// Starts one. `more`: what else is done to the registrar's folder.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start(more: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], process::free_port()?)), more).await
    }

    /// Starts one whose console is at this address.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start_at(
        address: SocketAddr,
        more: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let site = site::prepared(|folder| {
            open(folder, address)?;
            more(folder)?;
            Ok(Vec::new())
        })
        .await?;
        Ok(Self { site, address })
    }

    /// The address of a page.
    #[must_use]
    pub fn url(&self, page: &str) -> String {
        format!("https://{}/console/{page}", self.address)
    }

    /// A link that logs in once, as 'registrar console link' prints it.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn link(&self) -> anyhow::Result<String> {
        let none: [&str; 0] = [];
        Ok(self.site.site().command("console link", &none).await?.trim().to_owned())
    }

    /// A visitor without a browser, who is logged in with the token of a role.
    ///
    /// # Errors
    /// If the log-in fails.
    pub async fn visitor(&self, role: &str) -> anyhow::Result<Visitor> {
        let (_, token) = TOKENS.iter().find(|(each, _)| *each == role).context("no such role")?;
        let mut visitor = Visitor { address: self.address, cookie: String::new() };
        let response = visitor.post("login", &[("token", token)], &[]).await?;
        let cookie = response.headers().get(SET_COOKIE).context("no cookie")?.to_str()?;
        visitor.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(visitor)
    }
}

/// Writes the configuration of an open console with a token for each role.
///
/// # Errors
/// If a file cannot be written.
pub fn open(folder: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let mut section = "[admin]\nconsole = true\n".to_owned();
    for (role, token) in TOKENS {
        let file = folder.join(format!("{role}.token"));
        std::fs::write(&file, token)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
        section.push_str(&format!(
            "[admin.token.{role}]\nrole = \"{role}\"\nfile = \"{role}.token\"\n"
        ));
    }
    edit(folder, "[admin]\n", &section)?;
    edit(folder, "# admin = \"0.0.0.0:8444\"", &format!("admin = \"{address}\""))
}

/// Somebody who uses the pages without a browser.
pub struct Visitor {
    address: SocketAddr,
    /// The cookie, as it is sent.
    pub cookie: String,
}

impl Visitor {
    /// Somebody who is not logged in.
    #[must_use]
    pub fn unknown(address: SocketAddr) -> Self {
        Self { address, cookie: String::new() }
    }

    /// Somebody whose browser shows this cookie.
    #[must_use]
    pub fn with_cookie(address: SocketAddr, cookie: String) -> Self {
        Self { address, cookie }
    }

    /// Gets a page.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn get(&self, page: &str) -> anyhow::Result<Response<Bytes>> {
        self.ask("GET", page, String::new(), &[]).await
    }

    /// Sends a form exactly as it is given.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn post(
        &self,
        page: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Response<Bytes>> {
        let body = fields.iter().map(|(name, value)| {
            let escaped: String = value.bytes().map(|octet| format!("%{octet:02x}")).collect();
            format!("{name}={escaped}")
        });
        let body = body.collect::<Vec<_>>().join("&");
        self.ask("POST", page, body, headers).await
    }

    /// Sends a form with the token of its session, as the pages hold it.
    ///
    /// # Errors
    /// If nobody answers, or no page has a token.
    pub async fn submit(
        &self,
        page: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<Response<Bytes>> {
        let shown = text(&self.get("health").await?);
        let (_, rest) = shown.split_once("name=\"form_token\" value=\"").context("no token")?;
        let token = rest.split('"').next().unwrap_or_default();
        let fields: Vec<(&str, &str)> =
            [("form_token", token)].into_iter().chain(fields.iter().copied()).collect();
        self.post(page, &fields, &[]).await
    }

    async fn ask(
        &self,
        method: &str,
        page: &str,
        body: String,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Response<Bytes>> {
        let mut connection: Connection = over_tls(self.address, None, TlsVersions::Any).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/console/{page}"))
            .header(HOST, self.address.to_string())
            .header("content-type", "application/x-www-form-urlencoded");
        if !self.cookie.is_empty() {
            request = request.header(COOKIE, &self.cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(connection.exchange(request.body(body)?).await?)
    }
}

/// The text of an answer.
#[must_use]
pub fn text(response: &Response<Bytes>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

/// Where an answer leads; empty if nowhere.
#[must_use]
pub fn location(response: &Response<Bytes>) -> &str {
    response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
