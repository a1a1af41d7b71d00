//! The built-in pages, for a service without a front end: HTML that works without a script.

pub(super) mod forgotten;
pub(super) mod link;

use super::answer::{Answer, Described};
use super::types::Types;
use crate::error::ApiError;
use axum::response::{IntoResponse, Response};
use doorwarden_core::error::FieldError;
use doorwarden_core::locale::Locale;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::LazyLock;

const LAYOUT: &str = include_str!("layout.html");
const FORM: &str = include_str!("form.html");
const FIELD: &str = include_str!("field.html");
const STYLE: &str = include_str!("style.css");

/// The page's own style, forms to this origin, and nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = base64_simd::STANDARD.encode_to_string(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::from_str(&policy).expect("plain ASCII")
});

/// A text in every language: English, German.
type Text = [&'static str; 2];

const ERROR: Text = ["Error: ", "Fehler: "];
const CONTINUE: Text = ["Continue", "Weiter"];
const FOREIGN: [Text; 2] = [
    ["The form was not sent", "Das Formular wurde nicht angenommen"],
    [
        "It did not come from this page. Open the page once more.",
        "Es kam nicht von dieser Seite. Öffnen Sie die Seite noch einmal.",
    ],
];
const UNAVAILABLE: Text = ["Try again later", "Versuchen Sie es später noch einmal"];
const UNAVAILABLE_TEXT: Text = [
    "The service is busy or not available at the moment. Nothing was changed.",
    "Der Dienst ist im Moment überlastet oder nicht erreichbar. Es wurde nichts geändert.",
];

const TOO_MANY: Text = ["Too many attempts", "Zu viele Versuche"];
const IN_A_MINUTE: Text = [
    "Nothing was changed. Try again in a minute.",
    "Es wurde nichts geändert. Versuchen Sie es in einer Minute noch einmal.",
];
const IN_MINUTES: Text = [
    "Nothing was changed. Try again in {minutes} minutes.",
    "Es wurde nichts geändert. Versuchen Sie es in {minutes} Minuten noch einmal.",
];

fn in_language(locale: Locale, text: [&str; 2]) -> &str {
    match locale {
        Locale::German => text[1],
        _ => text[0],
    }
}

/// Text as it stands in HTML, between tags and between double quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A template with HTML in the place of its names. What is put in is not looked at again.
fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let (mut filled, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let value = values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        filled.extend([before, value]);
        rest = after;
    }
    filled + rest
}

/// A field of a form.
#[derive(Debug, Clone, Copy)]
struct Field<'a> {
    /// The name, which is also the id.
    id: &'a str,
    /// In every language.
    label: [&'a str; 2],
    hint: Option<Text>,
    kind: Kind<'a>,
    /// Empty: not said.
    autocomplete: &'static str,
}

