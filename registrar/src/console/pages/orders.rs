//! Orders at ACME CAs: their steps, the CA's own words, and another try.

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::Shared;
use crate::admin::actor::Role;
use crate::admin::api::order::{OrderDetail, OrderQuery, OrderView, ProblemView};
use crate::console::form::{Form, given};
use crate::console::guard::Visitor;
use crate::console::layout::{Answer, Trouble, badge, live, moment, next, page, short, token};
use crate::console::search::{self, Allowed};

/// How many orders a page has.
const ROWS: u32 = 50;

/// All states, in the order of an order's life.
const STATES: [&str; 8] =
    ["intended", "placed", "authorizing", "ready", "finalizing", "valid", "issued", "invalid"];

/// What the fields of the search take.
const FIELDS: [Allowed; 2] = [
    ("in the state", "State", "One of the states that the field offers."),
    (
        "",
        search::DEVICE,
        "One device; the page of the devices finds it by the beginning of its name.",
    ),
];

/// What is looked for; an empty text is nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Search {
    state: String,
    issuer: String,
    device: String,
    after: String,
}

impl Search {
    fn pairs(&self) -> [(&str, &str); 3] {
        [
            ("state", self.state.as_str()),
            ("issuer", self.issuer.as_str()),
            ("device", self.device.as_str()),
        ]
    }
}

/// `GET /console/orders`.
pub(in crate::console) async fn list(
    State(console): Shared,
    Extension(visitor): Extension<Visitor>,
    Query(search): Query<Search>,
) -> Answer {
    let query = OrderQuery {
        limit: Some(ROWS),
        after: given(search.after.clone()),
        state: given(search.state.clone()),
        issuer: given(search.issuer.clone()),
        device: given(search.device.clone()),
    };
    let found = match console.service.orders(&query).await {
        Ok(found) => html! {
            (table(&found.items))
            (next("/console/orders", &search.pairs(), found.next.as_deref()))
        },
        Err(problem) => search::wrong(problem, &FIELDS)?,
    };
    let content = html! { (filter(&search)) (found) };
    Ok(page(&visitor, "orders", "Orders", &content))
}

fn filter(search: &Search) -> Markup {
    let fields = html! {
        (search::device(&search.device))
        (search::choice("state", "State", &STATES, &search.state))
        (search::text("issuer", "Issuer", &search.issuer, 64))
    };
    search::form("/console/orders", &fields)
}

fn table(orders: &[OrderView]) -> Markup {
    if orders.is_empty() {
        return html! { p { "No order fits. The local issuer has none." } };
    }
    html! {
        div.wide tabindex="0" role="region" aria-label="Table of orders" {
            table {
                thead {
                    tr {
                        th { "Order" } th { "Names" } th { "State" } th { "Since" } th { "Issuer" }
                        th.number { "Lost" } th { "What went wrong last" }
                    }
                }
                tbody {
                    @for order in orders {
                        tr {
                            td { a href={ "/console/orders/" (order.id) } { (short(&order.id)) } }
                            td { (order.names.join(", ")) }
                            td { (badge(&order.state)) }
                            td { (moment(&order.since)) }
                            td { (order.issuer) }
                            td.number { (order.attempts) }
                            td.text { @if let Some(problem) = &order.problem { (problem.detail) } }
                        }
                    }
                }
            }
        }
    }
}

/// `GET /console/orders/ID`.
pub(in crate::console) async fn show(
    State(console): Shared,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Answer {
    let order = console.service.order(&id).await?;
    let path = format!("/console/orders/{}", order.view.id);
    let content = html! {
        (live("order", &path, &told(&order)))
        @if visitor.actor.role >= Role::Operator { (actions(&visitor, &path, &order.view.state)) }
    };
    Ok(page(&visitor, "orders", &format!("Order for {}", order.view.names.join(", ")), &content))
}

fn told(order: &OrderDetail) -> Markup {
    let view = &order.view;
    html! {
        dl.facts {
            dt { "State" } dd { (badge(&view.state)) " since " (moment(&view.since)) }
            dt { "Device" } dd { a href={ "/console/devices/" (view.device) } { (view.device) } }
            dt { "Issuer" } dd { (view.issuer) }
            @if let Some(fallback) = &order.fallback { dt { "Takes over" } dd { (fallback) } }
            @if let Some(due) = &view.due { dt { "Looked at next" } dd { (moment(due)) } }
            @if let Some(node) = &view.node { dt { "Driven by" } dd { (node) } }
            @if let Some(url) = &order.url { dt { "At the CA" } dd { code { (url) } } }
            dt { "Taken" } dd { (moment(&view.created_at)) }
        }
        @if let Some(problem) = &view.problem { (words(problem)) }
        section aria-labelledby="steps" {
            h2 #steps { "Steps" }
            ol.story { @for step in &order.steps { li { (moment(&step.at)) p { (step.step) } } } }
        }
    }
}

/// What the CA said, in its own words.
fn words(problem: &ProblemView) -> Markup {
    html! {
        section aria-labelledby="words" {
            h2 #words { "What went wrong" }
            div.problem {
                p { (problem.detail) }
                @if !problem.acme_type.is_empty() { p { code { (problem.acme_type) } } }
                @if !problem.subproblems.is_empty() {
                    ul {
                        @for each in &problem.subproblems {
                            li { (each.identifier) " " code { (each.acme_type) } ": " (each.detail) }
                        }
                    }
                }
                @if let Some(seconds) = problem.retry_after_secs {
                    p { "It wanted to be asked again after " (seconds) " s." }
                }
            }
        }
    }
}

fn actions(visitor: &Visitor, path: &str, state: &str) -> Markup {
    html! {
        form.actions method="post" action=(path) {
            (token(visitor))
            @match state {
                "invalid" => button name="action" value="retry" { "Try again" },
                "issued" => p { "Its certificate is there." },
                _ => button.danger name="action" value="cancel" data-confirm="Cancel this order?" { "Cancel" },
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::console) struct Wish {
    action: Action,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Retry,
    Cancel,
}

/// `POST /console/orders/ID`.
pub(in crate::console) async fn post(
    State(console): Shared,
    Path(id): Path<String>,
    form: Form<Wish>,
) -> Result<Response, Trouble> {
    form.allow(Role::Operator)?;
    let (service, actor) = (&console.service, &form.visitor.actor);
    let order = match form.fields.action {
        Action::Retry => service.retry_order(actor, &id).await?,
        Action::Cancel => service.cancel_order(actor, &id).await?,
    };
    Ok(Redirect::to(&format!("/console/orders/{}", order.view.id)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::api::order::SubproblemView;

    #[test]
    fn what_a_hostile_ca_says_is_text() {
        let hostile = "<script>alert(1)</script>".to_owned();
        let problem = ProblemView {
            kind: "refused".to_owned(),
            acme_type: hostile.clone(),
            detail: hostile.clone(),
            subproblems: vec![SubproblemView {
                identifier: hostile.clone(),
                acme_type: hostile.clone(),
                detail: hostile,
            }],
            retry_after_secs: None,
        };
        let shown = words(&problem).into_string();
        assert!(!shown.contains("<script"), "{shown}");
        assert_eq!(shown.matches("&lt;script&gt;").count(), 5, "{shown}");
    }
}
