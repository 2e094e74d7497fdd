//! The floor: a bare hyper server over tokio-rustls in a process of its own, which does for each request the
//! cryptography that it needs, answers as a registrar does, and stores nothing, decides nothing and logs nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use acme_bridge::Clock as _;
use anyhow::Context as _;
use brski_est::csr::Csr;
use brski_est::csr_attributes::CsrAttributes;
use brski_est::transfer::{self, Folding};
use brski_est::{certs_only, media_type as est_type};
use brski_lab::http::Connection;
use brski_lab::up::Lab;
use brski_registrar::clock::SystemClock;
use brski_registrar::config::{IdentityFiles, Pin};
use brski_registrar::identity::live::LiveIdentity;
use brski_registrar::identity::{RegistrarIdentity, read_certificates, read_key};
use brski_registrar::keys::KeyPlace;
use brski_registrar::store::model::Millis;
use brski_registrar::tls::server::server_config;
use brski_voucher::artefact::{PledgeRequest, Voucher};
use brski_voucher::certificate::Certificate;
use brski_voucher::idevid::{MasaUrl, serial_number};
use brski_voucher::trust::{Anchors, ValidityTime, verify_chain};
use brski_voucher::verify::Unverified;
use brski_voucher::{media_type, path, registrar};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;

use super::turns::Measured;

/// The floor's process; it is killed when this is dropped.
pub(crate) struct Floor {
    pub(crate) measured: Measured,
    _child: Child,
}

