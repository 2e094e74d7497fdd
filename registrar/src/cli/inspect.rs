//! `registrar inspect`: what is this file, who signed it, and does the signature hold?

use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use brski_est::transfer;
use brski_voucher::encoding::Quirk;
use brski_voucher::trust::{Anchors, ValidityTime};
use clap::Args;
use rustls_pki_types::UnixTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Failed;
use crate::decoded::artefact::{Report, Trust};
use crate::decoded::{artefact, other};
use crate::identity::read_certificates;

/// The longest file that is read, in octets.
const FILE_OCTETS: u64 = 256 * 1024;
/// What is decoded for programs, and verified.
const ARTEFACTS: &str = "a voucher, a voucher request, an audit log or a status report";
const KINDS: &str = "a voucher, a voucher request, an audit log, a status report, a certificate, a CSR \
    or a certs-only message";

#[derive(Debug, Args)]
pub(super) struct InspectOptions {
    /// A file as it was sent, or in base64 or PEM; - for standard input. A status report is of the
    /// enrollment if the file's name says so
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Verify the signature, and the signer's chain to one of these certificates (PEM)
    #[arg(long, value_name = "CA.pem")]
    trust: Vec<PathBuf>,
    /// At which time certificates must be valid; now, unless told otherwise
    #[arg(long, value_name = "RFC3339", requires = "trust")]
    at: Option<String>,
}

pub(super) fn inspect(options: &InspectOptions) -> Result<(), Failed> {
    let name = options.file.display();
    let octets = read(&options.file)?;
    let trust = trust(options)?;
    let hint = options.file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let Some(report) = decode(&octets, &hint, trust.as_ref()) else {
        let text = describe(&octets, options)
            .map_err(|reason| Failed::usage(format!("{name}: {reason}")))?;
        return print(&text);
    };
    if options.json {
        print(&format!("{}\n", report.to_json()))?;
    } else {
        print(&report.to_text())?;
    }
    match report.failure() {
        Some(reason) => Err(Failed::new(format!("{name}: not verified: {reason}"))),
        None => Ok(()),
    }
}

/// Writes a result; a reader that has seen enough of it is no failure.
fn print(text: &str) -> Result<(), Failed> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failed::new(format!("the result cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Describes what is no artefact of BRSKI, but beside one; for people alone, since nothing is verified.
fn describe(octets: &[u8], options: &InspectOptions) -> Result<String, String> {
    let der = transfer::decode(octets).ok();
    let Some(text) = der.and_then(|der| other::describe(&der)) else {
        let reason = artefact::refusal(octets).map_or_else(String::new, |why| format!(" ({why})"));
        return Err(format!("is not {KINDS}{reason}; see --help"));
    };
    if options.json || !options.trust.is_empty() {
        let kind = text.lines().next().unwrap_or_default();
        return Err(format!(
            "is a {kind}, not {ARTEFACTS}; leave out --json and --trust to see it"
        ));
    }
    Ok(text)
}

/// The artefact in these octets, or in what they are base64 of.
fn decode(octets: &[u8], hint: &str, trust: Option<&Trust>) -> Option<Report> {
    artefact::decode(octets, hint, trust).or_else(|| {
        let unwrapped = transfer::decode(octets).ok().or_else(|| base64(octets))?;
        let mut report = artefact::decode(&unwrapped, hint, trust)?;
        report.forgive(Quirk::Base64Body);
        Some(report)
    })
}

/// Base64 of anything; [`transfer::decode`] knows DER alone.
fn base64(octets: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine as _;

    let text: Vec<u8> =
        octets.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn read(file: &Path) -> Result<Vec<u8>, Failed> {
    let failed =
        |error: std::io::Error| Failed::new(format!("{}: cannot be read: {error}", file.display()));
    let mut octets = Vec::new();
    // One octet more tells that there are too many.
    if file == Path::new("-") {
        std::io::stdin().take(FILE_OCTETS + 1).read_to_end(&mut octets).map_err(failed)?;
    } else {
        let file = std::fs::File::open(file).map_err(failed)?;
        file.take(FILE_OCTETS + 1).read_to_end(&mut octets).map_err(failed)?;
    }
    if u64::try_from(octets.len()).is_ok_and(|octets| octets > FILE_OCTETS) {
        let file = file.display();
        return Err(Failed::usage(format!("{file}: has more than {FILE_OCTETS} octets")));
    }
    Ok(octets)
}

/// What `--trust` and `--at` say, if anything.
fn trust(options: &InspectOptions) -> Result<Option<Trust>, Failed> {
    if options.trust.is_empty() {
        return Ok(None);
    }
    let mut certificates = Vec::new();
    for file in &options.trust {
        let read = read_certificates(file).map_err(|error| Failed::usage(error.to_string()))?;
        certificates.extend(read.iter().map(|certificate| certificate.der().clone()));
    }
    let anchors =
        Anchors::new(&certificates).map_err(|error| Failed::usage(format!("--trust: {error}")))?;
    let time = match &options.at {
        None => UnixTime::now(),
        Some(text) => OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(|at| u64::try_from(at.unix_timestamp()).ok())
            .map(|seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
            .ok_or_else(|| {
                Failed::usage(format!(
                    "--at {text:?}: is no time; write it as 2026-01-31T12:00:00Z"
                ))
            })?,
    };
    Ok(Some(Trust { anchors, time: ValidityTime::At(time) }))
}
