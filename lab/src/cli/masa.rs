//! `brski-lab masa`: the MASA of a manufacturer by itself, in any mood.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use brski_est::authentication::Credentials;
use brski_voucher::artefact::Assertion;
use clap::{Args, ValueEnum};

use super::{certificate, credential};
use crate::fault::run::misbehaviour;
use crate::fault::{Fault, Liar};
use crate::masa::{
    LogNumbers, LogStyle, Login, Masa, MasaOptions, Misbehaviour, Mood, Pinning, Scheme,
};
use crate::signals::Signals;

#[derive(Debug, Args)]
pub(super) struct MasaArguments {
    /// The folder of 'brski-lab pki'
    #[arg(long)]
    dir: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9443")]
    listen: SocketAddr,
    /// Listen on another address than this machine's own: anybody who reaches it gets vouchers
    #[arg(long)]
    danger_bind: bool,
    /// What it does wrong, always: a lie of a MASA that 'brski-lab faults --list' prints, such as voucher-garbage, or one of
    /// unavailable, refuses, unauthorized, waits, redirects, slow, huge, wrong-type, garbage, wrong-nonce, no-nonce,
    /// wrong-serial, wrong-signer, wrong-pin, no-log, log-unavailable, foreign-log, garbage-log, huge-log, log-elsewhere
    #[arg(long, value_name = "NAME", value_parser = wrong)]
    misbehave: Option<Misbehaviour>,
    /// How long each answer takes longer than it must, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=600_000))]
    latency_ms: u64,
    /// How many voucher requests of a hundred are answered 503, evenly spread
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100))]
    failure_percent: u32,
    /// What its vouchers assert of devices that were near the registrar
    #[arg(long, value_enum, default_value = "proximity")]
    policy: Policy,
    /// Which certificate of the registrar's chain its vouchers pin
    #[arg(long, value_enum, default_value = "top")]
    pin: Pin,
    /// How it answers a request for an audit log
    #[arg(long, value_enum, default_value = "body")]
    audit_log: AuditLog,
    /// How its audit logs write numbers
    #[arg(long, value_enum, default_value = "strings")]
    log_numbers: Numbers,
    /// How registrars must prove themselves by HTTP
    #[arg(long, value_enum, requires = "login_file")]
    login: Option<LoginScheme>,
    /// The file with the name and the password that they prove: USER:PASSWORD
    #[arg(long, value_name = "FILE", requires = "login")]
    login_file: Option<PathBuf>,
    /// The CA of the certificates that registrars must show in TLS, PEM; none is asked for if left out
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
}

/// What vouchers assert.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Policy {
    /// The device was near
    Proximity,
    /// It was sold to this owner
    Verified,
    /// It was logged
    Logged,
}

/// What vouchers pin.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Pin {
    /// The top of what the registrar shows
    Top,
    /// The registrar's own
    Own,
}

/// Where audit logs are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum AuditLog {
    /// 200 with the log
    Body,
    /// 201 with the path of the log
    Path,
    /// 201 with the whole URL of the log
    Url,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Numbers {
    /// The version as a string, as the RFC's example has it
    Strings,
    /// As numbers, as its grammar has them
    Numbers,
}

/// How names and passwords are asked for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LoginScheme {
    /// RFC 7617
    Basic,
    /// RFC 7616 with SHA-256
    Digest,
}

fn wrong(name: &str) -> Result<Misbehaviour, String> {
    if let Some((_, found)) = Misbehaviour::WORDS.iter().find(|(word, _)| *word == name) {
        return Ok(*found);
    }
    let cards = Fault::ALL.iter().map(|fault| (fault, fault.card()));
    let mut lies = cards.filter(|(_, card)| card.liar == Liar::Masa);
    match lies.find(|(_, card)| card.name == name) {
        Some((fault, _)) => Ok(misbehaviour(*fault)),
        None => Err("nobody knows how that is done; see --help".to_owned()),
    }
}

pub(super) async fn masa(arguments: &MasaArguments) -> anyhow::Result<ExitCode> {
    if !arguments.listen.ip().is_loopback() && !arguments.danger_bind {
        bail!(
            "{} is reachable from elsewhere; use a loopback address, or --danger-bind",
            arguments.listen
        );
    }
    let mut signals = Signals::listen()?;
    let folder = &arguments.dir;
    let authority = certificate(&folder.join("ca.pem"))?;
    let signer = credential(folder, "voucher-signer")?;
    let tls = credential(folder, "masa-tls")?;
    let masa = Masa::of(arguments.listen, &authority, &signer, &tls, options(arguments)?).await?;
    masa.behave(arguments.misbehave.unwrap_or_default());
    eprintln!("brski-lab: MASA listens on https://{}", masa.address());
    let why = tokio::select! {
        _ = signals.next() => None,
        why = masa.ended() => Some(why),
    };
    eprintln!("brski-lab: {} requests, {} vouchers", masa.requests(), masa.issued());
    match why {
        None => Ok(ExitCode::SUCCESS),
        Some(why) => bail!("the MASA ended by itself: {why}"),
    }
}

fn options(arguments: &MasaArguments) -> anyhow::Result<MasaOptions> {
    let login = match (arguments.login, &arguments.login_file) {
        (Some(scheme), Some(file)) => Some(login(scheme, file)?),
        _ => None,
    };
    let clients = arguments.client_ca.as_deref().map(|file| {
        use rustls_pki_types::pem::PemObject as _;
        let read = rustls_pki_types::CertificateDer::from_pem_file(file);
        read.with_context(|| format!("{}: is no certificate in PEM", file.display()))
    });
    Ok(MasaOptions {
        policy: match arguments.policy {
            Policy::Proximity => Assertion::Proximity,
            Policy::Verified => Assertion::Verified,
            Policy::Logged => Assertion::Logged,
        },
        mood: Mood {
            latency: Duration::from_millis(arguments.latency_ms),
            failure_percent: arguments.failure_percent,
        },
        numbers: match arguments.log_numbers {
            Numbers::Strings => LogNumbers::Strings,
            Numbers::Numbers => LogNumbers::Numbers,
        },
        pinning: match arguments.pin {
            Pin::Top => Pinning::Top,
            Pin::Own => Pinning::Own,
        },
        log: match arguments.audit_log {
            AuditLog::Body => LogStyle::Body,
            AuditLog::Path => LogStyle::Path,
            AuditLog::Url => LogStyle::Url,
        },
        login,
        clients: clients.transpose()?,
        ..MasaOptions::default()
    })
}

fn login(scheme: LoginScheme, file: &Path) -> anyhow::Result<Login> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("{}: cannot be read", file.display()))?;
    let both = text.trim_end_matches(['\r', '\n']).split_once(':');
    let (user, password) =
        both.with_context(|| format!("{}: must hold USER:PASSWORD", file.display()))?;
    let scheme = match scheme {
        LoginScheme::Basic => Scheme::Basic,
        LoginScheme::Digest => Scheme::Digest,
    };
    Ok(Login { scheme, credentials: Credentials::new(user, password)? })
}
