//! Text for people and for shells: what may reach a terminal, a log or a command line.
//!
//! Names in images, answers of registries and arguments may hold characters that give a terminal orders, or
//! that change the order in which a line is read
//! ([Trojan Source](https://trojansource.codes)). Every output of the program goes through this module.

use std::borrow::Cow;

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;

/// Whether a character is shown as something else than a mark of its own: controls (C0, DEL, C1), format
/// characters (bidirectional controls, zero-width characters, tags) and separators of lines and paragraphs.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    matches!(
        CodePointMapData::<GeneralCategory>::new().get(character),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    )
}

/// A value within a line: every unprintable character is escaped as in Rust (`\n`, `\u{202e}`).
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escape(text, is_unprintable, |safe, character| {
        safe.extend(character.escape_default());
    })
}

/// Several lines of which each is printable: as [`printable`], but new lines stay.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    let unsafe_in_lines = |character| character != '\n' && is_unprintable(character);
    escape(text, unsafe_in_lines, |safe, character| {
        safe.extend(character.escape_default());
    })
}

/// The same JSON document with every unprintable character of its strings as `\u` and four digits, twice
/// where UTF-16 has two units. Only strings can hold such characters, but for new lines.
#[must_use]
pub fn printable_json(document: &str) -> Cow<'_, str> {
    let unsafe_in_json = |character| character != '\n' && is_unprintable(character);
    escape(document, unsafe_in_json, |safe, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            safe.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

fn escape(
    text: &str,
    is_unsafe: impl Fn(char) -> bool,
    write: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if !text.chars().any(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_unsafe(character) {
            true => write(&mut safe, character),
            false => safe.push(character),
        }
    }
    Cow::Owned(safe)
}

/// A word as a shell reads it back. Words with unprintable characters are quoted as `$'…'`, which bash, zsh,
/// ksh and BusyBox know.
#[must_use]
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(is_unprintable) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let mut quoted = String::from("$'");
    for character in word.chars() {
        if is_unprintable(character) {
            // Three octal digits a byte: more could not be told from what follows.
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                quoted.push_str(&format!("\\{byte:03o}"));
            }
        } else {
            if matches!(character, '\'' | '\\') {
                quoted.push('\\');
            }
            quoted.push(character);
        }
    }
    quoted.push('\'');
    quoted
}

/// Words as a shell reads them back.
#[must_use]
pub fn shell_words<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<String> = words
        .into_iter()
        .map(|word| shell_word(word.as_ref()))
        .collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each kind, with its first and last characters.
    const UNPRINTABLE: &str = "\0\u{1}\t\n\r\u{1b}\u{1f}\u{7f}\u{80}\u{9b}\u{9f}\u{ad}\u{600}\u{61c}\u{200b}\
        \u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{206f}\u{feff}\u{fff9}\
        \u{110bd}\u{1d173}\u{e0001}\u{e007f}";

    #[test]
    fn controls_and_format_characters_are_unprintable_and_marks_are_not() {
        assert!(UNPRINTABLE.chars().all(is_unprintable));
        assert!(!" aß€日\u{301}e\u{a0}😀\u{e000}".chars().any(is_unprintable));
    }

    #[test]
    fn each_form_escapes_in_its_own_way() {
        assert_eq!(printable("a\u{1b}\n\u{202e}b"), "a\\u{1b}\\n\\u{202e}b");
        assert_eq!(printable_lines("a\u{7f}\nb\n"), "a\\u{7f}\nb\n");
        let document = "{\n  \"a\": \"\u{85}\u{e0001}\"\n}";
        assert_eq!(
            printable_json(document),
            "{\n  \"a\": \"\\u0085\\udb40\\udc01\"\n}"
        );
        assert!(matches!(printable("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn words_are_quoted_for_shells() {
        for (word, quoted) in [
            ("a/b-c_d.e=f:g,h+i@j%k", "a/b-c_d.e=f:g,h+i@j%k"),
            ("", "''"),
            ("it's", "'it'\\''s'"),
            ("a b", "'a b'"),
            ("a\n'\\\u{202e}1", "$'a\\012\\'\\\\\\342\\200\\2561'"),
        ] {
            assert_eq!(shell_word(word), quoted);
        }
        assert_eq!(shell_words(["sh", "-c", "a b"]), "sh -c 'a b'");
    }

    proptest! {
        #[test]
        fn nothing_unprintable_is_left_and_json_means_the_same(text in ".*", extra in "[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]*") {
            let text = format!("{text}{extra}");
            prop_assert!(!printable(&text).chars().any(is_unprintable));
            prop_assert!(!shell_word(&text).chars().any(is_unprintable));
            prop_assert!(!printable_lines(&text).replace('\n', "").chars().any(is_unprintable));
            let document = serde_json::to_string(&text).unwrap();
            let safe = printable_json(&document);
            prop_assert!(!safe.chars().any(is_unprintable));
            prop_assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }
    }
}
