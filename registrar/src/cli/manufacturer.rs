//! `registrar manufacturer`: whose devices may join.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::options::{ConfigOption, ReadOptions, named, print_json, read};
use super::table::render;
use super::{Failed, masa};
use crate::admin::api::manufacturer::{
    IdevidView, ManufacturerChanges, ManufacturerView, NewManufacturer, NewMasaOptions,
};
use crate::admin::client::segment;
use crate::store::model::{SerialPlace, Sha256};

const PATH: &str = "/v1/manufacturers";

#[derive(Debug, Subcommand)]
pub(super) enum ManufacturerCommand {
    /// Let the devices of a manufacturer join; effective at once in a running registrar
    Add(Box<AddOptions>),
    /// Change settings of a manufacturer; what is not named stays as it is, and a running registrar goes by it at once
    Set(Box<SetOptions>),
    /// List the manufacturers
    List(ReadOptions),
    /// Look where its MASA should be, and say what is there; no voucher is asked for
    Test(masa::TestOptions),
}

#[derive(Debug, Args)]
pub(super) struct AddOptions {
    #[command(flatten)]
    config: ConfigOption,
    /// A name of your choice
    #[arg(long)]
    name: String,
    /// The CA of its IDevIDs, PEM
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Where its MASA lives, if the IDevIDs do not say so
    #[arg(long, value_name = "URL")]
    masa_url: Option<String>,
    /// The CA of its MASA's TLS certificate, PEM; the operating system's if left out
    #[arg(long, value_name = "FILE")]
    masa_ca: Option<PathBuf>,
    /// A host at which its MASA may be called; any public one if left out
    #[arg(long = "masa-host", value_name = "HOST")]
    masa_hosts: Vec<String>,
    /// The CA of its voucher signers, PEM; the one of --ca if left out
    #[arg(long, value_name = "FILE")]
    voucher_ca: Option<PathBuf>,
    /// Let its devices enroll with their IDevID alone, without a voucher, if an operator expects or approves them
    #[arg(long)]
    est_without_brski: bool,
    /// Where its IDevIDs have their serial number; may be given again, for what is looked for next:
    /// subject-serial-number (if left out), hardware-module-name, common-name=PATTERN, subject=PATTERN, or list=FILE with
    /// lines 'SHA-256 of the IDevID,serial number'
    #[arg(long = "serial-from", value_name = "PLACE")]
    serial: Vec<String>,
    /// Let its devices join although their IDevID has ended
    #[arg(long)]
    accept_ended: bool,
    #[command(flatten)]
    masa: MasaArguments,
}

#[derive(Debug, Args)]
pub(super) struct SetOptions {
    /// Its name
    #[arg(value_parser = named)]
    name: String,
    #[command(flatten)]
    config: ConfigOption,
    /// Where its IDevIDs have their serial number; may be given again, for what is looked for next; as for 'add'
    #[arg(long = "serial-from", value_name = "PLACE")]
    serial: Vec<String>,
    /// Whether its devices may join although their IDevID has ended
    #[arg(long, value_name = "WHETHER")]
    accept_ended: Option<YesOrNo>,
    /// Whether its devices may enroll with their IDevID alone, if an operator expects or approves them
    #[arg(long, value_name = "WHETHER")]
    est_without_brski: Option<YesOrNo>,
    /// When to ask its MASA for audit logs; 'configured' for when policy.audit_log.when says
    #[arg(long, value_name = "WHEN",
        value_parser = ["before-voucher", "after-status", "off", "configured"])]
    audit_log: Option<String>,
    /// Where its MASA lives; 'idevid' for where the IDevIDs say
    #[arg(long, value_name = "URL")]
    masa_url: Option<String>,
    /// A host at which its MASA may be called, in the place of all before; may be given again; 'any' for any public one
    #[arg(long = "masa-host", value_name = "HOST")]
    masa_hosts: Vec<String>,
    /// The CA of its IDevIDs, PEM, in the place of all before; a file may hold several
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The CA of its MASA's TLS certificate, PEM, in the place of all before
    #[arg(long, value_name = "FILE")]
    masa_ca: Option<PathBuf>,
    /// The CA of its voucher signers, PEM, in the place of all before
    #[arg(long, value_name = "FILE")]
    voucher_ca: Option<PathBuf>,
    /// Print the manufacturer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum YesOrNo {
    Yes,
    No,
}

