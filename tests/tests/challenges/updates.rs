//! RFC 2136 updates at BIND and Knot: one record comes, one record goes, and every refusal has its name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use acme_bridge::Clock;
use acme_bridge::solver::rfc2136::{DnsUpdates, TsigKey, UpdateConfig, UpdateError};
use acme_bridge::solver::{Records as _, SolverError, TxtRecord};
use brski_lab::process;
use brski_registrar::clock::SystemClock;
use brski_tests::dns::{DnsServer, Key, ZoneFile};

const ZONE: &str = "iot.example.org";
const OWNER: &str = "_acme-challenge.dev-1.iot.example.org";

/// A record that is none of ours, beside which ours come and go.
const OTHERS: &str = "_acme-challenge.dev-1 1 IN TXT \"other\"\ndev-1 1 IN A 192.0.2.1";

fn record(value: &str) -> TxtRecord {
    TxtRecord { name: "dev-1.iot.example.org".into(), owner: OWNER.into(), value: value.into() }
}

/// What a test changes of an ordinary configuration.
struct Client {
    server: SocketAddr,
    zone: &'static str,
    name_servers: Vec<String>,
    visible_within: Duration,
}

impl Client {
    fn of(server: &DnsServer) -> Self {
        Self {
            server: server.address,
            zone: ZONE,
            name_servers: vec![server.address.to_string()],
            visible_within: Duration::from_secs(20),
        }
    }

    fn with(self, key: &Key) -> anyhow::Result<DnsUpdates> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("tsig.key");
        key.write(&file)?;
        let config = UpdateConfig {
            server: self.server.to_string(),
            zone: self.zone.to_owned(),
            name_servers: self.name_servers,
            visible_within: self.visible_within,
            key: TsigKey::load(&file)?,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Ok(DnsUpdates::new(config, clock))
    }
}

fn zone(keys: &[Key]) -> [ZoneFile; 1] {
    [ZoneFile::new(ZONE, keys).with(OTHERS)]
}

async fn adds_and_removes_one(server: DnsServer, key: &Key) -> anyhow::Result<()> {
    let updates = Client::of(&server).with(key)?;
    for value in ["one", "two", "one"] {
        updates.add(&record(value)).await?;
    }
    assert_eq!(server.texts(OWNER).await?, ["one", "other", "two"]);
    for _ in 0..2 {
        updates.remove(&record("one")).await?;
        assert_eq!(server.texts(OWNER).await?, ["other", "two"]);
    }
    let long = "x".repeat(300);
    updates.add(&record(&long)).await?;
    updates.remove(&record(&long)).await?;
    updates.remove(&record("two")).await?;
    assert_eq!(server.texts(OWNER).await?, ["other"]);
    let address = brski_tests::dns::dig(server.address, &["+short", "dev-1.iot.example.org", "A"]);
    assert_eq!(address.await?.trim(), "192.0.2.1");
    server.stop().await;
    Ok(())
}

#[tokio::test]
async fn bind_gets_one_record_and_loses_one_by_each_algorithm() -> anyhow::Result<()> {
    for algorithm in ["hmac-sha256", "hmac-sha384", "hmac-sha512"] {
        let key = Key::new("acme", algorithm)?;
        let Some(server) = DnsServer::bind(&zone(std::slice::from_ref(&key))).await? else {
            return Ok(());
        };
        adds_and_removes_one(server, &key).await?;
    }
    Ok(())
}

#[tokio::test]
async fn knot_gets_one_record_and_loses_one_by_each_algorithm() -> anyhow::Result<()> {
    for algorithm in ["hmac-sha256", "hmac-sha384", "hmac-sha512"] {
        let key = Key::new("acme", algorithm)?;
        let Some(server) = DnsServer::knot(&zone(std::slice::from_ref(&key))).await? else {
            return Ok(());
        };
        adds_and_removes_one(server, &key).await?;
    }
    Ok(())
}

