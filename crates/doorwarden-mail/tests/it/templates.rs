//! Templates of the operator.

use crate::support::{LINK, directory, full, mailer, written};
use doorwarden_core::mail::{Locale, MailKind};
use doorwarden_mail::Templates;

const OWN: &str =
    "Subject: Hello {{ username }}\n\n# Reset\n\n{{ username }}, click:\n\n[Here]({{ link }})\n";

fn problems(name: &str, source: &str) -> Vec<String> {
    Templates::built_in().with(name, source).problems().iter().map(ToString::to_string).collect()
}

#[test]
fn the_built_in_templates_have_no_problems() {
    assert_eq!(Templates::built_in().problems(), []);
    for (name, source) in Templates::sources() {
        assert_eq!(problems(name, source), [""; 0], "{name}");
    }
}

#[test]
fn an_own_template_replaces_the_built_in_one_of_its_language() {
    let mailer = mailer().templates(Templates::built_in().with("en/reset_password.txt", OWN));
    let message = mailer.write(&full(MailKind::ResetPassword, Locale::English)).unwrap();
    assert_eq!(message.subject, "Hello kim");
    assert_eq!(message.text, format!("Reset\n\nkim, click:\n\nHere:\n{LINK}\n\n-- \nExample\n"));
    assert!(message.html.contains("<p style=\"margin: 0 0 16px;\">kim, click:</p>"));
    let german = full(MailKind::ResetPassword, Locale::German);
    assert_eq!(mailer.write(&german).unwrap().text, written(&german).text);
}

#[test]
fn a_template_that_fails_is_reported_and_the_built_in_mail_is_sent() {
    let mail = full(MailKind::ResetPassword, Locale::English);
    for (source, problem) in [
        ("Subject: x\n\n{{ usrname }} {{ link }}", "`en/reset_password.txt`, line 3: undefined value"),
        ("Subject: x\n\n{% if %}", "`en/reset_password.txt`, line 3: syntax error: unexpected end of block"),
        ("Dear {{ username }}, {{ link }}", "`en/reset_password.txt`: the first line is not `Subject: …`"),
        ("Subject: x\n\nNo link.", "`en/reset_password.txt`: the mail does not contain its link"),
        (
            "Subject: x\n\n{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
            "`en/reset_password.txt`, line 3: engine ran out of fuel",
        ),
    ] {
        assert_eq!(problems("en/reset_password.txt", source), [problem]);
        let mailer = mailer().templates(Templates::built_in().with("en/reset_password.txt", source));
        assert_eq!(mailer.write(&mail).unwrap(), written(&mail), "{source}");
    }
    assert_eq!(problems("layout.html", "<p>Hello"), ["`layout.html`: the layout does not show every block"]);
    assert_eq!(
        problems("de/reset-password.txt", OWN),
        ["`de/reset-password.txt`: there is no mail of this name, so the template is never used"]
    );
}

#[test]
fn a_directory_is_read_as_a_whole() {
    let directory = directory();
    let path = directory.path();
    std::fs::create_dir(path.join("en")).unwrap();
    std::fs::write(path.join("en/_footer.txt"), "> Sent by {{ service }}.\n").unwrap();
    std::fs::write(path.join("en/.swp"), [0xff]).unwrap();
    let with_footer = format!("{OWN}\n{{% include \"en/_footer.txt\" %}}\n");
    std::fs::write(path.join("en/reset_password.txt"), with_footer).unwrap();
    let templates = Templates::from_directory(path).unwrap();
    assert_eq!(templates.problems(), []);
    let message =
        mailer().templates(templates).write(&full(MailKind::ResetPassword, Locale::English)).unwrap();
    assert!(message.text.contains("Sent by Example."), "{}", message.text);

    std::fs::write(path.join("en/test.txt"), [0xff]).unwrap();
    let error = Templates::from_directory(path).unwrap_err().to_string();
    assert!(error.contains("en/test.txt"), "{error}");
    assert!(Templates::from_directory(&path.join("missing")).is_err());
}

#[test]
fn a_value_is_never_markup_also_not_at_the_start_of_a_block() {
    let source = "Subject: {{ username }}\n\n{{ username }}\n\n{{ link }}\n\n{% set u %}{{ username }}{% endset %}{{ u }}\n";
    for username in ["# heading", "[evil](https://evil.example)", "`code`", "> note", "<b>&amp;"] {
        let mut mail = full(MailKind::ResetPassword, Locale::English);
        mail.content.username = Some(username.to_owned());
        let mailer = mailer().templates(Templates::built_in().with("en/reset_password.txt", source));
        let message = mailer.write(&mail).unwrap();
        assert_eq!(message.subject, username);
        assert!(message.text.starts_with(&format!("{username}\n\n")), "{}", message.text);
        let escaped = username.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let paragraph = format!("<p style=\"margin: 0 0 16px;\">{escaped}</p>");
        assert_eq!(message.html.matches(&paragraph).count(), 2, "{}", message.html);
    }
}

#[test]
fn an_own_template_has_no_username_where_the_recipient_may_not_own_the_account() {
    let source = "Subject: {{ username or 'nobody' }}\n\n{{ link }} {{ code }}\n";
    for kind in MailKind::ALL {
        let templates = Templates::built_in().with(&format!("en/{}.txt", kind.as_str()), source);
        let subject = mailer().templates(templates).write(&full(kind, Locale::English)).unwrap().subject;
        let is_shown = !matches!(kind, MailKind::VerifyEmail | MailKind::Invitation | MailKind::EmailChange);
        assert_eq!(subject == "kim", is_shown, "{kind:?}");
    }
}
