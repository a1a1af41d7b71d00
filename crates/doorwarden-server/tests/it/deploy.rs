//! The files in deploy/ match the program.

use crate::site::Site;
use std::path::Path;

fn deploy(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The lines that are not comments.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn the_unit_overrides_no_setting_and_keeps_restarting() {
    let reference = Site::empty().run(&["config", "--reference"]).succeeds().stdout;
    let unit = deploy("doorwarden.service");
    for line in lines(&unit).filter_map(|line| line.strip_prefix("Environment=")) {
        let (name, _) = line.split_once('=').unwrap();
        assert!(!reference.contains(&format!("`{name}`")), "{name} would win over the file");
    }
    for line in ["Restart=always", "StartLimitIntervalSec=0"] {
        assert!(lines(&unit).any(|found| found == line), "{line}");
    }
}

#[test]
fn nginx_closes_connections_before_the_service_does() {
    let sample = deploy("nginx.conf");
    let seconds = lines(&sample).find_map(|line| line.strip_prefix("keepalive_timeout ")?.strip_suffix("s;"));
    let ours = Site::empty().run(&["config", "--json"]).json();
    let ours =
        ours["http.keep_alive"]["value"].as_str().unwrap().strip_suffix('s').unwrap().parse::<u32>().unwrap();
    assert!(seconds.unwrap().parse::<u32>().unwrap() < ours);
}

#[test]
fn compose_requires_the_settings_that_a_container_cannot_derive() {
    let compose = deploy("compose.yaml");
    for name in ["DOORWARDEN_TOKENS_ISSUER", "DOORWARDEN_SECRET_KEY"] {
        assert!(lines(&compose).any(|line| line == format!("{name}: ${{{name}:?}}")), "{name}");
    }
}
