//! The mailbox of development, in the browser: `/dev/mailbox`.

use crate::config::is_local_host;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use doorwarden_mail::{Mailbox, Message};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, FORWARDED, HOST, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use std::convert::Infallible;
use std::fmt::Write;
use tower_service::Service;

/// Where the mailbox is.
pub(super) const PATH: &str = "/dev/mailbox";

/// Our pages have no script and no style, and show the HTML part of a mail in a frame.
const PAGE: &str =
    "default-src 'none'; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// The HTML part of a mail, which is styled by attributes.
const PART: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; \
                    form-action 'none'; sandbox allow-popups allow-popups-to-escape-sandbox";

/// The mailbox, and the service for everything else.
pub(super) fn beside<S>(service: S, mailbox: Mailbox) -> Router
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let (list, one, part) = (mailbox.clone(), mailbox.clone(), mailbox);
    Router::new()
        .route(
            PATH,
            get(async move |headers: HeaderMap| shown(&headers, PAGE, || Some(all(&list.messages())))),
        )
        .route(
            &format!("{PATH}/{{id}}"),
            get(async move |Path(id): Path<String>, headers: HeaderMap| {
                shown(&headers, PAGE, || Some(page(&find(&one, &id)?)))
            }),
        )
        .route(
            &format!("{PATH}/{{id}}/html"),
            get(async move |Path(id): Path<String>, headers: HeaderMap| {
                shown(&headers, PART, || Some(html_part(&find(&part, &id)?)))
            }),
        )
        .fallback_service(service)
}

fn find(mailbox: &Mailbox, id: &str) -> Option<Message> {
    mailbox.messages().into_iter().find(|message| message.id.to_string() == id)
}

/// A page for a browser on this machine. A page of another site that makes its name point to this machine
/// sends its own name as the host, and a proxy says for whom it asks.
fn shown(headers: &HeaderMap, policy: &'static str, page: impl FnOnce() -> Option<String>) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.parse::<http::uri::Authority>();
    let forwarded = [FORWARDED, HeaderName::from_static("x-forwarded-for")];
    let is_here = host.is_ok_and(|host| is_local_host(host.host()))
        && !forwarded.iter().any(|header| headers.contains_key(header));
    let Some(page) = is_here.then(page).flatten() else {
        return (StatusCode::NOT_FOUND, "Not found\n").into_response();
    };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Body::from(page)).into_response()
}

fn document(head: &str, title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
         {head}<title>{}</title></head>\n<body>{body}</body></html>\n",
        escaped(title)
    )
}

fn all(messages: &[Message]) -> String {
    let mut body = "<h1>Mailbox</h1><p>The last mails of this process. Nothing was sent.</p>".to_owned();
    if messages.is_empty() {
        body.push_str("<p>There are no mails yet.</p>");
    }
    body.push_str("<ul>");
    for message in messages {
        let _ = write!(
            body,
            "<li><a href=\"{PATH}/{}\">{}</a>, to {}, {}</li>",
            message.id,
            escaped(&message.subject),
            escaped(&message.to),
            message.date
        );
    }
    body.push_str("</ul>");
    document("<meta http-equiv=\"refresh\" content=\"5\">", "Mailbox", &body)
}

fn page(message: &Message) -> String {
    let (subject, id) = (escaped(&message.subject), message.id);
    let from = match message.from.name() {
        Some(name) => format!("{name} <{}>", message.from.address()),
        None => message.from.address().to_owned(),
    };
    let body = format!(
        "<p><a href=\"{PATH}\">Mailbox</a></p><h1>{subject}</h1>\
         <p>From {}<br>To {}<br>{}</p><pre>{}</pre>\
         <iframe title=\"HTML part\" src=\"{PATH}/{id}/html\" sandbox=\"allow-popups allow-popups-to-escape-sandbox\" \
         width=\"100%\" height=\"700\"></iframe>",
        escaped(&from),
        escaped(&message.to),
        message.date,
        with_links(&message.text)
    );
    document("", &message.subject, &body)
}

/// The HTML part; its links open in a tab of their own, outside of the frame.
fn html_part(message: &Message) -> String {
    message.html.replacen("<head>", "<head><base target=\"_blank\">", 1)
}

/// The text part, in which a line that is a URL can be followed.
fn with_links(text: &str) -> String {
    let line = |line: &str| {
        let shown = escaped(line);
        match line.starts_with("https://") || line.starts_with("http://") {
            true => format!("<a href=\"{shown}\" rel=\"noreferrer\">{shown}</a>\n"),
            false => format!("{shown}\n"),
        }
    };
    text.lines().map(line).collect()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
