//! A flood of connections from one address, while devices at another one are served (RFC 8995 §11.1).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use brski_lab::pledge::journey::{self, Label};
use brski_tests::site::{self, edit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How many connections come from the other address.
const FLOOD: usize = 2000;
/// How many the registrar has room for; half of it for one address.
const ROOM: usize = 200;
/// What a connection of the flood does: nothing; or it begins a TLS record and leaves it at that.
const BEGINNINGS: [&[u8]; 2] = [&[], &[0x16, 0x03, 0x01, 0x02]];

async fn connect(registrar: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into())?;
    Ok(socket.connect(registrar).await?)
}

/// Opens as many connections as there shall be, and holds them.
async fn flood(registrar: SocketAddr) -> anyhow::Result<Vec<TcpStream>> {
    let mut held = Vec::with_capacity(FLOOD);
    for number in 0..FLOOD {
        let mut stream = connect(registrar).await?;
        // The registrar may have closed it already.
        let _ = stream.write_all(BEGINNINGS[number % BEGINNINGS.len()]).await;
        held.push(stream);
    }
    Ok(held)
}

/// How many of them the registrar has not closed.
async fn still_open(held: &mut [TcpStream]) -> usize {
    let mut open = 0;
    for stream in held {
        let mut octets = [0; 64];
        let read = timeout(Duration::from_millis(1), stream.read(&mut octets)).await;
        open += usize::from(read.is_err());
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_served_while_another_address_floods() -> anyhow::Result<()> {
    let site = site::prepared(|folder| {
        edit(folder, "connections = 1000", &format!("connections = {ROOM}"))?;
        Ok(Vec::new())
    })
    .await?;
    let registrar = site.lab.registrar.address();
    // A device that is known keeps its connection.
    let known = site.lab.pledge("FLOOD-1")?;
    let (mut connection, chain) = known.connect(registrar).await?;
    let body = known.voucher_request(chain.own().unwrap())?.der;
    let (path, media) =
        (brski_voucher::path::REQUEST_VOUCHER, brski_voucher::media_type::VOUCHER_CMS);
    assert_eq!(connection.post(path, media, body.clone()).await?.status, 200);
    let mut held = flood(registrar).await?;
    assert_eq!(connection.post(path, media, body.clone()).await?.status, 200);
    // It goes on while new devices come.
    let going_on = tokio::spawn(async move {
        loop {
            held.extend(connect(registrar).await);
            if held.len() > 10 * FLOOD {
                return held;
            }
        }
    });
    for serial in ["NEW-1", "NEW-2", "NEW-3"] {
        let pledge = site.lab.pledge(serial)?;
        let label = Label::default();
        timeout(Duration::from_secs(20), journey::run(&pledge, registrar, &label)).await??;
    }
    assert_eq!(connection.post(path, media, body).await?.status, 200);
    going_on.abort();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_holds_no_more_than_its_share() -> anyhow::Result<()> {
    let site = site::prepared(|folder| {
        edit(folder, "connections = 1000", &format!("connections = {ROOM}"))?;
        let times = "handshake_timeout_secs = 10";
        edit(folder, times, "handshake_timeout_secs = 60")?;
        Ok(Vec::new())
    })
    .await?;
    let mut held = flood(site.lab.registrar.address()).await?;
    // Half of the room, and as many wait beside it.
    let open = still_open(&mut held).await;
    assert!((1..=ROOM).contains(&open), "{open} of {FLOOD} are open");
    Ok(())
}
