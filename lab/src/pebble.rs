//! Pebble, the real test CA, as a process: validation is real, its root is read from its management port.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use serde_json::json;
use thiserror::Error;
use tokio::process::{Child, Command};

use crate::http::Connection;
use crate::pki::{self, Authority};
use crate::process;

/// How long Pebble may take to answer after its start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Why there is no Pebble.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PebbleError {
    /// It is not installed.
    #[error("the program 'pebble' is not installed; on Debian: sudo apt-get install pebble")]
    Missing,
    /// Its files or its process.
    #[error("Pebble: {0}")]
    System(#[from] io::Error),
    /// Its certificates.
    #[error("Pebble's TLS certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// It does not answer.
    #[error("Pebble does not answer; the last lines of {}:\n{}", .0.display(), process::last_lines(.0, 10))]
    Silent(PathBuf),
    /// No TLS client can be made.
    #[error("no TLS client can be made: {0}")]
    Tls(#[from] rustls::Error),
}

/// Where Pebble validates.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The DNS server that it asks for everything.
    pub dns: SocketAddr,
    /// The port of http-01, on whatever address a name has.
    pub http_port: u16,
    /// The port of tls-alpn-01.
    pub tls_port: u16,
}

/// How a Pebble differs from one that is started plainly.
#[derive(Clone, Debug)]
pub struct PebbleOptions {
    /// Up to how long it waits before each validation, in whole seconds.
    pub validation: Duration,
    /// How many good nonces of a hundred it rejects.
    pub nonces_rejected_percent: u32,
    /// Key identifiers and base64url keys of external accounts; if there are any, one is required.
    pub external_accounts: BTreeMap<String, String>,
    /// The address that it listens on, and by which it is known.
    pub host: IpAddr,
}

impl Default for PebbleOptions {
    fn default() -> Self {
        Self {
            validation: Duration::ZERO,
            nonces_rejected_percent: 5,
            external_accounts: BTreeMap::new(),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

/// A running Pebble.
pub struct Pebble {
    child: Child,
    folder: PathBuf,
    listens: SocketAddr,
}

impl Pebble {
    /// Starts Pebble with its files in `folder`; it asks `dns` for dns-01 answers.
    ///
    /// # Errors
    /// [`PebbleError`].
    pub async fn start(
        program: &Path,
        folder: &Path,
        dns: SocketAddr,
    ) -> Result<Self, PebbleError> {
        Self::start_with(program, folder, dns, &PebbleOptions::default()).await
    }

    /// Starts Pebble as [`Pebble::start`] does, with options.
    ///
    /// # Errors
    /// [`PebbleError`].
    pub async fn start_with(
        program: &Path,
        folder: &Path,
        dns: SocketAddr,
        options: &PebbleOptions,
    ) -> Result<Self, PebbleError> {
        let asked =
            Asked { dns, http_port: process::free_port()?, tls_port: process::free_port()? };
        Self::launch(program, folder, asked, options).await
    }

    /// Starts Pebble with its files in `folder`; its validation goes to these places.
    ///
    /// # Errors
    /// [`PebbleError`].
    pub async fn start_asking(
        program: &Path,
        folder: &Path,
        asked: Asked,
    ) -> Result<Self, PebbleError> {
        Self::launch(program, folder, asked, &PebbleOptions::default()).await
    }

    async fn launch(
        program: &Path,
        folder: &Path,
        asked: Asked,
        options: &PebbleOptions,
    ) -> Result<Self, PebbleError> {
        let authority = Authority::new("Pebble TLS CA, LAB ONLY")?;
        let credential = authority.server_at("Pebble, LAB ONLY", options.host)?;
        pki::write(folder, "pebble-tls", &credential)?;
        std::fs::write(folder.join("pebble-ca.pem"), authority.pem())?;
        let listens = SocketAddr::new(options.host, process::free_port()?);
        let management = SocketAddr::new(options.host, process::free_port()?);
        let configuration = json!({"pebble": {
            "listenAddress": listens.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": folder.join("pebble-tls.pem"),
            "privateKey": folder.join("pebble-tls.key"),
            "httpPort": asked.http_port,
            "tlsPort": asked.tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": !options.external_accounts.is_empty(),
            "externalAccountMACKeys": options.external_accounts,
        }});
        let file = folder.join("pebble.json");
        std::fs::write(&file, configuration.to_string())?;
        let log = folder.join("pebble.log");
        let mut command = Command::new(program);
        command
            .arg("-config")
            .arg(&file)
            .arg("-dnsserver")
            .arg(asked.dns.to_string())
            .env("PEBBLE_WFE_NONCEREJECT", options.nonces_rejected_percent.to_string())
            .env_remove("PEBBLE_VA_ALWAYS_VALID");
        match options.validation.as_secs() {
            // It would sleep for seconds before each validation; what it validates is real all the same.
            0 => command.env("PEBBLE_VA_NOSLEEP", "1"),
            seconds => command
                .env_remove("PEBBLE_VA_NOSLEEP")
                .env("PEBBLE_VA_SLEEPTIME", seconds.to_string()),
        };
        let mut child = process::start(&mut command, &log).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => PebbleError::Missing,
            _ => PebbleError::System(error),
        })?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone())?;
        let configuration =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
        let configuration = Arc::new(configuration);
        let root = process::until(START_LIMIT, async || {
            get(listens, "/dir", &configuration).await?;
            get(management, "/roots/0", &configuration).await
        });
        let root = tokio::select! {
            root = root => root,
            _ = child.wait() => None,
        };
        let root = root.ok_or(PebbleError::Silent(log))?;
        std::fs::write(folder.join("pebble-root.pem"), root)?;
        Ok(Self { child, folder: folder.to_owned(), listens })
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> String {
        match self.listens.ip().is_loopback() {
            true => format!("https://localhost:{}/dir", self.listens.port()),
            false => format!("https://{}/dir", self.listens),
        }
    }

    /// Where its directory listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listens
    }

    /// The file of the anchor of its TLS certificate.
    #[must_use]
    pub fn tls_anchor(&self) -> PathBuf {
        self.folder.join("pebble-ca.pem")
    }

    /// The file of the root that its chains end at.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("pebble-root.pem")
    }

    /// How many lines of its log hold these words.
    ///
    /// # Errors
    /// What the system says.
    pub fn count(&self, words: &str) -> io::Result<usize> {
        let log = std::fs::read_to_string(self.folder.join("pebble.log"))?;
        Ok(log.lines().filter(|line| line.contains(words)).count())
    }

    /// The number of its process, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Where it writes what it does.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("pebble.log")
    }

    /// Waits until it ends by itself; gives how.
    pub async fn ended(&mut self) -> String {
        process::ended(&mut self.child).await
    }

    /// Ends it.
    pub async fn stop(mut self) {
        let _ = self.child.kill().await;
    }
}

async fn get(
    address: SocketAddr,
    path: &str,
    configuration: &Arc<ClientConfig>,
) -> Option<Vec<u8>> {
    let name = ServerName::IpAddress(address.ip().into());
    let mut connection = Connection::open(address, name, Arc::clone(configuration)).await.ok()?;
    let answer = connection.get(path).await.ok()?;
    (answer.status == 200).then(|| answer.body.to_vec())
}
