//! The commands about the daemon itself: run it, check it, ask it, and save what it knows.

use std::path::{Path, PathBuf};

use acme_bridge::Clock as _;
use clap::{Args, Subcommand};

use super::Failed;
use super::options::{ConfigOption, ReadOptions, print_json};
use super::table::clean;
use crate::admin::api::own::IdentityView;
use crate::admin::api::status::{ConsoleLink, Counters, Reloaded};
use crate::admin::client::Client;
use crate::clock::SystemClock;
use crate::config::check::Daemon;
use crate::config::{Config, Database, agreement};
use crate::identity::RegistrarIdentity;
use crate::store::model::Millis;
use crate::store::{self, sqlite};

#[derive(Debug, Args)]
pub(super) struct BackupOptions {
    /// The new file
    file: PathBuf,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConsoleCommand {
    /// Print a link that logs you in to the console, once, within ten minutes
    Link(ConfigOption),
}

pub(super) async fn console(command: ConsoleCommand) -> Result<(), Failed> {
    let ConsoleCommand::Link(option) = command;
    let link: ConsoleLink = option.open().await?.post("/v1/console/links", &()).await?;
    eprintln!("registrar: open this within ten minutes; it logs in once:");
    println!("{}", link.url);
    Ok(())
}

pub(super) async fn serve(option: &ConfigOption) -> Result<(), Failed> {
    let config = Config::load(&option.config)?;
    crate::daemon::run(config).await.map_err(|error| Failed::new(format!("{error:#}")))
}

pub(super) async fn check(file: &Path) -> Result<(), Failed> {
    let config = Config::load(file)?;
    let daemon = match tokio::net::UnixStream::connect(config.admin_socket()).await {
        Ok(_) => Daemon::Running,
        Err(_) => Daemon::Stopped,
    };
    let mut problems = crate::config::check::check(&config, daemon, Millis(SystemClock.now()));
    problems.extend(crate::daemon::probe::zones(&config).await);
    for warning in crate::config::check::warnings(&config) {
        eprintln!("warning: {warning}");
    }
    if !problems.is_empty() {
        return Err(problems.into());
    }
    for warning in other_nodes(&config).await {
        eprintln!("warning: {warning}");
    }
    super::contacts::tell(&config).await;
    if daemon == Daemon::Running {
        let client = Client::open(config).await?;
        let IdentityView { certificate, origin, .. } = client.get("/v1/identity", &()).await?;
        eprintln!("the certificate in use is from the {origin}, until {}", certificate.not_after);
    }
    println!("ok");
    Ok(())
}

/// What the other nodes on the database run with and this file does not, though devices may meet any node.
async fn other_nodes(config: &Config) -> Vec<String> {
    let file = config.file.display();
    // A key that cannot be read was told of already.
    let Ok(identity) = RegistrarIdentity::load(&config.identity) else {
        return Vec::new();
    };
    let rows = match store::node_settings(&config.store).await {
        Ok(rows) => rows,
        Err(error) => {
            return vec![format!(
                "{file}: store: the other nodes' settings are not known: {error}"
            )];
        }
    };
    let own = agreement::statement(config, identity.key().spki_der());
    let shown =
        |value: Option<String>| value.map_or_else(|| "left out".to_owned(), |it| clean(&it));
    let mut warnings = Vec::new();
    for row in agreement::running(&rows, &config.store.node, Millis(SystemClock.now())) {
        for (key, (here, there)) in agreement::differences(&own, &row.settings) {
            let (key, node) = (clean(&key), clean(&row.node));
            let (here, there) = (shown(here), shown(there));
            warnings.push(format!(
                "{file}: {key} is {here}, and {there} at the node {node}: devices may meet any node"
            ));
        }
    }
    warnings
}

pub(super) async fn status(read: &ReadOptions) -> Result<(), Failed> {
    let client = read.config.open().await?;
    let counters: Counters = client.get("/v1/status", &()).await?;
    if read.json {
        return print_json(&counters);
    }
    println!("requests     {}", counters.requests);
    println!("dns queries  {}", counters.dns_queries);
    println!("dns answers  {}", counters.dns_answers);
    let identity: IdentityView = client.get("/v1/identity", &()).await?;
    let (origin, end) = (&identity.origin, &identity.certificate.not_after);
    println!("certificate  from the {origin}, until {end}");
    if counters.clock_behind_secs > 0 {
        println!(
            "the clock is {} s behind the newest event: nothing is issued",
            counters.clock_behind_secs
        );
    }
    for line in &counters.settings_differing {
        println!("settings differ from those of {line}");
    }
    Ok(())
}

pub(super) async fn reload(option: &ConfigOption) -> Result<(), Failed> {
    let reloaded: Reloaded = option.open().await?.post("/v1/reload", &()).await?;
    if reloaded.applied.is_empty() && reloaded.needs_restart.is_empty() {
        println!("nothing changed");
    }
    for key in &reloaded.applied {
        println!("{key}: applies now");
    }
    for key in &reloaded.needs_restart {
        println!("{key}: applies after a restart");
    }
    Ok(())
}

/// Copies the database of a running or stopped registrar.
pub(super) async fn backup(options: &BackupOptions) -> Result<(), Failed> {
    let config = Config::load(&options.config.config)?;
    let Database::File(path) = config.store.database else {
        return Err(Failed::usage(
            "the store is PostgreSQL: use pg_dump, or its continuous archiving; \
             docs/OPERATING.md says what belongs together",
        ));
    };
    let target = options.file.clone();
    let copied = tokio::task::spawn_blocking(move || sqlite::backup(&path, &target)).await;
    copied
        .map_err(|error| Failed::new(error.to_string()))?
        .map_err(|error| Failed::new(format!("{error}; nothing was kept of the copy")))?;
    println!("saved to {}", options.file.display());
    Ok(())
}
