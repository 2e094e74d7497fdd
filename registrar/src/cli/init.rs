//! `registrar init`: everything that a registrar needs, in one folder, and nothing overwritten.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use acme_bridge::Clock as _;
use clap::{Args, ValueEnum};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyUsagePurpose,
    SanType,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use time::OffsetDateTime;

use super::Failed;
use crate::clock::SystemClock;
use crate::config::dns_name;
use crate::config::sample::{self, AcmeChoices, Choices, Keys};
use crate::identity::{issue, read_certificates};
use crate::keys::place::TokenUri;
use crate::keys::{Key, KeyPlace, KeyType};
use crate::store::sqlite::SqliteStore;

const HOUR_SECS: i64 = 3600;
const YEAR_SECS: i64 = 365 * 24 * HOUR_SECS;
const CA_YEARS: i64 = 20;
const REGISTRAR_YEARS: i64 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum IssuerKind {
    /// The device CA inside the registrar
    Local,
    /// An ACME CA
    Acme,
}

#[derive(Debug, Args)]
pub(super) struct InitOptions {
    /// The folder; it is made if it is not there
    #[arg(long)]
    dir: PathBuf,
    /// The DNS zone that devices are named in, such as iot.example.org
    #[arg(long)]
    domain: String,
    /// Where to listen for pledges and EST clients
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// A DNS name or address of the registrar; localhost is always one
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
    /// Where certificates come from
    #[arg(long, value_enum, default_value = "local")]
    issuer: IssuerKind,
    /// The directory of the ACME CA
    #[arg(long, value_name = "URL")]
    acme_directory: Option<String>,
    /// The anchors of the directory's TLS certificate, PEM; the operating system's if left out
    #[arg(long, value_name = "FILE")]
    acme_ca: Option<PathBuf>,
    /// The roots that issued chains must end at, PEM; those of --acme-ca if left out
    #[arg(long, value_name = "FILE")]
    acme_root: Option<PathBuf>,
    /// You agree to the terms of service of the ACME CA
    #[arg(long)]
    accept_terms: bool,
    /// Where to listen for DNS; with --issuer acme 0.0.0.0:53 if left out
    #[arg(long, value_name = "ADDR:PORT")]
    dns_listen: Option<SocketAddr>,
    /// A PKCS#11 token to make the keys in, as 'pkcs11:token=NAME?module-path=FILE&pin-source=file:FILE'; files if left out
    #[arg(long, value_name = "URI")]
    token: Option<String>,
    /// What kind of keys are made: the registrar's, the domain CA's and the device CA's
    #[arg(long, value_enum, default_value_t)]
    key_type: KeyType,
}

/// A key that was made, and the file that holds it, if one does.
struct MadeKey {
    key: Key,
    place: KeyPlace,
    file: Option<NewFile>,
}

/// A file to be made.
struct NewFile {
    name: &'static str,
    content: String,
    mode: u32,
}

pub(super) async fn init(options: &InitOptions) -> Result<(), Failed> {
    dns_name(&options.domain).map_err(|reason| Failed::usage(format!("--domain: {reason}")))?;
    let acme = acme_choices(options)?;
    let dns = match (options.dns_listen, &acme) {
        (Some(address), _) => Some(address.to_string()),
        (None, Some(_)) => Some("0.0.0.0:53".to_owned()),
        (None, None) => None,
    };
    refuse_existing(options)?;
    let Made { mut files, keys } = certificates(options)?;
    let choices = Choices {
        keys,
        listen: options.listen.to_string(),
        dns: dns.clone(),
        domain: options.domain.to_ascii_lowercase(),
        acme: acme.as_ref().map(|acme| acme.choices.clone()),
    };
    files.extend(acme.map(|acme| acme.files).unwrap_or_default());
    files.push(NewFile { name: "registrar.toml", content: sample::file(&choices), mode: 0o644 });
    write(&options.dir, &files)?;
    let database = options.dir.join("registrar.db");
    SqliteStore::open(&database, "init").map_err(|error| Failed::new(error.to_string()))?;
    report(options, &files, &choices);
    Ok(())
}

struct Acme {
    choices: AcmeChoices,
    files: Vec<NewFile>,
}

