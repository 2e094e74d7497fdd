//! What pledges and other clients ask, as the HTTP requests that they send.

use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_registrar::store::model::Sha256;
use brski_registrar::tls::peer::Peer;
use brski_voucher::telemetry::Status;
use brski_voucher::{media_type, path};
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use rustls::HandshakeKind;
use rustls_pki_types::CertificateDer;
use tower::ServiceExt as _;

use super::op::{Name, Op, Proof};
use super::site::{PLEDGES, PRINTER, SITE, ZONE};
use super::snapshot::Closed;
use super::tally::Premise;
use super::world::{Asked, Done, SECRET, Work, World};

const SIMPLE_ENROLL: &str = "/.well-known/est/simpleenroll";
const SIMPLE_REENROLL: &str = "/.well-known/est/simplereenroll";
const CSR_ATTRS: &str = "/.well-known/est/csrattrs";

/// A request to spawn.
pub(super) struct Request {
    pub(super) node: usize,
    pub(super) pace: u8,
    pub(super) asked: Asked,
    pub(super) shown: Option<Sha256>,
    pub(super) closed: Option<Closed>,
    pub(super) work: Work,
}

/// What is sent, and by whom.
struct Message {
    method: Method,
    path: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Message {
    fn post(path: &'static str, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { method: Method::POST, path, content_type, body }
    }

    fn get(path: &'static str) -> Self {
        Self { method: Method::GET, path, content_type: "", body: Vec::new() }
    }
}

/// The request that an operation means, if it is one that somebody can send.
pub(super) fn request(world: &World<'_>, op: &Op) -> Option<Request> {
    match *op {
        Op::RequestVoucher { pledge, nonce, node, pace } => {
            let body = SITE.voucher_request(pledge, nonce);
            let message = Message::post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, body);
            let asked = Asked::Voucher { pledge, nonce };
            make(world, pledge, Proof::Own, node, pace, asked, message)
        }
        Op::VoucherStatus { pledge, accept, node, pace } => {
            let message = Message::post(path::VOUCHER_STATUS, "application/json", status(accept));
            make(world, pledge, Proof::Own, node, pace, Asked::Other, message)
        }
        Op::CsrAttributes { pledge, proof, node } => {
            make(world, pledge, proof, node, u8::MAX, Asked::Other, Message::get(CSR_ATTRS))
        }
        Op::Enroll { pledge, key, proof, name, node, pace } => {
            let (asked, message) = enroll(world, pledge, key, name, SIMPLE_ENROLL);
            make(world, pledge, proof, node, pace, asked, message)
        }
        Op::Reenroll { pledge, key, node, pace } => {
            let (asked, message) = enroll(world, pledge, key, Name::Own, SIMPLE_REENROLL);
            make(world, pledge, Proof::Issued, node, pace, asked, message)
        }
        Op::EnrollStatus { pledge, proof, ok, node } => {
            let message = Message::post(path::ENROLL_STATUS, "application/json", status(ok));
            make(world, pledge, proof, node, u8::MAX, Asked::Other, message)
        }
        _ => None,
    }
}

fn status(is_good: bool) -> Vec<u8> {
    match is_good {
        true => Status::success().to_json(),
        false => Status::failure("simulated").to_json(),
    }
}

/// The name that a pledge was given, or would be given first.
fn own_name(world: &World<'_>, pledge: usize) -> String {
    let given = world.before.of_pledge(pledge).and_then(|known| known.device.name.clone());
    given.unwrap_or_else(|| {
        let label = PLEDGES.get(pledge).map_or("printer", |(_, serial)| serial);
        format!("{}.{ZONE}", label.to_lowercase())
    })
}

fn enroll(
    world: &World<'_>,
    pledge: usize,
    key: usize,
    name: Name,
    path: &'static str,
) -> (Asked, Message) {
    let own = own_name(world, pledge);
    let (name, is_own) = match name {
        Name::Own => (own, true),
        Name::Foreign => {
            let name = own_name(world, (pledge + 1) % PLEDGES.len());
            let is_own = name == own;
            (name, is_own)
        }
    };
    if !is_own {
        world.tally.premise(Premise::ForeignName);
    }
    let body = STANDARD.encode(SITE.csr(pledge, key, &name)).into_bytes();
    let message = Message::post(path, "application/pkcs10", body);
    (Asked::Certificate { pledge, key, name, is_own }, message)
}

/// The certificate that a client shows.
fn shown(world: &World<'_>, pledge: usize, proof: Proof) -> Option<CertificateDer<'static>> {
    match proof {
        Proof::Issued => world.issued[pledge].last().cloned(),
        Proof::Own => None,
    }
}

fn make(
    world: &World<'_>,
    pledge: usize,
    proof: Proof,
    node: usize,
    pace: u8,
    asked: Asked,
    message: Message,
) -> Option<Request> {
    let issued = shown(world, pledge, proof);
    if proof == Proof::Issued && issued.is_none() {
        return None;
    }
    let fingerprint = issued.as_ref().map(|der| Sha256::of(der));
    let closed = world.before.closed(&asked, pledge, fingerprint);
    let certificate = issued.or_else(|| SITE.idevid(pledge).cloned());
    let port = 1000 + u16::try_from(pledge).ok()?;
    let certificates = certificate.into_iter().collect();
    let address = ([192, 0, 2, 1], port).into();
    let peer = Peer::new(address, certificates, Some([7; 32]), HandshakeKind::Full);
    let mut request = http::Request::builder()
        .method(message.method)
        .uri(message.path)
        .header(CONTENT_TYPE, message.content_type)
        .extension(Arc::new(peer));
    if pledge == PRINTER && fingerprint.is_none() {
        let credential = STANDARD.encode(format!("printer:{SECRET}"));
        request = request.header(AUTHORIZATION, format!("Basic {credential}"));
    }
    let request = request.body(Body::from(message.body)).ok()?;
    let router = world.node(node).router.clone();
    let work = Box::pin(async move {
        let answer = match router.oneshot(request).await {
            Ok(answer) => answer,
            Err(impossible) => match impossible {},
        };
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes().to_vec();
        Done::Answer { status, body }
    });
    Some(Request { node, pace, asked, shown: fingerprint, closed, work })
}
