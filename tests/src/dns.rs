//! Real DNS servers as ordinary processes on loopback ports: BIND and Knot, with TSIG keys made for the occasion.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_lab::process;
use rustls::crypto::aws_lc_rs;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::programs;

/// How long a server may take to answer, and a record to come or go.
const PATIENCE: Duration = Duration::from_secs(20);

/// A TSIG key, as a server and a client know it.
#[derive(Clone)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// `hmac-sha256` and up.
    pub algorithm: &'static str,
    secret: String,
}

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn new(name: &'static str, algorithm: &'static str) -> anyhow::Result<Self> {
        let mut octets = [0; 32];
        let random = aws_lc_rs::default_provider().secure_random;
        random.fill(&mut octets).map_err(|_| anyhow::anyhow!("no randomness"))?;
        Ok(Self { name, algorithm, secret: STANDARD.encode(octets) })
    }

    /// As BIND's files have it.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { name, algorithm, secret } = self;
        format!("key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n")
    }

    /// Writes it to a file that its owner alone may read.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, file: &Path) -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;

        std::fs::write(file, self.text())?;
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
    }
}

/// A zone of a server.
pub struct ZoneFile {
    /// Its name.
    pub name: &'static str,
    /// Its records beside SOA, NS and the address of `ns`: zone file lines.
    pub records: String,
    /// The keys that may update TXT records in it.
    pub keys: Vec<Key>,
    /// Where it is copied from, if it is not written here.
    pub primary: Option<SocketAddr>,
    /// Who is told of changes.
    pub secondaries: Vec<SocketAddr>,
}

impl ZoneFile {
    /// A zone that a server holds alone.
    #[must_use]
    pub fn new(name: &'static str, keys: &[Key]) -> Self {
        let (keys, records) = (keys.to_vec(), String::new());
        Self { name, records, keys, primary: None, secondaries: Vec::new() }
    }

    /// With more records.
    #[must_use]
    pub fn with(mut self, records: &str) -> Self {
        self.records.push_str(records);
        self.records.push('\n');
        self
    }

    fn text(&self) -> String {
        let Self { name, records, .. } = self;
        format!(
            "$ORIGIN {name}.\n$TTL 1\n@ IN SOA ns hostmaster 1 60 60 3600 1\n@ IN NS localhost.\n\
             ns IN A 127.0.0.1\n{records}"
        )
    }
}

/// A running DNS server; it ends with this.
pub struct DnsServer {
    /// Where it listens, UDP and TCP.
    pub address: SocketAddr,
    folder: TempDir,
    child: Child,
}

impl DnsServer {
    /// Starts BIND with these zones; none if it is not installed.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn bind(zones: &[ZoneFile]) -> anyhow::Result<Option<Self>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()?));
        Self::bind_with(address, "recursion no;", "", zones).await
    }

    /// Starts BIND with these zones as a resolver, too, so that it follows a CNAME from one to another.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn bind_resolving(zones: &[ZoneFile]) -> anyhow::Result<Option<Self>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()?));
        let options = "recursion yes; allow-recursion { any; };";
        Self::bind_with(address, options, "", zones).await
    }

    /// Starts BIND at an address with options and statements of the caller; it asks other servers at the very same port.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn bind_with(
        address: SocketAddr,
        options: &str,
        statements: &str,
        zones: &[ZoneFile],
    ) -> anyhow::Result<Option<Self>> {
        let Some(program) = programs::outside("named", "bind9") else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let (ip, port) = (address.ip(), address.port());
        let path = folder.path().display();
        let mut text = format!(
            "options {{ directory \"{path}\"; port {port}; listen-on {{ {ip}; }}; \
             listen-on-v6 {{ none; }}; pid-file none; session-keyfile \"{path}/session.key\"; \
             managed-keys-directory \"{path}\"; dnssec-validation no; allow-transfer {{ any; }}; \
             notify explicit; {options} }};\ncontrols {{ }};\n{statements}\n"
        );
        for zone in zones {
            write_bind_zone(&mut text, folder.path(), zone)?;
        }
        let file = folder.path().join("named.conf");
        std::fs::write(&file, text)?;
        let mut command = Command::new(program);
        command.arg("-g").arg("-c").arg(&file);
        Self::start(command, folder, address, zones).await.map(Some)
    }

    /// Starts Knot with these zones; none if it is not installed.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn knot(zones: &[ZoneFile]) -> anyhow::Result<Option<Self>> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()?));
        Self::knot_at(address, zones).await
    }

    /// Starts Knot at an address.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn knot_at(address: SocketAddr, zones: &[ZoneFile]) -> anyhow::Result<Option<Self>> {
        let Some(program) = programs::outside("knotd", "knot") else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let (ip, port) = (address.ip(), address.port());
        let path = folder.path().display();
        let mut text = format!(
            "server:\n  listen: {ip}@{port}\n  rundir: \"{path}\"\n  udp-workers: 1\n  \
             tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: \"{path}\"\n\
             log:\n  - target: stderr\n    any: info\n"
        );
        write_knot_zones(&mut text, folder.path(), zones)?;
        let file = folder.path().join("knot.conf");
        std::fs::write(&file, text)?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&file);
        Self::start(command, folder, address, zones).await.map(Some)
    }

    async fn start(
        mut command: Command,
        folder: TempDir,
        address: SocketAddr,
        zones: &[ZoneFile],
    ) -> anyhow::Result<Self> {
        let log = folder.path().join("server.log");
        let child = process::start(&mut command, &log)?;
        let server = Self { address, folder, child };
        // A resolver would ask the root's servers for most questions, and there are none here.
        let question: &[&str] = match zones.first() {
            Some(zone) => &[zone.name, "SOA"],
            None => &["-c", "CH", "version.bind", "TXT"],
        };
        let answers = process::until(PATIENCE, async || {
            let answer = dig(address, question).await.ok()?;
            answer.contains("status: NOERROR").then_some(())
        });
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        answers.await.with_context(|| format!("the DNS server does not answer: {}", said()))?;
        Ok(server)
    }

    /// The texts of the TXT records at a name, in order.
    ///
    /// # Errors
    /// If `dig` fails.
    pub async fn texts(&self, name: &str) -> anyhow::Result<Vec<String>> {
        texts(self.address, name).await
    }

    /// Waits until the TXT records at a name are these.
    ///
    /// # Errors
    /// What is there instead when the patience ends.
    pub async fn until_texts(&self, name: &str, expected: &[&str]) -> anyhow::Result<()> {
        let found = process::until(PATIENCE, async || {
            (self.texts(name).await.ok()? == expected).then_some(())
        });
        let is_found = found.await.is_some();
        anyhow::ensure!(is_found, "at {name} there is {:?}", self.texts(name).await?);
        Ok(())
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    /// Ends it.
    pub async fn stop(mut self) {
        process::stop(&mut self.child).await;
    }
}

