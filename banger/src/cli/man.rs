//! `banger man`: a page for each command, and banger-config(5).

use std::path::PathBuf;

use banger::config::reference::{self, VARIABLES};
use banger::places::LOCATIONS;
use banger::{Error, ErrorKind};
use clap::{Arg, ArgAction, Command, CommandFactory};
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use oci_flatten::directory::Directory;

use super::{Global, report};

/// Write the man pages into a folder
///
/// These are a page for each command, of section 1, and banger-config(5).
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder to write them into, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let folder = self.folder.display();
        let failed = |error| Error::io(format!("write the man pages to {folder}"), error);
        let directory = Directory::open_or_create_public(&self.folder).map_err(failed)?;
        let mut names = Vec::new();
        for (name, page) in pages() {
            // What has the name may be a link to another user's file.
            directory
                .replace_public(&name, page.as_bytes())
                .map_err(failed)?;
            names.push(name);
        }
        let reply = serde_json::json!({ "folder": self.folder, "pages": names });
        report::reply(global, &reply, &[], &names, || format!("{folder}\n"))
    }
}

/// Every page by the name of its file.
fn pages() -> Vec<(String, String)> {
    let mut program = super::Arguments::command().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    let mut waiting = vec![(&program, None)];
    while let Some((command, above)) = waiting.pop() {
        pages.push((format!("{}.1", name(command)), of_command(command, above)));
        let below = command.get_subcommands().filter(|one| !one.is_hide_set());
        waiting.extend(below.map(|one| (one, Some(command))));
    }
    pages.push(("banger-config.5".into(), of_configuration()));
    pages
}

fn name(command: &Command) -> &str {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
}

/// The page of a command; `above` is the one that it is a subcommand of.
fn of_command(command: &Command, above: Option<&Command>) -> String {
    let page = clap_mangen::Man::new(command.clone());
    let mut text = title(name(command), "1");
    text += &rendered(|out| page.render_name_section(out));
    text += &section("SYNOPSIS", |roff| {
        roff.text(synopsis(command));
    });
    text += &rendered(|out| page.render_description_section(out));
    text += &rendered(|out| page.render_options_section(out));
    if command.has_subcommands() {
        text += &rendered(|out| page.render_subcommands_section(out));
    }
    if let Some(examples) = examples(command) {
        text += &section("EXAMPLES", |roff| {
            roff.control("nf", []);
            roff.text([roman(examples)]);
            roff.control("fi", []);
        });
    }
    text += &section("EXIT STATUS", exit_status);
    text += &section("ENVIRONMENT", |roff| {
        for variable in VARIABLES {
            term(roff, variable.name, variable.summary);
        }
    });
    text += &section("FILES", |roff| {
        for place in LOCATIONS {
            let user = format!("${}/banger/{}", place.base.variable(), place.below);
            let what = format!("The {}; for root {}.", place.what, place.system);
            term(roff, &user, &what);
        }
    });
    text += &section("SEE ALSO", |roff| see_also(roff, command, above));
    text
}

fn of_configuration() -> String {
    let mut text = title("banger-config", "5");
    text += &section("NAME", |roff| {
        roff.text([roman("banger-config - what can be configured of banger")]);
    });
    text += &section("DESCRIPTION", |_| {});
    text += &body(&reference::page().to_roff());
    text += &section("SEE ALSO", |roff| {
        let pages = [
            ("banger", "1"),
            ("banger-config", "1"),
            ("containers-registries.conf", "5"),
            ("containers-auth.json", "5"),
            ("containers-certs.d", "5"),
        ];
        roff.text(references(pages));
    });
    text
}

/// What begins a page, with what keeps quotation marks as they are typed.
fn title(name: &str, section: &str) -> String {
    let mut roff = Roff::new();
    let version = concat!("banger ", env!("CARGO_PKG_VERSION"));
    roff.control(
        "TH",
        [
            &name.to_uppercase(),
            section,
            "",
            version,
            "Manual of banger",
        ],
    );
    roff.to_roff()
}

