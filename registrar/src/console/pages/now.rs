//! What joins, what waits and what fails, now.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};

use super::Shared;
use crate::admin::api::event::{EventQuery, EventView};
use crate::admin::problem::Problem;
use crate::console::chart::{self, Bar};
use crate::console::guard::Visitor;
use crate::console::layout::{Answer, badge, live, moment, page};
use crate::console::{Calendar, Console};
use crate::store::model::{DeviceState, EventTally, Millis, Queues};

const HOUR_MILLIS: i64 = 3_600_000;
/// How far back the chart of certificates goes, in hours.
const HOURS: u32 = 24;
/// How many failures are told.
const FAILURES: u32 = 8;

/// `GET /console/now`.
pub(in crate::console) async fn show(
    State(console): Shared,
    Extension(visitor): Extension<Visitor>,
) -> Answer {
    let content = live("now", "/console/now", &content(&console).await?);
    Ok(page(&visitor, "now", "Now", &content))
}

async fn content(console: &Arc<Console>) -> Result<Markup, Problem> {
    let (store, now) = (console.service.store(), console.service.now());
    let devices: BTreeMap<&str, u64> = store
        .device_tally()
        .await?
        .into_iter()
        .map(|tally| (tally.state.as_str(), tally.devices))
        .collect();
    let queues = store.queues(now).await?;
    let hour = now.0.div_euclid(HOUR_MILLIS).saturating_mul(HOUR_MILLIS);
    let since = hour.saturating_sub(HOUR_MILLIS.saturating_mul(i64::from(HOURS) - 1));
    let kinds = ["certificate-issued", "enrollment-failed"];
    let tally = store.event_tally(&kinds, Millis(since), Millis(HOUR_MILLIS)).await?;
    let failures = failures(console).await?;
    let calendar = console.calendar().await?;
    let limits = limits(console).await?;
    Ok(html! {
        section aria-labelledby="flow" {
            h2 #flow { "Where devices are" }
            (flow(&devices, &queues))
        }
        div.columns {
            section aria-labelledby="hours" {
                h2 #hours { "Certificates in the last 24 hours" }
                (chart::bars("Certificates in each hour, UTC", &hours(&tally, since, kinds[0])))
            }
            section aria-labelledby="ends" {
                h2 #ends { "Certificates that end" }
                (ends(&calendar))
            }
        }
        section aria-labelledby="failures" {
            h2 #failures { "Last failures" }
            @if failures.is_empty() { p { "None." } } @else { (failure_list(&failures)) }
        }
        @if !limits.is_empty() {
            section aria-labelledby="limits" {
                h2 #limits { "What the CAs still allow" }
                (limit_table(&limits))
            }
        }
    })
}

/// The way of a device, with how many are at each place.
fn flow(devices: &BTreeMap<&str, u64>, queues: &Queues) -> Markup {
    let of = |state: DeviceState| devices.get(state.as_str()).copied().unwrap_or(0);
    let orders: u64 = queues.orders.iter().map(|queue| queue.waiting + queue.in_flight).sum();
    let steps = [
        ("Expected", of(DeviceState::Expected), "/console/devices?state=expected"),
        ("Wait for you", of(DeviceState::Pending), "/console/approvals"),
        ("Want a voucher", of(DeviceState::Admitted), "/console/devices?state=admitted"),
        ("Have a voucher", of(DeviceState::Vouchered), "/console/devices?state=vouchered"),
        ("Wait for the CA", orders, "/console/orders"),
        ("Have a certificate", of(DeviceState::Enrolled), "/console/devices?state=enrolled"),
    ];
    let out = [DeviceState::Retired, DeviceState::Blocked];
    html! {
        ol.flow {
            @for (label, number, link) in steps {
                li class=[(number > 0 && label.starts_with("Wait")).then_some("waiting")] {
                    a href=(link) { strong { (number) } span { (label) } }
                }
            }
        }
        p.help {
            @for state in out {
                a href={ "/console/devices?state=" (state.as_str()) } {
                    (of(state)) " " (state.as_str())
                }
                " "
            }
        }
    }
}

fn hours(tally: &[EventTally], since: i64, kind: &str) -> Vec<Bar> {
    (0..HOURS)
        .map(|hour| {
            let found = tally.iter().find(|each| each.stretch == hour && each.kind == kind);
            let begins = since.saturating_add(HOUR_MILLIS.saturating_mul(i64::from(hour)));
            let clock = begins.div_euclid(HOUR_MILLIS).rem_euclid(24);
            Bar { label: format!("{clock:02}"), value: found.map_or(0, |each| each.events) }
        })
        .collect()
}

fn ends(calendar: &Calendar) -> Markup {
    let bars: Vec<Bar> = calendar
        .weeks
        .iter()
        .enumerate()
        .map(|(week, value)| Bar { label: format!("+{week}"), value: *value })
        .collect();
    html! {
        (chart::bars("Certificates that end in each week from now on", &bars))
        p.help {
            (calendar.ended) " have ended without being renewed; "
            (calendar.later) " end later. "
            "Counted is the newest certificate of each device, a minute or two ago."
        }
    }
}

async fn failures(console: &Console) -> Result<Vec<EventView>, Problem> {
    let mut found = Vec::new();
    for verdict in ["failed", "refused"] {
        let query = EventQuery {
            limit: Some(FAILURES),
            verdict: Some(verdict.to_owned()),
            ..EventQuery::default()
        };
        found.extend(console.service.events(&query).await?.items);
    }
    found.sort_by(|one, other| other.time.cmp(&one.time));
    found.truncate(usize::try_from(FAILURES).unwrap_or(0));
    Ok(found)
}

fn failure_list(failures: &[EventView]) -> Markup {
    html! {
        ul.story {
            @for event in failures {
                li {
                    (moment(&event.time)) " " (badge(&event.verdict)) " "
                    @match &event.device {
                        Some(id) => { a href={ "/console/devices/" (id) } { (event.kind) } },
                        None => { (event.kind) },
                    }
                    p { (event.detail) }
                }
            }
        }
    }
}

/// What one CA still allows: the issuer, the limit, how many are left, of how many.
type Left = (String, String, u32, u32);

async fn limits(console: &Console) -> Result<Vec<Left>, Problem> {
    let mut rows = Vec::new();
    for (issuer, bridge) in &console.bridges {
        let limits = bridge.limits_left().await;
        let limits = limits.map_err(|error| crate::store::StoreError::Database(error.0))?;
        rows.extend(
            limits.into_iter().map(|each| (issuer.clone(), each.limit, each.left, each.of)),
        );
    }
    Ok(rows)
}

fn limit_table(rows: &[Left]) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label="Table of limits" {
            table {
                thead { tr { th { "Issuer" } th { "Limit" } th.number { "Left" } th.number { "Of" } } }
                tbody {
                    @for (issuer, limit, left, of) in rows {
                        tr {
                            td { (issuer) } td { (limit) }
                            td.number { (left) } td.number { (of) }
                        }
                    }
                }
            }
        }
    }
}
