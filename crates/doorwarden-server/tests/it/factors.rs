use crate::service::{Service, exchange, free_port};
use crate::site::Site;
use serde_json::Value;

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
    assert_eq!((status.as_str(), &answer["code"]), ("501", &"passkeys_not_configured".into()));
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