fn acme_choices(options: &InitOptions) -> Result<Option<Acme>, Failed> {
    if options.issuer == IssuerKind::Local {
        if options.acme_directory.is_some() {
            let message = "--acme-directory is for --issuer acme; add that, or leave it out";
            return Err(Failed::usage(message));
        }
        return Ok(None);
    }
    let directory = options.acme_directory.clone().ok_or_else(|| {
        Failed::usage("--issuer acme needs --acme-directory URL, the CA's ACME directory")
    })?;
    if !directory.starts_with("https://") {
        return Err(Failed::usage(format!("--acme-directory {directory:?} is not https://…")));
    }
    if !options.accept_terms {
        return Err(Failed::usage(
            "--issuer acme needs --accept-terms: read the CA's terms of service and agree to them",
        ));
    }
    let mut files = Vec::new();
    let mut copy = |path: &Path, name: &'static str| {
        read_certificates(path).map_err(|error| Failed::new(error.to_string()))?;
        let content = fs::read_to_string(path).map_err(|error| Failed::new(error.to_string()))?;
        files.push(NewFile { name, content, mode: 0o644 });
        Ok::<_, Failed>(name.to_owned())
    };
    let directory_ca =
        options.acme_ca.as_deref().map(|path| copy(path, "acme-directory-ca.pem")).transpose()?;
    let root = match (&options.acme_root, &options.acme_ca) {
        (Some(path), _) => Some(copy(path, "acme-root.pem")?),
        (None, Some(_)) => directory_ca.clone(),
        (None, None) => None,
    };
    Ok(Some(Acme { choices: AcmeChoices { directory, directory_ca, root }, files }))
}

/// The files of certificates and keys, and where the keys are.
struct Made {
    files: Vec<NewFile>,
    keys: Keys,
}

fn certificates(options: &InitOptions) -> Result<Made, Failed> {
    let failed = |error: rcgen::Error| Failed::new(format!("cannot make a certificate: {error}"));
    let now = SystemClock.now().div_euclid(1000);
    let domain = &options.domain;
    let of_domain = make_key(options, "domain-ca", "domain-ca.key")?;
    let of_devices = make_key(options, "device-ca", "device-ca.key")?;
    let own = make_key(options, "registrar", "registrar.key")?;
    let domain_ca =
        authority(&format!("{domain} domain CA"), now, &of_domain.key).map_err(failed)?;
    let device_ca =
        authority(&format!("{domain} device CA"), now, &of_devices.key).map_err(failed)?;
    let issuer = Issuer::from_ca_cert_der(domain_ca.der(), &of_domain.key).map_err(failed)?;
    let registrar = registrar_parameters(options, now)
        .and_then(|parameters| parameters.signed_by(&own.key, &issuer))
        .map_err(failed)?;
    let public = |name, content| NewFile { name, content, mode: 0o644 };
    let keys = Keys {
        registrar: written(&own),
        domain_ca: written(&of_domain),
        device_ca: written(&of_devices),
    };
    let mut files = vec![public("domain-ca.pem", domain_ca.pem())];
    files.extend(of_domain.file);
    files.push(public("device-ca.pem", device_ca.pem()));
    files.extend(of_devices.file);
    files.push(public("registrar.pem", registrar.pem()));
    files.extend(own.file);
    Ok(Made { files, keys })
}

/// The key as the configuration names it: a file beside it, or a URI.
fn written(made: &MadeKey) -> String {
    made.file.as_ref().map_or_else(|| made.place.to_string(), |file| file.name.to_owned())
}

/// Makes a key in a file, or in the token under this label.
fn make_key(options: &InitOptions, label: &str, name: &'static str) -> Result<MadeKey, Failed> {
    if let Some(uri) = token(options)? {
        let uri = uri.with_object(label);
        let key = Key::make_in_token(&uri, options.key_type)
            .map_err(|error| Failed::new(error.to_string()))?;
        return Ok(MadeKey { key, place: KeyPlace::Token(uri), file: None });
    }
    let made = options.key_type.generate();
    let pair = made.map_err(|error| Failed::new(format!("cannot make a key: {error}")))?;
    let octets = PrivatePkcs8KeyDer::from(pair.serialize_der());
    let key = Key::from_pkcs8(octets).map_err(Failed::new)?;
    let file = NewFile { name, content: pair.serialize_pem(), mode: 0o600 };
    Ok(MadeKey { key, place: KeyPlace::File(name.into()), file: Some(file) })
}