/// What a solver says when a record is to be added, and whether it may pass.
async fn failure(updates: &DnsUpdates) -> (UpdateError, bool) {
    let (error, is_passing) = match updates.add(&record("value")).await.unwrap_err() {
        SolverError::Passing(error) => (error, true),
        SolverError::Configuration(error) => (error, false),
        other => panic!("{other}"),
    };
    (*error.downcast::<UpdateError>().unwrap(), is_passing)
}

async fn names_each_refusal(
    server: &DnsServer,
    key: &Key,
    bystander: &Key,
    bystanders: &str,
) -> anyhow::Result<()> {
    let unknown = Key::new("unknown", "hmac-sha256")?;
    let error = failure(&Client::of(server).with(&unknown)?).await;
    assert!(matches!(error, (UpdateError::BadKey { .. }, false)), "{error:?}");
    assert!(error.0.to_string().contains("unknown"));

    let other_secret = Key::new("acme", "hmac-sha256")?;
    let error = failure(&Client::of(server).with(&other_secret)?).await;
    assert!(matches!(error, (UpdateError::BadSignature { .. }, false)), "{error:?}");

    let foreign = Client { zone: "example.org", ..Client::of(server) }.with(key)?;
    let error = failure(&foreign).await;
    assert!(matches!(error, (UpdateError::NotAuthoritative { .. }, false)), "{error:?}");

    let elsewhere = Client { zone: "iot.example.com", ..Client::of(server) }.with(key)?;
    let error = failure(&elsewhere).await;
    assert!(matches!(error, (UpdateError::NotInZone { .. }, false)), "{error:?}");

    // BIND takes the key and refuses the update; Knot does not take a key that the zone does not name.
    let error = failure(&Client::of(server).with(bystander)?).await;
    assert_eq!(error.0.to_string().rsplit('(').next(), Some(bystanders), "{error:?}");
    assert!(!error.1);

    assert_eq!(server.texts(OWNER).await?, ["other"], "nothing of it was done");
    Ok(())
}

/// A second zone, so that its key is known to the server and of no use in the first.
fn two_zones(key: &Key, bystander: &Key) -> [ZoneFile; 2] {
    let [first] = zone(std::slice::from_ref(key));
    [first, ZoneFile::new("else.example.org", std::slice::from_ref(bystander))]
}

#[tokio::test]
async fn bind_refuses_each_in_its_own_words() -> anyhow::Result<()> {
    let (key, bystander) = (Key::new("acme", "hmac-sha256")?, Key::new("else", "hmac-sha256")?);
    let Some(server) = DnsServer::bind(&two_zones(&key, &bystander)).await? else {
        return Ok(());
    };
    names_each_refusal(&server, &key, &bystander, "REFUSED)").await?;
    server.stop().await;
    Ok(())
}

