//! `registrar certificate`: what was issued.

use clap::{Args, Subcommand};

use super::Failed;
use super::options::{ConfigOption, ReadOptions, age, list, named, print_json};
use super::table::render;
use crate::admin::api::certificate::{CertificateDetail, CertificateView};
use crate::admin::client::segment;

const PATH: &str = "/v1/certificates";

#[derive(Debug, Subcommand)]
pub(super) enum CertificateCommand {
    /// List the certificates, those that end first first
    List(ListOptions),
    /// Print a certificate
    Show(ShowOptions),
    /// Revoke a certificate: nobody may use it here any more
    Revoke(RevokeOptions),
}

#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    read: ReadOptions,
    /// Those that end within this time, such as 30d
    #[arg(long, value_name = "AGE", value_parser = age)]
    expires_within: Option<u32>,
    /// How many, at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct ShowOptions {
    /// The beginning of its SHA-256, 8 digits or more
    #[arg(value_parser = named)]
    fingerprint: String,
    #[command(flatten)]
    read: ReadOptions,
}

#[derive(Debug, Args)]
pub(super) struct RevokeOptions {
    /// The beginning of its SHA-256, 8 digits or more
    #[arg(value_parser = named)]
    fingerprint: String,
    #[command(flatten)]
    config: ConfigOption,
}

pub(super) async fn certificate(command: CertificateCommand) -> Result<(), Failed> {
    match command {
        CertificateCommand::List(options) => print_list(&options).await,
        CertificateCommand::Show(options) => {
            let client = options.read.config.open().await?;
            let path = format!("{PATH}/{}", segment(&options.fingerprint));
            let detail: CertificateDetail = client.get(&path, &()).await?;
            if options.read.json {
                return print_json(&detail);
            }
            let view = &detail.view;
            println!("sha256      {}", view.fingerprint);
            println!("serial      {}", view.serial);
            println!("device      {}", view.device);
            println!("issuer      {}", view.issuer);
            println!("valid       {} to {}", view.not_before, view.not_after);
            println!("revoked     {}", view.revoked_at.as_deref().unwrap_or("no"));
            print!("{}", detail.pem);
            Ok(())
        }
        CertificateCommand::Revoke(options) => {
            let client = options.config.open().await?;
            let path = format!("{PATH}/{}/revoke", segment(&options.fingerprint));
            let view: CertificateView = client.post(&path, &()).await?;
            println!("certificate {} is revoked", view.serial);
            Ok(())
        }
    }
}

async fn print_list(options: &ListOptions) -> Result<(), Failed> {
    let client = options.read.config.open().await?;
    let within = options.expires_within.map(|seconds| ("expires_within_secs", seconds.to_string()));
    let query = within.into_iter().collect();
    let certificates: Vec<CertificateView> = list(&client, PATH, &query, options.limit).await?;
    if options.read.json {
        return print_json(&certificates);
    }
    let rows: Vec<Vec<String>> = certificates
        .into_iter()
        .map(|row| {
            let short: String = row.fingerprint.chars().take(16).collect();
            let revoked = row.revoked_at.unwrap_or_else(|| "no".to_owned());
            vec![short, row.serial, row.device, row.issuer, row.not_after, revoked]
        })
        .collect();
    print!("{}", render(&["SHA-256", "SERIAL", "DEVICE", "ISSUER", "ENDS", "REVOKED"], &rows));
    Ok(())
}
