//! `brski-lab est`: an EST client for any server.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use brski_est::authentication::Credentials;
use brski_est::client::{EstServer, Issued};
use brski_est::csr_attributes::CsrPlan;
use brski_est::path::{Label, Operation};
use brski_est::renewal_info::CertificateId;
use brski_est::server_keygen::{DecryptionKey, EncryptionRequest};
use clap::{Args, Subcommand};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde::Serialize;

use super::output;
use crate::est::folder::Folder;
use crate::est::key::Key;
use crate::est::report::{CertificateReport, IssuedReport, PlanReport, RenewalReport};
use crate::est::request::{CsrMaker, SubjectPart, Wishes, key_for};
use crate::est::trust::{Identity, certificates};
use crate::est::{Client, ClientError, KeyType, Patience, Trust, operations};
use crate::http::HttpError;
use crate::pledge::tls::TlsVersions;

/// The exit code of a command line that says too little.
const USAGE: u8 = 2;
/// The exit code of what may work later.
const TRY_LATER: u8 = 75;
/// How the mode of a file is, where others than its owner read it.
const OTHERS: u32 = 0o077;

#[derive(Debug, Args)]
pub(super) struct EstArguments {
    #[command(subcommand)]
    command: EstCommand,
}

#[derive(Debug, Subcommand)]
enum EstCommand {
    /// Fetch the CA certificates
    Cacerts(CaCertsArguments),
    /// Ask what to put into a CSR
    Csrattrs(QueryArguments),
    /// Get a first certificate, for a new key
    Enroll(EnrollArguments),
    /// Get another certificate in place of the one that --cert names
    Reenroll(ReenrollArguments),
    /// Ask when a certificate should be renewed
    RenewalInfo(RenewalInfoArguments),
    /// Get a certificate and a key that the server makes
    Serverkeygen(ServerKeygenArguments),
}