#[tokio::test]
async fn knot_refuses_each_in_its_own_words() -> anyhow::Result<()> {
    let (key, bystander) = (Key::new("acme", "hmac-sha256")?, Key::new("else", "hmac-sha256")?);
    let Some(server) = DnsServer::knot(&two_zones(&key, &bystander)).await? else {
        return Ok(());
    };
    names_each_refusal(&server, &key, &bystander, "BADKEY)").await?;
    server.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_record_counts_when_every_authoritative_server_shows_it() -> anyhow::Result<()> {
    let key = Key::new("acme", "hmac-sha256")?;
    let copy = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
    let [mut first] = zone(std::slice::from_ref(&key));
    first.secondaries = vec![copy];
    let Some(primary) = DnsServer::bind(&[first]).await? else {
        return Ok(());
    };
    let second = ZoneFile { primary: Some(primary.address), ..ZoneFile::new(ZONE, &[]) };
    let Some(secondary) = DnsServer::knot_at(copy, &[second]).await? else {
        return Ok(());
    };
    let client = || {
        let name_servers = vec![primary.address.to_string(), copy.to_string()];
        Client { name_servers, ..Client::of(&primary) }
    };
    let updates = client().with(&key)?;
    for value in ["one", "two", "three"] {
        updates.add(&record(value)).await?;
        assert!(secondary.texts(OWNER).await?.contains(&value.to_owned()), "{value}");
    }
    secondary.stop().await;
    let impatient = Client { visible_within: Duration::from_millis(300), ..client() }.with(&key)?;
    let (error, is_passing) = failure(&impatient).await;
    assert!(is_passing, "a server that is away comes back");
    let UpdateError::Invisible { servers, .. } = error else { panic!("{error}") };
    assert_eq!(servers, copy.to_string());
    primary.stop().await;
    Ok(())
}

#[tokio::test]
async fn without_a_list_the_servers_are_those_that_the_zone_names() -> anyhow::Result<()> {
    let key = Key::new("acme", "hmac-sha256")?;
    let Some(server) = DnsServer::bind(&zone(std::slice::from_ref(&key))).await? else {
        return Ok(());
    };
    let visible_within = Duration::from_millis(300);
    let client = Client { name_servers: Vec::new(), visible_within, ..Client::of(&server) };
    // The zone's NS is localhost, at whose port 53 nobody shows the record.
    let (error, _) = failure(&client.with(&key)?).await;
    let UpdateError::Invisible { servers, .. } = error else { panic!("{error}") };
    assert_eq!(servers, "localhost:53");
    server.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_away_is_a_failure_that_passes() -> anyhow::Result<()> {
    let key = Key::new("acme", "hmac-sha256")?;
    let server = SocketAddr::from(([127, 0, 0, 1], process::free_port()?));
    let visible_within = Duration::from_secs(1);
    let client = Client { server, zone: ZONE, name_servers: Vec::new(), visible_within };
    let error = failure(&client.with(&key)?).await;
    assert!(matches!(error, (UpdateError::Unreachable { .. }, true)), "{error:?}");
    Ok(())
}

/// Answers every connection with the request itself, its header changed by the test.
async fn echo(change: fn(&mut Vec<u8>)) -> anyhow::Result<SocketAddr> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let Ok(length) = stream.read_u16().await else { continue };
            let mut octets = vec![0; usize::from(length)];
            if stream.read_exact(&mut octets).await.is_ok() {
                change(&mut octets);
                let length = u16::try_from(octets.len()).unwrap_or_default();
                let message = [length.to_be_bytes().as_slice(), &octets].concat();
                let _ = stream.write_all(&message).await;
            }
        }
    });
    Ok(address)
}

#[tokio::test]
async fn an_answer_that_the_key_did_not_sign_proves_nothing() -> anyhow::Result<()> {
    let key = Key::new("acme", "hmac-sha256")?;
    let failure_of = async |change: fn(&mut Vec<u8>)| -> anyhow::Result<(UpdateError, bool)> {
        let visible_within = Duration::from_secs(1);
        let server = echo(change).await?;
        let client = Client { server, zone: ZONE, name_servers: Vec::new(), visible_within };
        Ok(failure(&client.with(&key)?).await)
    };
    // NOERROR under the request's own signature, which is none of an answer.
    let error = failure_of(|octets| octets[2] |= 0x80).await?;
    assert!(matches!(error, (UpdateError::Unsigned { .. }, false)), "{error:?}");
    let error = failure_of(|octets| octets.truncate(20)).await?;
    assert!(matches!(error, (UpdateError::Unreachable { .. }, true)), "{error:?}");
    let error = failure_of(|octets| octets[0] ^= 1).await?;
    assert!(matches!(error, (UpdateError::Unreachable { .. }, true)), "{error:?}");
    // SERVFAIL passes; YXDOMAIN, which nobody asked for, does not.
    let error = failure_of(|octets| (octets[2], octets[3]) = (octets[2] | 0x80, 2)).await?;
    assert!(matches!(error, (UpdateError::Code { .. }, true)), "{error:?}");
    let error = failure_of(|octets| (octets[2], octets[3]) = (octets[2] | 0x80, 6)).await?;
    assert!(matches!(error, (UpdateError::Code { .. }, false)), "{error:?}");
    Ok(())
}