/// What a field takes.
#[derive(Debug, Clone, Copy)]
enum Kind<'a> {
    /// An `input` of this type.
    Input(&'static str),
    /// One that may be left empty.
    Optional(&'static str),
    Text {
        max_length: usize,
    },
    Integer {
        min: i64,
        max: i64,
    },
    Checkbox,
    Choice(&'a [String]),
}

impl Field<'_> {
    /// The field with what was typed and complaints about it; `is_first` of those with complaints gets the
    /// focus.
    fn html(&self, locale: Locale, min: usize, value: &str, errors: &[String], is_first: bool) -> String {
        let (mut notes, mut ids) = (String::new(), Vec::new());
        if let Some(hint) = self.hint {
            let hint = in_language(locale, hint).replace("{min}", &min.to_string());
            let _ = write!(notes, r#"<p class="hint" id="{}-hint">{hint}</p>"#, self.id);
            ids.push(format!("{}-hint", self.id));
        }
        if !errors.is_empty() {
            let errors = errors.join("<br>");
            let _ = write!(notes, r#"<p class="error" role="alert" id="{}-error">{errors}</p>"#, self.id);
            ids.push(format!("{}-error", self.id));
        }
        let mut described = match ids.is_empty() {
            true => String::new(),
            false => format!(r#" aria-describedby="{}""#, ids.join(" ")),
        };
        described += if errors.is_empty() { "" } else { r#" aria-invalid="true""# };
        described += if is_first { " autofocus" } else { "" };
        let label = escaped(in_language(locale, self.label));
        let control = self.control(&escaped(value), &described);
        filled(FIELD, &[("id", self.id), ("label", &label), ("notes", &notes), ("control", &control)])
    }

    /// The element that takes the value, which is HTML, as `described` is, its last attributes.
    fn control(&self, value: &str, described: &str) -> String {
        let id = self.id;
        let mut input = match self.kind {
            Kind::Input(kind) | Kind::Optional(kind) => {
                format!(r#"<input id="{id}" name="{id}" type="{kind}""#)
            }
            Kind::Text { max_length } => {
                format!(r#"<input id="{id}" name="{id}" type="text" maxlength="{max_length}""#)
            }
            Kind::Integer { min, max } => {
                let mut input = format!(r#"<input id="{id}" name="{id}" type="number" step="1""#);
                if min > i64::MIN {
                    let _ = write!(input, r#" min="{min}""#);
                }
                if max < i64::MAX {
                    let _ = write!(input, r#" max="{max}""#);
                }
                input
            }
            Kind::Checkbox => {
                let checked = if value == CHECKED { " checked" } else { "" };
                return format!(
                    r#"<input id="{id}" name="{id}" type="checkbox" value="{CHECKED}"{checked}{described}>"#
                );
            }
            Kind::Choice(choices) => {
                let mut options = r#"<option value=""></option>"#.to_owned();
                for choice in choices.iter().map(|choice| escaped(choice)) {
                    let selected = if choice == value { " selected" } else { "" };
                    let _ = write!(options, r#"<option value="{choice}"{selected}>{choice}</option>"#);
                }
                return format!(r#"<select id="{id}" name="{id}" required{described}>{options}</select>"#);
            }
        };
        if !self.autocomplete.is_empty() {
            let _ = write!(input, r#" autocomplete="{}""#, self.autocomplete);
        }
        let required = if matches!(self.kind, Kind::Optional(_)) { "" } else { " required" };
        format!(r#"{input} value="{value}"{required}{described}>"#)
    }
}

/// The value of a checkbox that is checked. One that is not is not sent.
const CHECKED: &str = "true";

/// A field that nobody sees.
fn hidden(name: &str, value: &str) -> String {
    format!(r#"<input type="hidden" name="{name}" value="{}">"#, escaped(value))
}

/// A complaint in the language of the page, as HTML.
fn complaint(locale: Locale, error: &FieldError, min: usize) -> String {
    let german = match &*error.code {
        "required" | "blank" | "null" => "Dieses Feld muss ausgefüllt werden.",
        "min_length" => "Dieses Passwort ist zu kurz: Es braucht mindestens {min} Zeichen.",
        "max_length" => "Diese Eingabe ist zu lang.",
        "password_too_similar" => "Dieses Passwort ist Ihren eigenen Angaben zu ähnlich.",
        "password_too_common" => "Dieses Passwort ist zu gebräuchlich.",
        "password_entirely_numeric" => "Dieses Passwort besteht nur aus Ziffern.",
        "password_mismatch" => "Die beiden Passwörter stimmen nicht überein.",
        "invalid" if error.text == "Enter a valid email address." => {
            "Geben Sie eine gültige E-Mail-Adresse ein."
        }
        "invalid" if error.text == "A valid integer is required." => "Geben Sie eine ganze Zahl ein.",
        "invalid_choice" => "Wählen Sie eine der Möglichkeiten aus.",
        "min_value" => "Diese Zahl ist zu klein.",
        "max_value" => "Diese Zahl ist zu groß.",
        "password_incorrect" => "Dieses Passwort ist falsch. Geben Sie es noch einmal ein.",
        "password_reused" => "Dieses Passwort wurde schon einmal benutzt.",
        "password_leaked" => "Dieses Passwort ist aus einem Datenleck bekannt. Wählen Sie ein anderes.",
        "code_invalid" => "Dieser Code ist falsch.",
        "unique" => "Ein anderes Konto hat diese Angabe inzwischen.",
        _ => "",
    };
    match locale {
        Locale::German if !german.is_empty() => german.replace("{min}", &min.to_string()),
        Locale::German => format!(r#"<span lang="en">{}</span>"#, escaped(&error.text)),
        _ => escaped(&error.text),
    }
}

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    locale: Locale,
    status: StatusCode,
    heading: Text,
    /// HTML.
    content: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Page {
    fn new(locale: Locale, status: StatusCode, heading: Text) -> Self {
        Self { locale, status, heading, content: String::new(), headers: Vec::new() }
    }

    /// The page for an error that goes by.
    fn of_error(locale: Locale, error: ApiError) -> Result<Self, ApiError> {
        let status = error.status();
        let page = match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                Self::new(locale, status, UNAVAILABLE).text(UNAVAILABLE_TEXT, "")
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let minutes = error.retry_after().as_secs().div_ceil(60);
                let text = if minutes <= 1 { IN_A_MINUTE } else { IN_MINUTES };
                let text = text.map(|text| text.replace("{minutes}", &minutes.to_string()));
                Self::new(locale, status, TOO_MANY).text(text.each_ref().map(String::as_str), "")
            }
            _ => return Err(error),
        };
        Ok(Self { headers: error.into_headers(), ..page })
    }

    /// Adds a paragraph, in which `{email}` is an email address.
    fn text(mut self, text: [&str; 2], email: &str) -> Self {
        let email = format!("<strong>{}</strong>", escaped(email));
        let text = in_language(self.locale, text).replace("{email}", &email);
        let _ = writeln!(self.content, "<p>{text}</p>");
        self
    }

    /// Adds complaints about the form as a whole, which are HTML.
    fn alerts(mut self, complaints: &[String]) -> Self {
        for complaint in complaints {
            let _ = writeln!(self.content, r#"<p class="error" role="alert">{complaint}</p>"#);
        }
        self
    }

    /// Adds a form with fields, which are HTML.
    fn form(mut self, fields: &str, button: Text) -> Self {
        let button = in_language(self.locale, button);
        self.content += &filled(FORM, &[("fields", fields), ("button", button)]);
        self
    }

    /// Adds a link to the application.
    fn home(mut self) -> Self {
        let _ = writeln!(self.content, r#"<p><a href="/">{}</a></p>"#, in_language(self.locale, CONTINUE));
        self
    }
}

impl Answer for Page {
    fn describe(_: &mut Types) -> Vec<Described> {
        let describe = |status| {
            let content = Some(("text/html", Some(json!({"type": "string"}))));
            Described { status, content, headers: &[] }
        };
        [200, 400, 403, 429, 503].map(describe).into()
    }

    fn respond(self) -> Response {
        let heading = in_language(self.locale, self.heading);
        let title = match self.status {
            StatusCode::OK => heading.to_owned(),
            _ => format!("{}{heading}", in_language(self.locale, ERROR)),
        };
        let html = filled(
            LAYOUT,
            &[
                ("lang", self.locale.as_str()),
                ("title", &title),
                ("style", STYLE),
                ("heading", heading),
                ("content", &self.content),
            ],
        );
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
            (CONTENT_SECURITY_POLICY, POLICY.clone()),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        let mut response = (self.status, headers, html).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

/// 303 to another page.
#[derive(Debug)]
pub(super) struct Redirect(String);

impl Answer for Redirect {
    fn describe(_: &mut Types) -> Vec<Described> {
        vec![Described { status: 303, content: None, headers: &[] }]
    }

    fn respond(self) -> Response {
        let to = HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("/"));
        (StatusCode::SEE_OTHER, [(LOCATION, to), (CACHE_CONTROL, HeaderValue::from_static("no-store"))])
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_text() {
        let value = escaped(r#"{{style}}"><script>'&"#);
        assert_eq!(value, "{{style}}&quot;&gt;&lt;script&gt;&#39;&amp;");
        assert_eq!(
            filled("<a>{{value}}</a>{{style}}", &[("value", &value), ("style", "s")]),
            format!("<a>{value}</a>s")
        );
    }
}
