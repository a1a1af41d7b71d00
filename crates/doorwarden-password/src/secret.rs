use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A password as the user typed it: nothing is trimmed, truncated or normalised (ASVS 6.2.8).
///
/// Clones share one copy of the text, which is wiped from memory with the last of them. `Debug` does not show
/// it.
///
/// ```
/// use doorwarden_password::Password;
/// assert_eq!(format!("{:?}", Password::new("hunter2")), "Password(..)");
/// ```
#[derive(Clone)]
pub struct Password(Arc<Zeroizing<String>>);

impl Password {
    /// Takes the text. A `String` is not copied.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}
