//! A real browser, Chromium without a screen, driven over WebDriver.

use std::time::Duration;

use anyhow::Context as _;
use brski_lab::process;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::key::Key;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::programs;

/// How long a page may take to show what is awaited.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a page is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Dark on light, on a desk.
    Light,
    /// Light on dark, on a desk.
    Dark,
    /// On a phone.
    Phone,
}

/// A running browser; it ends with this.
pub struct Browser {
    /// What drives it.
    pub client: Client,
    driver: Child,
    folder: TempDir,
}

impl Browser {
    /// Starts Chromium, which takes the registrar's private certificate; where it is missing, says so and gives nothing.
    ///
    /// # Errors
    /// What cannot be started.
    pub async fn start(look: Look) -> anyhow::Result<Option<Self>> {
        let Some(chromium) = programs::outside("chromium", "chromium") else {
            return Ok(None);
        };
        let Some(chromedriver) = programs::outside("chromedriver", "chromium-driver") else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let port = process::free_port()?;
        let mut command = Command::new(chromedriver);
        command.arg(format!("--port={port}")).env("HOME", folder.path());
        let driver = process::start(&mut command, &folder.path().join("chromedriver.log"))?;
        let size = if look == Look::Phone { "500,900" } else { "1280,900" };
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={size}"),
            format!("--user-data-dir={}", folder.path().join("profile").display()),
        ];
        if look == Look::Dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let mut capabilities = Capabilities::new();
        capabilities.insert("acceptInsecureCerts".to_owned(), Value::Bool(true));
        capabilities.insert(
            "goog:chromeOptions".to_owned(),
            json!({"args": arguments, "binary": chromium}),
        );
        let address = format!("http://127.0.0.1:{port}");
        let client = process::until(PATIENCE, async || {
            ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
                .capabilities(capabilities.clone())
                .connect(&address)
                .await
                .ok()
        });
        let client = client.await.context("no browser: see chromedriver's log")?;
        Ok(Some(Self { client, driver, folder }))
    }

    /// Waits until the page's text has these words.
    ///
    /// # Errors
    /// The text that is there instead.
    pub async fn see(&self, words: &str) -> anyhow::Result<()> {
        let found = process::until(PATIENCE, async || {
            self.text().await.ok().filter(|text| text.contains(words))
        });
        if found.await.is_none() {
            anyhow::bail!("no {words:?} in: {}", self.text().await?);
        }
        Ok(())
    }

    /// The page's text, as a person reads it.
    ///
    /// # Errors
    /// If there is no page.
    pub async fn text(&self) -> anyhow::Result<String> {
        Ok(self.client.find(Locator::Css("body")).await?.text().await?)
    }

    /// Clicks the first element that this CSS selector fits.
    ///
    /// # Errors
    /// If there is none.
    pub async fn click(&self, selector: &str) -> anyhow::Result<()> {
        let element = self.client.find(Locator::Css(selector)).await;
        Ok(element.with_context(|| selector.to_owned())?.click().await?)
    }

    /// Types into the first element that this CSS selector fits.
    ///
    /// # Errors
    /// If there is none.
    pub async fn write(&self, selector: &str, text: &str) -> anyhow::Result<()> {
        let element = self.client.find(Locator::Css(selector)).await;
        Ok(element.with_context(|| selector.to_owned())?.send_keys(text).await?)
    }

    /// Presses a key, wherever the page's focus is.
    ///
    /// # Errors
    /// If the browser does not answer.
    pub async fn press(&self, key: Key) -> anyhow::Result<()> {
        self.type_keys(&char::from(key).to_string()).await
    }

    /// Presses these keys one after the other, wherever the page's focus is.
    ///
    /// # Errors
    /// If the browser does not answer.
    pub async fn type_keys(&self, keys: &str) -> anyhow::Result<()> {
        let presses =
            keys.chars().flat_map(|value| [KeyAction::Down { value }, KeyAction::Up { value }]);
        let actions = presses.fold(KeyActions::new("keyboard".to_owned()), KeyActions::then);
        Ok(self.client.perform_actions(actions).await?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// If it does not answer any more.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.client.clone().close().await?;
        process::stop(&mut self.driver).await;
        Ok(())
    }
}

impl Drop for Browser {
    /// A driver that is killed, as after a test that failed, leaves its browser behind.
    fn drop(&mut self) {
        let profile = self.folder.path().display().to_string();
        let _ = std::process::Command::new("pkill").args(["-KILL", "-f", &profile]).status();
    }
}
