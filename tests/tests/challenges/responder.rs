//! The registrar's own DNS responder as `dig`, `delv` and a resolver see it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use acme_bridge::Place;
use acme_bridge::dns::{DnsConfig, Responder, Zone};
use acme_bridge::{
    AnswerKind, AnswerStore, ChallengeAnswer, Csr, IssuerName, OrderId, OrderRecord, OrderTerms,
};
use brski_lab::process;
use brski_registrar::issue::answers::Answers;
use brski_registrar::store::sqlite::SqliteStore;
use brski_registrar::store::{Change, Store as _};
use brski_tests::dns::{DnsServer, dig, dig_program, texts};
use brski_tests::programs;
use tempfile::TempDir;
use tokio::process::Command;

const ZONE: &str = "iot.example.org";

/// A responder on the registrar's own store.
struct Ours {
    responder: Responder,
    store: Arc<dyn AnswerStore>,
    _folder: TempDir,
}

impl Ours {
    async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = Arc::new(SqliteStore::open(&folder.path().join("registrar.db"), "node")?);
        let csr = Csr { der: vec![1], names: vec![], spki: vec![2] };
        let (id, issuer) = (OrderId::new("1"), IssuerName::new("ca"));
        let order = OrderRecord::new(id, issuer, csr, OrderTerms::default(), 1);
        store.commit(vec![Change::InsertOrder(order)], vec![]).await?;
        let store: Arc<dyn AnswerStore> = Arc::new(Answers::new(store));
        let records = [
            "@ 300 IN NS ns1",
            "ns1 300 IN A 127.0.0.1",
            "@ 300 IN CAA 0 issue \"ca.example\"",
            "www 300 IN AAAA 2001:db8::1",
        ];
        let records = records.map(str::to_owned);
        let zones = vec![Zone::new(ZONE, &records)?];
        let config = DnsConfig { address, zones, answers_per_second: 1000 };
        let responder = Responder::start(config, Arc::clone(&store)).await?;
        Ok(Self { responder, store, _folder: folder })
    }

    async fn on_any_port() -> anyhow::Result<Self> {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    async fn put(&self, owner: &str, values: &[&str]) -> anyhow::Result<()> {
        for value in values {
            let answer = ChallengeAnswer {
                order: OrderId::new("1"),
                name: "dev-1.iot.example.org".into(),
                kind: AnswerKind::Txt,
                owner: owner.to_owned(),
                value: (*value).to_owned(),
                place: Place::BuiltIn,
            };
            self.store.put(&answer).await?;
        }
        Ok(())
    }

    async fn dig(&self, words: &[&str]) -> anyhow::Result<String> {
        dig(self.responder.address(), words).await
    }
}

#[tokio::test]
async fn dig_sees_an_authoritative_server() -> anyhow::Result<()> {
    if dig_program().is_none() {
        return Ok(());
    }
    let ours = Ours::on_any_port().await?;
    let owner = "_acme-challenge.dev-1.iot.example.org";
    ours.put(owner, &["one", "two"]).await?;
    let cased = "_ACME-challenge.Dev-1.iot.EXAMPLE.org";
    for (words, expected) in [
        (vec![cased, "TXT"], "status: NOERROR"),
        (vec![cased, "TXT"], "flags: qr aa;"),
        (vec![cased, "TXT"], "EDNS: version: 0, flags:; udp: 1232"),
        (vec![cased, "TXT"], "_ACME-challenge.Dev-1.iot.EXAMPLE.org. 0 IN TXT \"one\""),
        (vec!["+tcp", cased, "TXT"], "(TCP)"),
        (vec!["+noedns", cased, "TXT"], "\"two\""),
        (vec!["+edns=1", "+noednsnegotiation", ZONE, "SOA"], "status: BADVERS"),
        (vec!["+dnssec", ZONE, "SOA"], "flags: do;"),
        (vec![ZONE, "SOA"], "SOA ns1.iot.example.org. hostmaster.iot.example.org."),
        (vec![ZONE, "NS"], "300 IN NS ns1.iot.example.org."),
        (vec![ZONE, "CAA"], "0 issue \"ca.example\""),
        (vec![ZONE, "MX"], "status: NOERROR"),
        (vec!["www.iot.example.org", "AAAA"], "2001:db8::1"),
        (vec!["www.iot.example.org", "A"], "ANSWER: 0, AUTHORITY: 1"),
        (vec!["dev-1.iot.example.org", "CAA"], "status: NOERROR"),
        (vec!["dev-1.iot.example.org", "A"], "1 IN SOA"),
        (vec!["dev-2.iot.example.org", "CAA"], "status: NXDOMAIN"),
        (vec![owner, "CAA"], "ANSWER: 0, AUTHORITY: 1"),
        (vec!["example.org", "SOA"], "status: REFUSED"),
        (vec!["-c", "CH", "version.bind", "TXT"], "status: REFUSED"),
        (vec!["+opcode=notify", ZONE, "SOA"], "status: REFUSED"),
        (vec![ZONE, "AXFR"], "Transfer failed"),
        (vec!["+header-only"], "status: FORMERR"),
    ] {
        let words: Vec<&str> = words.into_iter().chain(["+nottlunits"]).collect();
        let answer = ours.dig(&words).await?;
        // Columns are padded with tabs and blanks.
        let answer = answer.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(answer.contains(expected), "{words:?}: {answer}");
    }
    assert_eq!(texts(ours.responder.address(), owner).await?, ["one", "two"]);
    ours.responder.stop().await;
    Ok(())
}

