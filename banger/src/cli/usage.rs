//! Arguments that cannot be parsed, and `--help` and `--version`, which are no commands.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use banger::text::printable;
use banger::{Error, ErrorKind};
use clap::error::ErrorKind as ClapErrorKind;
use clap::{CommandFactory, FromArgMatches};
use serde_json::json;

use super::{Arguments, Format, report, screen};

/// The arguments of this process, and the names of the commands that lead to the one they call.
pub(super) fn parse() -> Result<(Arguments, Vec<String>), ExitCode> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let mut command = Arguments::command();
    let parsed = command
        .try_get_matches_from_mut(&words)
        .and_then(|matches| {
            let arguments = Arguments::from_arg_matches(&matches)
                .map_err(|error| error.format(&mut command))?;
            Ok((arguments, path_of(&matches)))
        });
    parsed.map_err(|error| answer(&error, &words))
}

fn path_of(matches: &clap::ArgMatches) -> Vec<String> {
    let mut path = Vec::new();
    let mut next = matches.subcommand();
    while let Some((name, below)) = next {
        path.push(name.to_owned());
        next = below.subcommand();
    }
    path
}

/// Says what clap has to say in the place of a command.
fn answer(error: &clap::Error, words: &[OsString]) -> ExitCode {
    let format = wanted_format(words);
    let outcome = match error.kind() {
        ClapErrorKind::DisplayVersion if format == Format::Json => report::result_json(&json!({
            "name": env!("CARGO_BIN_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
        })),
        // These hold nothing but the program's own text, in its colours.
        ClapErrorKind::DisplayVersion | ClapErrorKind::DisplayHelp => error
            .print()
            .map_err(|error| Error::io("write to standard output", error)),
        ClapErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if format == Format::Text => {
            screen::write(&error.render().to_string());
            return ExitCode::from(ErrorKind::Usage.exit_code());
        }
        _ => Err(from_clap(error, words)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::failure(&error, format);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// The format that the words ask for, as far as it can be told of words that do not parse.
fn wanted_format(words: &[OsString]) -> Format {
    let options = words.iter().take_while(|word| *word != OsStr::new("--"));
    let mut json = false;
    let mut is_value = false;
    for word in options {
        if is_value {
            json = word == "json";
        } else if let Some(value) = word
            .to_str()
            .and_then(|word| word.strip_prefix("--format="))
        {
            json = value == "json";
        }
        is_value = word == "--format";
    }
    match json {
        true => Format::Json,
        false => Format::Text,
    }
}

/// The error in our own form: one line, and a hint of what clap suggests and how the command is called.
fn from_clap(error: &clap::Error, words: &[OsString]) -> Error {
    if error.kind() == ClapErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Error::new(ErrorKind::Usage, "no command is given")
            .with_hint("`banger --help` lists the commands");
    }
    let mut text = error.render().to_string();
    // A new line in an argument must not begin a line of ours.
    for word in words.iter().filter_map(|word| word.to_str()) {
        let value = word.split_once('=').map_or(word, |(_, value)| value);
        for part in [word, value] {
            if part.contains('\n') {
                text = text.replace(part, &printable(part));
            }
        }
    }
    let mut paragraphs = text.split("\n\n").map(str::trim);
    let first = paragraphs.next().unwrap_or_default();
    let message = one_line(first.strip_prefix("error: ").unwrap_or(first));
    let advice: Vec<String> = paragraphs
        .filter(|paragraph| !paragraph.is_empty() && !paragraph.starts_with("For more information"))
        .map(|paragraph| one_line(&paragraph.replace("tip: ", "").replace("Usage: ", "usage: ")))
        .collect();
    let error = Error::new(ErrorKind::Usage, message);
    match advice.is_empty() {
        true => error.with_hint("--help describes the options"),
        false => error.with_hint(advice.join("; ")),
    }
}

/// The lines of a paragraph as one: those of a list are parted by commas.
fn one_line(paragraph: &str) -> String {
    let mut lines = paragraph.lines().map(str::trim);
    let mut text = lines.next().unwrap_or_default().to_owned();
    for (index, line) in lines.enumerate() {
        text.push_str(if index == 0 || line.starts_with('[') {
            " "
        } else {
            ", "
        });
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &[&str]) -> Error {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let error = Arguments::command()
            .try_get_matches_from(&words)
            .expect_err("the words are wrong");
        from_clap(&error, &words)
    }

    #[test]
    fn what_clap_says_becomes_one_line_and_a_hint() {
        let error = refused(&["banger", "flatten"]);
        assert_eq!(
            error.to_string(),
            "the following required arguments were not provided: --output <FILE>, <SOURCE>"
        );
        assert!(error.hint().unwrap().starts_with("usage: banger flatten"));
        let error = refused(&["banger", "image", "list", "--fromat"]);
        assert_eq!(error.to_string(), "unexpected argument '--fromat' found");
        assert!(error.hint().unwrap().contains("'--format'"), "{error:?}");
        let error = refused(&["banger", "--format", "a\nerror: b", "man", "x"]);
        assert!(error.to_string().contains("'a\\nerror: b'"), "{error}");
        let error = refused(&["banger"]);
        assert_eq!(error.to_string(), "no command is given");
    }

    #[test]
    fn the_format_is_known_even_where_the_words_do_not_parse() {
        for (words, format) in [
            (&["--nothing", "--format", "json"][..], Format::Json),
            (&["--format=json", "x"], Format::Json),
            (&["--format=json", "--format", "text"], Format::Text),
            (&["--", "--format", "json"], Format::Text),
            (&["--format"], Format::Text),
        ] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(wanted_format(&words), format, "{words:?}");
        }
    }
}
