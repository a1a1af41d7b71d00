//! Forms: every value is text.

use crate::error::ApiError;
use bytes::Bytes;
use doorwarden_core::error::Input;
use doorwarden_core::field::Raw;
use http::StatusCode;
use http::header::CONTENT_DISPOSITION;
use std::collections::HashMap;
use std::convert::Infallible;

/// The maximum number of fields of a form, as Django's `DATA_UPLOAD_MAX_NUMBER_FIELDS`.
const MAX_FIELDS: usize = 1000;

type Named = HashMap<String, Input<Raw>>;

/// `application/x-www-form-urlencoded`.
pub(super) fn urlencoded(bytes: &[u8]) -> Result<Named, ApiError> {
    if bytes.split(|byte| *byte == b'&').count() > MAX_FIELDS {
        return Err(too_many());
    }
    let mut fields = Named::new();
    let mut has_replacement = false;
    for (name, value) in form_urlencoded::parse(bytes) {
        has_replacement |= name.contains('\u{fffd}') || value.contains('\u{fffd}');
        fields.insert(name.into_owned(), Input::Given(Raw::Text(value.into_owned())));
    }
    // The parser replaces what is not UTF-8 with U+FFFD; two different passwords must not become equal.
    if has_replacement && !is_utf8(bytes) {
        return Err(malformed("the form is not UTF-8"));
    }
    Ok(fields)
}

/// Whether every byte is valid UTF-8, so that the client itself sent U+FFFD. Decodes the whole body once, not
/// for each field.
fn is_utf8(bytes: &[u8]) -> bool {
    let decoded: Vec<u8> = percent_encoding::percent_decode(bytes).collect();
    std::str::from_utf8(&decoded).is_ok()
}

/// `multipart/form-data`. A part with a file name is a file, which no field accepts; it takes precedence over
/// text of the same name, as in Django REST framework.
pub(super) async fn multipart(bytes: Bytes, boundary: String) -> Result<Named, ApiError> {
    if boundary.is_empty() {
        return Err(malformed("there is no boundary"));
    }
    let whole = futures_util::stream::once(async move { Ok::<_, Infallible>(bytes) });
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut fields = Named::new();
    let mut count = 0;
    while let Some(part) = parts.next_field().await.map_err(|error| malformed(&error.to_string()))? {
        count += 1;
        if count > MAX_FIELDS {
            return Err(too_many());
        }
        let Some(name) = part.name().map(str::to_owned) else { continue };
        let is_file = is_file(&part);
        let value = part.bytes().await.map_err(|error| malformed(&error.to_string()))?;
        if is_file {
            fields.insert(name, Input::NotText);
            continue;
        }
        if matches!(fields.get(&name), Some(Input::NotText)) {
            continue;
        }
        let value = String::from_utf8(value.to_vec()).map_err(|_| malformed("a field is not UTF-8"))?;
        fields.insert(name, Input::Given(Raw::Text(value)));
    }
    Ok(fields)
}

/// Whether a part has a file name, including one in the encoding of RFC 5987, which multer ignores.
fn is_file(part: &multer::Field<'_>) -> bool {
    let disposition = part.headers().get(CONTENT_DISPOSITION).map_or(&b""[..], |value| value.as_bytes());
    let mut parameters = disposition.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    part.file_name().is_some_and(|name| !name.is_empty())
        || parameters.any(|one| one.get(..9).is_some_and(|name| name.eq_ignore_ascii_case(b"filename*")))
}

fn malformed(why: &str) -> ApiError {
    ApiError::detail(StatusCode::BAD_REQUEST, "parse_error", format!("Form parse error - {why}"))
}

fn too_many() -> ApiError {
    malformed("too many fields")
}
