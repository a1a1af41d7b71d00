//! Relying parties: ids and origins that browsers accept.

use crate::craft::party;
use doorwarden_webauthn::{RelyingParty, RelyingPartyError, User, UserHandle};
use serde_json::json;

fn new(id: &str, origin: &str) -> Result<RelyingParty, RelyingPartyError> {
    RelyingParty::new(id, "Example", [origin])
}

#[test]
fn an_origin_is_at_the_id_or_below_it() {
    for (id, origin) in [
        ("example.org", "https://example.org"),
        ("example.org", "https://app.example.org"),
        ("example.org", "https://a.b.example.org:8443"),
        ("xn--mnchen-3ya.de", "https://xn--mnchen-3ya.de"),
        ("localhost", "http://localhost:8000"),
        ("localhost", "https://localhost"),
        ("localhost", "http://app.localhost"),
    ] {
        assert!(new(id, origin).is_ok(), "{id} {origin}");
    }
    for (id, origin) in [
        ("example.org", "https://example.com"),
        ("example.org", "https://evilexample.org"),
        ("example.org", "https://example.org.evil.example"),
        ("app.example.org", "https://example.org"),
        ("localhost", "https://example.org"),
    ] {
        assert_eq!(new(id, origin), Err(RelyingPartyError::OriginOutsideId(origin.into())), "{id}");
    }
    let none: [&str; 0] = [];
    assert_eq!(RelyingParty::new("example.org", "Example", none), Err(RelyingPartyError::NoOrigin));
}

#[test]
fn an_id_is_a_domain() {
    let long = format!("{}.org", "a".repeat(64));
    for id in [
        "",
        "org",
        "Example.org",
        "example.org.",
        ".example.org",
        "a..b",
        "https://example.org",
        "example.org:443",
        "127.0.0.1",
        "[::1]",
        "example.1",
        "-a.org",
        "a-.org",
        "a_b.org",
        "münchen.de",
        "a b.org",
        &long,
    ] {
        assert_eq!(new(id, "https://example.org"), Err(RelyingPartyError::BadId(id.into())), "{id}");
    }
}

#[test]
fn an_origin_is_written_as_browsers_write_it() {
    for origin in [
        "",
        "example.org",
        "https://",
        "http://example.org",
        "http://notlocalhost",
        "http://example.localhost.org",
        "https://example.org/",
        "https://example.org/path",
        "https://example.org:443",
        "https://example.org:",
        "https://example.org:0",
        "https://example.org:08443",
        "https://example.org:+8443",
        "https://example.org:65536",
        "https://example.org:8443:8443",
        "https://Example.org",
        "HTTPS://example.org",
        "https://user@example.org",
        "https://example.org?",
        "https://*.example.org",
        "https://127.0.0.1",
        "http://localhost:80",
        "https://localhost:443",
        "android:apk-key-hash:x",
        "null",
    ] {
        let error = Err(RelyingPartyError::BadOrigin(origin.into()));
        assert_eq!(new("example.org", origin), error, "{origin}");
        assert_eq!(party().with_related_origins([origin]), error, "{origin}");
        assert_eq!(party().with_top_origins([origin]), error, "{origin}");
    }
}

#[test]
fn the_document_of_related_origins_lists_them() {
    let party = party().with_related_origins(["https://example.de", "https://example.com:8443"]).unwrap();
    let document = serde_json::to_value(party.well_known()).unwrap();
    assert_eq!(document, json!({"origins": ["https://example.de", "https://example.com:8443"]}));
}

#[test]
fn signals_are_what_the_methods_of_the_browser_take() {
    let (handle, id) = (UserHandle::new([7; 16]).unwrap(), "AQID");
    let credential = || serde_json::from_value(json!(id)).unwrap();
    let party = party();
    assert_eq!(
        serde_json::to_value(party.unknown_credential(credential())).unwrap(),
        json!({"rpId": "example.org", "credentialId": id})
    );
    assert_eq!(
        serde_json::to_value(party.all_accepted_credentials(handle.clone(), vec![credential()])).unwrap(),
        json!({"rpId": "example.org", "userId": handle.to_base64url(), "allAcceptedCredentialIds": [id]})
    );
    let user = User { id: handle.clone(), name: "jane".into(), display_name: "Jane".into() };
    assert_eq!(
        serde_json::to_value(party.current_user_details(user)).unwrap(),
        json!({
            "rpId": "example.org",
            "userId": handle.to_base64url(),
            "name": "jane",
            "displayName": "Jane",
        })
    );
}