fn rendered(render: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    render(&mut bytes).expect("writing to memory does not fail");
    without_preamble(&String::from_utf8_lossy(&bytes))
}

fn section(title: &str, write: impl FnOnce(&mut Roff)) -> String {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    write(&mut roff);
    body(&roff)
}

fn body(roff: &Roff) -> String {
    without_preamble(&roff.render())
}

/// Every part begins with the same definition of how to typeset an apostrophe, which a page needs once.
fn without_preamble(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// How a command is called: every option with its value, and the arguments.
fn synopsis(command: &Command) -> Vec<Inline> {
    let called = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut line = vec![bold(called)];
    let own = |argument: &&Arg| {
        !argument.is_hide_set() && argument.get_help_heading() != Some(super::GLOBAL)
    };
    let options = command
        .get_arguments()
        .filter(own)
        .filter(|one| !one.is_positional());
    for option in options.filter(|one| !matches!(one.get_id().as_str(), "help" | "version")) {
        let flag = match (option.get_short(), option.get_long()) {
            (Some(short), Some(long)) => format!("-{short}|--{long}"),
            (None, Some(long)) => format!("--{long}"),
            (short, None) => format!("-{}", short.unwrap_or_default()),
        };
        let mut inner = vec![bold(flag)];
        if option.get_action().takes_values() {
            inner.extend([roman(" "), italic(value_of(option))]);
        }
        bracketed(&mut line, option, inner);
    }
    line.push(roman(" [global options]"));
    for argument in command.get_positionals().filter(own) {
        bracketed(&mut line, argument, vec![italic(value_of(argument))]);
    }
    if command.has_subcommands() {
        line.extend([roman(" "), italic("COMMAND")]);
    }
    line
}

fn bracketed(line: &mut Vec<Inline>, argument: &Arg, inner: Vec<Inline>) {
    let (open, close) = if argument.is_required_set() {
        (" ", "")
    } else {
        (" [", "]")
    };
    line.push(roman(open));
    line.extend(inner);
    line.push(roman(close));
    let repeated = argument
        .get_num_args()
        .is_some_and(|count| count.max_values() > 1)
        || matches!(argument.get_action(), ArgAction::Append);
    if repeated {
        line.push(roman("..."));
    }
}

fn value_of(argument: &Arg) -> String {
    match argument.get_value_names() {
        Some(names) => names.join(" "),
        None => argument.get_id().to_string().to_uppercase(),
    }
}

/// The examples that stand behind the help of a command.
fn examples(command: &Command) -> Option<String> {
    let text = command.get_after_help()?.to_string();
    Some(text.strip_prefix("Examples:\n")?.to_owned())
}

fn exit_status(roff: &mut Roff) {
    term(roff, "0", "Done.");
    for kind in ErrorKind::ALL {
        let meaning = kind.meaning();
        let sentence = meaning.chars().next().map_or(String::new(), |first| {
            format!("{}{}.", first.to_uppercase(), &meaning[first.len_utf8()..])
        });
        term(roff, &kind.exit_code().to_string(), &sentence);
    }
}

fn term(roff: &mut Roff, term: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(text)]);
}

/// The page above, those beside and below, and the configuration.
fn see_also(roff: &mut Roff, command: &Command, above: Option<&Command>) {
    let mut names: Vec<&str> = Vec::new();
    if let Some(above) = above {
        names.push(name(above));
        names.extend(
            above
                .get_subcommands()
                .map(name)
                .filter(|one| *one != name(command)),
        );
    }
    names.extend(command.get_subcommands().map(name));
    let pages = names.into_iter().map(|name| (name, "1"));
    roff.text(references(pages.chain([("banger-config", "5")])));
}

fn references<'a>(pages: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Inline> {
    let mut line = Vec::new();
    for (name, section) in pages {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([bold(name), roman(format!("({section})"))]);
    }
    line
}
