//! Whether the daemon can do its work, and what waits for it.

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};

use super::Shared;
use crate::admin::api::status::Counters;
use crate::console::guard::Visitor;
use crate::console::layout::{Answer, badge, page};
use crate::store::model::Queues;

/// `GET /console/health`.
pub(in crate::console) async fn show(
    State(console): Shared,
    Extension(visitor): Extension<Visitor>,
) -> Answer {
    let ready = console.health.ready().await.map_err(|reason| reason.to_string());
    let counters = console.service.counters().ok();
    let queues = console.service.store().queues(console.service.now()).await.ok();
    let down: Vec<(&str, i64)> = console
        .bridges
        .iter()
        .map(|(issuer, bridge)| (issuer.as_str(), bridge.down_for_millis() / 1000))
        .collect();
    let content = html! {
        @match &ready {
            Ok(()) => p role="status" { (badge("done")) " The registrar is ready." },
            Err(reason) => p.problem role="alert" { "The registrar is not ready: " (reason) },
        }
        @if let Some(counters) = counters { (since_start(&counters)) }
        @if let Some(queues) = queues { (waits(&queues)) }
        @if !down.is_empty() {
            section aria-labelledby="cas" {
                h2 #cas { "ACME CAs" }
                ul {
                    @for (issuer, seconds) in &down {
                        li {
                            (issuer) ": "
                            @if *seconds > 0 { "has not answered for " (seconds) " s" }
                            @else { "answers" }
                        }
                    }
                }
            }
        }
        p.help {
            "Programs ask " code { "/healthz" } ", " code { "/readyz" } " and " code { "/metrics" }
            " instead; docs/grafana.json draws the metrics."
        }
    };
    Ok(page(&visitor, "health", "Health", &content))
}

fn since_start(counters: &Counters) -> Markup {
    html! {
        section aria-labelledby="start" {
            h2 #start { "Since its start" }
            dl.facts {
                dt { "Requests of devices" } dd { (counters.requests) }
                dt { "DNS queries" } dd { (counters.dns_queries) }
                dt { "of them with a challenge's value" } dd { (counters.dns_answers) }
            }
        }
    }
}

fn waits(queues: &Queues) -> Markup {
    html! {
        section aria-labelledby="waits" {
            h2 #waits { "What waits" }
            dl.facts {
                dt { "Devices, for a person" } dd { (queues.approvals_waiting) }
                dt { "Enrollments, for their issuer" } dd { (queues.enrollments_approved) }
                dt { "Revocations, for their CA" } dd { (queues.revocations_waiting) }
                @for queue in &queues.orders {
                    dt { "Orders at " (queue.issuer) }
                    dd { (queue.waiting) " waiting, " (queue.in_flight) " driven" }
                }
            }
        }
    }
}