impl Floor {
    /// Starts it with the keys and CAs of a site.
    pub(crate) async fn start(lab: &Lab, folder: &Path) -> anyhow::Result<Self> {
        let own = lab.registrar.site().folder();
        std::fs::copy(folder.join("manufacturer-ca.pem"), own.join("manufacturer-ca.pem"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("floor")
            .arg(own)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let printed = child.stdout.take().context("the floor prints nothing")?;
        let line = BufReader::new(printed).lines().next_line().await?;
        let address: SocketAddr = line.context("the floor does not listen")?.parse()?;
        Ok(Self { measured: Measured::at(address, child.id()).await?, _child: child })
    }
}

/// What it works with.
struct Bare {
    identity: Arc<RegistrarIdentity>,
    issuer: rcgen::Issuer<'static, KeyPair>,
    ca_certificates: Bytes,
    manufacturer: Anchors,
    masa_tls: Arc<ClientConfig>,
}

/// Serves until it is killed; prints where.
pub(crate) async fn serve(folder: &Path) -> anyhow::Result<()> {
    let live = LiveIdentity::of_files(
        &IdentityFiles {
            certificate: folder.join("registrar.pem"),
            key: KeyPlace::File(folder.join("registrar.key")),
            domain_ca: folder.join("domain-ca.pem"),
            domain_ca_key: None,
            pin: Pin::Root,
            renew_before_days: 30,
            old_root_days: 30,
        },
        Millis(SystemClock.now()),
    )?;
    let live = Arc::new(live);
    let identities = live.load();
    let identity = Arc::clone(identities.current());
    let first = |name: &str| -> anyhow::Result<CertificateDer<'static>> {
        let all = read_certificates(&folder.join(name))?;
        Ok(all.first().with_context(|| format!("{name} is empty"))?.der().clone())
    };
    let (device_ca, manufacturer) = (first("device-ca.pem")?, first("manufacturer-ca.pem")?);
    let key = KeyPair::try_from(read_key(&folder.join("device-ca.key"))?.secret_pkcs8_der())?;
    let all = certs_only::encode(&[identity.domain_ca().der(), &device_ca]);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(manufacturer.clone())?;
    let masa_tls = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::<LiveIdentity>::clone(&live));
    let acceptor = TlsAcceptor::from(Arc::new(server_config(provider, live)?));
    let bare = Arc::new(Bare {
        identity,
        issuer: rcgen::Issuer::from_ca_cert_der(&device_ca, key)?,
        ca_certificates: transfer::encode(&all, Folding::Never).into(),
        manufacturer: Anchors::new(&[manufacturer])?,
        masa_tls: Arc::new(masa_tls),
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream, acceptor.clone(), Arc::clone(&bare)));
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, bare: Arc<Bare>) {
    // A client that breaks off is counted by the generator.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let peer = chain.first().and_then(|own| Certificate::from_der(own).ok()).map(Arc::new);
    let service = service_fn(move |request| {
        let (bare, peer) = (Arc::clone(&bare), peer.clone());
        async move { anyhow::Ok(bare.answer(peer.as_deref(), request).await?) }
    });
    let mut builder = http1::Builder::new();
    let _ = builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

fn response(content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    if !content_type.is_empty() {
        let value = http::HeaderValue::from_static(content_type);
        response.headers_mut().insert("content-type", value);
    }
    response
}

impl Bare {
    async fn answer(
        &self,
        peer: Option<&Certificate>,
        request: Request<Incoming>,
    ) -> anyhow::Result<Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let path = parts.uri.path();
        if path == path::REQUEST_VOUCHER {
            let voucher = self.voucher(peer.context("no IDevID")?, &body).await?;
            return Ok(response(media_type::VOUCHER_CMS, voucher));
        }
        Ok(match path.rsplit('/').next().unwrap_or_default() {
            "cacerts" => response(est_type::CA_CERTS, self.ca_certificates.clone()),
            "csrattrs" => {
                let dns_name = Some(name(peer.context("no client certificate")?)?);
                let der = CsrAttributes { dns_name, ..CsrAttributes::default() }.to_der();
                response(est_type::CSR_ATTRS, transfer::encode(&der, Folding::Never))
            }
            "simpleenroll" => {
                let certificate = self.enroll(peer.context("no client certificate")?, &body)?;
                response(est_type::CERTS_ONLY, certificate)
            }
            // Reports of the pledge: read, and no more.
            _ => response("", Bytes::new()),
        })
    }

    /// A manufacturer's certificate leads to its anchor; one of ours would be looked up, which costs no cryptography.
    fn judge(&self, peer: &Certificate) -> anyhow::Result<()> {
        if peer.masa_url_extension().is_some() {
            verify_chain(peer, &[], &self.manufacturer, ValidityTime::At(brski_lab::masa::now()))?;
        }
        Ok(())
    }

    fn enroll(&self, peer: &Certificate, body: &[u8]) -> anyhow::Result<String> {
        self.judge(peer)?;
        let csr = Csr::parse(&transfer::decode(body)?)?.prove()?;
        let name = name(peer)?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name.as_str());
        parameters.subject_alt_names = vec![SanType::DnsName(name.as_str().try_into()?)];
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.use_authority_key_identifier_extension = true;
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = rcgen::SubjectPublicKeyInfo::from_der(csr.spki_der())?;
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(transfer::encode(&certs_only::encode(&[certificate.der()]), Folding::Never))
    }

    async fn voucher(&self, peer: &Certificate, body: &[u8]) -> anyhow::Result<Bytes> {
        self.judge(peer)?;
        let (now, serial) = (brski_lab::masa::now(), serial_number(peer)?);
        let request = Unverified::<PledgeRequest>::parse(body)?.verify_by_key(peer)?;
        registrar::check_pledge_request(&request, &serial, self.identity.certificate())?;
        let asked = registrar::registrar_request_fields(&request, peer, &serial, now).sign(
            self.identity.signer(),
            self.identity.signing_chain(),
            now,
        )?;
        let url = MasaUrl::parse(peer.masa_url_extension().context("no MASA")?)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, url.port()));
        let name = ServerName::try_from(url.host().to_owned())?;
        let mut masa = Connection::open(address, name, Arc::clone(&self.masa_tls)).await?;
        let answer = masa.post(path::REQUEST_VOUCHER, media_type::VOUCHER_CMS, asked).await?;
        anyhow::ensure!(answer.status == 200, "the MASA answered {}", answer.status);
        let voucher = Unverified::<Voucher>::parse(&answer.body)?;
        let nonce = request.nonce();
        let time = ValidityTime::At(now);
        registrar::check_voucher(voucher.content(), &serial, nonce, self.identity.chain(), time)?;
        Ok(answer.body)
    }
}

/// The name of a device: the one in its certificate, or made of its serial number.
fn name(peer: &Certificate) -> anyhow::Result<String> {
    if let Some(name) = peer.dns_names().first() {
        return Ok((*name).to_owned());
    }
    let serial = serial_number(peer)?.as_str().to_ascii_lowercase();
    Ok(format!("{serial}.{}", brski_lab::up::ZONE))
}
