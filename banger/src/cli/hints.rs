//! Hints name options and commands. An option is one of the very command that failed; one of another
//! command stands with that command, in backquotes: `` `banger image pull --initrd FILE` ``.

use clap::{Command, CommandFactory};

use super::Arguments;

/// In debug builds, such as those under test, fails on a hint that names what the command at `path` or
/// another one that it calls by name does not have.
pub(super) fn check(hint: Option<&str>, path: &[String]) {
    if cfg!(debug_assertions)
        && let Some(hint) = hint
    {
        let wrong = Names::of_program().unknown(hint, Some(path));
        assert!(wrong.is_empty(), "hint names {wrong:?}: {hint}");
    }
}

/// All commands and options.
struct Names {
    program: Command,
}

impl Names {
    fn of_program() -> Self {
        let mut program = Arguments::command();
        program.build();
        Self { program }
    }

    /// What `text` names that does not exist. Options that stand alone are those of the command at `path`,
    /// or of any command where none is given.
    fn unknown(&self, text: &str, path: Option<&[String]>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (index, part) in text.split('`').enumerate() {
            if index % 2 == 1 {
                if let Some(call) = part.strip_prefix("banger ") {
                    wrong.extend(self.unknown_in_call(call));
                }
                continue;
            }
            for option in options(part) {
                let known = match path {
                    Some(path) => has_option(self.command(path), &option),
                    None => any(&self.program, &|command| has_option(command, &option)),
                };
                if !known {
                    wrong.push(format!("--{option}"));
                }
            }
        }
        wrong
    }

    /// What a call of the program, without its first word, names that does not exist.
    fn unknown_in_call(&self, call: &str) -> Vec<String> {
        let mut command = &self.program;
        for word in call.split_whitespace() {
            if word.starts_with('-') {
                continue;
            }
            match command.find_subcommand(word) {
                Some(found) => command = found,
                None => break,
            }
        }
        if std::ptr::eq(command, &self.program) && !call.starts_with('-') {
            return vec![format!("banger {call}")];
        }
        let wrong = options(call).filter(|option| !has_option(command, option));
        wrong.map(|option| format!("--{option}")).collect()
    }

    fn command(&self, path: &[String]) -> &Command {
        path.iter().fold(&self.program, |command, name| {
            command.find_subcommand(name).unwrap_or(command)
        })
    }
}

/// The long options that a text names, without their dashes and values.
fn options(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| c.is_whitespace() || "(),;:'\"[]|".contains(c))
        .filter_map(|word| word.strip_prefix("--"))
        .map(|word| word.split('=').next().unwrap_or(word).trim_end_matches('.'))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .map(str::to_owned)
}

fn has_option(command: &Command, option: &str) -> bool {
    let of_clap = ["help", "version"].contains(&option);
    of_clap
        || command
            .get_arguments()
            .any(|argument| argument.get_long() == Some(option))
}

fn any(command: &Command, holds: &dyn Fn(&Command) -> bool) -> bool {
    holds(command)
        || command
            .get_subcommands()
            .any(|subcommand| any(subcommand, holds))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn options_are_looked_for_on_their_own_command() {
        let names = Names::of_program();
        let rename = ["image".to_owned(), "rename".to_owned()];
        for (hint, wrong) in [
            ("choose another with --name", vec!["--name"]),
            ("`banger image pull --name X` names it", vec![]),
            ("`banger image list --name X`", vec!["--name"]),
            ("`banger imagine`", vec!["banger imagine"]),
            ("see `podman login --nothing`, or --format=json", vec![]),
        ] {
            assert_eq!(names.unknown(hint, Some(&rename)), wrong, "{hint}");
        }
    }

    /// Every hint, warning and message of the sources, whether a test provokes it or not.
    #[test]
    fn every_text_of_the_sources_names_what_there_is() {
        let names = Names::of_program();
        let mut hints = 0;
        for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "rs") {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for (index, _) in code.match_indices(".with_hint(") {
                hints += 1;
                for literal in literals(&code[index..]) {
                    let wrong = names.unknown(&literal, None);
                    assert!(wrong.is_empty(), "{}: {wrong:?}: {literal}", file.display());
                }
            }
            for literal in literals_with(code, "`banger ") {
                let calls = literal.split('`').skip(1).step_by(2);
                for call in calls.filter_map(|part| part.strip_prefix("banger ")) {
                    let wrong = names.unknown_in_call(call);
                    assert!(wrong.is_empty(), "{}: {wrong:?}: {call}", file.display());
                }
            }
        }
        assert!(hints > 20, "the hints were not found");
    }

    /// Every call in the documentation: in backquotes, and behind a prompt.
    #[test]
    fn every_call_of_the_documentation_names_what_there_is() {
        let names = Names::of_program();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut pages = files(&root.join("docs"), "md");
        pages.push(root.join("README.md"));
        let mut calls = 0;
        for page in pages {
            let text = fs::read_to_string(&page).unwrap();
            let spans = text.split('`').skip(1).step_by(2);
            let prompts = text.lines().filter_map(|line| line.strip_prefix("$ "));
            for call in spans
                .chain(prompts)
                .filter_map(|span| span.strip_prefix("banger "))
            {
                let call = call.split(['#', '|', '>', '\n']).next().unwrap();
                // An ellipsis or a word in capitals stands for what is to be filled in.
                if call.starts_with('…') || call.contains('{') {
                    continue;
                }
                calls += 1;
                let wrong = names.unknown_in_call(call);
                assert!(
                    wrong.is_empty(),
                    "{}: {wrong:?}: banger {call}",
                    page.display()
                );
            }
        }
        assert!(calls > 10, "the calls were not found");
    }

    fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(files(&path, extension));
            } else if path.extension().is_some_and(|end| end == extension) {
                found.push(path);
            }
        }
        found
    }

    /// The string literals of the call that `code` begins with.
    fn literals(code: &str) -> Vec<String> {
        let mut found = Vec::new();
        let (mut depth, mut literal, mut escaped) = (0, None::<String>, false);
        for character in code.chars() {
            match (&mut literal, character) {
                (Some(text), '"') if !escaped => {
                    found.push(std::mem::take(text));
                    literal = None;
                }
                (Some(text), _) => {
                    escaped = character == '\\' && !escaped;
                    text.push(character);
                }
                (None, '"') => literal = Some(String::new()),
                (None, '(') => depth += 1,
                (None, ')') => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                (None, _) => {}
            }
        }
        found
    }

    /// The parts between double quotes that hold `what`, on one line each.
    fn literals_with<'a>(code: &'a str, what: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        lines
            .flat_map(|line| line.split('"'))
            .filter(move |part| part.contains(what))
    }
}
