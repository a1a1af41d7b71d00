//! The bearer token of a request (RFC 6750, section 2.1).

use memchr::memchr2;

/// The only whitespace that a header value can contain.
const BLANK: [char; 2] = [' ', '\t'];

/// Why a request has no bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// There is no `Authorization` header.
    #[error("no Authorization header was sent")]
    Missing,
    /// There is more than one `Authorization` header, so that choosing one would be a guess.
    #[error("more than one Authorization header was sent")]
    Repeated,
    /// The header is not the scheme `Bearer` and one word.
    #[error("the Authorization header is not `Bearer TOKEN`")]
    NotBearer,
    /// The scheme is `Bearer`, but the token has characters outside ASCII.
    #[error("the bearer token is not ASCII")]
    NotAscii,
}

/// The token of a request, from the values of its `Authorization` headers: one value, exactly two words of
/// which the first is `Bearer` in any case. Does not check whether the token is valid.
///
/// ```
/// use doorwarden_token::bearer::{self, BearerError};
///
/// assert_eq!(bearer::parse([b"bearer a.b.c".as_slice()]), Ok("a.b.c"));
/// assert_eq!(bearer::parse([b"Basic YTpi".as_slice()]), Err(BearerError::NotBearer));
/// ```
///
/// # Errors
/// If there is no such header, more than one, or one of another form.
pub fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, BearerError> {
    let mut values = values.into_iter();
    let value = values.next().ok_or(BearerError::Missing)?;
    if values.next().is_some() {
        return Err(BearerError::Repeated);
    }
    let Some(words) = std::str::from_utf8(value).ok().filter(|text| text.is_ascii()) else {
        let is_bearer = value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        return Err(if is_bearer { BearerError::NotAscii } else { BearerError::NotBearer });
    };
    let (scheme, token) = words.trim_ascii().split_once(BLANK).unwrap_or_default();
    let token = token.trim_start_matches(BLANK);
    if scheme.eq_ignore_ascii_case("bearer") && memchr2(b' ', b'\t', token.as_bytes()).is_none() {
        Ok(token)
    } else {
        Err(BearerError::NotBearer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_header_with_two_words_is_a_token() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER \t a.b.c ", " Bearer a.b.c"] {
            assert_eq!(parse([value.as_bytes()]), Ok("a.b.c"), "{value:?}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        assert_eq!(parse([]), Err(BearerError::Missing));
        assert_eq!(parse([b"Bearer a".as_slice(), b"Bearer a"]), Err(BearerError::Repeated));
        for value in ["", "Bearer", "Bearer ", "Bearer a b", "Bearer a\tb", "Basic YTpi", "a.b.c", "Bearera"]
        {
            assert_eq!(parse([value.as_bytes()]), Err(BearerError::NotBearer), "{value:?}");
        }
        assert_eq!(parse([b"bearer \xff".as_slice()]), Err(BearerError::NotAscii));
        assert_eq!(parse([b"Basic \xff".as_slice()]), Err(BearerError::NotBearer));
    }
}
