//! `registrar credential`: names and secrets for devices without an IDevID.

use clap::{Args, Subcommand};

use super::Failed;
use super::options::{ConfigOption, ReadOptions, age, named, print_json};
use super::table::render;
use crate::admin::api::credential::{CredentialView, MadeCredential, NewCredential};
use crate::admin::client::segment;

const PATH: &str = "/v1/credentials";

#[derive(Debug, Subcommand)]
pub(super) enum CredentialCommand {
    /// Make a credential and print its secret, which is shown this once
    Add(AddOptions),
    /// List the credentials
    List(ReadOptions),
    /// Revoke a credential; certificates that were got with it stay
    Revoke(RevokeOptions),
}

#[derive(Debug, Args)]
pub(super) struct AddOptions {
    /// The user name; the device is called NAME in the zone of its profile
    #[arg(value_parser = named)]
    name: String,
    /// The profile that the device gets
    #[arg(long)]
    profile: Option<String>,
    /// How many enrollments it is good for; 1 if left out
    #[arg(long, value_name = "N")]
    uses: Option<u32>,
    /// When it ends, such as 24h; never if left out
    #[arg(long, value_name = "AGE", value_parser = age)]
    expires_in: Option<u32>,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Debug, Args)]
pub(super) struct RevokeOptions {
    /// Its name
    #[arg(value_parser = named)]
    name: String,
    #[command(flatten)]
    config: ConfigOption,
}

pub(super) async fn credential(command: CredentialCommand) -> Result<(), Failed> {
    match command {
        CredentialCommand::Add(options) => {
            let client = options.config.open().await?;
            let new = NewCredential {
                name: options.name,
                profile: options.profile,
                uses: options.uses,
                expires_in_secs: options.expires_in,
            };
            let made: MadeCredential = client.post(PATH, &new).await?;
            eprintln!(
                "registrar: the secret of credential {}, which is not shown again:",
                made.name
            );
            println!("{}", made.secret);
            Ok(())
        }
        CredentialCommand::List(read) => {
            let client = read.config.open().await?;
            let credentials: Vec<CredentialView> = client.get(PATH, &()).await?;
            if read.json {
                return print_json(&credentials);
            }
            let rows: Vec<Vec<String>> = credentials.into_iter().map(row).collect();
            print!("{}", render(&["NAME", "PROFILE", "USED", "ENDS", "REVOKED", "MADE"], &rows));
            Ok(())
        }
        CredentialCommand::Revoke(options) => {
            let client = options.config.open().await?;
            let path = format!("{PATH}/{}/revoke", segment(&options.name));
            let view: CredentialView = client.post(&path, &()).await?;
            println!("credential {} is revoked", view.name);
            Ok(())
        }
    }
}

fn row(view: CredentialView) -> Vec<String> {
    let used = format!("{} of {}", view.used, view.uses);
    let ends = view.expires_at.unwrap_or_else(|| "never".to_owned());
    let revoked = view.revoked_at.unwrap_or_else(|| "no".to_owned());
    vec![view.name, view.profile, used, ends, revoked, view.created_at]
}
