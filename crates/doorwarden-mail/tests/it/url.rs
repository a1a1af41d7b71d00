//! The setting that says how mails are delivered.

use doorwarden_mail::{MailUrl, MailUrlError};

#[test]
fn a_url_says_server_port_and_encryption() {
    for (text, shown) in [
        ("smtp://mail.example.org", "smtp://mail.example.org:587"),
        ("SMTPS://kim:pw@mail.example.org/", "smtps://mail.example.org:465"),
        ("smtp://kim:pw@[::1]:2525?tls=none", "smtp://[::1]:2525"),
        ("smtp://10.0.0.9:25?tls=none&hello=app.example.org", "smtp://10.0.0.9:25"),
        ("smtp://bücher.example", "smtp://xn--bcher-kva.example:587"),
        ("file:/var/mails", "file:/var/mails"),
        ("file:///var/mails", "file:/var/mails"),
        ("file:mails", "file:mails"),
        ("console", "console"),
        ("console:", "console"),
        ("memory", "memory"),
    ] {
        assert_eq!(text.parse::<MailUrl>().unwrap().to_string(), shown, "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_url_is_named() {
    for (text, error) in [
        ("", MailUrlError::Scheme),
        ("mail.example.org", MailUrlError::Scheme),
        ("mail.example.org:587", MailUrlError::Scheme),
        ("smtp:mail.example.org", MailUrlError::Scheme),
        ("http://mail.example.org", MailUrlError::Scheme),
        ("console:x", MailUrlError::Scheme),
        ("file:", MailUrlError::Directory),
        ("file://host/path", MailUrlError::Directory),
        ("smtp://", MailUrlError::Host),
        ("smtp://kim:pw@", MailUrlError::Host),
        ("smtp://a b", MailUrlError::Host),
        ("smtp://[::g]", MailUrlError::Host),
        ("smtp://host:0", MailUrlError::Port),
        ("smtp://host:99999", MailUrlError::Port),
        ("smtp://[::1]x", MailUrlError::Port),
        ("smtp://kim@host", MailUrlError::Login),
        ("smtp://kim:@host", MailUrlError::Login),
        ("smtp://kim:p/w@host", MailUrlError::Login),
        ("smtp://kim:%00@host", MailUrlError::Login),
        ("smtp://kim:%ff@host", MailUrlError::Login),
        ("smtp://kim:%0d%0aQUIT@host", MailUrlError::Login),
        ("smtp://host/path", MailUrlError::Path),
        ("smtp://host#x", MailUrlError::Path),
        ("smtp://host?tls=maybe", MailUrlError::Parameter),
        ("smtps://host?tls=none", MailUrlError::Parameter),
        ("smtp://host?hello=a%0d", MailUrlError::Parameter),
        ("smtp://kim:pw@host?tls=none", MailUrlError::PasswordInClear),
    ] {
        assert_eq!(text.parse::<MailUrl>().unwrap_err(), error, "{text}");
    }
}

#[test]
fn neither_a_url_nor_an_error_shows_the_password() {
    let url: MailUrl = "smtp://kim:hunter%232@localhost:1".parse().unwrap();
    for shown in [format!("{url}"), format!("{url:?}"), format!("{:?}", url.transport())] {
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
