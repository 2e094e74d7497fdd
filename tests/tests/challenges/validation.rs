//! Pebble validates names of the registrar's for real, by each way of answering, and nothing is left behind.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use acme_bridge::{AnswerKind, ChallengeAnswer, OrderId, Place};
use brski_lab::masa::Masa;
use brski_lab::pebble::{Asked, Pebble};
use brski_lab::pki::Manufacturer;
use brski_lab::pledge::Pledge;
use brski_lab::pledge::journey::{self, Label};
use brski_lab::process;
use brski_lab::registrar::{Registrar, Site};
use brski_lab::up::{MANUFACTURER, ZONE, acme_arguments, introduce};
use brski_registrar::store::Change;
use brski_registrar::store::Store as _;
use brski_registrar::store::sqlite::SqliteStore;
use brski_tests::dns::{DnsServer, Key, ZoneFile};
use brski_tests::{programs, site};
use tempfile::TempDir;

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The addresses of a site, before anything listens on them.
struct Plan {
    est: SocketAddr,
    dns: SocketAddr,
    http01: SocketAddr,
}

impl Plan {
    fn new() -> anyhow::Result<Self> {
        let free = || anyhow::Ok(loopback(process::free_port()?));
        Ok(Self { est: free()?, dns: free()?, http01: free()? })
    }

    /// Where Pebble looks, if the registrar answers everything itself.
    fn asked(&self) -> Asked {
        Asked { dns: self.dns, http_port: self.http01.port(), tls_port: self.est.port() }
    }
}

/// A running site with Pebble, whose zone is proven as a test wants it.
struct Bench {
    _folder: TempDir,
    manufacturer: Manufacturer,
    masa: Masa,
    pebble: Pebble,
    registrar: Registrar,
}

impl Bench {
    /// Starts a site with Debian's Pebble; none where that is missing. `edits`: texts of the configuration and what comes in their place.
    /// `files`: files beside it, with their content.
    async fn start(
        plan: &Plan,
        asked: Asked,
        edits: &[(&str, String)],
        files: &[(&str, String)],
    ) -> anyhow::Result<Option<Self>> {
        match programs::outside("pebble", "pebble") {
            None => Ok(None),
            Some(program) => Self::start_with(&program, plan, asked, edits, files).await.map(Some),
        }
    }

    async fn start_with(
        pebble: &Path,
        plan: &Plan,
        asked: Asked,
        edits: &[(&str, String)],
        files: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let manufacturer = Manufacturer::new(MANUFACTURER)?;
        let masa = Masa::start(loopback(0), &manufacturer).await?;
        let pebble = Pebble::start_asking(pebble, folder.path(), asked).await?;
        let site = Site::new(&programs::ours("registrar")?, &folder.path().join("registrar"))?;
        let mut arguments: Vec<OsString> =
            vec!["--domain".into(), ZONE.into(), "--listen".into(), plan.est.to_string().into()];
        arguments.extend(acme_arguments(&pebble.directory(), &pebble, plan.dns));
        site.init(&arguments).await?;
        for (from, to) in edits {
            site::edit(site.folder(), from, to)?;
        }
        for (name, content) in files {
            let path = site.folder().join(name);
            std::fs::write(&path, content)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
        }
        let registrar = site.serve().await?;
        introduce(registrar.site(), folder.path(), &manufacturer).await?;
        Ok(Self { _folder: folder, manufacturer, masa, pebble, registrar })
    }

    /// Enrolls some pledges at the same time.
    async fn enroll_all(&self, serials: &[&str]) -> anyhow::Result<()> {
        let mut journeys = tokio::task::JoinSet::new();
        for serial in serials {
            let idevid = self.manufacturer.authority.idevid(serial, &self.masa.url())?;
            let pledge = Pledge::new(idevid, self.manufacturer.authority.certificate())?;
            let address = self.registrar.address();
            journeys.spawn(async move { journey::run(&pledge, address, &Label::default()).await });
        }
        while let Some(enrolled) = journeys.join_next().await {
            let enrolled = enrolled??;
            let name = format!("{}.{ZONE}", enrolled.serial.to_lowercase());
            assert_eq!(enrolled.certificate.dns_names(), [name]);
        }
        assert_eq!(self.pebble.count("Issued certificate serial")?, serials.len());
        Ok(())
    }

