//! What the commands have in common: which configuration, JSON or a table, ages, and lists page by page.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Failed;
use crate::admin::api::{MOST, Page};
use crate::admin::client::Client;
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct ConfigOption {
    /// The configuration file, such as DIR/registrar.toml
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

impl ConfigOption {
    /// The way to what the registrar knows.
    pub(super) async fn open(&self) -> Result<Client, Failed> {
        Ok(Client::open(Config::load(&self.config)?).await?)
    }

    /// The way to the accounts at ACME CAs.
    pub(super) async fn open_accounts(&self) -> Result<Client, Failed> {
        Ok(Client::open_with_accounts(Config::load(&self.config)?).await?)
    }
}

#[derive(Debug, Args)]
pub(super) struct ReadOptions {
    #[command(flatten)]
    pub(super) config: ConfigOption,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What names one thing: any text but none, which would be another path of the API.
pub(super) fn named(text: &str) -> Result<String, String> {
    match text.is_empty() {
        true => Err("it is empty".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// What stands behind a path's question mark.
pub(super) type Query = Vec<(&'static str, String)>;

/// A query of those parameters that have a value.
pub(super) fn query(parameters: &[(&'static str, Option<&str>)]) -> Query {
    let given = parameters.iter().filter_map(|(key, value)| value.map(|value| (*key, value)));
    given.map(|(key, value)| (key, value.to_owned())).collect()
}

/// A whole list, asked for page by page; `most`: how many things, at most.
pub(super) async fn list<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    query: &Query,
    most: Option<usize>,
) -> Result<Vec<T>, Failed> {
    let most = most.unwrap_or(usize::MAX);
    let mut items = Vec::new();
    let mut after: Option<String> = None;
    while items.len() < most {
        let wanted = u32::try_from(most - items.len()).unwrap_or(MOST).min(MOST);
        let mut query = query.clone();
        query.push(("limit", wanted.to_string()));
        query.extend(after.take().map(|after| ("after", after)));
        let page: Page<T> = client.get(path, &query).await?;
        items.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(items)
}

pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failed> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failed::new(error.to_string()))?;
    println!("{text}");
    Ok(())
}

pub(super) fn read(path: impl AsRef<Path>) -> Result<String, Failed> {
    let path = path.as_ref();
    std::fs::read_to_string(path)
        .map_err(|error| Failed::new(format!("{}: cannot be read: {error}", path.display())))
}

/// An age such as 15m, 24h or 30d, in seconds.
pub(super) fn age(text: &str) -> Result<u32, String> {
    let seconds = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit: u32 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        number.parse::<u32>().ok()?.checked_mul(unit)
    };
    seconds().ok_or_else(|| format!("{text:?} is no age; give one such as 15m, 24h or 30d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ages() {
        assert_eq!(age("90s"), Ok(90));
        assert_eq!(age("30d"), Ok(30 * 86_400));
        for text in ["", "d", "30", "-1h", "1w", "99999999d", "1 h", "ü"] {
            age(text).unwrap_err();
        }
    }
}
