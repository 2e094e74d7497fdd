//! `registrar acme`: the accounts at ACME CAs (RFC 8555 §7.3).

use clap::{Args, Subcommand};

use super::Failed;
use super::options::{ConfigOption, ReadOptions, named, print_json};
use super::table::clean;
use crate::admin::api::account::AccountView;
use crate::admin::client::segment;

#[derive(Debug, Subcommand)]
pub(super) enum AcmeCommand {
    /// The account that orders are placed with
    #[command(subcommand)]
    Account(AccountCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Show the account as the CA shows it now; where there is none yet, it is made
    Show(ShowOptions),
    /// Give the account a new key; its file is changed, and orders under way go on
    RotateKey(IssuerOption),
    /// End the account for good: nothing can be ordered or revoked with it any more
    Deactivate(IssuerOption),
}

#[derive(Debug, Args)]
pub(super) struct ShowOptions {
    /// The issuer's name in the configuration
    #[arg(value_parser = named)]
    issuer: String,
    #[command(flatten)]
    read: ReadOptions,
}

#[derive(Debug, Args)]
pub(super) struct IssuerOption {
    /// The issuer's name in the configuration
    #[arg(value_parser = named)]
    issuer: String,
    #[command(flatten)]
    config: ConfigOption,
}

fn path(issuer: &str) -> String {
    format!("/v1/accounts/{}", segment(issuer))
}

pub(super) async fn acme(AcmeCommand::Account(command): AcmeCommand) -> Result<(), Failed> {
    match command {
        AccountCommand::Show(options) => show(&options).await,
        AccountCommand::RotateKey(options) => {
            let client = options.config.open_accounts().await?;
            let path = format!("{}/rotate-key", path(&options.issuer));
            let view: AccountView = client.post(&path, &()).await?;
            println!("account {} has the key {}", clean(&view.url), view.thumbprint);
            Ok(())
        }
        AccountCommand::Deactivate(options) => {
            let client = options.config.open_accounts().await?;
            let path = format!("{}/deactivate", path(&options.issuer));
            let view: AccountView = client.post(&path, &()).await?;
            println!("account {} is {}", clean(&view.url), clean(&view.status));
            eprintln!(
                "registrar: orders of issuer {:?} wait from now on, and what it issued cannot be revoked \
                 with this account; to order again, let issuer.{}.account_key name a new file and restart",
                view.issuer, view.issuer
            );
            Ok(())
        }
    }
}

async fn show(options: &ShowOptions) -> Result<(), Failed> {
    let client = options.read.config.open_accounts().await?;
    let view: AccountView = client.get(&path(&options.issuer), &()).await?;
    if options.read.json {
        return print_json(&view);
    }
    let words = |words: &[String]| match words.is_empty() {
        true => "none".to_owned(),
        false => clean(&words.join(", ")),
    };
    println!("issuer      {}", view.issuer);
    println!("directory   {}", view.directory);
    println!("account     {}", clean(&view.url));
    println!("status      {}", clean(&view.status));
    println!("key         {}", view.thumbprint);
    println!("contact     {}", words(&view.contact));
    if view.contact_told != view.contact {
        println!("told        {}", words(&view.contact_told));
    }
    if let Some(refusal) = &view.contact_refused {
        println!("refused     {}", clean(refusal));
    }
    println!("offers      {}", words(&view.offers));
    println!("profiles    {}", words(&view.profiles));
    Ok(())
}