impl SetOptions {
    fn changes(&self) -> Result<ManufacturerChanges, Failed> {
        let serial = serial_places(&self.serial)?;
        let is_yes = |each: YesOrNo| each == YesOrNo::Yes;
        let pem = |file: &Option<PathBuf>| file.as_deref().map(read).transpose();
        let hosts = match self.masa_hosts.as_slice() {
            [] => None,
            [any] if any == "any" => Some(Vec::new()),
            hosts => Some(hosts.to_vec()),
        };
        Ok(ManufacturerChanges {
            serial: Some(serial).filter(|places| !places.is_empty()),
            accept_ended: self.accept_ended.map(is_yes),
            est_without_brski: self.est_without_brski.map(is_yes),
            audit_log: self.audit_log.clone(),
            masa_url: self.masa_url.clone(),
            masa_hosts: hosts,
            ca: pem(&self.ca)?,
            masa_ca: pem(&self.masa_ca)?,
            voucher_ca: pem(&self.voucher_ca)?,
        })
    }
}

fn serial_places(words: &[String]) -> Result<Vec<SerialPlace>, Failed> {
    words.iter().map(|word| serial_place(word)).collect()
}

/// A place for the serial number as `--serial-from` names it.
fn serial_place(word: &str) -> Result<SerialPlace, Failed> {
    let (kind, value) = word.split_once('=').unwrap_or((word, ""));
    match (kind, value.is_empty()) {
        ("subject-serial-number", true) => Ok(SerialPlace::SubjectSerialNumber),
        ("hardware-module-name", true) => Ok(SerialPlace::HardwareModuleName),
        ("common-name", false) => Ok(SerialPlace::CommonName { pattern: value.to_owned() }),
        ("subject", false) => Ok(SerialPlace::Subject { pattern: value.to_owned() }),
        ("list", false) => Ok(SerialPlace::List { devices: list(Path::new(value))? }),
        _ => Err(Failed::new(format!(
            "--serial-from {word:?} is none of subject-serial-number, hardware-module-name, \
             common-name=PATTERN, subject=PATTERN, list=FILE"
        ))),
    }
}

/// A file with a line for each device: SHA-256 of its IDevID, a comma, its serial number.
fn list(file: &Path) -> Result<BTreeMap<String, String>, Failed> {
    let text = read(file)?;
    let mut devices = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let wrong =
            |reason: &str| Failed::new(format!("{} line {number}: {reason}", file.display()));
        let (digest, serial) =
            line.split_once(',').ok_or_else(|| wrong("there is no comma after the SHA-256"))?;
        let digest = Sha256::parse(digest.trim())
            .ok_or_else(|| wrong("it does not begin with a SHA-256: 64 hexadecimal digits"))?;
        if devices.insert(digest.to_string(), serial.trim().to_owned()).is_some() {
            return Err(wrong("this IDevID stands there twice"));
        }
    }
    Ok(devices)
}

