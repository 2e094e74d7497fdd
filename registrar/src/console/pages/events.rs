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
use crate::console::search::{self, Allowed};

/// How many events a page has.
const ROWS: u32 = 100;
/// What the fields of the search take.
const SINCE: &str = "Not older than (such as 24h, or 2026-01-31T09:00:00Z)";
const FIELDS: [Allowed; 4] = [
    (
        "is no time",
        SINCE,
        "An age such as 15m, 24h or 7d, or a time in UTC such as 2026-01-31T09:00:00Z.",
    ),
    (
        "of the kind",
        "Kind",
        "One of the kinds that the field offers; docs/OPERATING.md lists all of them.",
    ),
    ("verdict", "Verdict", "done, refused, waiting or failed."),
    (
        "",
        search::DEVICE,
        "One device; the page of the devices finds it by the beginning of its name.",
    ),
];
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
    let found = match console.service.events(&query).await {
        Ok(found) => html! {
            (table(&found.items))
            (next("/console/events", &search.pairs(), found.next.as_deref()))
        },
        Err(problem) => search::wrong(problem, &FIELDS)?,
    };
    let content = html! {
        (filter(&search))
        #found { (found) }
        form method="post" action="/console/events/verify" {
            (token(&visitor))
            button { "Verify the whole trail" }
        }
    };
    Ok(page(&visitor, "events", "Events", &content))
}

fn filter(search: &Search) -> Markup {
    let kinds = crate::trail::kinds::KINDS.iter().map(|(kind, _)| *kind);
    let fields = html! {
        (search::device(&search.device))
        (search::text("since", SINCE, &search.since, 40))
        (search::offered("kind", "Kind", &search.kind, kinds))
        (search::choice("verdict", "Verdict", &VERDICTS, &search.verdict))
    };
    search::form("/console/events", &fields)
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
