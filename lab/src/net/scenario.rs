//! A scenario across a network: its site is on the machines, its devices are on the pledges' link, and each finds the
//! join proxy by mDNS before it joins by way of it.

use serde::Serialize;

use super::report::LinkReport;
use super::shaper::Shaper;
use super::site::Ground;
use super::{NetOptions, tools};
use crate::scenario::Scenario;
use crate::scenario::life::Way;
use crate::scenario::plan::{Scale, count};
use crate::scenario::report::Report;
use crate::scenario::run::{Console, Progress, RunOptions, Setting, run_in};
use crate::scenario::words::Addresses;
use crate::signals::Signals;

/// What became of a scenario, and of the links that it went across.
#[derive(Debug, Serialize)]
pub struct ScenarioReport<'a> {
    /// What became of the scenario.
    #[serde(flatten)]
    pub report: &'a Report,
    /// Who spoiled the links.
    #[serde(flatten)]
    pub shaper: Shaper,
    /// The links.
    pub links: Vec<LinkReport>,
}

impl ScenarioReport<'_> {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.links.iter().filter_map(LinkReport::text);
        [lines.collect(), self.report.text()].concat()
    }
}

/// Builds the network, runs a scenario across it, and removes everything; gives whether all came out as it expects.
///
/// `tell`: gets the report before the site is stopped.
///
/// # Errors
/// Why the network or the site cannot be; what goes wrong later stands in the report.
pub async fn run(
    mut scenario: Scenario,
    options: &NetOptions,
    scale: Scale,
    progress: Progress,
    tell: impl FnOnce(&ScenarioReport<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    // From here on a signal ends the run, and not the process before it has cleaned up.
    let mut signals = Signals::listen()?;
    let tools = tools()?;
    share_addresses(&mut scenario);
    let all = usize::try_from(count(&scenario, scale)).unwrap_or(usize::MAX);
    let at_once = scenario.at_once.and_then(|most| usize::try_from(most).ok()).unwrap_or(all);
    let ground = tokio::select! {
        biased;
        name = signals.next() => anyhow::bail!("{name} before the site stood; everything is removed"),
        ground = Ground::start(&tools, options, scenario.issuer.kind, at_once.min(all)) => ground?,
    };
    let setting = Setting {
        homes: ground.homes()?,
        way: Way::Searched(options.search()),
        meanwhile: ground.failure(),
    };
    let run_options = RunOptions {
        programs: options.programs.clone(),
        scale,
        console: Console::Closed,
        progress,
    };
    let told = |report: &Report| {
        let links = ground.links.iter().map(LinkReport::of).collect();
        tell(&ScenarioReport { report, shaper: ground.shaper.clone(), links })
    };
    let outcome = run_in(scenario, &run_options, setting, &mut signals, told).await;
    ground.stop().await;
    Ok(outcome?.as_expected)
}

/// Behind a join proxy no device has an address of its own that the registrar could see.
fn share_addresses(scenario: &mut Scenario) {
    let own = scenario.fleets.iter_mut().filter(|fleet| fleet.addresses == Addresses::Own);
    let names: Vec<String> = own
        .map(|fleet| {
            fleet.addresses = Addresses::Shared;
            fleet.name.clone()
        })
        .collect();
    if !names.is_empty() {
        eprintln!(
            "brski-lab: addresses = \"own\" of fleet {} becomes \"shared\": the registrar sees the join proxy's address alone",
            names.join(", ")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::words::IssuerKind;

    #[test]
    fn nobody_behind_a_join_proxy_has_an_address_of_its_own() {
        let mut scenario = Scenario::usual(2, 1, IssuerKind::Local);
        assert!(scenario.fleets.iter().any(|fleet| fleet.addresses == Addresses::Own));
        share_addresses(&mut scenario);
        assert!(scenario.fleets.iter().all(|fleet| fleet.addresses == Addresses::Shared));
    }
}
