use crate::service::{Service, exchange, free_port};
use crate::site::{SECRET_KEY, Site, on_both};
use crate::terminal::Terminal;
use doorwarden::core::factor::totp::{Algorithm, TotpSecret, unbase32};
use doorwarden::core::time::{Clock, SystemClock};
use doorwarden_testkit::authenticator::Authenticator;
use serde_json::{Value, json};

on_both!(
    an_operator_lists_and_removes_factors,
    an_operator_lets_a_disabled_app_count_again,
    doctor_counts_factors_that_cannot_be_used
);

/// The body of an answer.
fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
}

/// What a browser is asked for a login with a passkey, whatever the request claims to be sent to.
fn asked(service: &Service, host: &str) -> (String, Value) {
    let request = format!(
        "POST /login/passkey/options HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\nX-Forwarded-Host: {host}\r\n\
         Connection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let answer = exchange(service.port, request.as_bytes()).unwrap();
    (answer[9..12].to_owned(), body(&answer))
}

#[test]
fn passkeys_belong_to_the_domain_of_the_issuer_and_never_to_that_of_a_request() {
    let site = Site::empty().env("DOORWARDEN_TOKENS_ISSUER", "https://Accounts.example.org:8443/auth");
    let service = Service::start(&site, free_port());
    let (status, asked) = asked(&service, "evil.example.com");
    assert_eq!((status.as_str(), &asked["options"]["rpId"]), ("200", &"accounts.example.org".into()));
}

#[test]
fn without_a_domain_there_are_no_passkeys_and_doctor_says_how_to_get_them() {
    let site = Site::sqlite();
    let service = Service::start(&site, free_port());
    let (status, answer) = asked(&service, "localhost");
    assert_eq!((status.as_str(), &answer["code"]), ("404", &"passkeys_not_configured".into()));
    for (issuer, says) in [
        ("http://127.0.0.1:8000", "has no domain: set `tokens.issuer` to an `https` URL with a domain"),
        ("https://[2001:db8::1]", "has no domain"),
        ("https://accounts", "has no domain"),
        // Browsers have passkeys on pages with TLS alone.
        ("http://accounts.example.org", "has no domain"),
        (
            "https://accounts.example.org",
            "they belong to `accounts.example.org`, at https://accounts.example.org",
        ),
        ("http://localhost:8000", "they belong to `localhost`, at http://localhost:8000"),
    ] {
        let report = site.run(&["doctor", "--json", "--set", &format!("tokens.issuer={issuer}")]).value();
        let mut checks = report["checks"].as_array().unwrap().iter();
        let check = checks.find(|check| check["check"] == "passkeys").unwrap();
        assert!(
            check["level"] == "ok" && check["text"].as_str().unwrap().contains(says),
            "{issuer}: {check}"
        );
    }
}

#[test]
fn origins_are_those_of_issuer_and_front_end_unless_they_are_listed() {
    let base = Site::sqlite().env("DOORWARDEN_TOKENS_ISSUER", "https://accounts.example.org");
    let passkeys = |sets: &[&str]| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        let report = base.run(&["doctor", "--json"].into_iter().chain(sets).collect::<Vec<_>>()).value();
        let checks = report["checks"].as_array().unwrap().iter();
        let about = checks.filter(|check| check["check"] == "passkeys");
        about.map(|check| check["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let page = "front_end.url=https://example.org/account";
    let (shared, app) = ("factors.passkeys.rp_id=example.org", "https://app.example.org");
    let elsewhere = "front_end.url=https://example.de/account";
    let (own, both) = (
        "they belong to `accounts.example.org`, at https://accounts.example.org",
        "they belong to `example.org`, at https://accounts.example.org, https://example.org",
    );
    let nowhere = |page: &str| format!("`front_end.url` is at `{page}`, where they cannot be used");
    assert_eq!(passkeys(&[page]), [own.to_owned(), nowhere("https://example.org")]);
    assert_eq!(passkeys(&[page, shared]), [both]);
    assert_eq!(passkeys(&[elsewhere]), [own.to_owned(), nowhere("https://example.de")]);
    let related = "factors.passkeys.related_origins=https://example.de, https://example.fr";
    assert_eq!(passkeys(&[elsewhere, related]), [own]);
    let listed = format!("factors.passkeys.origins={app},https://example.de");
    let at_app = "they belong to `example.org`, at https://app.example.org";
    assert_eq!(passkeys(&[shared, related, &listed]), [at_app]);
    assert_eq!(
        passkeys(&["factors.passkeys.rp_id=off"]),
        ["`factors.passkeys.rp_id` is `off`: there are none"]
    );
}

#[test]
fn a_service_whose_passkeys_no_browser_would_accept_does_not_start() {
    let site = Site::empty().env("DOORWARDEN_TOKENS_ISSUER", "https://accounts.example.org");
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    for (set, message) in [
        (
            "factors.passkeys.origins=https://accounts.example.org,https://app.example.org",
            "`factors.passkeys.origins`: the origin \"https://app.example.org\" is neither at the id of the relying \
             party nor at a subdomain of it\nhint: set `factors.passkeys.rp_id` to a domain that all origins share, or \
             add `https://app.example.org` to `factors.passkeys.related_origins`",
        ),
        ("factors.passkeys.origins=accounts.example.org", "is not an origin such as"),
        ("factors.passkeys.related_origins=https://example.de/", "`factors.passkeys.related_origins`: "),
        ("factors.passkeys.top_origins=http://example.de", "`factors.passkeys.top_origins`: "),
        ("factors.passkeys.rp_id=192.0.2.1", "`factors.passkeys.rp_id`: \"192.0.2.1\" is not a domain"),
        ("factors.passkeys.rp_id=example.com", "`factors.passkeys.origins`: there is no origin"),
        ("factors.required=all", "unknown variant `all`"),
    ] {
        site.run(&[&serve[..], &["--set", set]].concat()).fails(78, message);
        assert!(!site.path("doorwarden.db").exists(), "{set}");
    }
    let sets =
        ["--set", "tokens.issuer=https://192.0.2.1", "--set", "factors.passkeys.origins=https://example.org"];
    site.run(&[&serve[..], &sets].concat()).fails(78, "set `factors.passkeys.rp_id` to a domain");
}

#[test]
fn whoever_must_have_a_factor_gets_in_only_to_set_one_up() {
    let site = Site::sqlite().env("DOORWARDEN_FACTORS_SERVICE_NAME", "Example").file(
        "doorwarden.toml",
        "[factors]\nrequired = \"staff\"\nrequired_groups = [\"editors\"]\nstrict_counters = true\n",
    );
    site.run(&["group", "create", "editors"]).succeeds();
    for name in ["ada", "eve", "joe"] {
        let create =
            ["user", "create", "--verified", "--password-stdin", &format!("{name}@example.com"), name];
        site.run_with(&create, "correct horse battery\n").succeeds();
    }
    site.run(&["user", "update", "ada@example.com", "--staff", "true"]).succeeds();
    site.run(&["user", "add-to-group", "eve@example.com", "editors"]).succeeds();
    let service = Service::start(&site, free_port());
    let log_in = |name: &str| {
        let login = format!(r#"{{"email": "{name}@example.com", "password": "correct horse battery"}}"#);
        let (status, answer) = service.call("POST", "/login", "", &login).unwrap();
        (status, body(&answer))
    };
    for name in ["ada", "eve"] {
        let (status, answer) = log_in(name);
        assert_eq!((status, &answer["flows"][0]["id"]), (401, &"enroll_factor".into()), "{answer}");
    }
    assert_eq!(log_in("joe").0, 200);
    let (_, answer) = log_in("ada");
    let begin = serde_json::json!({"login_token": answer["login_token"]}).to_string();
    let (status, totp) = service.call("POST", "/factors/totp", "", &begin).unwrap();
    assert_eq!(status, 201, "{totp}");
    assert!(totp.contains("otpauth://totp/Example:ada@example.com?"), "{totp}");
}

/// The code of an app with this secret, so many steps from now.
fn code(secret: &str, steps: i64) -> String {
    let secret =
        unbase32(secret).and_then(|secret| TotpSecret::imported(&secret, Algorithm::Sha1, 6, 30)).unwrap();
    secret.code(secret.step(SystemClock.now()) + steps)
}

/// The token of a login with these proofs.
fn log_in(service: &Service, name: &str, second: Option<(&str, &str)>) -> (u16, Value) {
    let login = json!({"email": format!("{name}@example.com"), "password": "correct horse battery"});
    let (status, answer) = service.call("POST", "/login", "", &login.to_string()).unwrap();
    let (mut status, mut answer) = (status, body(&answer));
    if let Some((method, code)) = second {
        assert_eq!((status, &answer["code"]), (401, &"mfa_required".into()), "{answer}");
        let verify = json!({"login_token": answer["login_token"], "method": method, "code": code});
        let (verified, text) = service.call("POST", "/login/verify", "", &verify.to_string()).unwrap();
        (status, answer) = (verified, body(&text));
    }
    (status, answer)
}

/// A user with an authenticator app; returns its secret and the recovery codes.
fn with_app(site: &Site, service: &Service, name: &str) -> (String, Value) {
    let create = ["user", "create", "--verified", "--password-stdin", &format!("{name}@example.com"), name];
    site.run_with(&create, "correct horse battery\n").succeeds();
    let (_, answer) = log_in(service, name, None);
    let token = answer["token"].as_str().unwrap();
    let (_, totp) = service.call("POST", "/factors/totp", token, r#"{"name": "Phone"}"#).unwrap();
    let totp = body(&totp);
    let secret = totp["secret"].as_str().unwrap();
    let confirm = format!("/factors/totp/{}/confirm", totp["id"].as_str().unwrap());
    let given = json!({"code": code(secret, 0)}).to_string();
    let (status, confirmed) = service.call("POST", &confirm, token, &given).unwrap();
    assert_eq!(status, 200, "{confirmed}");
    (secret.to_owned(), body(&confirmed)["recovery_codes"].clone())
}

fn an_operator_lists_and_removes_factors(site: &Site) {
    let service = Service::start(site, free_port());
    site.user("joe");
    assert_eq!(site.run(&["factor", "list", "joe@example.com"]).json(), json!([]));
    site.run(&["factor", "remove", "joe@example.com", "--all", "--yes"]).fails(3, "no such factor");
    site.run(&["factor", "list", "nobody@example.com"]).fails(3, "no user with email");
    site.run(&["factor", "remove", "joe@example.com"]).fails(2, "<ID>");

    let (secret, codes) = with_app(site, &service, "ada");
    let listed = site.run(&["factor", "list", "ada@example.com"]).json();
    let kinds: Vec<_> = listed.as_array().unwrap().iter().map(|factor| factor["type"].clone()).collect();
    assert_eq!(kinds, ["totp", "recovery_codes"]);
    assert_eq!((&listed[0]["name"], &listed[1]["unused"]), (&"Phone".into(), &10.into()));
    assert!(!listed.to_string().contains(&secret), "{listed}");
    let (status, answer) = log_in(&service, "ada", Some(("recovery_code", codes[0].as_str().unwrap())));
    assert_eq!(status, 200, "{answer}");
    let token = answer["token"].as_str().unwrap();

    let [app, codes] = [0, 1].map(|place| listed[place]["id"].as_str().unwrap());
    let remove = |user: &str, id: &str| site.run(&["factor", "remove", user, id, "--yes"]);
    // Neither the factor of somebody else nor the recovery codes alone.
    remove("joe@example.com", app).fails(3, "no such factor of `joe@example.com`");
    remove("ada@example.com", codes).fails(3, "no such factor");
    site.run(&["factor", "remove", "ada@example.com", app]).fails(2, "use `--yes`");
    assert_eq!(remove("ada@example.com", app).json()["removed"], json!([app]));
    assert_eq!(site.run(&["factor", "list", "ada@example.com"]).json(), json!([]));
    // Within a second the service knows.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(service.call("GET", "/me", token, "").unwrap().0, 401);
    assert_eq!(log_in(&service, "ada", None).0, 200);

    with_app(site, &service, "eve");
    let removed = site.run(&["factor", "remove", "eve@example.com", "--all", "--yes"]).json();
    assert_eq!(removed["removed"].as_array().unwrap().len(), 1);
    assert_eq!(log_in(&service, "eve", None).0, 200);
}

fn an_operator_lets_a_disabled_app_count_again(site: &Site) {
    let service = Service::start(site, free_port());
    let (secret, _) = with_app(site, &service, "ada");
    let unlock = || site.run(&["factor", "unlock", "ada@example.com"]).json()["unlocked"].clone();
    assert_eq!(unlock(), false);
    let wrong = if code(&secret, 1) == "000000" { "111111" } else { "000000" };
    let disabled = || site.run(&["factor", "list", "ada@example.com"]).json()[0]["disabled"].clone();
    while disabled() != json!(true) {
        log_in(&service, "ada", Some(("totp", wrong)));
    }
    let (status, answer) = log_in(&service, "ada", Some(("totp", &code(&secret, 1))));
    assert_eq!((status, &answer["flows"][0]["codes_left"]), (401, &2.into()), "{answer}");
    assert_eq!(unlock(), true);
    assert_eq!(disabled(), false);
}

#[test]
fn a_superuser_may_set_up_an_app_at_once() {
    let site = Site::sqlite();
    let options = ["createsuperuser", "--username", "root", "--email", "root@example.com"];
    let Some(mut terminal) = Terminal::start(&site, &options) else { return };
    for question in ["Password: ", "Password (again): "] {
        terminal.sees(question);
        terminal.types_hidden("correct horse battery");
    }
    terminal.sees("Set up an authenticator app? [y/N]: ");
    terminal.types("y");
    terminal.sees("Superuser created successfully.");
    terminal.sees("type this secret: ");
    let secret = terminal.line();
    terminal.sees("otpauth://totp/");
    terminal.sees("Code that the app shows: ");
    terminal.types("12345");
    terminal.sees("Error: this code is wrong.");
    terminal.sees("Code that the app shows: ");
    terminal.types(&code(&secret, 0));
    terminal.sees("They are not shown again:");
    let recovery = terminal.line();
    let recovery = if recovery.trim().is_empty() { terminal.line() } else { recovery };
    assert_eq!(terminal.ends().0, Some(0));

    let service = Service::start(&site, free_port());
    let login = |method: &str, code: &str| {
        let (status, answer) = log_in(&service, "root", Some((method, code)));
        assert_eq!(status, 200, "{answer}");
    };
    login("recovery_code", recovery.trim());
    login("totp", &code(&secret, 1));
}

/// What `doctor` says about this, with these settings.
fn said(site: &Site, check: &str, sets: &[&str]) -> Vec<(String, String)> {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let report = site.run(&["doctor", "--json"].into_iter().chain(sets).collect::<Vec<_>>()).value();
    let word = |said: &Value, name: &str| said[name].as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap().iter().filter(|said| said["check"] == check);
    checks.map(|said| (word(said, "level"), word(said, "text"))).collect()
}

fn doctor_counts_factors_that_cannot_be_used(site: &Site) {
    let issuer = |host: &str| format!("tokens.issuer=https://{host}");
    assert_eq!(said(site, "factors", &[]), []);
    let (first, second) = ("a".repeat(8) + SECRET_KEY, "b".repeat(8) + SECRET_KEY);
    let (first, second) = (first.as_str(), second.as_str());
    let at = "https://accounts.example.org";
    {
        let service = Service::start_with(
            site,
            free_port(),
            &[("DOORWARDEN_SECRET_KEY", first), ("DOORWARDEN_TOKENS_ISSUER", at)],
        );
        with_app(site, &service, "ada");
        let (_, answer) = log_in(&service, "ada", None);
        assert_eq!(answer["code"], "mfa_required");
        site.run_with(
            &["user", "create", "--verified", "--password-stdin", "eve@example.com", "eve"],
            "correct horse battery\n",
        )
        .succeeds();
        let token = log_in(&service, "eve", None).1["token"].as_str().unwrap().to_owned();
        let (_, asked) = service.call("POST", "/factors/passkeys/options", &token, "{}").unwrap();
        let credential = Authenticator::new(-7).create(&body(&asked)["options"], at).unwrap();
        let register = json!({"credential": credential}).to_string();
        let (status, answer) = service.call("POST", "/factors/passkeys", &token, &register).unwrap();
        assert_eq!(status, 201, "{answer}");
    }
    let (with, old) = (|key: &str| format!("secret_key={key}"), format!("old_secret_keys={first}"));
    let (here, there) = (issuer("accounts.example.org"), issuer("example.org"));
    let all = ("ok".to_owned(), "all secrets of factors (3) open with the secret key".to_owned());
    assert_eq!(said(site, "factors", &[&with(first), &here]), std::slice::from_ref(&all));
    assert_eq!(said(site, "passkeys", &[&with(first), &here]).len(), 1);
    let other =
        ("warning".to_owned(), "1 passkey belongs to `accounts.example.org`, and cannot be used".to_owned());
    assert!(said(site, "passkeys", &[&with(first), &there]).contains(&other));
    // The signing keys do not open either, and are replaced.
    let revoke = ["secret", "revoke", "--yes", "--set", &with(second)];
    assert_eq!(site.run(&revoke).code, Some(0));
    let lost = ("error".to_owned(), "3 of 3 secrets of factors do not open with the secret key".to_owned());
    assert_eq!(said(site, "factors", &[&with(second), &here]), [lost]);
    assert_eq!(said(site, "factors", &[&with(second), &old, &here]), [all]);
}

#[test]
fn doctor_warns_if_a_factor_is_required_and_nobody_is_told() {
    let site = Site::sqlite();
    let public = "tokens.issuer=https://accounts.example.org";
    let warned = |sets: &[&str]| said(&site, "factors", sets).iter().any(|(level, _)| level == "warning");
    assert!(!warned(&[public]));
    assert!(warned(&[public, "factors.required=staff"]));
    assert!(warned(&[public, "factors.required_groups=editors"]));
    let mail = ["mail.url=smtp://127.0.0.1:1", "mail.from=Example <accounts@example.org>"];
    assert!(!warned(&[public, "factors.required=everybody", mail[0], mail[1]]));
}
