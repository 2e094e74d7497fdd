//! One thing done with several devices: each alone, and what was not done is told.

use axum::extract::State;
use maud::html;

use super::Shared;
use crate::admin::actor::Role;
use crate::admin::api::device::Retire;
use crate::admin::problem::Problem;
use crate::console::form::Form;
use crate::console::layout::{Answer, page};

/// `POST /console/devices`: fields `action`, and `device` for each chosen one.
pub(in crate::console) async fn post(
    State(console): Shared,
    form: Form<Vec<(String, String)>>,
) -> Answer {
    form.allow(Role::Operator)?;
    let of = |name: &'static str| {
        let fields = form.fields.iter();
        fields.filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    };
    let chosen: Vec<&str> = of("device").collect();
    if chosen.is_empty() {
        let hint = "go back and choose devices in the first column";
        return Err(Problem::invalid("no device was chosen", hint).into());
    }
    let action = of("action").next().unwrap_or_default();
    let (service, actor) = (&console.service, &form.visitor.actor);
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for id in chosen {
        let result = match action {
            "block" => service.block(actor, id).await,
            "restore" => service.restore(actor, id).await,
            "retire" => service.retire(actor, id, Retire::default()).await,
            other => {
                let detail = format!("{other:?} is nothing that can be done with devices");
                return Err(Problem::invalid(detail, "block, restore or retire them").into());
            }
        };
        match result {
            Ok(device) => done.push(device),
            Err(problem) => failed.push((id, problem)),
        }
    }
    let content = html! {
        p role="status" { (done.len()) " done, " (failed.len()) " not." }
        ul {
            @for device in &done {
                li {
                    a href={ "/console/devices/" (device.id) } {
                        (device.name.as_deref().unwrap_or(&device.id))
                    }
                    " is " (device.state) " now"
                }
            }
            @for (id, problem) in &failed {
                li.problem { a href={ "/console/devices/" (id) } { (id) } ": " (problem.detail) }
            }
        }
        p { a href="/console/devices" { "To the devices" } }
    };
    Ok(page(&form.visitor, "devices", "Devices", &content))
}