#[tokio::test]
async fn dig_goes_to_tcp_for_what_is_too_long() -> anyhow::Result<()> {
    if dig_program().is_none() {
        return Ok(());
    }
    let ours = Ours::on_any_port().await?;
    let owner = "_acme-challenge.dev-1.iot.example.org";
    let values: Vec<String> = (0..64).map(|number| format!("{number:043}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    ours.put(owner, &values).await?;
    let cut = ours.dig(&["+ignore", owner, "TXT"]).await?;
    assert!(cut.contains("flags: qr aa tc;"), "{cut}");
    assert_eq!(texts(ours.responder.address(), owner).await?.len(), 64);
    ours.responder.stop().await;
    Ok(())
}

#[tokio::test]
async fn delv_takes_the_answers_for_what_they_are() -> anyhow::Result<()> {
    let Some(program) = programs::outside("delv", "bind9-dnsutils") else {
        return Ok(());
    };
    let ours = Ours::on_any_port().await?;
    let owner = "_acme-challenge.dev-1.iot.example.org";
    ours.put(owner, &["one"]).await?;
    let address = ours.responder.address();
    let ask = async |name: &str, kind: &str| -> anyhow::Result<String> {
        let output = Command::new(&program)
            // Without DNSSEC's chain of trust, which a zone on the loopback has none of.
            .args(["-i", &format!("@{}", address.ip()), "-p", &address.port().to_string()])
            .args([name, kind])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr))
    };
    let answer = ask(owner, "TXT").await?;
    assert!(answer.contains("\"one\""), "{answer}");
    let answer = ask("dev-1.iot.example.org", "CAA").await?;
    assert!(answer.contains("ncache nxrrset"), "{answer}");
    let answer = ask("dev-9.iot.example.org", "CAA").await?;
    assert!(answer.contains("ncache nxdomain"), "{answer}");
    ours.responder.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_resolver_finds_an_answer_and_soon_forgets_a_denial() -> anyhow::Result<()> {
    if dig_program().is_none() {
        return Ok(());
    }
    let port = process::free_port()?;
    // BIND asks every server at the port that it listens on itself; another loopback address has it free.
    let ours = Ours::start(SocketAddr::from(([127, 0, 0, 2], port))).await?;
    let resolver = SocketAddr::from(([127, 0, 0, 1], port));
    let options = "recursion yes; allow-recursion { any; }; qname-minimization strict;";
    let delegation =
        "zone \"iot.example.org\" { type static-stub; server-addresses { 127.0.0.2; }; };";
    let Some(bind) = DnsServer::bind_with(resolver, options, delegation, &[]).await? else {
        return Ok(());
    };
    let status = async |name: &str, kind: &str| -> anyhow::Result<String> {
        let answer = dig(resolver, &["+recurse", name, kind]).await?;
        let status = answer.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
        Ok(status.unwrap_or_default().to_owned())
    };
    let owner = "_acme-challenge.dev-1.iot.example.org";
    assert_eq!(status(owner, "TXT").await?, "NXDOMAIN");
    assert_eq!(status("dev-1.iot.example.org", "CAA").await?, "NXDOMAIN");
    ours.put(owner, &["one"]).await?;
    // The resolver believes the denial for as long as it was told, and no longer.
    let found = process::until(std::time::Duration::from_secs(6), async || {
        let answer = dig(resolver, &["+recurse", "+short", owner, "TXT"]).await.ok()?;
        answer.contains("\"one\"").then_some(())
    });
    assert!(found.await.is_some(), "{}", bind.log());
    let is_there = process::until(std::time::Duration::from_secs(6), async || {
        (status("dev-1.iot.example.org", "CAA").await.ok()? == "NOERROR").then_some(())
    });
    assert!(is_there.await.is_some());
    assert_eq!(status("www.iot.example.org", "AAAA").await?, "NOERROR");
    let labelled = "_x._acme-challenge.dev-2.iot.example.org";
    ours.put(labelled, &["two"]).await?;
    assert_eq!(status(labelled, "TXT").await?, "NOERROR");
    let values: Vec<String> = (0..64).map(|number| format!("{number:043}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let busy = "_acme-challenge.busy.iot.example.org";
    ours.put(busy, &values).await?;
    let answer = dig(resolver, &["+recurse", "+short", busy, "TXT"]).await?;
    assert_eq!(answer.lines().count(), 64, "{answer}");
    bind.stop().await;
    ours.responder.stop().await;
    Ok(())
}
