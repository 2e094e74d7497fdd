//! `registrar order`: orders at ACME CAs, with what was done and what the CA said.

use clap::{Args, Subcommand};

use super::Failed;
use super::options::{ConfigOption, ReadOptions, list, named, print_json, query};
use super::table::{clean, render};
use crate::admin::api::order::{OrderDetail, OrderView, ProblemView};
use crate::admin::client::segment;

const PATH: &str = "/v1/orders";

#[derive(Debug, Subcommand)]
pub(super) enum OrderCommand {
    /// List the orders, the newest first
    List(ListOptions),
    /// Show an order: each step, and what the CA said
    Show(ShowOptions),
    /// Look at an order now that waits, or begin one anew that ended without a certificate
    Retry(OrderOption),
    /// End an order, if the CA was not asked to issue yet; the device is refused for ten minutes
    Cancel(OrderOption),
}

#[derive(Debug, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    read: ReadOptions,
    /// In this state: intended, placed, authorizing, ready, finalizing, valid, issued or invalid
    #[arg(long)]
    state: Option<String>,
    /// At this issuer
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// For this device: its identifier, name or serial number
    #[arg(long)]
    device: Option<String>,
    /// How many, at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct ShowOptions {
    /// Its identifier, from the list
    #[arg(value_parser = named)]
    order: String,
    #[command(flatten)]
    read: ReadOptions,
}

#[derive(Debug, Args)]
pub(super) struct OrderOption {
    /// Its identifier, from the list
    #[arg(value_parser = named)]
    order: String,
    #[command(flatten)]
    config: ConfigOption,
}

pub(super) async fn order(command: OrderCommand) -> Result<(), Failed> {
    match command {
        OrderCommand::List(options) => print_list(&options).await,
        OrderCommand::Show(options) => {
            let client = options.read.config.open().await?;
            let path = format!("{PATH}/{}", segment(&options.order));
            let detail: OrderDetail = client.get(&path, &()).await?;
            if options.read.json {
                return print_json(&detail);
            }
            print_detail(&detail);
            Ok(())
        }
        OrderCommand::Retry(options) => change(&options, "retry").await,
        OrderCommand::Cancel(options) => change(&options, "cancel").await,
    }
}

async fn change(options: &OrderOption, verb: &str) -> Result<(), Failed> {
    let client = options.config.open().await?;
    let path = format!("{PATH}/{}/{verb}", segment(&options.order));
    let detail: OrderDetail = client.post(&path, &()).await?;
    println!("order {} is {}", detail.view.id, detail.view.state);
    Ok(())
}

async fn print_list(options: &ListOptions) -> Result<(), Failed> {
    let client = options.read.config.open().await?;
    let query = query(&[
        ("state", options.state.as_deref()),
        ("issuer", options.issuer.as_deref()),
        ("device", options.device.as_deref()),
    ]);
    let orders: Vec<OrderView> = list(&client, PATH, &query, options.limit).await?;
    if options.read.json {
        return print_json(&orders);
    }
    let rows: Vec<Vec<String>> = orders
        .into_iter()
        .map(|row| {
            let problem = row.problem.as_ref().map_or_else(|| "-".to_owned(), in_short);
            let names = row.names.join(" ");
            vec![row.id, row.state, row.issuer, names, row.created_at, problem]
        })
        .collect();
    print!("{}", render(&["ID", "STATE", "ISSUER", "NAMES", "TAKEN", "PROBLEM"], &rows));
    Ok(())
}

/// The last word of the CA's type, or whose fault it is where it gave none.
fn in_short(problem: &ProblemView) -> String {
    match problem.acme_type.rsplit(':').next() {
        Some(word) if !word.is_empty() => word.to_owned(),
        _ => problem.kind.clone(),
    }
}

fn print_detail(detail: &OrderDetail) {
    let view = &detail.view;
    println!("id          {}", view.id);
    println!("names       {}", clean(&view.names.join(" ")));
    println!("state       {} since {}", view.state, view.since);
    println!("issuer      {}", view.issuer);
    println!("device      {}", view.device);
    println!("taken       {}", view.created_at);
    if let Some(due) = &view.due {
        println!("looked at   {due}");
    }
    if let Some(node) = &view.node {
        println!("driven by   {}", clean(node));
    }
    if view.attempts > 0 {
        println!("lost        {} orders at the CA", view.attempts);
    }
    for (title, text) in [
        ("at the CA ", &detail.url),
        ("fallback  ", &detail.fallback),
        ("replaces  ", &detail.replaces),
    ] {
        if let Some(text) = text {
            println!("{title}  {}", clean(text));
        }
    }
    if !detail.require_eku.is_empty() {
        println!("must have   {}", detail.require_eku.join(" "));
    }
    if let Some(problem) = &view.problem {
        print_problem(problem);
    }
    println!("steps");
    for step in &detail.steps {
        println!("  {}  {}", step.at, clean(&step.step));
    }
}

fn print_problem(problem: &ProblemView) {
    println!("problem     {}", problem.kind);
    if !problem.acme_type.is_empty() {
        println!("  type      {}", clean(&problem.acme_type));
    }
    println!("  detail    {}", clean(&problem.detail));
    for each in &problem.subproblems {
        let (identifier, acme_type) = (clean(&each.identifier), clean(&each.acme_type));
        println!("  of {identifier}: {acme_type}: {}", clean(&each.detail));
    }
    if let Some(seconds) = problem.retry_after_secs {
        println!("  wait      {seconds} seconds, said the CA");
    }
}
