//! The responder of http-01: files that it knows, under the names that they prove, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use acme_bridge::http01::HttpResponder;
use acme_bridge::{AnswerKind, AnswerStore as _, ChallengeAnswer, OrderId, Place};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::memory::{Memory, NAME};

async fn responder() -> (HttpResponder, Arc<Memory>) {
    let store = Memory::new();
    for (owner, value) in [
        (NAME, "token.thumb"),
        (NAME, "other.thumb"),
        ("dev-2.iot.example.org", "second.thumb"),
        ("elsewhere.example.com", "token.thumb"),
    ] {
        let answer = ChallengeAnswer {
            order: OrderId::new("1"),
            name: owner.into(),
            kind: AnswerKind::Http,
            owner: owner.into(),
            value: value.into(),
            place: Place::BuiltIn,
        };
        store.put(&answer).await.unwrap();
    }
    let zones = vec!["iot.example.org".to_owned()];
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let responder = HttpResponder::start(loopback, zones, store.clone()).await.unwrap();
    (responder, store)
}

async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(30), read).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(address: SocketAddr, host: &str, path: &str) -> String {
    send(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
}

const FOLDER: &str = "/.well-known/acme-challenge/";

#[tokio::test]
async fn gives_each_file_under_its_own_name_in_any_case_and_at_any_port() {
    let (responder, _store) = responder().await;
    for (host, token, expected) in [
        (NAME, "token", "token.thumb"),
        (NAME, "other", "other.thumb"),
        ("Dev-1.IOT.example.org:8080", "token", "token.thumb"),
        ("dev-1.iot.example.org.", "token", "token.thumb"),
        ("dev-2.iot.example.org", "second", "second.thumb"),
    ] {
        let answer = get(responder.address(), host, &format!("{FOLDER}{token}")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{host}: {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{host}: {answer}");
        assert!(answer.contains("application/octet-stream"), "{answer}");
    }
    let absolute = format!("GET http://{NAME}{FOLDER}token HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(send(responder.address(), &absolute).await.ends_with("token.thumb"));
    let head = format!("HEAD {FOLDER}token HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    assert!(send(responder.address(), &head).await.ends_with("\r\n\r\n"));
    responder.stop().await;
}

#[tokio::test]
async fn gives_nothing_to_who_does_not_know_token_and_name() {
    let (responder, _store) = responder().await;
    for (host, path) in [
        (NAME, format!("{FOLDER}second")),
        (NAME, FOLDER.to_owned()),
        (NAME, format!("{FOLDER}token.thumb")),
        (NAME, format!("{FOLDER}../token")),
        (NAME, format!("{FOLDER}tok%65n")),
        (NAME, format!("{FOLDER}{}", "a".repeat(257))),
        (NAME, "/".to_owned()),
        ("dev-2.iot.example.org", format!("{FOLDER}token")),
        ("elsewhere.example.com", format!("{FOLDER}token")),
        ("eviliot.example.org", format!("{FOLDER}token")),
        ("", format!("{FOLDER}token")),
        ("<script>", format!("{FOLDER}token")),
        ("127.0.0.1", format!("{FOLDER}token")),
    ] {
        let answer = get(responder.address(), host, &path).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{host} {path}: {answer}");
        assert!(!answer.contains("thumb") && !answer.contains("script"), "{answer}");
    }
    let post = format!("POST {FOLDER}token HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 0\r\n\r\n");
    let answer = send(responder.address(), &post).await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD"), "{answer}");
    responder.stop().await;
}

#[tokio::test]
async fn says_that_it_cannot_look_when_the_store_fails() {
    let (responder, store) = responder().await;
    store.set_broken(true);
    let answer = get(responder.address(), NAME, &format!("{FOLDER}token")).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    responder.stop().await;
}

#[tokio::test]
async fn serves_many_at_once_beside_one_that_says_nothing() {
    let (responder, _store) = responder().await;
    let address = responder.address();
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut fetches = JoinSet::new();
    for _ in 0..100 {
        fetches.spawn(async move { get(address, NAME, &format!("{FOLDER}token")).await });
    }
    while let Some(answer) = fetches.join_next().await {
        assert!(answer.unwrap().ends_with("token.thumb"));
    }
    responder.stop().await;
}

#[tokio::test]
async fn refuses_what_is_no_http_and_headers_without_end() {
    let (responder, _store) = responder().await;
    let answer = send(responder.address(), "\u{16}\u{3}\u{1} no HTTP at all\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let long = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let mut stream = TcpStream::connect(responder.address()).await.unwrap();
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    responder.stop().await;
}
