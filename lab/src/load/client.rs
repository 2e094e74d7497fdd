//! Who asks, and what: clients with their TLS, and requests that are made before the clock runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use brski_est::authentication::Credentials;
use brski_est::client::EstServer;
use brski_est::csr_attributes::{CsrPlan, Linking};
use brski_est::path::Operation;
use brski_voucher::{media_type, path};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request, Response, StatusCode};
use rustls::ClientConfig;
use rustls::client::Resumption;

use super::LoadError;
use super::measure::{Failed, Failure};
use super::target::Target;
use crate::est::key::KeyType;
use crate::est::request::{CsrMaker, Wishes, key_for};
use crate::est::trust::{Identity, TrustError};
use crate::est::{Client, Patience, Trust, operations};
use crate::pledge::Pledge;
use crate::pledge::tls::{self, TlsVersions};

/// How long a server may take to say what it wants in a CSR, before the run.
const PREPARATION_SECS: u64 = 60;

/// What is asked over and over by HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// GET `/cacerts`.
    CaCertificates,
    /// GET `/csrattrs`.
    CsrAttributes,
    /// POST `/simpleenroll`.
    Enroll,
    /// POST `/simplereenroll`.
    Reenroll,
    /// POST `/.well-known/brski/requestvoucher`.
    Voucher,
}

impl Question {
    /// What the answer's media type begins with.
    fn media_type(self) -> &'static str {
        match self {
            Self::CaCertificates | Self::Enroll | Self::Reenroll => "application/pkcs7-mime",
            Self::CsrAttributes => "application/csrattrs",
            Self::Voucher => media_type::VOUCHER_CMS,
        }
    }

    /// What is wrong with an answer, if anything is.
    pub(super) fn check(self, response: &Response<Bytes>) -> Result<(), Failed> {
        let status = response.status();
        if status != StatusCode::OK {
            let body = String::from_utf8_lossy(response.body());
            let said = body.trim().chars().take(200).collect();
            return Err(Failed { kind: Failure::Status(status.as_u16()), said });
        }
        let told = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let told = told.unwrap_or_default();
        if !told.starts_with(self.media_type()) || response.body().is_empty() {
            let octets = response.body().len();
            let said = format!("{octets} octets of {told:?}");
            return Err(Failed { kind: Failure::Answer, said });
        }
        Ok(())
    }
}

/// How a client proves who it is.
#[derive(Debug)]
pub enum Proof {
    /// Not at all.
    None,
    /// By HTTP Basic.
    Basic(Credentials),
    /// By a certificate.
    Certificate(Identity),
}

/// One client of the server, with all that it will ask.
pub struct LoadClient {
    pub(super) tls: Arc<ClientConfig>,
    head: Request<()>,
    bodies: Vec<Bytes>,
    next: AtomicUsize,
}

impl LoadClient {
    fn new(tls: Arc<ClientConfig>, requests: Vec<Request<Vec<u8>>>) -> Option<Self> {
        let mut bodies = Vec::with_capacity(requests.len());
        let mut head = None;
        for request in requests {
            let (mut parts, body) = request.into_parts();
            // Messages of one client differ in their bodies alone; their lengths differ by an octet or two.
            parts.headers.remove(CONTENT_LENGTH);
            head.get_or_insert_with(|| Request::from_parts(parts, ()));
            bodies.push(Bytes::from(body));
        }
        Some(Self { tls, head: head?, bodies, next: AtomicUsize::new(0) })
    }

    /// The next request; after the last one the first again.
    pub(super) fn request(&self) -> Request<Bytes> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let body = self.bodies.get(number % self.bodies.len().max(1)).cloned();
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.head.method().clone();
        parts.uri = self.head.uri().clone();
        parts.headers = HeaderMap::clone(self.head.headers());
        Request::from_parts(parts, body.unwrap_or_default())
    }

    /// How many requests carried a message that had been sent before.
    pub(super) fn sent_again(&self) -> usize {
        self.next.load(Ordering::Relaxed).saturating_sub(self.bodies.len())
    }
}

/// TLS for load: each connection with a whole handshake, for a resumed one would measure something else.
///
/// # Errors
/// [`TrustError`].
pub fn tls(
    trust: &Trust,
    identity: Option<&Identity>,
    versions: TlsVersions,
) -> Result<Arc<ClientConfig>, TrustError> {
    let mut configuration = trust.configuration(identity, versions)?;
    configuration.resumption = Resumption::disabled();
    Ok(Arc::new(configuration))
}

/// How the clients of a run are made.
#[derive(Debug)]
pub struct ClientOptions {
    /// Whom they trust.
    pub trust: Trust,
    /// The versions of TLS that they speak.
    pub versions: TlsVersions,
    /// The DNS name in CSRs, where the server gives none; `{number}` in it becomes a number.
    pub name: Option<String>,
    /// The kind of keys in CSRs; what the server asks for if left out.
    pub key_type: Option<KeyType>,
    /// How many CSRs or voucher requests are made beforehand, for all clients together.
    pub messages: usize,
}

