//! An acme-dns server that keeps two values, as the real one does, and a client that never loses one that is needed.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use acme_bridge::solver::acme_dns::{AcmeDns, Registration, check_url};
use acme_bridge::solver::{Solver as _, SolverError, Way, ZoneSolver, Zones};
use acme_bridge::{ChallengeType, OrderId};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use tokio::net::TcpListener;

use crate::memory::{Memory, NAME, challenge, value};

const DOCUMENT: &str = r#"{"username": "user", "password": "pass", "fulldomain": "Sub.auth.example.net.",
    "subdomain": "sub", "allowfrom": []}"#;

/// The two newest values, the older one first.
#[derive(Default)]
struct Server {
    values: Mutex<Vec<String>>,
    updates: Mutex<usize>,
    status: Mutex<Option<StatusCode>>,
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> StatusCode {
        if let Some(status) = *self.status.lock().unwrap() {
            return status;
        }
        let header = |name: &str| request.headers().get(name).and_then(|text| text.to_str().ok());
        if (header("x-api-user"), header("x-api-key")) != (Some("user"), Some("pass")) {
            return StatusCode::UNAUTHORIZED;
        }
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/update"));
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let update: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(update["subdomain"], "sub");
        let mut values = self.values.lock().unwrap();
        values.push(update["txt"].as_str().unwrap().to_owned());
        if values.len() > 2 {
            values.remove(0);
        }
        *self.updates.lock().unwrap() += 1;
        StatusCode::OK
    }

    fn values(&self) -> Vec<String> {
        let mut values = self.values.lock().unwrap().clone();
        values.sort();
        values
    }
}

async fn start() -> (Arc<Server>, SocketAddr) {
    let server = Arc::<Server>::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::clone(&server);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = Arc::clone(&shared);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let server = Arc::clone(&server);
                    async move {
                        let mut response = Response::new(Full::new(Bytes::from_static(b"{}")));
                        *response.status_mut() = server.answer(request).await;
                        Ok::<_, std::convert::Infallible>(response)
                    }
                });
                let serving = hyper::server::conn::http1::Builder::new();
                let _ = serving.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (server, address)
}

fn registration(document: &str, mode: u32) -> Result<Registration, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme-dns.json");
    std::fs::write(&file, document).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    Registration::load(&file).map_err(|error| error.to_string())
}

fn solver(address: SocketAddr, document: &str) -> (Arc<Zones>, Arc<Memory>) {
    let store = Memory::new();
    let registration = registration(document, 0o600).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let url = format!("http://{address}/");
    let client =
        AcmeDns::new(provider, RootCertStore::empty(), &url, registration, store.clone()).unwrap();
    let zone = ZoneSolver {
        zone: "iot.example.org".into(),
        challenges: vec![ChallengeType::Dns01],
        alias: None,
        way: Way::Records(Arc::new(client)),
    };
    (Arc::new(Zones::new(vec![zone], store.clone())), store)
}

async fn publish(zones: &Zones, order: &str, token: &str) -> Result<(), SolverError> {
    let challenge = challenge(ChallengeType::Dns01, token);
    zones.publish(&OrderId::new(order), NAME, &challenge).await
}

async fn end(zones: &Arc<Zones>, order: &str) {
    zones.clean_up(&OrderId::new(order)).await.unwrap();
    zones.sweep().await.unwrap();
}

fn sorted(tokens: [&str; 2]) -> Vec<String> {
    let mut values = tokens.map(value).to_vec();
    values.sort();
    values
}

#[tokio::test]
async fn two_values_at_once_and_a_third_when_one_is_done() {
    let (server, address) = start().await;
    let (zones, store) = solver(address, DOCUMENT);
    publish(&zones, "1", "a").await.unwrap();
    publish(&zones, "2", "b").await.unwrap();
    assert_eq!(server.values(), sorted(["a", "b"]));
    let third = publish(&zones, "3", "c").await.unwrap_err();
    assert!(matches!(third, SolverError::Busy(_)), "{third}");
    assert!(third.to_string().contains("sub.auth.example.net"), "{third}");
    assert_eq!(server.values(), sorted(["a", "b"]), "neither was pushed out");
    // The newer one ends; the older one, next in turn to be pushed out, must stay.
    zones.sweep().await.unwrap();
    assert_eq!(store.len(), 2, "who waits keeps nobody out");
    end(&zones, "2").await;
    publish(&zones, "4", "d").await.unwrap();
    assert_eq!(server.values(), sorted(["a", "d"]));
    end(&zones, "1").await;
    end(&zones, "4").await;
    assert_eq!(store.len(), 0);
}

