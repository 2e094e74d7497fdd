//! DNS messages to one server and back: over TCP for updates, over UDP first for questions.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one exchange may take over TCP, and how long an answer over UDP is waited for.
const TCP_PATIENCE: Duration = Duration::from_secs(10);
const UDP_PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer that is asked for over UDP, in octets.
const UDP_OCTETS: u16 = 1232;

/// Sends octets over a connection of its own and gives what comes back.
pub(super) async fn over_tcp(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let length = u16::try_from(request.len()).map_err(io::Error::other)?;
        stream.write_all(&[length.to_be_bytes().as_slice(), request].concat()).await?;
        let length = stream.read_u16().await?;
        let mut octets = vec![0; usize::from(length)];
        stream.read_exact(&mut octets).await?;
        Ok(octets)
    };
    timeout(TCP_PATIENCE, exchange).await.unwrap_or_else(|_| Err(silent()))
}

/// Asks an authoritative server for the records of a type at a name.
pub(super) async fn ask(server: SocketAddr, name: &Name, kind: RecordType) -> io::Result<Message> {
    let mut request = Message::query();
    request.metadata.op_code = OpCode::Query;
    request.metadata.recursion_desired = false;
    request.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_OCTETS);
    request.set_edns(edns);
    let octets = request.to_vec().map_err(io::Error::other)?;
    match over_udp(server, &request, &octets).await {
        Ok(answer) if !answer.metadata.truncation => Ok(answer),
        // Too long for UDP, or UDP is lost on the way.
        _ => read(&request, &over_tcp(server, &octets).await?),
    }
}

async fn over_udp(server: SocketAddr, request: &Message, octets: &[u8]) -> io::Result<Message> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Connected, so that only the server's own datagrams arrive.
    socket.connect(server).await?;
    socket.send(octets).await?;
    let mut received = vec![0; usize::from(u16::MAX)];
    let exchange = async {
        loop {
            let length = socket.recv(&mut received).await?;
            // What does not answer this question is somebody else's, and is waited past.
            if let Ok(answer) = read(request, received.get(..length).unwrap_or_default()) {
                return Ok(answer);
            }
        }
    };
    timeout(UDP_PATIENCE, exchange).await.unwrap_or_else(|_| Err(silent()))
}

/// An answer, if it is one to this request.
pub(super) fn read(request: &Message, octets: &[u8]) -> io::Result<Message> {
    let answer = Message::from_vec(octets).map_err(io::Error::other)?;
    let is_answer = answer.metadata.id == request.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.metadata.op_code == request.metadata.op_code
        && (answer.queries.is_empty() || answer.queries == request.queries);
    is_answer.then_some(answer).ok_or_else(|| io::Error::other("it answers another question"))
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time")
}
