//! The trail: search it, and see whether its chain holds.

use axum::Extension;
use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::Shared;
use crate::admin::actor::Role;
use crate::admin::api::event::{ChainView, EventQuery, EventView, Verify};
use crate::console::form::{Form, given};
use crate::console::guard::Visitor;
use crate::console::layout::{Answer, badge, moment, next, page, token};

/// How many events a page has.
const ROWS: u32 = 100;
const VERDICTS: [&str; 4] = ["done", "refused", "waiting", "failed"];

/// What is looked for; an empty text is nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Search {
    device: String,
    since: String,
    kind: String,
    verdict: String,
    after: String,
}

impl Search {
    fn pairs(&self) -> [(&str, &str); 4] {
        [
            ("device", self.device.as_str()),
            ("since", self.since.as_str()),
            ("kind", self.kind.as_str()),
            ("verdict", self.verdict.as_str()),
        ]
    }
}

/// `GET /console/events`.
pub(in crate::console) async fn list(
    State(console): Shared,
    Extension(visitor): Extension<Visitor>,
    Query(search): Query<Search>,
) -> Answer {
    let query = EventQuery {
        limit: Some(ROWS),
        after: given(search.after.clone()),
        device: given(search.device.clone()),
        since: given(search.since.clone()),
        kind: given(search.kind.clone()),
        verdict: given(search.verdict.clone()),
    };
    let found = console.service.events(&query).await?;
    let content = html! {
        (filter(&search))
        #found {
            (table(&found.items))
            (next("/console/events", &search.pairs(), found.next.as_deref()))
        }
        form method="post" action="/console/events/verify" {
            (token(&visitor))
            button { "Verify the whole trail" }
        }
    };
    Ok(page(&visitor, "events", "Events", &content))
}

fn filter(search: &Search) -> Markup {
    html! {
        form.filter method="get" action="/console/events" role="search" {
            div {
                label for="device" { "Device (identifier, name or serial number)" }
                input #device name="device" type="search" value=(search.device) maxlength="256";
            }
            div {
                label for="since" { "Not older than" }
                input #since name="since" value=(search.since) placeholder="24h" maxlength="40";
            }
            div {
                label for="kind" { "Kind" }
                input #kind name="kind" value=(search.kind) maxlength="64" list="kinds";
                datalist #kinds {
                    @for (kind, _) in crate::trail::kinds::KINDS { option value=(kind) {} }
                }
            }
            div {
                label for="verdict" { "Verdict" }
                select #verdict name="verdict" {
                    option value="" { "any" }
                    @for verdict in VERDICTS {
                        option value=(verdict) selected[verdict == search.verdict] { (verdict) }
                    }
                }
            }
            button { "Search" }
        }
    }
}

fn table(events: &[EventView]) -> Markup {
    if events.is_empty() {
        return html! { p { "No event fits." } };
    }
    html! {
        div.wide tabindex="0" role="region" aria-label="Table of events" {
            table {
                thead {
                    tr {
                        th { "When" } th { "Verdict" } th { "What" } th { "Detail" } th { "Who" }
                        th { "Clause" } th { "Device" }
                    }
                }
                tbody {
                    @for event in events.iter().rev() {
                        tr {
                            td { (moment(&event.time)) }
                            td { (badge(&event.verdict)) }
                            td { (event.kind) }
                            td.text { (event.detail) }
                            td.text { (event.peer) }
                            td { (event.clause) }
                            td {
                                @if let Some(id) = &event.device {
                                    a href={ "/console/devices/" (id) } {
                                        span.unseen { "Device " }
                                        (id.chars().take(8).collect::<String>())
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::console) struct Nothing {}

/// `POST /console/events/verify`.
pub(in crate::console) async fn verify(State(console): Shared, form: Form<Nothing>) -> Answer {
    form.allow(Role::Viewer)?;
    let chains = console.service.verify(&Verify::default()).await?;
    let Form { visitor, fields: Nothing {} } = form;
    let content = html! {
        @for chain in &chains { (chain_section(chain)) }
        p.help {
            "Events signed by an earlier key of the registrar need its certificate: "
            code { "registrar event verify --certificate FILE" }
        }
        p { a href="/console/events" { "To the events" } }
    };
    Ok(page(&visitor, "events", "The trail", &content))
}

fn chain_section(chain: &ChainView) -> Markup {
    html! {
        section {
            h2 { "Node " (chain.node) }
            @if chain.findings.is_empty() {
                p role="status" { (badge("done")) " The chain holds." }
            } @else {
                div.problem role="alert" {
                    p { "The chain does not hold:" }
                    ul { @for finding in &chain.findings { li { (finding) } } }
                }
            }
            p {
                "Events " (chain.first) " to " (chain.last) "; a signature vouches for those up to "
                (chain.proven) "."
            }
        }
    }
}