/// Makes clients that ask for something by EST; what the server wants in a CSR is asked once for each of them.
///
/// # Errors
/// [`LoadError`].
pub async fn est_clients(
    question: Question,
    target: &Target,
    proofs: Vec<Proof>,
    options: &ClientOptions,
) -> Result<Vec<LoadClient>, LoadError> {
    let mut clients = Vec::with_capacity(proofs.len());
    let each = options.messages.div_ceil(proofs.len().max(1)).max(1);
    for (number, proof) in proofs.into_iter().enumerate() {
        let (identity, credentials) = match proof {
            Proof::None => (None, None),
            Proof::Basic(credentials) => (None, Some(credentials)),
            Proof::Certificate(identity) => (Some(identity), None),
        };
        let tls = tls(&options.trust, identity.as_ref(), options.versions)?;
        let server = target.server();
        let mut requests = match question {
            Question::CsrAttributes => vec![server.csr_attrs()],
            Question::Enroll | Question::Reenroll => {
                let subject = Subject { question, number, identity: identity.as_ref() };
                let plan = csr_plan(server, &tls, credentials.as_ref()).await?;
                subject.requests(server, &plan, options, each)?
            }
            Question::CaCertificates | Question::Voucher => vec![server.ca_certs()],
        };
        if let Some(credentials) = &credentials {
            for request in &mut requests {
                credentials.authorize_basic(request);
            }
        }
        clients.extend(LoadClient::new(tls, requests));
    }
    Ok(clients)
}

/// What the server wants in a CSR.
async fn csr_plan(
    server: &EstServer,
    tls: &Arc<ClientConfig>,
    credentials: Option<&Credentials>,
) -> Result<CsrPlan, LoadError> {
    let credentials = match credentials {
        None => None,
        Some(all) => Some(Credentials::new(all.user(), all.password())?),
    };
    let patience = Patience::secs(PREPARATION_SECS);
    let mut client = Client::new(server.clone(), ClientConfig::clone(tls), credentials, patience)?;
    let plan = operations::csr_attrs(&mut client).await?;
    if plan.linking() == Linking::Required {
        return Err(LoadError::Linked);
    }
    Ok(plan)
}

/// Whom a CSR is about.
struct Subject<'a> {
    question: Question,
    number: usize,
    identity: Option<&'a Identity>,
}

impl Subject<'_> {
    fn wishes(&self, options: &ClientOptions) -> Wishes {
        let own = self.identity.and_then(Identity::certificate);
        match (self.question, own) {
            (Question::Reenroll, Some(own)) => Wishes::renewing(own.clone()),
            _ => {
                let names: Vec<String> = (options.name.iter())
                    .map(|name| name.replace("{number}", &self.number.to_string()))
                    .collect();
                Wishes::new(&names, &[])
            }
        }
    }

    /// Requests with CSRs of different keys: the same key again would be the same wish again.
    fn requests(
        &self,
        server: &EstServer,
        plan: &CsrPlan,
        options: &ClientOptions,
        number: usize,
    ) -> Result<Vec<Request<Vec<u8>>>, LoadError> {
        let wishes = self.wishes(options);
        let operation = match self.question {
            Question::Reenroll => Operation::SimpleReenroll,
            _ => Operation::SimpleEnroll,
        };
        let one = || {
            let key = key_for(plan, options.key_type)?;
            CsrMaker::new(plan, &wishes, &key)?.request(server, operation, None)
        };
        Ok((0..number).map(|_| one()).collect::<Result<_, _>>()?)
    }
}

/// Makes clients that ask for vouchers, each with requests of its own for the registrar at the target.
///
/// # Errors
/// [`LoadError`].
pub async fn voucher_clients(
    target: &Target,
    pledges: &[Pledge],
    options: &ClientOptions,
) -> Result<Vec<LoadClient>, LoadError> {
    let each = options.messages.div_ceil(pledges.len().max(1)).max(1);
    let shown = tls::provisional(target.address(), None, options.versions).await;
    let unreachable = |error: &dyn std::fmt::Display| LoadError::Unreachable {
        url: format!("https://{}", target.server().authority()),
        tried: vec![error.to_string()],
    };
    let (_, chain) = shown.map_err(|error| unreachable(&error))?;
    let registrar = chain.own().ok_or_else(|| unreachable(&"it shows no certificate"))?;
    let mut clients = Vec::with_capacity(pledges.len());
    for pledge in pledges {
        let identity = Identity::from(pledge.credential());
        // RFC 8995 §5.1: a pledge does not judge the registrar before it has a voucher.
        let tls = tls(&Trust::DangerAnybody, Some(&identity), options.versions)?;
        let mut requests = Vec::with_capacity(each);
        for _ in 0..each {
            let signed = pledge.voucher_request(registrar)?;
            let request = Request::post(path::REQUEST_VOUCHER)
                .header(CONTENT_TYPE, media_type::VOUCHER_CMS)
                .body(signed.der);
            requests.push(request.map_err(|error| unreachable(&error))?);
        }
        clients.extend(LoadClient::new(tls, requests));
    }
    Ok(clients)
}