#[derive(Debug, Args)]
pub(super) struct MasaArguments {
    /// The certificate that its MASA is shown in TLS, PEM; 'registrar' for the registrar's own, 'none' for none
    #[arg(long, value_name = "FILE", default_value = "registrar")]
    masa_client_certificate: String,
    /// The key of that certificate, PKCS#8 PEM, mode 0600; or systemd:NAME
    #[arg(long, value_name = "FILE")]
    masa_client_key: Option<String>,
    /// USER:PASSWORD for its MASA's HTTP Basic or Digest, mode 0600; or systemd:NAME
    #[arg(long, value_name = "FILE")]
    masa_credential: Option<String>,
    /// When to ask its MASA for audit logs; as policy.audit_log.when says if left out
    #[arg(long, value_name = "WHEN", value_parser = ["before-voucher", "after-status", "off"])]
    audit_log: Option<String>,
    /// Read more of what its pledges and its MASA encode wrong
    #[arg(long)]
    lenient: bool,
    /// Write CMS with content type id-data, as before RFC 8366 was finished
    #[arg(long)]
    cms_id_data: bool,
    /// Send COSE to its MASA as application/voucher-cose+cbor, its name until December 2023
    #[arg(long)]
    cose_old_name: bool,
}

impl MasaArguments {
    fn options(self) -> Result<NewMasaOptions, Failed> {
        let is_word = ["registrar", "none"].contains(&self.masa_client_certificate.as_str());
        Ok(NewMasaOptions {
            client_certificate: match is_word {
                true => Some(self.masa_client_certificate),
                false => Some(absolute(self.masa_client_certificate)?),
            },
            client_key: self.masa_client_key.map(absolute).transpose()?,
            credential: self.masa_credential.map(absolute).transpose()?,
            audit_log: self.audit_log,
            lenient: self.lenient,
            id_data: self.cms_id_data,
            old_cose_name: self.cose_old_name,
        })
    }
}

/// The same file for a daemon that runs in another folder.
fn absolute(file: String) -> Result<String, Failed> {
    if file.starts_with("systemd:") {
        return Ok(file);
    }
    let path =
        std::path::absolute(&file).map_err(|error| Failed::new(format!("{file}: {error}")))?;
    Ok(path.to_string_lossy().into_owned())
}

pub(super) async fn manufacturer(command: ManufacturerCommand) -> Result<(), Failed> {
    match command {
        ManufacturerCommand::Add(options) => {
            let new = NewManufacturer {
                name: options.name,
                ca: read(&options.ca)?,
                masa_url: options.masa_url,
                masa_ca: options.masa_ca.as_deref().map(read).transpose()?,
                masa_hosts: options.masa_hosts,
                voucher_ca: options.voucher_ca.as_deref().map(read).transpose()?,
                est_without_brski: options.est_without_brski,
                idevid: IdevidView {
                    serial: serial_places(&options.serial)?,
                    accept_ended: options.accept_ended,
                },
                masa: options.masa.options()?,
            };
            let client = options.config.open().await?;
            let added: ManufacturerView = client.post(PATH, &new).await?;
            println!("added manufacturer {} ({})", added.name, added.id);
            Ok(())
        }
        ManufacturerCommand::Test(options) => masa::test(options).await,
        ManufacturerCommand::Set(options) => {
            let changes = options.changes()?;
            let path = format!("{PATH}/{}/set", segment(&options.name));
            let client = options.config.open().await?;
            let changed: ManufacturerView = client.post(&path, &changes).await?;
            if options.json {
                return print_json(&changed);
            }
            println!("changed manufacturer {} ({})", changed.name, changed.id);
            Ok(())
        }
        ManufacturerCommand::List(read) => {
            let client = read.config.open().await?;
            let list: Vec<ManufacturerView> = client.get(PATH, &()).await?;
            if read.json {
                return print_json(&list);
            }
            let rows: Vec<Vec<String>> = list.into_iter().map(row).collect();
            print!("{}", render(&["NAME", "ANCHORS", "MASA", "MASA HOSTS", "ADDED"], &rows));
            Ok(())
        }
    }
}

fn row(view: ManufacturerView) -> Vec<String> {
    let hosts = match view.masa_hosts.is_empty() {
        true => "any public".to_owned(),
        false => view.masa_hosts.join(" "),
    };
    let url = view.masa_url.unwrap_or_else(|| "from the IDevID".to_owned());
    vec![view.name, view.anchors.to_string(), url, hosts, view.created_at]
}