/// The token that keys are made in.
fn token(options: &InitOptions) -> Result<Option<TokenUri>, Failed> {
    let Some(text) = &options.token else {
        return Ok(None);
    };
    let here = std::path::absolute(".").map_err(|error| Failed::new(error.to_string()))?;
    match KeyPlace::parse(text, &here) {
        Ok(KeyPlace::Token(uri)) if uri.object.is_none() && uri.id.is_none() => Ok(Some(uri)),
        Ok(KeyPlace::Token(_)) => Err(Failed::usage(
            "--token: leave object= and id= out: the keys are called registrar, domain-ca and device-ca",
        )),
        Ok(KeyPlace::File(_)) => {
            Err(Failed::usage(format!("--token {text:?} does not begin with pkcs11:")))
        }
        Err(error) => Err(Failed::usage(format!("--token: {error}"))),
    }
}

fn date(unix_seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A root of 20 years that issues end-entity certificates only; backdated, for pledges whose clock is slow.
fn authority(name: &str, now: i64, key: &Key) -> Result<rcgen::Certificate, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.not_before = date(now - HOUR_SECS);
    parameters.not_after = date(now + CA_YEARS * YEAR_SECS);
    parameters.self_signed(key)
}

/// The registrar's certificate: RA for the MASA (RFC 8995 §5.5.4), server for pledges, client of MASAs.
fn registrar_parameters(
    options: &InitOptions,
    now: i64,
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, format!("{} registrar", options.domain));
    parameters.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::from([127, 0, 0, 1])),
        SanType::IpAddress(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])),
    ];
    for name in &options.names {
        parameters.subject_alt_names.push(match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into()?),
        });
    }
    issue::usages(&mut parameters);
    parameters.use_authority_key_identifier_extension = true;
    parameters.not_before = date(now - HOUR_SECS);
    parameters.not_after = date(now + REGISTRAR_YEARS * YEAR_SECS);
    Ok(parameters)
}

/// The names of the files that may be made.
const NAMES: [&str; 10] = [
    "domain-ca.pem",
    "domain-ca.key",
    "device-ca.pem",
    "device-ca.key",
    "registrar.pem",
    "registrar.key",
    "registrar.toml",
    "registrar.db",
    "acme-directory-ca.pem",
    "acme-root.pem",
];

/// Whatever is there already is named before anything is made.
fn refuse_existing(options: &InitOptions) -> Result<(), Failed> {
    let folder = &options.dir;
    match NAMES.into_iter().find(|name| folder.join(name).exists()) {
        None => Ok(()),
        Some(name) => Err(Failed::new(format!(
            "{} is there already and is not overwritten; choose another --dir",
            folder.join(name).display()
        ))),
    }
}

/// Writes all files.
fn write(folder: &Path, files: &[NewFile]) -> Result<(), Failed> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Failed::new(format!("{}: cannot be made: {error}", folder.display())))?;
    for file in files {
        let path = folder.join(file.name);
        let written =
            OpenOptions::new().write(true).create_new(true).mode(file.mode).open(&path).and_then(
                |mut target| {
                    target.write_all(file.content.as_bytes())?;
                    target.sync_all()
                },
            );
        written.map_err(|error| {
            Failed::new(format!("{}: cannot be written: {error}", path.display()))
        })?;
    }
    Ok(())
}

fn report(options: &InitOptions, files: &[NewFile], choices: &Choices) {
    let folder = options.dir.display();
    let names: Vec<&str> = files.iter().map(|file| file.name).collect();
    println!("made in {folder}: {}, registrar.db", names.join(", "));
    if let (Some(_), Some(dns)) = (&choices.acme, &choices.dns) {
        let domain = &choices.domain;
        println!("\nThe CA asks this registrar for {domain}: delegate the zone to it, where");
        // An address cannot stand in a delegation, and a name in the zone would need a glue record.
        let is_host = |name: &&String| {
            dns_name(name).is_ok() && !name.to_ascii_lowercase().ends_with(&format!(".{domain}"))
        };
        let host = options.names.iter().find(is_host).map_or("HOST", String::as_str);
        println!("{host} is a name of this machine that the Internet reaches at {dns}:");
        println!("  {domain}. IN NS {host}.");
    }
    println!("\nNext:");
    println!("  registrar manufacturer add --config {folder}/registrar.toml --name NAME --ca FILE");
    println!("  registrar serve --config {folder}/registrar.toml");
}
