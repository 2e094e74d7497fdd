//! Log-in at an OpenID Connect provider: a real one in a real browser, and one that lies.

#[cfg(not(feature = "openid"))]
#[test]
fn log_in_elsewhere() {
    brski_tests::programs::skipped("the tests were built without the feature openid (make test)");
}

#[cfg(feature = "openid")]
mod built {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use brski_lab::process;
    use brski_tests::browser::{Browser, Look};
    use brski_tests::console::{ConsoleSite, Visitor, location, text};
    use brski_tests::openid::{NodeProvider, ScriptedProvider, configure};
    use brski_tests::site::event_kinds;
    use serde_json::{Value, json};

    fn address() -> anyhow::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], process::free_port()?)))
    }

    #[tokio::test]
    async fn somebody_logs_in_at_a_real_provider_in_a_browser() -> anyhow::Result<()> {
        let Some(browser) = Browser::start(Look::Light).await? else {
            return Ok(());
        };
        let folder = tempfile::tempdir()?;
        let address = address()?;
        // Another host than the provider's: to a browser that is another site.
        let console = format!("https://{address}");
        let Some(provider) = NodeProvider::start(folder.path(), &console).await? else {
            return Ok(());
        };
        let open = ConsoleSite::start_at(address, |folder| {
            configure(folder, &provider.issuer, &provider.ca, &console)
        })
        .await?;
        browser.client.goto(&open.url("devices?state=enrolled")).await?;
        browser.see("Log in at localhost").await?;
        browser.click("main a.button").await?;
        browser.see("Sign-in").await?;
        browser.write("input[name=login]", "alice.everyone.operators").await?;
        browser.write("input[name=password]", "anything").await?;
        browser.click("button[type=submit]").await?;
        browser.see("Authorize").await?;
        browser.click("button[type=submit]").await?;
        // She is where she wanted to be, and may do what the higher of her roles may.
        browser.see("openid alice (alice.everyone.operators) · operator").await?;
        let url = browser.client.current_url().await?;
        assert!(url.as_str().ends_with("/console/devices?state=enrolled"), "{url}");
        browser.see("Import a list").await?;
        browser.click("header button").await?;
        browser.see("Log in at localhost").await?;
        browser.end().await
    }

    #[tokio::test]
    async fn whom_the_provider_knows_but_no_role_names_stays_outside() -> anyhow::Result<()> {
        let (provider, open) = scripted().await?;
        provider.change(|says| says.claims["groups"] = json!(["<script>", "cleaners"]));
        let (status, text) = log_in(&open, &provider).await?;
        assert_eq!(status, 403);
        assert!(text.contains("alice (4711) is known at localhost"), "{text}");
        assert!(text.contains("cleaners") && !text.contains("<script>"), "{text}");
        let kinds = event_kinds(open.site.site()).await?;
        assert!(kinds.contains(&"admin-unauthenticated".to_owned()), "{kinds:?}");
        Ok(())
    }

    #[tokio::test]
    async fn what_a_provider_says_wrongly_lets_nobody_in() -> anyhow::Result<()> {
        let (provider, open) = scripted().await?;
        let right = take(&provider);
        type Lie = fn(&mut brski_tests::openid::Says);
        let lies: [(&str, Lie, &str); 8] = [
            ("nonce", |says| says.claims["nonce"] = json!("another"), "nonce"),
            ("audience", |says| says.claims["aud"] = json!("another"), "audience"),
            ("issuer", |says| says.claims["iss"] = json!("https://elsewhere"), "issuer"),
            ("expiry", |says| says.claims["exp"] = json!(1_700_000_001), "xpired"),
            ("signature", |says| says.is_forged = true, "ignature"),
            ("algorithm", |says| says.header["alg"] = json!("none"), "ignature"),
            ("symmetric", |says| says.header["alg"] = json!("HS256"), "ignature"),
            ("token", |says| says.status = 400, "invalid_grant: the code was used"),
        ];
        for (what, lie, words) in lies {
            // An address waits after ten of these; each is another person's.
            provider.change(|says| *says = right.clone());
            let trip = Trip::begin(&open).await?;
            provider.change(|says| {
                says.claims["nonce"] = json!(trip.query["nonce"]);
                lie(says);
            });
            let (status, text) = trip.end(&open).await?;
            assert_eq!(status, 403, "{what}: {text}");
            assert!(text.contains(words), "{what}: {text}");
        }
        provider.change(|says| *says = right);
        assert_eq!(log_in(&open, &provider).await?.0, 303, "and the truth does");
        Ok(())
    }

    #[tokio::test]
    async fn a_log_in_belongs_to_the_browser_that_began_it() -> anyhow::Result<()> {
        let (provider, open) = scripted().await?;
        let (mine, other) = (Trip::begin(&open).await?, Trip::begin(&open).await?);
        let asked = provider.seen().len();
        for (cookie, state) in [
            (String::new(), mine.query["state"].as_str()),
            (other.cookie.clone(), mine.query["state"].as_str()),
            (mine.cookie.clone(), other.query["state"].as_str()),
            (mine.cookie.clone(), ""),
        ] {
            let visitor = Visitor::with_cookie(open.address, cookie);
            let fields = [("code", "c"), ("state", state)];
            let answer = visitor.post("login/openid/finish", &fields, &[]).await?;
            assert_eq!(answer.status(), 403);
            assert!(text(&answer).contains("begun in another browser"), "{}", text(&answer));
        }
        // Another site may lead here, and not send the form.
        let visitor = Visitor::with_cookie(open.address, mine.cookie.clone());
        let fields = [("code", "c"), ("state", mine.query["state"].as_str())];
        let foreign = [("origin", "https://elsewhere.example")];
        let answer = visitor.post("login/openid/finish", &fields, &foreign).await?;
        assert_eq!(answer.status(), 403);
        assert_eq!(provider.seen().len(), asked, "the provider was asked nothing");
        Ok(())
    }

    #[tokio::test]
    async fn the_code_is_asked_for_with_pkce_and_redeemed_with_the_secret() -> anyhow::Result<()> {
        let (provider, open) = scripted().await?;
        let trip = Trip::begin(&open).await?;
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "registrar"),
            ("scope", "openid profile groups"),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(trip.query[name], value);
        }
        provider.change(|says| says.claims["nonce"] = json!(trip.query["nonce"]));
        assert_eq!(trip.end(&open).await?.0, 303);
        let seen = provider.seen();
        let token = seen.iter().find(|seen| seen.path == "/token").expect("it was asked");
        let body = String::from_utf8(token.body.to_vec())?;
        assert!(body.contains("code=c") && body.contains("code_verifier="), "{body}");
        assert!(!body.contains("secret"), "{body}");
        assert!(token.header("authorization").starts_with("Basic "));
        Ok(())
    }

    #[tokio::test]
    async fn what_the_token_leaves_out_is_asked_for_of_the_same_person() -> anyhow::Result<()> {
        let (provider, open) = scripted().await?;
        let more = json!({"sub": "4711", "preferred_username": "alice", "groups": ["everyone"]});
        provider.change(|says| {
            says.claims["groups"] = Value::Null;
            says.claims.as_object_mut().unwrap().remove("groups");
            says.more = more.clone();
        });
        assert_eq!(log_in(&open, &provider).await?.0, 303);
        let mut other = more;
        other["sub"] = json!("4712");
        provider.change(|says| says.more = other);
        let (status, text) = log_in(&open, &provider).await?;
        assert_eq!(status, 403);
        assert!(text.contains("cannot be trusted"), "{text}");
        Ok(())
    }

    #[tokio::test]
    async fn a_provider_that_is_none_is_named_with_what_is_wrong() -> anyhow::Result<()> {
        type Lie = fn(&mut brski_tests::openid::Says);
        let lies: [(Lie, &str); 4] = [
            (|says| says.metadata = json!({"issuer": "https://elsewhere.example"}), "issuer"),
            (
                |says| says.metadata = json!({"authorization_endpoint": "http://localhost/a"}),
                "https",
            ),
            (|says| says.padding = 300_000, "longer than 262144 octets"),
            (|says| says.status = 302, "302"),
        ];
        for (lie, words) in lies {
            let (provider, open) = scripted().await?;
            provider.change(lie);
            let visitor = Visitor::unknown(open.address);
            let answer = visitor.get("login/openid").await?;
            assert_eq!(answer.status(), 503);
            let text = text(&answer);
            assert!(text.contains(words) && text.contains("[admin.openid]"), "{text}");
            assert!(answer.headers().get("set-cookie").is_none());
        }
        let (provider, open) = scripted().await?;
        drop(provider);
        let answer = Visitor::unknown(open.address).get("login/openid").await?;
        assert!(text(&answer).contains("cannot be used"), "{}", text(&answer));
        assert_eq!(open.visitor("viewer").await?.get("now").await?.status(), 200);
        Ok(())
    }

    #[tokio::test]
    async fn whoever_loses_the_role_is_out_at_once() -> anyhow::Result<()> {
        let (provider, open) = scripted().await?;
        let trip = Trip::begin(&open).await?;
        provider.change(|says| says.claims["nonce"] = json!(trip.query["nonce"]));
        let visitor = trip.session(&open).await?;
        assert!(text(&visitor.get("now").await?).contains("openid alice (4711) · operator"));
        let folder = open.site.site().folder();
        brski_tests::site::edit(folder, "\noperators = \"operator\"\n", "\n")?;
        let none: [&str; 0] = [];
        open.site.site().command("reload", &none).await?;
        assert_eq!(visitor.get("now").await?.status(), 303);
        Ok(())
    }

    #[tokio::test]
    async fn what_a_provider_refuses_is_told_in_its_words_to_its_own_browser() -> anyhow::Result<()>
    {
        let (_provider, open) = scripted().await?;
        let trip = Trip::begin(&open).await?;
        let visitor = Visitor::with_cookie(open.address, trip.cookie.clone());
        let fields = [
            ("state", trip.query["state"].as_str()),
            ("error", "access_denied"),
            ("error_description", "<img src=x> not today"),
        ];
        let answer = visitor.post("login/openid/finish", &fields, &[]).await?;
        assert_eq!(answer.status(), 403);
        let text = text(&answer);
        assert!(text.contains("access_denied: &lt;img src=x&gt; not today"), "{text}");
        Ok(())
    }

    async fn scripted() -> anyhow::Result<(ScriptedProvider, ConsoleSite)> {
        let provider = ScriptedProvider::start().await?;
        let address = address()?;
        let console = format!("https://{address}");
        let open = ConsoleSite::start_at(address, |folder| {
            configure(folder, &provider.issuer, &provider.ca, &console)
        })
        .await?;
        Ok((provider, open))
    }

    fn take(provider: &ScriptedProvider) -> brski_tests::openid::Says {
        let mut says = None;
        provider.change(|now| says = Some(now.clone()));
        says.expect("it says something")
    }

    /// A browser on its way to the provider and back.
    struct Trip {
        cookie: String,
        query: BTreeMap<String, String>,
    }

    impl Trip {
        async fn begin(open: &ConsoleSite) -> anyhow::Result<Self> {
            let answer = Visitor::unknown(open.address).get("login/openid").await?;
            assert_eq!(answer.status(), 303, "{}", text(&answer));
            let cookie = answer.headers()["set-cookie"].to_str()?;
            for part in ["__Host-registrar-openid=", "Secure", "HttpOnly", "SameSite=Strict"] {
                assert!(cookie.contains(part), "{cookie}");
            }
            let cookie = cookie.split(';').next().unwrap().to_owned();
            let (_, query) = location(&answer).split_once('?').expect("it asks something");
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let query =
                pairs.map(|(name, value)| (name.to_owned(), value.replace('+', " "))).collect();
            Ok(Self { cookie, query })
        }

        async fn finish(&self, open: &ConsoleSite) -> anyhow::Result<http::Response<bytes::Bytes>> {
            let visitor = Visitor::with_cookie(open.address, self.cookie.clone());
            let fields = [("code", "c"), ("state", self.query["state"].as_str())];
            visitor.post("login/openid/finish", &fields, &[]).await
        }

        async fn end(&self, open: &ConsoleSite) -> anyhow::Result<(u16, String)> {
            let answer = self.finish(open).await?;
            Ok((answer.status().as_u16(), text(&answer)))
        }

        async fn session(&self, open: &ConsoleSite) -> anyhow::Result<Visitor> {
            let answer = self.finish(open).await?;
            let cookies = answer.headers().get_all("set-cookie").iter();
            let cookies: Vec<&str> = cookies.filter_map(|value| value.to_str().ok()).collect();
            let session = cookies.iter().find(|cookie| cookie.starts_with("__Host-registrar="));
            let session = session.expect("there is a session").split(';').next().unwrap();
            Ok(Visitor::with_cookie(open.address, session.to_owned()))
        }
    }

    async fn log_in(
        open: &ConsoleSite,
        provider: &ScriptedProvider,
    ) -> anyhow::Result<(u16, String)> {
        let trip = Trip::begin(open).await?;
        provider.change(|says| says.claims["nonce"] = json!(trip.query["nonce"]));
        trip.end(open).await
    }
}
