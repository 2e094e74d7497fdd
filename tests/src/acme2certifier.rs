//! acme2certifier, an ACME server in Python with a CA of its own, as a process: its root and intermediate are made here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use brski_lab::process;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::programs;
use crate::step_ca::authority;

/// How long it may take to listen.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running acme2certifier; it ends when this is dropped.
pub struct Acme2Certifier {
    _child: Child,
    folder: PathBuf,
    port: u16,
}

impl Acme2Certifier {
    /// Starts it with its files in `folder`; it asks `dns`, which is on 127.0.0.1, for dns-01 answers.
    ///
    /// `python`: of the environment that has it.
    ///
    /// # Errors
    /// What cannot be made or started.
    pub async fn start(python: &Path, folder: &Path, dns: SocketAddr) -> anyhow::Result<Self> {
        let folder = folder.join("acme2certifier");
        std::fs::create_dir_all(folder.join("issued"))?;
        let root = authority("acme2certifier root, LAB ONLY");
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
        let intermediate = authority("acme2certifier intermediate, LAB ONLY");
        let intermediate = CertifiedIssuer::signed_by(intermediate, KeyPair::generate()?, &root)?;
        let key = KeyPair::generate()?;
        let own = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &root)?;
        let write = |name: &str, text: String| std::fs::write(folder.join(name), text);
        write("root.pem", root.pem())?;
        write("intermediate.pem", intermediate.pem())?;
        write("intermediate.key", intermediate.key().serialize_pem())?;
        write("tls.pem", own.pem())?;
        write("tls.key", key.serialize_pem())?;
        write("acme_srv.cfg", configuration(&folder))?;
        let port = process::free_port()?;
        let log = folder.join("acme2certifier.log");
        let mut command = Command::new(python);
        let server = programs::workspace().join("tests/oracles/serve_acme2certifier.py");
        command.arg(server).arg(&folder).args([port.to_string(), dns.port().to_string()]);
        let child = process::start(&mut command, &log)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        process::until(START_LIMIT, async || TcpStream::connect(address).await.ok())
            .await
            .with_context(|| {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                format!("acme2certifier does not listen: {log}")
            })?;
        Ok(Self { _child: child, folder, port })
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/directory", self.port)
    }

    /// The file of its root, which its own TLS certificate leads to as well.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("root.pem")
    }
}

/// It asks for a contact in each account unless it is told not to.
fn configuration(folder: &Path) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    format!(
        "[DEFAULT]\ndebug: False\n[Nonce]\n\
         [CAhandler]\nhandler_module: acme2certifier.cahandlers.openssl_ca_handler\n\
         issuing_ca_key: {}\nissuing_ca_cert: {}\nissuing_ca_crl: {}\nca_cert_chain_list: [\"{}\"]\n\
         cert_save_path: {}\ncert_validity_days: 30\n\
         [DBhandler]\nhandler: wsgi\ndbfile: {}\n[Certificate]\n\
         [Account]\ncontact_check_disable: True\n\
         [Challenge]\ndns_server_list: [\"127.0.0.1\"]\ndns_validation_pause_timer: 0\n[Order]\n",
        file("intermediate.key"),
        file("intermediate.pem"),
        file("crl.pem"),
        file("root.pem"),
        file("issued"),
        file("acme.db"),
    )
}
