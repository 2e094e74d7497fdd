//! The nodes on one database tell each other their settings, and say so where two of them differ.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use acme_bridge::Clock;
use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::config::agreement::{REPEAT_MILLIS, Statement, differing, running, statement};
use crate::config::{Config, Database};
use crate::entropy::random_id;
use crate::observe::metrics::Metrics;
use crate::store::model::{Event, Millis, NodeSettings, Verdict};
use crate::store::{Change, Store, StoreError};

/// How often the others are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The other nodes whose settings differ, each with the keys.
pub(crate) type Differences = BTreeMap<String, BTreeSet<String>>;

/// The task that tells and compares.
pub(crate) struct Agreement {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    /// The configuration, of which operators change parts while the daemon runs.
    pub(crate) config: Arc<ArcSwap<Config>>,
    /// The registrar's SubjectPublicKeyInfo, DER.
    pub(crate) spki: Vec<u8>,
    /// What was found last.
    pub(crate) found: ArcSwap<Differences>,
}

impl Agreement {
    /// Tells and compares until `shutdown` turns true.
    pub(crate) async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        if matches!(self.config.load().store.database, Database::File(_)) {
            // Nobody else is there.
            return;
        }
        loop {
            // A store that is away is noticed by those who have something to do there.
            let _ = self.compare().await;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// What was found last, one line for each node.
    pub(crate) fn lines(&self) -> Vec<String> {
        lines(&self.found.load())
    }

    async fn compare(&self) -> Result<(), StoreError> {
        let config = self.config.load_full();
        let node = &config.store.node;
        let now = Millis(self.clock.now());
        let own = statement(&config, &self.spki);
        let rows = self.store.node_settings().await?;
        let told = rows.iter().find(|row| row.node == *node);
        let repeat = REPEAT_MILLIS.unsigned_abs();
        let is_told =
            told.is_some_and(|row| row.settings == own && now.0.abs_diff(row.at.0) < repeat);
        if !is_told {
            let row = NodeSettings { node: node.clone(), at: now, settings: own.clone() };
            self.store.commit(vec![Change::TellSettings(row)], Vec::new()).await?;
        }
        self.judge(differences(&own, running(&rows, node, now)), now).await
    }

    /// Keeps what was found; if it is something new, it is an event.
    async fn judge(&self, found: Differences, now: Millis) -> Result<(), StoreError> {
        if **self.found.load() == found {
            return Ok(());
        }
        let event = event(&found, now);
        self.store.commit(Vec::new(), vec![event]).await?;
        let keys: BTreeSet<&String> = found.values().flatten().collect();
        self.metrics.set_settings_differing(keys.len());
        self.found.store(Arc::new(found));
        Ok(())
    }
}

fn differences<'a>(own: &Statement, others: impl Iterator<Item = &'a NodeSettings>) -> Differences {
    let keys = others.map(|row| (row.node.clone(), differing(own, &row.settings)));
    keys.filter(|(_, keys)| !keys.is_empty()).collect()
}

fn lines(found: &Differences) -> Vec<String> {
    let line = |(node, keys): (&String, &BTreeSet<String>)| {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        format!("{node}: {}", keys.join(", "))
    };
    found.iter().map(line).collect()
}

fn event(found: &Differences, now: Millis) -> Event {
    let (kind, verdict) = match found.is_empty() {
        true => ("settings-agree", Verdict::Done),
        false => ("settings-differ", Verdict::Failed),
    };
    Event {
        time: now,
        kind,
        verdict,
        device: None,
        peer: "registrar".to_owned(),
        clause: "",
        detail: lines(found).join("; "),
        correlation: random_id().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(node: &str, pairs: &[(&str, &str)]) -> NodeSettings {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let settings = pairs.iter().map(pair).collect();
        NodeSettings { node: node.to_owned(), at: Millis(0), settings }
    }

    #[test]
    fn each_node_is_named_with_the_keys_that_differ() {
        let own = row("a", &[("policy.unexpected", "1"), ("issuer.acme.directory", "2")]);
        let others = [
            row("b", &[("policy.unexpected", "1"), ("issuer.acme.directory", "2")]),
            row("c", &[("policy.unexpected", "3")]),
        ];
        let found = differences(&own.settings, others.iter());
        assert_eq!(lines(&found), ["c: issuer.acme.directory, policy.unexpected"]);
        let event = event(&found, Millis(7));
        assert_eq!((event.kind, event.verdict), ("settings-differ", Verdict::Failed));
        assert!(differences(&own.settings, others.iter().take(1)).is_empty());
    }

    #[test]
    fn agreement_is_an_event_of_its_own() {
        let event = event(&Differences::new(), Millis(7));
        assert_eq!((event.kind, event.verdict), ("settings-agree", Verdict::Done));
        assert!(event.detail.is_empty());
    }
}