/// The server, and how to speak to it.
#[derive(Debug, Args)]
struct ServerArguments {
    /// The server: https://HOST[:PORT], perhaps with /.well-known/est and a label behind it
    #[arg(long, value_name = "URL", value_parser = EstServer::from_url)]
    url: EstServer,
    /// The EST label, which selects one of several CAs
    #[arg(long, value_parser = Label::parse)]
    label: Option<Label>,
    /// The CA certificates (PEM) that the server's certificate must lead to; those of this system if left out
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// The user name, for servers that ask for one
    #[arg(long, value_name = "NAME", requires = "secret_file")]
    user: Option<String>,
    /// The file with the secret that belongs to --user; nobody else may read it
    #[arg(long, value_name = "FILE", requires = "user")]
    secret_file: Option<PathBuf>,
    /// The client certificate (PEM), with those above it behind it
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key of --cert (PEM, PKCS#8)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// How long to go on coming back while the server says that it is not ready, in seconds
    #[arg(long, value_name = "SECS", default_value_t = 600)]
    wait_secs: u64,
    /// Print one JSON object alone
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct QueryArguments {
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Args)]
struct CaCertsArguments {
    #[command(flatten)]
    server: ServerArguments,
    /// Keep them in this folder as cacerts.pem; print them if left out
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take them from any server: compare the fingerprints with somebody who knows before you use them
    #[arg(long, conflicts_with = "cacert")]
    danger_any_server: bool,
}

/// What a certificate is to say; the server's CSR attributes may decide otherwise.
#[derive(Debug, Args)]
struct WishArguments {
    /// A DNS name for the certificate; the server may give another
    #[arg(long = "name", value_name = "DNSNAME")]
    names: Vec<String>,
    /// A part of the subject, such as CN=pump-1 or SERIALNUMBER=SN-1
    #[arg(long = "subject", value_name = "KIND=TEXT")]
    subject: Vec<SubjectPart>,
}

#[derive(Debug, Args)]
struct EnrollArguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    wishes: WishArguments,
    /// The kind of the new key; what the server asks for if left out
    #[arg(long, value_enum)]
    key_type: Option<KeyType>,
    /// Keep key.pem and certificate.pem in this folder; a key that is there alone is used again
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct ReenrollArguments {
    #[command(flatten)]
    server: ServerArguments,
    /// The kind of the new key; what the server asks for if left out
    #[arg(long, value_enum, conflicts_with = "keep_key")]
    key_type: Option<KeyType>,
    /// Keep the key instead of making a new one
    #[arg(long)]
    keep_key: bool,
    /// Keep the new key.pem and certificate.pem in this folder; a key that is there alone is used again
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct RenewalInfoArguments {
    #[command(flatten)]
    server: ServerArguments,
    /// The certificate to ask about (PEM); that of --cert if left out
    #[arg(long, value_name = "FILE", required_unless_present = "cert")]
    certificate: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ServerKeygenArguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    wishes: WishArguments,
    /// The kind of the key; what the server asks for if left out
    #[arg(long, value_enum)]
    key_type: Option<KeyType>,
    /// Have the key encrypted for the key of --cert
    #[arg(long, requires = "cert")]
    encrypted: bool,
    /// Keep key.pem and certificate.pem in this folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// Runs a command; an error that a person can mend says how.
pub(super) async fn run(arguments: EstArguments) -> anyhow::Result<ExitCode> {
    if let EstCommand::Reenroll(ReenrollArguments { server, .. }) = &arguments.command
        && server.cert.is_none()
    {
        eprintln!("brski-lab: --cert and --key name the certificate that is to be renewed");
        return Ok(ExitCode::from(USAGE));
    }
    let done = match arguments.command {
        EstCommand::Cacerts(arguments) => ca_certs(&arguments).await,
        EstCommand::Csrattrs(arguments) => csr_attrs(&arguments.server).await,
        EstCommand::Enroll(arguments) => enroll(&arguments).await,
        EstCommand::Reenroll(arguments) => reenroll(&arguments).await,
        EstCommand::RenewalInfo(arguments) => renewal_info(&arguments).await,
        EstCommand::Serverkeygen(arguments) => server_keygen(&arguments).await,
    };
    let Err(error) = done else {
        return Ok(ExitCode::SUCCESS);
    };
    eprintln!("brski-lab: {error:#}");
    let client_error = error.downcast_ref::<ClientError>();
    if let Some(hint) = client_error.and_then(hint) {
        eprintln!("brski-lab: {hint}");
    }
    match client_error {
        Some(ClientError::Waiting { .. }) => Ok(ExitCode::from(TRY_LATER)),
        _ => Ok(ExitCode::FAILURE),
    }
}

/// What to do about an error.
fn hint(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Resolve { .. }
        | ClientError::Http { source: HttpError::Connect { .. }, .. } => {
            Some("is --url right, and does the server run?")
        }
        ClientError::Http { source: HttpError::Tls { source, .. }, .. } => {
            let text = source.to_string();
            if text.contains("UnknownIssuer") {
                Some("name the CA of the server's certificate with --cacert FILE")
            } else if text.contains("not valid for name") || text.contains("NotValidForName") {
                Some("use the name in --url that the server's certificate carries")
            } else {
                None
            }
        }
        ClientError::Unauthenticated { .. } => {
            Some("give --user NAME and --secret-file FILE, or --cert FILE and --key FILE")
        }
        ClientError::Secret { .. } => Some("look at --user and the file of --secret-file"),
        ClientError::Waiting { .. } => {
            Some("run the same command again later: it goes on with the key in the folder of --out")
        }
        ClientError::Elsewhere { .. } => Some("if that is right, give it as --url"),
        ClientError::Refused { status, .. } if *status == http::StatusCode::NOT_FOUND => {
            Some("is there an EST server at --url, and does it know --label?")
        }
        _ => None,
    }
}

impl ServerArguments {
    fn identity(&self) -> anyhow::Result<Option<Identity>> {
        match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => Ok(Some(Identity::of_files(certificate, key)?)),
            _ => Ok(None),
        }
    }

    fn client(&self) -> anyhow::Result<Client> {
        self.client_with(&Trust::of_file(self.cacert.as_deref())?)
    }

    fn client_with(&self, trust: &Trust) -> anyhow::Result<Client> {
        let credentials = match (&self.user, &self.secret_file) {
            (Some(user), Some(file)) => Some(Credentials::new(user, &secret(file)?)?),
            _ => None,
        };
        let tls = trust.configuration(self.identity()?.as_ref(), TlsVersions::Any)?;
        let server = match &self.label {
            Some(label) => self.url.clone().with_label(label.clone()),
            None => self.url.clone(),
        };
        Ok(Client::new(server, tls, credentials, Patience::secs(self.wait_secs))?)
    }

    fn print<T: Serialize>(&self, report: &T, text: &str) -> anyhow::Result<()> {
        if self.json { output::print_json(report) } else { output::print(text) }
    }
}

/// The first line of a file that its owner alone reads.
pub(super) fn secret(path: &Path) -> anyhow::Result<String> {
    let name = || path.display().to_string();
    let mode = std::fs::metadata(path).with_context(name)?.permissions().mode();
    if mode & OTHERS != 0 {
        bail!("{} can be read by others: chmod 600 it", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(name)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[derive(Serialize)]
struct CaCertsReport {
    certificates: Vec<CertificateReport>,
    files: Vec<PathBuf>,
}

async fn ca_certs(arguments: &CaCertsArguments) -> anyhow::Result<()> {
    let folder = arguments.out.as_deref().map(Folder::for_ca_certificates).transpose()?;
    let mut client = match arguments.danger_any_server {
        true => arguments.server.client_with(&Trust::DangerAnybody)?,
        false => arguments.server.client()?,
    };
    let all = operations::ca_certs(&mut client).await?;
    let file = folder.map(|folder| folder.keep_ca_certificates(&all)).transpose()?;
    let reports: Vec<CertificateReport> = all.iter().filter_map(CertificateReport::of).collect();
    let text = match &file {
        Some(file) => format!("kept {} certificates as {}\n", all.len(), file.display()),
        None => all.iter().map(|each| crate::pki::pem("CERTIFICATE", each)).collect(),
    };
    if !arguments.server.json {
        for report in &reports {
            eprintln!("{}", report.text());
        }
    }
    let report = CaCertsReport { certificates: reports, files: file.into_iter().collect() };
    arguments.server.print(&report, &text)
}

async fn csr_attrs(arguments: &ServerArguments) -> anyhow::Result<()> {
    let plan = operations::csr_attrs(&mut arguments.client()?).await?;
    let report = PlanReport::of(&plan);
    arguments.print(&report, &report.text())
}

async fn enroll(arguments: &EnrollArguments) -> anyhow::Result<()> {
    let folder = Folder::for_certificate(&arguments.out)?;
    let earlier = folder.earlier_key()?;
    let mut client = arguments.server.client()?;
    let plan = operations::csr_attrs(&mut client).await?;
    let wishes = arguments.wishes.of(&plan);
    let key = kept_key(&folder, earlier, &plan, arguments.key_type)?;
    let maker = CsrMaker::new(&plan, &wishes, &key).map_err(ClientError::from)?;
    let issued = operations::enroll(&mut client, Operation::SimpleEnroll, maker).await?;
    finish(&arguments.server, &folder, &issued)
}

async fn reenroll(arguments: &ReenrollArguments) -> anyhow::Result<()> {
    let identity = arguments.server.identity()?;
    let identity = identity
        .context("reenroll needs the certificate that is to be renewed: --cert and --key")?;
    let folder = Folder::for_certificate(&arguments.out)?;
    let earlier = match arguments.keep_key {
        true => Some(Key::of(identity.key.clone_key())?),
        false => folder.earlier_key()?,
    };
    let mut client = arguments.server.client()?;
    let plan = operations::csr_attrs(&mut client).await?;
    let own = identity.certificate().context("there is no certificate")?;
    let wishes = Wishes::renewing(own.clone());
    let key = match (arguments.keep_key, earlier) {
        (true, Some(key)) => key,
        (_, earlier) => kept_key(&folder, earlier, &plan, arguments.key_type)?,
    };
    let maker = CsrMaker::new(&plan, &wishes, &key).map_err(ClientError::from)?;
    let issued = operations::enroll(&mut client, Operation::SimpleReenroll, maker).await?;
    finish(&arguments.server, &folder, &issued)
}

async fn server_keygen(arguments: &ServerKeygenArguments) -> anyhow::Result<()> {
    let folder = Folder::for_certificate(&arguments.out)?.without_key()?;
    let mut client = arguments.server.client()?;
    let plan = operations::csr_attrs(&mut client).await?;
    let wishes = arguments.wishes.of(&plan);
    // The CSR needs a key, which the server does not look at (RFC 7030 §4.4.1).
    let throwaway = key_for(&plan, arguments.key_type).map_err(ClientError::from)?;
    let mut maker = CsrMaker::new(&plan, &wishes, &throwaway).map_err(ClientError::from)?;
    let identity = arguments.server.identity()?.filter(|_| arguments.encrypted);
    let recipient = match &identity {
        None => None,
        Some(identity) => {
            let own = identity.certificate().context("there is no certificate")?;
            maker = maker.with_encryption(EncryptionRequest::for_certificate(own)?);
            Some(DecryptionKey::from_pkcs8_der(identity.key.secret_pkcs8_der())?)
        }
    };
    let generated = operations::generate(&mut client, maker, recipient.as_ref()).await?;
    folder.keep_key(&PrivatePkcs8KeyDer::from(generated.key().pkcs8_der().to_vec()))?;
    finish(&arguments.server, &folder, generated.issued())
}

async fn renewal_info(arguments: &RenewalInfoArguments) -> anyhow::Result<()> {
    let file = arguments.certificate.as_ref().or(arguments.server.cert.as_ref());
    let file = file.context("which certificate? Name it with --certificate FILE")?;
    let all = certificates(file)?;
    let own = all.first().context("there is no certificate")?;
    let id = CertificateId::of(own).with_context(|| file.display().to_string())?;
    let renewal = operations::renewal_info(&mut arguments.server.client()?, &id).await?;
    let report = RenewalReport::of(&renewal);
    arguments.server.print(&report, &report.text())
}

impl WishArguments {
    /// What is wished for; where the server decides otherwise, a person is told.
    fn of(&self, plan: &CsrPlan) -> Wishes {
        let wishes = Wishes::new(&self.names, &self.subject);
        if let Some(told) = wishes.overruled(plan) {
            eprintln!("brski-lab: {told}");
        }
        wishes
    }
}

/// The key of an earlier try, or a new one, which is kept before anything is sent.
fn kept_key(
    folder: &Folder,
    earlier: Option<Key>,
    plan: &CsrPlan,
    chosen: Option<KeyType>,
) -> anyhow::Result<Key> {
    if let Some(key) = earlier {
        eprintln!("brski-lab: going on with the key that is there already");
        return Ok(key);
    }
    let key = key_for(plan, chosen).map_err(ClientError::from)?;
    folder.keep_key(&key.pkcs8)?;
    Ok(key)
}

fn finish(server: &ServerArguments, folder: &Folder, issued: &Issued) -> anyhow::Result<()> {
    let mut files = folder.keep_certificate(issued.certificate(), issued.others())?;
    files.extend(folder.key());
    let report = CertificateReport::of(issued.certificate());
    let certificate = report.context("the certificate was kept, but cannot be read")?;
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let text = format!("{}kept     {}\n", certificate.text(), names.join(", "));
    server.print(&IssuedReport { certificate, files }, &text)
}
