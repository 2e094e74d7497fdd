//! step-ca, a real private ACME CA, as a process: its root and intermediate are made here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use brski_lab::process;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long it may take to listen.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running step-ca; it ends when this is dropped.
pub struct StepCa {
    child: Child,
    folder: PathBuf,
    port: u16,
}

/// What the certificate of a CA says that is made for a test.
pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

impl StepCa {
    /// Starts step-ca with its files in `folder`; it asks `dns` for dns-01 answers.
    ///
    /// # Errors
    /// What cannot be made or started.
    pub async fn start(program: &Path, folder: &Path, dns: SocketAddr) -> anyhow::Result<Self> {
        let folder = folder.join("step-ca");
        std::fs::create_dir_all(&folder)?;
        let root = CertifiedIssuer::self_signed(
            authority("step-ca root, LAB ONLY"),
            KeyPair::generate()?,
        )?;
        let key = KeyPair::generate()?;
        let intermediate = authority("step-ca intermediate, LAB ONLY").signed_by(&key, &root)?;
        std::fs::write(folder.join("root.pem"), root.pem())?;
        std::fs::write(folder.join("intermediate.pem"), intermediate.pem())?;
        std::fs::write(folder.join("intermediate.key"), key.serialize_pem())?;
        let port = process::free_port()?;
        let configuration = json!({
            "root": folder.join("root.pem"),
            "crt": folder.join("intermediate.pem"),
            "key": folder.join("intermediate.key"),
            "address": format!("127.0.0.1:{port}"),
            "dnsNames": ["localhost"],
            "logger": {"format": "text"},
            "db": {"type": "badgerv2", "dataSource": folder.join("db")},
            "authority": {"provisioners": [{"type": "ACME", "name": "acme"}]},
        });
        let file = folder.join("ca.json");
        std::fs::write(&file, configuration.to_string())?;
        let log = folder.join("step-ca.log");
        let mut command = Command::new(program);
        command.arg(&file).arg("--resolver").arg(dns.to_string());
        let child = process::start(&mut command, &log)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        process::until(START_LIMIT, async || TcpStream::connect(address).await.ok())
            .await
            .with_context(|| {
                format!(
                    "step-ca does not listen: {}",
                    std::fs::read_to_string(&log).unwrap_or_default()
                )
            })?;
        Ok(Self { child, folder, port })
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/acme/acme/directory", self.port)
    }

    /// The file of its root, which its own TLS certificate leads to as well.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("root.pem")
    }

    /// The number of its process, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// How many requests it has logged.
    ///
    /// # Errors
    /// What the system says.
    pub fn requests(&self) -> anyhow::Result<usize> {
        let log = std::fs::read_to_string(self.folder.join("step-ca.log"))?;
        Ok(log.lines().filter(|line| line.contains(" method=")).count())
    }
}
