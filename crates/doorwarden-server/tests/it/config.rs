use crate::site::{SECRET_KEY, Site};

/// Value and source of a key.
fn shown(site: &Site, key: &str, more: &[&str]) -> (String, String) {
    let config = site.run(&[&["config"], more].concat()).json();
    let text = |name: &str| config[key][name].as_str().unwrap().to_owned();
    (text("value"), text("source"))
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let site = Site::empty();
    assert_eq!(shown(&site, "listen", &[]), ("127.0.0.1:8000".into(), "default".into()));
    let site = site.file("doorwarden.toml", "listen = \"127.0.0.1:1\"\n[tokens]\nlifetime = \"1d\"\n");
    assert_eq!(shown(&site, "listen", &[]), ("127.0.0.1:1".into(), "doorwarden.toml".into()));
    assert_eq!(shown(&site, "tokens.lifetime", &[]).0, "1d");
    let site = site.env("DOORWARDEN_LISTEN", "127.0.0.1:2").env("DOORWARDEN_TOKENS_LIFETIME", "2d");
    assert_eq!(shown(&site, "listen", &[]), ("127.0.0.1:2".into(), "DOORWARDEN_LISTEN".into()));
    assert_eq!(shown(&site, "tokens.lifetime", &[]).0, "2d");
    let flag = ["--set", "listen=127.0.0.1:3"];
    assert_eq!(shown(&site, "listen", &flag), ("127.0.0.1:3".into(), "flag".into()));
    let url = ["--database-url", "sqlite://other.db"];
    assert_eq!(shown(&site, "database_url", &url), ("sqlite://other.db".into(), "flag".into()));
}

#[test]
fn the_file_is_found_by_flag_variable_and_name() {
    let site = Site::empty()
        .file("doorwarden.toml", "listen = \"a:1\"")
        .file("b.toml", "listen = \"b:1\"")
        .file("c.toml", "listen = \"c:1\"");
    assert_eq!(shown(&site, "listen", &[]).0, "a:1");
    let site = site.env("DOORWARDEN_CONFIG", "b.toml");
    assert_eq!(shown(&site, "listen", &[]).0, "b:1");
    assert_eq!(shown(&site, "listen", &["--config", "c.toml"]).0, "c:1");
    site.run(&["config", "--config", "d.toml"]).fails(78, "d.toml: No such file");
}

#[test]
fn what_is_not_a_key_is_refused_with_the_nearest_one() {
    let site = Site::empty();
    site.run(&["config", "--set", "lisen=x"]).fails(78, "hint: did you mean listen?");
    site.run(&["config", "--set", "tokens.livetime=1d"]).fails(78, "did you mean tokens.lifetime?");
    site.run(&["config", "--set", "listen"]).fails(2, "--set takes KEY=VALUE");
    for (text, message) in [
        ("lissen = 1", "there is no key \"lissen\" (doorwarden.toml). hint: did you mean listen?"),
        ("[token]\nlifetime = \"1d\"", "did you mean tokens.lifetime?"),
        ("[argon2]\nmemory = 1", "did you mean argon2.memory_kib?"),
        ("[listen]\nx = 1", "there is no key \"listen.x\""),
        ("max_connections = 1.5", "max_connections (doorwarden.toml) cannot be a float"),
        ("max_connections = 0", "max_connections (doorwarden.toml) must be a whole number from 1 to"),
        ("[fields.plan]\ntype = \"text\"\nmax_lenght = 3", "did you mean max_length?"),
        ("[fields.plan]\ntype = \"text\"\nmin = 3", "fields.plan is a text and has no min"),
        ("[fields.plan]", "fields.plan needs a type"),
    ] {
        let site = Site::empty().file("doorwarden.toml", text);
        site.run(&["config"]).fails(78, message);
    }
}

#[test]
fn an_unknown_variable_is_told_and_does_not_stop_anything() {
    let site =
        Site::sqlite().env("DOORWARDEN_LISTN", "x").env("DOORWARDEN_PORT_8000_TCP", "tcp://10.0.0.1:8000");
    let ran = site.run(&["user", "list"]);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "[]"));
    assert!(ran.stderr.contains("warning: the environment variable DOORWARDEN_LISTN"), "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean DOORWARDEN_LISTEN?"), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

#[test]
fn secrets_are_never_shown() {
    let site = Site::empty()
        .env("DOORWARDEN_SECRET_KEY", SECRET_KEY)
        .env("DOORWARDEN_OLD_SECRET_KEYS", SECRET_KEY)
        .env("DOORWARDEN_DATABASE_URL", "postgres://ada:hunter2@localhost/accounts?password=hunter3");
    let ran = site.run(&["config"]).succeeds();
    assert!(!ran.stdout.contains(SECRET_KEY) && !ran.stdout.contains("hunter"), "{}", ran.stdout);
    assert_eq!(ran.value()["secret_key"]["value"], "(set, hidden)");
    let url = "postgres://ada:***@localhost/accounts?password=***";
    assert_eq!(ran.value()["database_url"]["value"], url);
    assert_eq!(Site::empty().run(&["config"]).json()["secret_key"]["value"], "(not set)");
}

#[test]
fn a_file_that_cannot_be_read_is_not_quoted() {
    let site = Site::empty().file("doorwarden.toml", "listen = \"a:1\"\nsecret_key = \"hunter2\n");
    let ran = site.run(&["config"]).fails(78, "doorwarden.toml: line 2:");
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn a_way_back_from_a_wrong_configuration_stays_open() {
    let site = Site::empty().file("doorwarden.toml", "nonsense");
    site.run(&["config"]).fails(78, "doorwarden.toml");
    assert!(site.run(&["config", "--reference"]).succeeds().stdout.contains("| `listen` |"));
    site.run(&["completions", "bash"]).succeeds();
    site.run(&["--version"]).succeeds();
}

#[test]
fn an_address_without_a_port_or_a_port_without_an_address_is_told_with_both() {
    let site = Site::empty();
    for (given, hint) in [
        ("8000", "127.0.0.1:8000"),
        (":8000", "0.0.0.0:8000"),
        ("localhost", "localhost:8000"),
        ("http://localhost:8000/", "127.0.0.1:8000"),
        ("::1:8000", "127.0.0.1:8000"),
        ("127.0.0.1:80000", "127.0.0.1:8000"),
        ("", "127.0.0.1:8000"),
    ] {
        let message = format!("must be an address and a port. hint: {hint}");
        site.run(&["serve", "--listen", given]).fails(78, &format!("listen (flag) {message}"));
        site.run(&["config", "--set", &format!("metrics.listen={given}")]).fails(78, &message);
    }
    for good in ["[::1]:8000", "localhost:8000", "127.0.0.1:0"] {
        site.run(&["config", "--set", &format!("listen={good}")]).succeeds();
    }
}
