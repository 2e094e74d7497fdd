//! Two registrars on one PostgreSQL behind HAProxy, as docs/OPERATING.md tells operators to put them.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use brski_lab::pki::Manufacturer;
use brski_lab::process;
use brski_lab::registrar::{Registrar, Site};
use brski_lab::up;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::programs;
use crate::site::edit;
use crate::valve::Valve;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that was made first.
    First,
    /// Its copy.
    Second,
}

/// One of the two.
pub struct Node {
    /// Its program and folder.
    pub site: Site,
    /// What leads to it; none while it is dead.
    pub valve: Option<Valve>,
    running: Option<Registrar>,
    places: Places,
}

/// The addresses of a node.
#[derive(Clone, Copy)]
struct Places {
    /// Where it listens for devices.
    est: SocketAddr,
    /// Where its metrics and its health are.
    metrics: SocketAddr,
    /// The valve before it.
    gate: SocketAddr,
}

impl Places {
    fn choose() -> std::io::Result<Self> {
        Ok(Self { est: loopback()?, metrics: loopback()?, gate: loopback()? })
    }
}

impl Node {
    async fn start(site: Site, places: Places) -> anyhow::Result<Self> {
        let mut node = Self { site, valve: None, running: None, places };
        node.revive().await?;
        Ok(node)
    }

    /// How many connections it has got so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.valve.as_ref().map_or(0, Valve::opened)
    }

    /// Kills it (SIGKILL), as a power cut would.
    pub async fn kill(&mut self) {
        self.valve = None;
        if let Some(running) = self.running.take() {
            running.kill().await;
        }
    }

    /// Starts it, again if it was killed.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn revive(&mut self) -> anyhow::Result<()> {
        self.running = Some(self.site.serve().await?);
        self.valve = Some(Valve::open(self.places.gate, self.places.est).await?);
        Ok(())
    }

    async fn stop(self) {
        if let Some(running) = self.running {
            running.stop().await;
        }
    }
}

/// Both, and the balancer before them.
pub struct Pair {
    /// The first registrar.
    pub first: Node,
    /// The second one.
    pub second: Node,
    /// Where devices come.
    pub front: SocketAddr,
    _balancer: Child,
}

/// What a pair is made of.
pub struct PairOptions<'a> {
    /// The folder that everything goes into.
    pub folder: &'a Path,
    /// HAProxy's program.
    pub haproxy: PathBuf,
    /// The database's URL.
    pub database: String,
    /// More arguments of `registrar init`.
    pub arguments: Vec<OsString>,
    /// What is replaced in the configuration of both.
    pub edits: Vec<(String, String)>,
    /// What is replaced in the second one's.
    pub second_edits: Vec<(String, String)>,
    /// Whose devices come, and the file of its MASA's anchors.
    pub manufacturer: (&'a Manufacturer, PathBuf),
}

impl Pair {
    /// Starts both and the balancer.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start(options: PairOptions<'_>) -> anyhow::Result<Self> {
        let registrar = programs::ours("registrar")?;
        let folder = options.folder;
        let (here, there) = (Places::choose()?, Places::choose()?);
        let first = Site::new(&registrar, &folder.join("first"))?;
        let listen = [OsString::from("--listen"), here.est.to_string().into()];
        let domain = [OsString::from("--domain"), up::ZONE.into()];
        let arguments: Vec<OsString> =
            domain.into_iter().chain(listen).chain(options.arguments).collect();
        first.init(&arguments).await?;
        let url = first.folder().join("postgres.url");
        std::fs::write(&url, options.database)?;
        std::fs::set_permissions(&url, std::fs::Permissions::from_mode(0o600))?;
        let store = "url_file = \"postgres.url\"\nnode = \"first\"";
        edit(first.folder(), "path = \"registrar.db\"", store)?;
        let line = format!("metrics = \"{}\"", here.metrics);
        edit(first.folder(), "# metrics = \"127.0.0.1:9464\"", &line)?;
        for (from, to) in &options.edits {
            edit(first.folder(), from, to)?;
        }
        let first = Node::start(first, here).await?;
        introduce(&first.site, folder, &options.manufacturer).await?;
        let second = Site::new(&registrar, &folder.join("second"))?;
        copy(first.site.folder(), second.folder())?;
        let own = [
            ("node = \"first\"".to_owned(), "node = \"second\"".to_owned()),
            (here.est.to_string(), there.est.to_string()),
            (here.metrics.to_string(), there.metrics.to_string()),
        ];
        for (from, to) in own.iter().chain(&options.second_edits) {
            edit(second.folder(), from, to)?;
        }
        let second = Node::start(second, there).await?;
        let front = loopback()?;
        let balancer = balancer(&options.haproxy, folder, front, here, there).await?;
        Ok(Self { first, second, front, _balancer: balancer })
    }

    /// One of the two.
    #[must_use]
    pub fn node(&self, which: Which) -> &Node {
        match which {
            Which::First => &self.first,
            Which::Second => &self.second,
        }
    }

    /// Asks both to end.
    pub async fn stop(self) {
        self.first.stop().await;
        self.second.stop().await;
    }
}

async fn introduce(
    site: &Site,
    folder: &Path,
    (manufacturer, masa_ca): &(&Manufacturer, PathBuf),
) -> anyhow::Result<()> {
    let anchor = folder.join("manufacturer-ca.pem");
    std::fs::write(&anchor, manufacturer.authority.pem())?;
    let arguments: Vec<OsString> = vec![
        "--name".into(),
        manufacturer.name.as_str().into(),
        "--ca".into(),
        anchor.into(),
        "--masa-ca".into(),
        masa_ca.into(),
        "--masa-host".into(),
        "localhost".into(),
    ];
    site.command("manufacturer add", &arguments).await?;
    Ok(())
}

/// A free address on this machine.
///
/// # Errors
/// What the system says.
pub fn loopback() -> std::io::Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 1], process::free_port()?)))
}

/// Copies a registrar's folder, as an operator does who adds a node.
///
/// # Errors
/// What the system says.
pub fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// HAProxy in TCP mode, which looks at `/readyz`.
async fn balancer(
    haproxy: &Path,
    folder: &Path,
    front: SocketAddr,
    first: Places,
    second: Places,
) -> anyhow::Result<Child> {
    let server = |name: &str, places: Places| {
        let (gate, checked) = (places.gate, places.metrics.port());
        format!("    server {name} {gate} check port {checked} inter 1s fall 2 rise 1\n")
    };
    let text = format!(
        "global\n    maxconn 1000\n    nbthread 1\n\n\
         defaults\n    mode tcp\n    timeout connect 2s\n    timeout client 2m\n    \
         timeout server 2m\n    retries 3\n    option redispatch 1\n\n\
         listen registrars\n    bind {front}\n    balance roundrobin\n    \
         option httpchk GET /readyz\n{}{}",
        server("first", first),
        server("second", second)
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text)?;
    let log = folder.join("haproxy.log");
    let mut command = Command::new(haproxy);
    let child = process::start(command.arg("-db").arg("-f").arg(&file), &log)?;
    let listens = process::until(Duration::from_secs(10), async || {
        TcpStream::connect(front).await.is_ok().then_some(())
    });
    listens.await.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
    Ok(child)
}
