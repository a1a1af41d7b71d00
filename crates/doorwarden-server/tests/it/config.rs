use crate::site::{SECRET_KEY, Site};

/// Value and source of a key.
fn shown(site: &Site, key: &str, more: &[&str]) -> (String, String) {
    let config = site.run(&[&["config"], more].concat()).json();
    let text = |name: &str| config[key][name].as_str().unwrap().to_owned();
    (text("value"), text("source"))
}

#[test]
fn flags_override_the_environment_and_the_environment_overrides_the_file() {
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
fn an_unknown_key_is_refused_and_the_nearest_one_suggested() {
    let site = Site::empty();
    site.run(&["config", "--set", "lisen=x"]).fails(78, "hint: did you mean `listen`?");
    site.run(&["config", "--set", "tokens.livetime=1d"]).fails(78, "did you mean `tokens.lifetime`?");
    site.run(&["config", "--set", "listen"]).fails(2, "`--set` takes KEY=VALUE");
    for (text, message) in [
        ("lissen = 1", "unknown key `lissen` (doorwarden.toml)\nhint: did you mean `listen`?"),
        ("[token]\nlifetime = \"1d\"", "did you mean `tokens.lifetime`?"),
        ("[argon2]\nmemory = 1", "did you mean `argon2.memory_kib`?"),
        ("[listen]\nx = 1", "unknown key `listen.x`"),
        ("max_connections = 1.5", "`max_connections` (doorwarden.toml): cannot be a float"),
        ("max_connections = 0", "`max_connections` (doorwarden.toml): must be a whole number from 1 to"),
        ("[fields.plan]\ntype = \"text\"\nmax_lenght = 3", "did you mean `fields.plan.max_length`?"),
        (
            "[fields.plan]\ntype = \"text\"\nmin = 3",
            "`fields.plan` (doorwarden.toml): is a text and has no `min`",
        ),
        ("[fields.plan]", "`fields.plan` (doorwarden.toml): needs a `type`"),
    ] {
        let site = Site::empty().file("doorwarden.toml", text);
        site.run(&["config"]).fails(78, message);
    }
}

#[test]
fn an_unknown_variable_is_only_a_warning() {
    let site =
        Site::sqlite().env("DOORWARDEN_LISTN", "x").env("DOORWARDEN_PORT_8000_TCP", "tcp://10.0.0.1:8000");
    let ran = site.run(&["user", "list"]);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "[]"));
    assert!(
        ran.stderr.contains("warning: unknown environment variable `DOORWARDEN_LISTN`"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("hint: did you mean `DOORWARDEN_LISTEN`?"), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 2, "{}", ran.stderr);
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
fn a_file_that_cannot_be_parsed_is_not_quoted() {
    let site = Site::empty().file("doorwarden.toml", "listen = \"a:1\"\nsecret_key = \"hunter2\n");
    let ran = site.run(&["config"]).fails(78, "doorwarden.toml: line 2:");
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn help_and_references_work_with_a_wrong_configuration() {
    let site = Site::empty().file("doorwarden.toml", "nonsense");
    site.run(&["config"]).fails(78, "doorwarden.toml");
    assert!(site.run(&["config", "--reference"]).succeeds().stdout.contains("| `listen` |"));
    site.run(&["completions", "bash"]).succeeds();
    site.run(&["--version"]).succeeds();
}

#[test]
fn an_address_without_a_port_or_a_port_without_an_address_is_refused_with_an_example() {
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
        let message = format!("must be an address and a port, such as `{hint}`");
        site.run(&["serve", "--listen", given]).fails(78, &format!("`listen` (flag): {message}"));
        site.run(&["config", "--set", &format!("metrics.listen={given}")]).fails(78, &message);
    }
    for good in ["[::1]:8000", "localhost:8000", "127.0.0.1:0"] {
        site.run(&["config", "--set", &format!("listen={good}")]).succeeds();
    }
}

const SECRETS: [(&str, &str); 6] = [
    ("database_url", "url"),
    ("secret_key", "key"),
    ("old_secret_keys", "old"),
    ("oauth.clients", "clients"),
    ("mail.url", "smtp"),
    ("limits.store", "cache"),
];

fn site_with_secret_files() -> Site {
    let hash = "4ae7c3b6ac0beff671efa8cf57386151c06e58ca53a78d83f36107316cec125f";
    Site::empty()
        .file("url", "postgres://ada:hunter2@localhost/accounts\n")
        .file("smtp", "smtps://kim%40example.org:hunter2@mail.example.org\n")
        .file("cache", "rediss://:hunter2@cache.example.org:6379\n")
        .file("key", &format!("{SECRET_KEY}\n"))
        .file("old", &format!("{SECRET_KEY}\nverifies_tokens={SECRET_KEY}\n"))
        .file("clients", &format!("billing={hash}\nshop={hash}\n"))
}

#[test]
fn every_secret_can_be_read_from_a_file() {
    for (key, file) in SECRETS {
        let variable = format!("DOORWARDEN_{}_FILE", key.replace('.', "_").to_uppercase());
        let value = match key {
            "database_url" => "postgres://ada:***@localhost/accounts",
            "mail.url" => "smtps://mail.example.org:465",
            "limits.store" => "rediss://:***@cache.example.org:6379",
            _ => "(set, hidden)",
        };
        let by_variable = shown(&site_with_secret_files().env(&variable, file), key, &[]);
        assert_eq!(by_variable, (value.to_owned(), format!("{file}, named by {variable}")));
        let by_flag = shown(&site_with_secret_files(), key, &["--set", &format!("{key}_file={file}")]);
        assert_eq!(by_flag, (value.to_owned(), format!("{file}, named by flag")));
    }
    let files = "secret_key_file = \"key\"\n[oauth]\nclients_file = \"clients\"";
    let site = site_with_secret_files().file("doorwarden.toml", files);
    for (key, source) in [("secret_key", "key"), ("oauth.clients", "clients")] {
        let expected = ("(set, hidden)".to_owned(), format!("{source}, named by doorwarden.toml"));
        assert_eq!(shown(&site, key, &[]), expected);
    }
}

#[test]
fn every_hidden_key_can_be_read_from_a_file() {
    let reference = Site::empty().run(&["config", "--reference"]).succeeds().stdout;
    let files = reference.lines().filter(|line| line.contains("| File that contains")).count();
    // And the secret of each webhook.
    assert_eq!(files, SECRETS.len() + 1);
    let hidden = Site::empty().run(&["config"]).json();
    let hidden = hidden.as_object().unwrap().iter().filter(|(_, row)| row["value"] == "(not set)");
    for (key, _) in hidden {
        assert!(SECRETS.iter().any(|(secret, _)| secret == key), "{key}");
    }
}

#[test]
fn a_secret_and_its_file_have_the_same_precedence() {
    let site = Site::empty()
        .file("doorwarden.toml", "secret_key_file = \"missing\"")
        .env("DOORWARDEN_SECRET_KEY", SECRET_KEY);
    site.run(&["config"]).fails(78, "`secret_key_file` (doorwarden.toml): cannot read `missing`");
    let site = site.file("missing", SECRET_KEY);
    assert_eq!(shown(&site, "secret_key", &[]).1, "DOORWARDEN_SECRET_KEY");
    let flag = ["--set", "secret_key_file=missing"];
    assert_eq!(shown(&site, "secret_key", &flag).1, "missing, named by flag");
    let both = site.env("DOORWARDEN_SECRET_KEY_FILE", "missing");
    both.run(&["config"]).fails(
        78,
        "`secret_key_file` (DOORWARDEN_SECRET_KEY_FILE): `secret_key` is set as well (DOORWARDEN_SECRET_KEY)",
    );
    let empty = Site::empty().file("key", "\n").env("DOORWARDEN_SECRET_KEY_FILE", "key");
    empty.run(&["config"]).fails(78, "`secret_key_file` (DOORWARDEN_SECRET_KEY_FILE): `key` is empty");
    Site::empty().run(&["config", "--set", "listen_file=x"]).fails(78, "unknown key `listen_file`");
}

#[test]
fn variables_and_flags_can_set_keys_of_named_tables() {
    let site = Site::empty()
        .file("doorwarden.toml", "[fields.plan]\ntype = \"choice\"\nchoices = [\"free\", \"team\"]\n")
        .env("DOORWARDEN_FIELDS_PLAN_CHOICES", "free, team, club")
        .env("DOORWARDEN_FIELDS_NICK_NAME_TYPE", "text");
    assert_eq!(shown(&site, "fields.plan.type", &[]), ("choice".into(), "doorwarden.toml".into()));
    let choices = ("free, team, club".into(), "DOORWARDEN_FIELDS_PLAN_CHOICES".into());
    assert_eq!(shown(&site, "fields.plan.choices", &[]), choices);
    let longest = shown(&site, "fields.nick_name.max_length", &["--set", "fields.nick_name.max_length=50"]);
    assert_eq!(longest, ("50".into(), "flag".into()));
    site.run(&["config", "--set", "fields.nick_name.choices=a"])
        .fails(78, "`fields.nick_name` (flag): is a text and has no `choices`");
}

#[test]
fn lists_are_comma_separated_outside_the_file() {
    let lists = "[tokens]\naudience = [\"a\", \"b\"]\n[oauth.clients]\nbilling = \"no hash\"";
    let site = Site::empty().file("doorwarden.toml", lists);
    site.run(&["config"])
        .fails(78, "`oauth.clients` (doorwarden.toml): the value of `billing` is not the SHA-256");
    let site = site.env("DOORWARDEN_OAUTH_CLIENTS", "");
    assert_eq!(shown(&site, "tokens.audience", &[]), ("a,b".into(), "doorwarden.toml".into()));
    assert_eq!(shown(&site, "tokens.audience", &["--set", "tokens.audience=a,b"]).0, "a,b");
    let unknown = Site::empty().file("doorwarden.toml", "[old_secret_keys]\nopens = [\"x\"]");
    unknown.run(&["config"]).fails(78, "`opens_keys`");
}

/// The keys of a schema, with dots.
fn keys_of(schema: &serde_json::Value, path: &str, keys: &mut Vec<String>) {
    let inner = &schema["additionalProperties"];
    if let Some(properties) = schema["properties"].as_object() {
        for (name, about) in properties {
            keys_of(about, &format!("{path}.{name}"), keys);
        }
    } else if inner["properties"].is_object() {
        keys_of(inner, &format!("{path}.NAME"), keys);
    } else {
        keys.push(path.trim_start_matches('.').to_owned());
    }
}

#[test]
fn the_schema_of_the_file_has_every_key_of_the_reference_and_its_default() {
    let site = Site::empty();
    let schema = site.run(&["config", "--schema"]).succeeds().value();
    let mut keys = Vec::new();
    keys_of(&schema, "", &mut keys);
    let reference = site.run(&["config", "--reference"]).succeeds().stdout;
    assert_eq!(keys.len(), reference.lines().count() - 2);
    for key in keys {
        assert!(reference.contains(&format!("| `{key}` |")), "{key}");
    }
    assert_eq!(schema["additionalProperties"], false);
    let tokens = &schema["properties"]["tokens"]["properties"];
    assert_eq!(
        (&tokens["lifetime"]["default"], &tokens["permissions"]["default"]),
        (&"60d".into(), &false.into())
    );
    let connections = &schema["properties"]["max_connections"];
    assert_eq!((&connections["default"], &connections["maximum"]), (&10_000.into(), &1_000_000.into()));
    assert_eq!(schema["properties"]["secret_key"]["writeOnly"], true);
}