fn write_bind_zone(text: &mut String, folder: &Path, zone: &ZoneFile) -> anyhow::Result<()> {
    let ZoneFile { name, keys, primary, secondaries, .. } = zone;
    let file = folder.join(format!("{name}.zone"));
    let kind = match primary {
        None => {
            std::fs::write(&file, zone.text())?;
            "type primary;".to_owned()
        }
        Some(primary) => {
            format!("type secondary; primaries {{ {} port {}; }};", primary.ip(), primary.port())
        }
    };
    let mut grants = String::new();
    for key in keys {
        if !text.contains(&key.text()) {
            text.push_str(&key.text());
        }
        let _ = write!(grants, "grant {}. subdomain {name}. TXT; ", key.name);
    }
    let policy = match grants.is_empty() {
        true => String::new(),
        false => format!("update-policy {{ {grants} }};"),
    };
    let mut notified = String::new();
    for secondary in secondaries {
        let _ = write!(notified, "{} port {}; ", secondary.ip(), secondary.port());
    }
    let _ = writeln!(
        text,
        "zone \"{name}\" {{ {kind} file \"{}\"; {policy} also-notify {{ {notified} }}; }};",
        file.display()
    );
    Ok(())
}

fn write_knot_zones(text: &mut String, folder: &Path, zones: &[ZoneFile]) -> anyhow::Result<()> {
    let (mut keys, mut remotes, mut acls, mut sections) =
        (String::new(), String::new(), String::new(), String::new());
    for (number, zone) in zones.iter().enumerate() {
        let ZoneFile { name, primary, .. } = zone;
        let file = folder.join(format!("{name}.zone"));
        let _ = writeln!(
            sections,
            "  - domain: {name}\n    file: \"{}\"\n    semantic-checks: off",
            file.display()
        );
        let mut allowed = vec![format!("transfer-{number}")];
        let _ = writeln!(
            acls,
            "  - id: transfer-{number}\n    address: 127.0.0.0/8\n    action: [transfer, notify]"
        );
        for key in &zone.keys {
            let Key { name: id, algorithm, secret } = key;
            if !keys.contains(secret.as_str()) {
                let _ = writeln!(
                    keys,
                    "  - id: {id}\n    algorithm: {algorithm}\n    secret: \"{secret}\""
                );
            }
            allowed.push(format!("update-{number}-{id}"));
            let _ = writeln!(
                acls,
                "  - id: update-{number}-{id}\n    key: {id}\n    action: update\n    \
                 update-type: TXT"
            );
        }
        match primary {
            None => std::fs::write(&file, zone.text())?,
            Some(primary) => {
                let (ip, port) = (primary.ip(), primary.port());
                let _ = writeln!(remotes, "  - id: primary-{number}\n    address: {ip}@{port}");
                let _ = writeln!(sections, "    master: primary-{number}");
            }
        }
        let _ = writeln!(sections, "    acl: [{}]", allowed.join(", "));
    }
    for (section, content) in
        [("key", keys), ("remote", remotes), ("acl", acls), ("zone", sections)]
    {
        if !content.is_empty() {
            let _ = write!(text, "{section}:\n{content}");
        }
    }
    Ok(())
}

/// The `dig` program; where it is missing, says so and gives nothing.
///
/// # Panics
/// With `CI=true`, where nothing may be missing.
#[must_use]
pub fn dig_program() -> Option<PathBuf> {
    programs::outside("dig", "bind9-dnsutils")
}

/// What `dig` prints about these words at a server, one try of two seconds.
///
/// # Errors
/// If it fails.
pub async fn dig(server: SocketAddr, words: &[&str]) -> anyhow::Result<String> {
    let program = dig_program().context("there is no dig")?;
    let output = Command::new(program)
        .args(["-r", "+norecurse", "+tries=1", "+timeout=2"])
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string()])
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(output.status.success(), "dig failed: {text}");
    Ok(text)
}

/// The texts of the TXT records at a name of a server, in order.
///
/// # Errors
/// If `dig` fails.
pub async fn texts(server: SocketAddr, name: &str) -> anyhow::Result<Vec<String>> {
    let answer = dig(server, &["+short", name, "TXT"]).await?;
    let lines = answer.lines().filter(|line| line.starts_with('"'));
    let mut texts: Vec<String> = lines.map(|line| line.trim_matches('"').to_owned()).collect();
    texts.sort();
    Ok(texts)
}
