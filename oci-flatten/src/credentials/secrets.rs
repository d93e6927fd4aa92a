//! What no message may show.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Texts that must not be seen: what a server or a program says is shown only where it holds none of them. Servers
/// repeat what they were sent, and so do programs that trace what they do.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// Adds those of an `Authorization` header: a token, or a user name and a password.
    pub(crate) fn add_authorization(&mut self, text: &str) {
        // The scheme is no secret.
        let token = text.split_once(' ').map_or(text, |(_, token)| token);
        self.add(token);
        let plain = BASE64
            .decode(token)
            .ok()
            .and_then(|plain| String::from_utf8(plain).ok());
        if let Some((_, password)) = plain.as_deref().and_then(|plain| plain.split_once(':')) {
            self.add(password);
            self.add(&BASE64.encode(password));
        }
    }

    /// Adds one more, as it is and as it stands in a URL or a form.
    pub(crate) fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.is_empty() {
            return;
        }
        let encoded: String = url_form(secret).collect();
        if encoded != secret {
            self.0.push(encoded);
        }
        self.0.push(secret.to_owned());
    }

    /// Whether `text` holds one of them.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret))
    }
}

/// The text as forms and queries have it.
fn url_form(text: &str) -> impl Iterator<Item = char> + '_ {
    text.bytes().flat_map(|byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-._~*".contains(&byte);
        let text = match plain {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        text.chars().collect::<Vec<_>>()
    })
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_in_every_form() {
        let mut secrets = Secrets::default();
        secrets.add_authorization("Basic dXNlcjpodW50ZXIvMg==");
        secrets.add_authorization("Bearer a.token");
        for text in [
            "wrong password hunter/2",
            "GET /token?password=hunter%2F2",
            "Authorization: Basic dXNlcjpodW50ZXIvMg==",
            "bad a.token",
        ] {
            assert!(secrets.are_in(text), "{text}");
        }
        assert!(!secrets.are_in("user may not pull a token"));
        assert!(!Secrets::default().are_in("anything"));
        assert!(!format!("{secrets:?}").contains("hunter"));
    }
}