#[tokio::test]
async fn many_at_once_do_not_keep_each_other_out_for_ever() {
    let (server, address) = start().await;
    let (zones, store) = solver(address, DOCUMENT);
    let mut waiting: Vec<&str> = vec!["1", "2", "3", "4", "5", "6"];
    let mut rounds = 0;
    while !waiting.is_empty() {
        rounds += 1;
        assert!(rounds <= 6, "nobody gets on");
        let mut tries = tokio::task::JoinSet::new();
        for order in waiting.drain(..) {
            let zones = Arc::clone(&zones);
            tries.spawn(async move { (order, publish(&zones, order, order).await) });
        }
        let mut done = Vec::new();
        while let Some(tried) = tries.join_next().await {
            match tried.unwrap() {
                (order, Ok(())) => done.push(order),
                (order, Err(SolverError::Busy(_))) => waiting.push(order),
                (order, Err(error)) => panic!("{order}: {error}"),
            }
        }
        assert!(!done.is_empty() && done.len() <= 2, "{done:?}");
        let values = server.values();
        for order in done {
            assert!(values.contains(&value(order)), "the value of {order} was pushed out");
            end(&zones, order).await;
        }
    }
    assert_eq!(store.len(), 0);
}

#[tokio::test]
async fn the_record_stands_at_the_registrations_name() {
    let (_server, address) = start().await;
    let (zones, store) = solver(address, DOCUMENT);
    publish(&zones, "1", "a").await.unwrap();
    use acme_bridge::AnswerStore as _;
    assert_eq!(store.in_force_at("sub.auth.example.net").await.unwrap(), [value("a")]);
}

#[tokio::test]
async fn wrong_credentials_wait_for_an_operator_and_a_server_that_is_away_does_not() {
    let (server, address) = start().await;
    let (zones, _store) = solver(address, &DOCUMENT.replace("\"pass\"", "\"wrong\""));
    let refused = publish(&zones, "1", "a").await.unwrap_err();
    assert!(matches!(refused, SolverError::Configuration(_)), "{refused}");
    let (zones, _store) = solver(address, DOCUMENT);
    for (status, is_passing) in [(400, false), (404, false), (429, true), (500, true), (503, true)]
    {
        *server.status.lock().unwrap() = Some(StatusCode::from_u16(status).unwrap());
        let failed = publish(&zones, "1", "a").await.unwrap_err();
        assert_eq!(matches!(failed, SolverError::Passing(_)), is_passing, "{status}: {failed}");
        assert!(failed.to_string().contains(&status.to_string()), "{failed}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = nobody.local_addr().unwrap();
    drop(nobody);
    let (zones, _store) = solver(free, DOCUMENT);
    let away = publish(&zones, "1", "a").await.unwrap_err();
    assert!(matches!(away, SolverError::Passing(_)), "{away}");
}

#[test]
fn a_registration_that_cannot_be_used_is_refused_and_never_shown() {
    for (document, mode, reason) in [
        (DOCUMENT.to_owned(), 0o640, "chmod 600"),
        ("{}".into(), 0o600, "no JSON object"),
        ("[1]".into(), 0o600, "no JSON object"),
        (DOCUMENT.replace("Sub.auth.example.net.", ""), 0o600, "cannot be used"),
        (DOCUMENT.replace("\"pass\"", "\"pa\\nss\""), 0o600, "cannot be used"),
        ("x".repeat(70_000), 0o600, "no text"),
    ] {
        let refused = registration(&document, mode).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
        assert!(!refused.contains("pass\""), "{refused}");
    }
    let good = registration(DOCUMENT, 0o600).unwrap();
    assert_eq!(good.full_domain(), "sub.auth.example.net");
    assert!(!format!("{good:?}").contains("pass"));
}

#[test]
fn the_password_goes_over_https_or_not_off_this_machine() {
    for (url, is_good) in [
        ("https://auth.example.net", true),
        ("http://127.0.0.1:8053", true),
        ("http://localhost", true),
        ("http://auth.example.net", false),
        ("http://127.0.0.1.example.net", false),
        ("ftp://auth.example.net", false),
        ("auth.example.net", false),
        ("/update", false),
        ("", false),
    ] {
        assert_eq!(check_url(url).is_ok(), is_good, "{url}");
    }
}
