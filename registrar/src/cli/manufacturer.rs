//! `registrar manufacturer`: whose devices may join.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::options::{ConfigOption, ReadOptions, print_json, read};
use super::table::render;
use super::{Failed, masa};
use crate::admin::api::manufacturer::{ManufacturerView, NewManufacturer, NewMasaOptions};

const PATH: &str = "/v1/manufacturers";

#[derive(Debug, Subcommand)]
pub(super) enum ManufacturerCommand {
    /// Let the devices of a manufacturer join; effective at once in a running registrar
    Add(Box<AddOptions>),
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
    #[command(flatten)]
    masa: MasaArguments,
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
                masa: options.masa.options()?,
            };
            let client = options.config.open().await?;
            let added: ManufacturerView = client.post(PATH, &new).await?;
            println!("added manufacturer {} ({})", added.name, added.id);
            Ok(())
        }
        ManufacturerCommand::Test(options) => masa::test(options).await,
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
