//! Who gets in, what each role may do, and what no other site can make a browser do.

use brski_lab::pledge::journey::{self, Label};
use brski_tests::console::{ConsoleSite, Visitor, location, text};
use brski_tests::site::event_kinds;

const PAGES: [&str; 8] = [
    "now",
    "devices",
    "devices/import",
    "approvals",
    "manufacturers",
    "events",
    "health",
    "orders",
];

async fn plain() -> anyhow::Result<ConsoleSite> {
    ConsoleSite::start(|_| Ok(())).await
}

fn nobody(open: &ConsoleSite) -> Visitor {
    Visitor::unknown(open.address)
}

#[tokio::test]
async fn a_stranger_sees_the_log_in_alone() -> anyhow::Result<()> {
    let open = plain().await?;
    let stranger = nobody(&open);
    for page in PAGES.into_iter().chain(["devices.csv", "live", "devices/nosuch"]) {
        let answer = stranger.get(page).await?;
        assert_eq!(answer.status(), 303, "{page}");
        assert!(location(&answer).starts_with("/console/login?next=%2Fconsole%2F"), "{page}");
    }
    let answer = stranger.post("approvals/1", &[("action", "grant")], &[]).await?;
    assert_eq!(answer.status(), 401);
    assert!(text(&answer).contains("nothing was changed"));
    for cookie in ["__Host-registrar=", "__Host-registrar=00", "__Host-registrar=../../etc"] {
        let mut guess = nobody(&open);
        guess.cookie = cookie.to_owned();
        assert_eq!(guess.get("now").await?.status(), 303, "{cookie}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_token_and_a_used_link_open_nothing_and_leave_an_event() -> anyhow::Result<()> {
    let open = plain().await?;
    let stranger = nobody(&open);
    let answer = stranger.post("login", &[("token", "wrong")], &[]).await?;
    assert_eq!(answer.status(), 403);
    assert!(
        text(&answer).contains("the token is nobody&#39;s")
            || text(&answer).contains("the token is nobody's")
    );
    assert!(answer.headers().get("set-cookie").is_none());
    let link = open.link().await?;
    let secret = link.split_once("link=").unwrap().1;
    // Looking at the link does not use it up.
    for _ in 0..2 {
        let page = stranger.get(&format!("login?link={secret}")).await?;
        assert!(text(&page).contains("good for one log-in"));
    }
    let first = stranger.post("login", &[("link", secret)], &[]).await?;
    assert_eq!((first.status().as_u16(), location(&first)), (303, "/console/now"));
    let second = stranger.post("login", &[("link", secret)], &[]).await?;
    assert_eq!(second.status(), 403);
    assert!(text(&second).contains("used already"));
    let kinds = event_kinds(open.site.site()).await?;
    assert_eq!(kinds.iter().filter(|kind| *kind == "admin-unauthenticated").count(), 2);
    Ok(())
}

#[tokio::test]
async fn after_ten_wrong_tokens_an_address_waits() -> anyhow::Result<()> {
    let open = plain().await?;
    let stranger = nobody(&open);
    for _ in 0..10 {
        assert_eq!(stranger.post("login", &[("token", "wrong")], &[]).await?.status(), 403);
    }
    let barred = stranger.post("login", &[("token", "wrong")], &[]).await?;
    assert_eq!(barred.status(), 429);
    assert!(text(&barred).contains("wait a minute"));
    // Whoever has the right token is not locked out by a neighbour.
    assert_eq!(open.visitor("viewer").await?.get("now").await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn the_cookie_is_for_this_host_and_no_script_and_log_out_ends_it() -> anyhow::Result<()> {
    let open = plain().await?;
    let token = brski_tests::console::TOKENS[0].1;
    let answer = nobody(&open).post("login", &[("token", token)], &[]).await?;
    let cookie = answer.headers()["set-cookie"].to_str()?;
    for part in ["__Host-registrar=", "Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let visitor = open.visitor("viewer").await?;
    assert_eq!(visitor.get("now").await?.status(), 200);
    assert_eq!(visitor.submit("logout", &[]).await?.status(), 303);
    assert_eq!(visitor.get("now").await?.status(), 303);
    Ok(())
}

#[tokio::test]
async fn no_page_lets_anything_foreign_in() -> anyhow::Result<()> {
    let open = plain().await?;
    let operator = open.visitor("operator").await?;
    for page in PAGES.into_iter().chain(["login", "assets/console.css"]) {
        let answer = operator.get(page).await?;
        assert_eq!(answer.status(), 200, "{page}");
        let policy = answer.headers()["content-security-policy"].to_str()?;
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'"] {
            assert!(policy.contains(part) && !policy.contains("unsafe"), "{page}: {policy}");
        }
        for (name, value) in [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY")] {
            assert_eq!(answer.headers()[name], value, "{page}");
        }
        let text = text(&answer);
        assert!(!text.contains("style=\"") && !text.contains("onclick"), "{page}");
        // Every script is a file of ours, and none stands in the page.
        for script in text.split("<script").skip(1) {
            assert!(script.starts_with(" src=\"/console/assets/"), "{page}: {script}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_form_of_another_site_changes_nothing() -> anyhow::Result<()> {
    let open = plain().await?;
    let operator = open.visitor("operator").await?;
    let device = open.site.lab.pledge("FORM-1")?;
    journey::run(&device, open.site.lab.registrar.address(), &Label::default()).await?;
    let fields = [("action", "block")];
    for (fields, headers) in [
        (&fields[..], &[][..]),
        (&[("action", "block"), ("form_token", "0")][..], &[][..]),
        (&fields[..], &[("origin", "https://elsewhere.example")][..]),
        (&fields[..], &[("sec-fetch-site", "cross-site")][..]),
    ] {
        let answer = operator.post("devices/FORM-1", fields, headers).await?;
        assert_eq!(answer.status(), 403, "{headers:?}");
    }
    let shown = text(&operator.get("devices/FORM-1").await?);
    assert!(shown.contains("enrolled") && !shown.contains("blocked"));
    // The token of another session is no better than none.
    let other = open.visitor("viewer").await?;
    let page = text(&other.get("health").await?);
    let token = page.split_once("name=\"form_token\" value=\"").unwrap().1;
    let token = token.split('"').next().unwrap();
    let fields = [("action", "block"), ("form_token", token)];
    assert_eq!(operator.post("devices/FORM-1", &fields, &[]).await?.status(), 403);
    assert_eq!(operator.submit("devices/FORM-1", &[("action", "block")]).await?.status(), 303);
    Ok(())
}

#[tokio::test]
async fn each_role_sees_and_does_what_it_may() -> anyhow::Result<()> {
    let open = plain().await?;
    let viewer = open.visitor("viewer").await?;
    for page in ["devices", "manufacturers", "approvals"] {
        let shown = text(&viewer.get(page).await?);
        assert!(!shown.contains("name=\"action\"") && !shown.contains("Add a man"), "{page}");
    }
    let approver = open.visitor("approver").await?;
    let list = "serial,manufacturer\nROLE-1,lab-devices\n";
    for visitor in [&viewer, &approver] {
        let answer = visitor.submit("devices/import", &[("csv", list)]).await?;
        assert_eq!(answer.status(), 403);
        assert!(text(&answer).contains("this needs operator"));
    }
    let operator = open.visitor("operator").await?;
    let answer = operator.submit("devices/import", &[("csv", list)]).await?;
    assert!(text(&answer).contains("1 devices were added"));
    Ok(())
}

#[tokio::test]
async fn whoever_is_taken_out_of_the_configuration_is_out_at_once() -> anyhow::Result<()> {
    let open = plain().await?;
    let viewer = open.visitor("viewer").await?;
    assert_eq!(viewer.get("now").await?.status(), 200);
    let folder = open.site.site().folder();
    brski_tests::site::edit(
        folder,
        "[admin.token.viewer]\nrole = \"viewer\"\nfile = \"viewer.token\"\n",
        "",
    )?;
    let none: [&str; 0] = [];
    open.site.site().command("reload", &none).await?;
    assert_eq!(viewer.get("now").await?.status(), 303);
    Ok(())
}

#[tokio::test]
async fn a_restart_ends_log_ins_with_plain_words() -> anyhow::Result<()> {
    let mut open = plain().await?;
    let viewer = open.visitor("viewer").await?;
    let site = open.site.lab.registrar.stop().await;
    open.site.lab.registrar = site.serve().await?;
    assert_eq!(viewer.get("now").await?.status(), 303);
    let answer = viewer.post("logout", &[], &[]).await?;
    assert_eq!(answer.status(), 401);
    assert!(text(&answer).contains("when the registrar restarts"));
    assert_eq!(open.visitor("viewer").await?.get("now").await?.status(), 200);
    Ok(())
}
