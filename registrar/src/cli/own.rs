//! `registrar identity` and `registrar ca`: the registrar's own certificate, and the root of its domain.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failed;
use super::options::{ConfigOption, ReadOptions, print_json, read};
use crate::admin::api::own::{CertificateRequest, IdentityView, NewIdentity, OwnView, RotatedRoot};

const PATH: &str = "/v1/identity";

#[derive(Debug, Subcommand)]
pub(super) enum IdentityCommand {
    /// Show the certificate in use, where it is from, and the roots that are served
    Show(ReadOptions),
    /// Print a request for the next certificate, PEM, for a domain CA whose key is elsewhere
    Request(ConfigOption),
    /// Install the certificate that such a domain CA made; all nodes take it up
    Install(InstallOptions),
    /// Renew the certificate now, with the same key; the daemon does it by itself before the end
    Renew(ConfigOption),
}

#[derive(Debug, Subcommand)]
pub(super) enum CaCommand {
    /// Make a new root; the old one is served until nothing needs it
    Rotate(ConfigOption),
}

#[derive(Debug, Args)]
pub(super) struct InstallOptions {
    /// The certificate and any intermediates, PEM
    file: PathBuf,
    #[command(flatten)]
    config: ConfigOption,
}

pub(super) async fn identity(command: IdentityCommand) -> Result<(), Failed> {
    let view: IdentityView = match command {
        IdentityCommand::Show(options) => {
            let view: IdentityView = options.config.open().await?.get(PATH, &()).await?;
            if options.json {
                return print_json(&view);
            }
            view
        }
        IdentityCommand::Request(option) => {
            let path = format!("{PATH}/request");
            let request: CertificateRequest = option.open().await?.post(&path, &()).await?;
            print!("{}", request.pem);
            return Ok(());
        }
        IdentityCommand::Install(options) => {
            let new = NewIdentity { pem: read(&options.file)? };
            options.config.open().await?.post(&format!("{PATH}/install"), &new).await?
        }
        IdentityCommand::Renew(option) => {
            option.open().await?.post(&format!("{PATH}/renew"), &()).await?
        }
    };
    print_view(&view);
    Ok(())
}

pub(super) async fn ca(command: CaCommand) -> Result<(), Failed> {
    let CaCommand::Rotate(option) = command;
    let rotated: RotatedRoot = option.open().await?.post("/v1/ca/rotate", &()).await?;
    print_view(&rotated.identity);
    println!("key of the new root   {}", rotated.key);
    Ok(())
}

fn print_view(view: &IdentityView) {
    print_certificate("certificate", &view.certificate);
    println!("from the              {}", view.origin);
    print_certificate("root", &view.root);
    for root in &view.earlier_roots {
        print_certificate("earlier root", root);
    }
}

fn print_certificate(word: &str, view: &OwnView) {
    println!("{word:<20}  {}", view.subject);
    println!("  SHA-256             {}", view.sha256);
    println!("  valid               {} to {}", view.not_before, view.not_after);
}
