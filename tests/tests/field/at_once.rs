//! Requests of one new device, or with one credential, that reach two registrars on one PostgreSQL at the same moment.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use brski_lab::http::Connection;
use brski_lab::masa::Masa;
use brski_lab::pki::Manufacturer;
use brski_lab::pledge::Pledge;
use brski_lab::up;
use brski_tests::est::{Key, certificate, enroll_at_once};
use brski_tests::pair::{Pair, PairOptions};
use brski_tests::postgres::Cluster;
use brski_tests::programs;
use brski_tests::site::json;
use brski_voucher::media_type::VOUCHER_CMS;
use brski_voucher::path::REQUEST_VOUCHER;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// How many requests come at once.
const AT_ONCE: usize = 8;
/// How many devices, or credentials, there are of each kind: who is quicker differs.
const DEVICES: usize = 4;
/// How many devices may wait for a person.
const WAITING: usize = 5;

/// Two registrars that admit everybody but those whom they ask a person about.
async fn pair(
    folder: &Path,
    cluster: &Cluster,
    maker: &Manufacturer,
) -> anyhow::Result<Option<Pair>> {
    let Some(haproxy) = programs::outside("haproxy", "haproxy") else {
        return Ok(None);
    };
    let anchor = folder.join("masa-ca.pem");
    std::fs::write(&anchor, maker.authority.pem())?;
    let admit = "unexpected = \"admit\"";
    let rule = "[[policy.rule]]\ndecision = \"ask\"\nserial_pattern = \"ASK-.*\"";
    let waiting = "waiting_per_manufacturer = ";
    let pair = Pair::start(PairOptions {
        folder,
        haproxy,
        database: cluster.database()?,
        arguments: Vec::new(),
        edits: vec![
            (admit.to_owned(), format!("{admit}\n{rule}")),
            (format!("{waiting}100"), format!("{waiting}{WAITING}")),
        ],
        second_edits: Vec::new(),
        manufacturer: (maker, anchor),
    })
    .await?;
    Ok(Some(pair))
}

/// Sends bodies to requestvoucher at once, each by a pledge of its own connection.
async fn ask(requests: Vec<(Connection, Vec<u8>)>) -> anyhow::Result<Vec<u16>> {
    let together = Arc::new(Barrier::new(requests.len()));
    let mut asking = JoinSet::new();
    for (mut connection, body) in requests {
        let together = Arc::clone(&together);
        asking.spawn(async move {
            together.wait().await;
            anyhow::Ok(connection.post(REQUEST_VOUCHER, VOUCHER_CMS, body).await?.status)
        });
    }
    asking.join_all().await.into_iter().collect()
}

/// A connection of a pledge by way of the balancer, with a new request.
async fn request(pair: &Pair, pledge: &Pledge) -> anyhow::Result<(Connection, Vec<u8>)> {
    let (connection, chain) = pledge.connect(pair.front).await?;
    let body = pledge.voucher_request(chain.own().unwrap())?.der;
    Ok((connection, body))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_reach_both_nodes_at_once_are_each_answered() -> anyhow::Result<()> {
    let Some(cluster) = Cluster::start()? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let maker = Manufacturer::new(up::MANUFACTURER)?;
    let masa = Masa::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &maker).await?;
    let Some(pair) = pair(folder.path(), &cluster, &maker).await? else {
        return Ok(());
    };
    let pledge = |serial: &str| {
        let idevid = maker.authority.idevid(serial, &masa.url())?;
        anyhow::Ok(Pledge::new(idevid, maker.authority.certificate())?)
    };
    for number in 0..DEVICES {
        // A nonce each; then the same request, whose answer was lost, say.
        let new = pledge(&format!("NEW-{number}"))?;
        let mut requests = Vec::new();
        for _ in 0..AT_ONCE {
            requests.push(request(&pair, &new).await?);
        }
        assert_eq!(ask(requests).await?, [200; AT_ONCE], "NEW-{number}");
        let again = pledge(&format!("AGAIN-{number}"))?;
        let (first, body) = request(&pair, &again).await?;
        let mut requests = vec![(first, body.clone())];
        for _ in 1..AT_ONCE {
            requests.push((again.connect(pair.front).await?.0, body.clone()));
        }
        assert_eq!(ask(requests).await?, [200; AT_ONCE], "AGAIN-{number}");
        // The same wish is one use of a credential, whichever node spends it.
        let name = format!("same-{number}");
        let secret = pair.first.site.command("credential add", &[&name, "--uses", "1"]).await?;
        let key = Key::new()?;
        let keys = (0..AT_ONCE).map(|_| Key::from_pkcs8(key.pkcs8())).collect();
        let answers = enroll_at_once(pair.front, &name, secret.trim(), keys).await?;
        let first = certificate(&answers[0])?;
        for answer in &answers {
            assert_eq!(certificate(answer)?.der(), first.der());
        }
    }
    // Devices that a person is asked about: no more than may wait.
    let mut requests = Vec::new();
    for number in 0..4 * WAITING {
        requests.push(request(&pair, &pledge(&format!("ASK-{number:02}"))?).await?);
    }
    let statuses = ask(requests).await?;
    let waiting = statuses.iter().filter(|status| **status == 202).count();
    assert_eq!(waiting, WAITING, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 3 * WAITING);
    let listed = json(&pair.second.site, "approval list", &[]).await?;
    assert_eq!(listed.as_array().map(Vec::len), Some(WAITING), "{listed}");
    pair.stop().await;
    Ok(())
}