    /// Stops everything, and sees that so many orders were proven by this type of challenge.
    async fn stop(self, kind: &str, orders: usize) -> anyhow::Result<()> {
        let site = self.registrar.stop().await;
        self.pebble.stop().await;
        let database = rusqlite::Connection::open(site.folder().join("registrar.db"))?;
        let sql = "SELECT count(*) FROM order_steps WHERE step LIKE '%(' || ?1 || ' for %'";
        let proven: i64 = database.query_row(sql, [kind], |row| row.get(0))?;
        assert_eq!(usize::try_from(proven)?, orders);
        Ok(())
    }
}

fn rfc2136(server: &DnsServer) -> String {
    let address = server.address;
    format!(
        "solver = \"rfc2136\"\nserver = \"{address}\"\nname_servers = [\"{address}\"]\n\
         tsig_key = \"tsig.key\""
    )
}

const BUILT_IN: &str = "solver = \"built-in\"";

#[tokio::test(flavor = "multi_thread")]
async fn dns_01_by_updates_of_bind_and_nothing_is_left() -> anyhow::Result<()> {
    let key = Key::new("acme", "hmac-sha256")?;
    let zones = [ZoneFile::new(ZONE, std::slice::from_ref(&key))];
    let Some(server) = DnsServer::bind(&zones).await? else {
        return Ok(());
    };
    let plan = Plan::new()?;
    let asked = Asked { dns: server.address, ..plan.asked() };
    let files = [("tsig.key", key.text())];
    let edits = [(BUILT_IN, rfc2136(&server))];
    let Some(bench) = Bench::start(&plan, asked, &edits, &files).await? else {
        return Ok(());
    };
    bench.enroll_all(&["BIND-1", "BIND-2", "BIND-3"]).await?;
    for name in ["bind-1", "bind-2", "bind-3"] {
        server.until_texts(&format!("_acme-challenge.{name}.{ZONE}"), &[]).await?;
    }
    let made = server.log().matches("adding an RR").count();
    assert_eq!(server.log().matches("deleting an RR").count(), made, "each one that came went");
    assert_eq!(made, 3);
    server.stop().await;
    bench.stop("dns-01", 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_01_at_the_alias_that_every_name_leads_to() -> anyhow::Result<()> {
    const ALIAS: &str = "all.acme.example.net";
    let key = Key::new("acme", "hmac-sha512")?;
    // RFC 4592: a name below a wildcard is synthesized, whatever its number of labels.
    let devices = ZoneFile::new(ZONE, &[]).with(&format!("* IN CNAME {ALIAS}."));
    let zones = [devices, ZoneFile::new("acme.example.net", std::slice::from_ref(&key))];
    let Some(server) = DnsServer::bind_resolving(&zones).await? else {
        return Ok(());
    };
    let plan = Plan::new()?;
    let asked = Asked { dns: server.address, ..plan.asked() };
    let keys = format!(
        "{}\nchallenge_alias = \"{ALIAS}\"\nupdate_zone = \"acme.example.net\"",
        rfc2136(&server)
    );
    let files = [("tsig.key", key.text())];
    let Some(bench) = Bench::start(&plan, asked, &[(BUILT_IN, keys)], &files).await? else {
        return Ok(());
    };
    bench.enroll_all(&["ALIAS-1", "ALIAS-2"]).await?;
    server.until_texts(ALIAS, &[]).await?;
    server.stop().await;
    bench.stop("dns-01", 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_01_by_a_program_that_talks_to_the_server() -> anyhow::Result<()> {
    let Some(nsupdate) = programs::outside("nsupdate", "bind9-dnsutils") else {
        return Ok(());
    };
    let key = Key::new("acme", "hmac-sha256")?;
    let zones = [ZoneFile::new(ZONE, std::slice::from_ref(&key))];
    let Some(server) = DnsServer::bind(&zones).await? else {
        return Ok(());
    };
    let plan = Plan::new()?;
    let asked = Asked { dns: server.address, ..plan.asked() };
    let (ip, port) = (server.address.ip(), server.address.port());
    let script = format!(
        "#!/bin/sh\nset -eu\n[ \"$1\" = --zone ] && zone=$2 && shift 2\n\
         case $1 in present) verb=add ;; cleanup) verb=delete ;; *) exit 78 ;; esac\n\
         [ \"$REGISTRAR_OWNER\" = \"$2\" ] && [ \"$REGISTRAR_VALUE\" = \"$3\" ]\n\
         {} -k \"${{0%/*}}/tsig.key\" <<END\nserver {ip} {port}\nzone $zone\n\
         update $verb $2. 1 TXT \"$3\"\nsend\nEND\n",
        nsupdate.display()
    );
    let keys = format!(
        "solver = \"exec\"\nprogram = \"hook.sh\"\narguments = [\"--zone\", \"{ZONE}\"]\n\
         timeout_secs = 20"
    );
    let files = [("tsig.key", key.text()), ("hook.sh", script)];
    let Some(bench) = Bench::start(&plan, asked, &[(BUILT_IN, keys)], &files).await? else {
        return Ok(());
    };
    bench.enroll_all(&["HOOK-1", "HOOK-2"]).await?;
    for name in ["hook-1", "hook-2"] {
        server.until_texts(&format!("_acme-challenge.{name}.{ZONE}"), &[]).await?;
    }
    server.stop().await;
    bench.stop("dns-01", 2).await
}

/// Every name of the zone is on this machine.
const EVERY_NAME: &str = "records = [\"* 1 IN A 127.0.0.1\"]";

#[tokio::test(flavor = "multi_thread")]
async fn http_01_from_the_registrars_own_responder() -> anyhow::Result<()> {
    let plan = Plan::new()?;
    let edits = [
        ("challenge = \"dns-01\"", format!("challenge = \"http-01\"\n{EVERY_NAME}")),
        ("# http01 = \"0.0.0.0:80\"", format!("http01 = \"{}\"", plan.http01)),
    ];
    let Some(bench) = Bench::start(&plan, plan.asked(), &edits, &[]).await? else {
        return Ok(());
    };
    bench.enroll_all(&["HTTP-1", "HTTP-2", "HTTP-3"]).await?;
    assert!(bench.pebble.count("Attempting to validate w/ HTTP")? >= 3);
    bench.stop("http-01", 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_alpn_01_on_the_listener_of_pledges() -> anyhow::Result<()> {
    let plan = Plan::new()?;
    let challenge = format!("challenge = \"tls-alpn-01\"\n{EVERY_NAME}");
    let edits = [("challenge = \"dns-01\"", challenge)];
    let Some(bench) = Bench::start(&plan, plan.asked(), &edits, &[]).await? else {
        return Ok(());
    };
    bench.enroll_all(&["ALPN-1", "ALPN-2", "ALPN-3"]).await?;
    bench.stop("tls-alpn-01", 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_type_of_a_list_that_the_ca_offers_is_answered() -> anyhow::Result<()> {
    let plan = Plan::new()?;
    // Debian's Pebble offers neither of the first two.
    let challenge = "challenge = [\"dns-account-01\", \"dns-persist-01\", \"dns-01\"]";
    let edits = [("challenge = \"dns-01\"", challenge.to_owned())];
    let Some(bench) = Bench::start(&plan, plan.asked(), &edits, &[]).await? else {
        return Ok(());
    };
    bench.enroll_all(&["LIST-1"]).await?;
    bench.stop("dns-01", 1).await
}

/// Enrolls two devices at the newest Pebble, whose zone is proven by the first of these types that it offers.
async fn at_the_newest_pebble(challenge: &str, kind: &str) -> anyhow::Result<()> {
    let Some(program) = programs::go("pebble") else {
        return Ok(());
    };
    let plan = Plan::new()?;
    let edits = [("challenge = \"dns-01\"", format!("challenge = {challenge}"))];
    let bench = Bench::start_with(&program, &plan, plan.asked(), &edits, &[]).await?;
    bench.enroll_all(&["NEW-1", "NEW-2"]).await?;
    bench.stop(kind, 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_account_01_at_a_ca_that_offers_it() -> anyhow::Result<()> {
    at_the_newest_pebble("[\"dns-account-01\", \"dns-01\"]", "dns-account-01").await
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_persist_01_at_a_ca_that_offers_it() -> anyhow::Result<()> {
    at_the_newest_pebble("\"dns-persist-01\"", "dns-persist-01").await
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_account_01_by_updates_of_knot() -> anyhow::Result<()> {
    let Some(program) = programs::go("pebble") else {
        return Ok(());
    };
    let key = Key::new("acme", "hmac-sha256")?;
    let zones = [ZoneFile::new(ZONE, std::slice::from_ref(&key))];
    let Some(server) = DnsServer::knot(&zones).await? else {
        return Ok(());
    };
    let plan = Plan::new()?;
    let asked = Asked { dns: server.address, ..plan.asked() };
    let files = [("tsig.key", key.text())];
    let edits = [
        (BUILT_IN, rfc2136(&server)),
        ("challenge = \"dns-01\"", "challenge = \"dns-account-01\"".to_owned()),
    ];
    let bench = Bench::start_with(&program, &plan, asked, &edits, &files).await?;
    bench.enroll_all(&["KNOT-1", "KNOT-2"]).await?;
    let axfr = async || brski_tests::dns::dig(server.address, &[ZONE, "AXFR"]).await;
    let is_clean = process::until(std::time::Duration::from_secs(20), async || {
        (!axfr().await.ok()?.contains("_acme-challenge")).then_some(())
    });
    assert!(is_clean.await.is_some(), "{}", axfr().await?);
    server.stop().await;
    bench.stop("dns-account-01", 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_killed_registrar_left_is_removed_at_the_start() -> anyhow::Result<()> {
    let key = Key::new("acme", "hmac-sha256")?;
    let owner = format!("_acme-challenge.gone-1.{ZONE}");
    let left = format!("{owner}. 1 IN TXT \"left\"\n{owner}. 1 IN TXT \"other\"");
    let zones = [ZoneFile::new(ZONE, std::slice::from_ref(&key)).with(&left)];
    let Some(server) = DnsServer::bind(&zones).await? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let site = Site::new(&programs::ours("registrar")?, &folder.path().join("registrar"))?;
    let listen = format!("127.0.0.1:{}", process::free_port()?);
    site.init(&["--domain", ZONE, "--listen", &listen]).await?;
    site::edit(site.folder(), BUILT_IN, &rfc2136(&server))?;
    key.write(&site.folder().join("tsig.key"))?;
    let answer = ChallengeAnswer {
        order: OrderId::new("an order that is gone"),
        name: format!("gone-1.{ZONE}"),
        kind: AnswerKind::Txt,
        owner: owner.clone(),
        value: "left".into(),
        place: Place::Rfc2136,
    };
    let file = site.folder().join("registrar.db");
    let store = SqliteStore::open(&file, "node")?;
    store.commit(vec![Change::PutAnswer(answer)], vec![]).await?;
    drop(store);
    let registrar = site.serve().await?;
    server.until_texts(&owner, &["other"]).await?;
    registrar.stop().await;
    let store = SqliteStore::open(&file, "node")?;
    assert!(store.retired_answers(10).await?.is_empty());
    server.stop().await;
    Ok(())
}
