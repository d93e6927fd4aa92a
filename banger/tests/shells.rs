//! Completion in the shells themselves, and the man pages as `man` reads them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests may"
)]

mod storekit;
#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use storekit::good_kernel;
use support::{banger, names, run, tool};

/// A home with the images `web` and `worker` and the kernel `cloud`.
fn home() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let (disk, kernel) = (file("disk", &[0; 4096]), file("vmlinux", &good_kernel()));
    for arguments in [
        ["image", "register", "--name", "web", "--rootfs", &disk],
        ["image", "register", "--name", "worker", "--rootfs", &disk],
        ["kernel", "import", "cloud", "--kernel", &kernel, "--quiet"],
    ] {
        run(
            banger()
                .env("BANGER_HOME", folder.path().join("home"))
                .args(arguments),
            0,
        );
    }
    folder
}

/// A shell that finds the program by its name.
fn shell(name: &str, home: &Path) -> Command {
    let mut command = Command::new(name);
    let folder = Path::new(env!("CARGO_BIN_EXE_banger")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    command
        .env("PATH", std::env::join_paths(folders).unwrap())
        .env("BANGER_HOME", home.join("home"))
        .env("HOME", home)
        .env("TERM", "dumb")
        .current_dir(home);
    command
}

/// What is typed, and words that are offered for its end.
const TYPED: [(&str, &[&str]); 8] = [
    ("banger image show w", &["web", "worker"]),
    ("banger image inspect we", &["web"]),
    ("banger image remove web wo", &["worker"]),
    ("banger kernel show cl", &["cloud"]),
    ("banger image pull x --kernel-ref c", &["cloud"]),
    ("banger image bo", &["boot-config"]),
    ("banger image pull x --kernel-r", &["--kernel-ref"]),
    ("banger --format j", &["json"]),
];

#[test]
fn bash_completes_names() {
    if !tool("bash") {
        return;
    }
    let home = home();
    for (typed, expected) in TYPED {
        let script = r#"
            source <(banger completion bash)
            spec=$(complete -p banger)
            [[ $spec =~ -F\ ([^ ]+) ]]
            function=${BASH_REMATCH[1]}
            IFS=' ' read -ra COMP_WORDS <<< "$TYPED"
            [[ $TYPED == *' ' ]] && COMP_WORDS+=('')
            COMP_LINE=$TYPED COMP_POINT=${#TYPED} COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=9
            "$function" banger "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
            printf '%s\n' "${COMPREPLY[@]}"
        "#;
        let mut bash = shell("bash", home.path());
        bash.args(["--norc", "-c", script]).env("TYPED", typed);
        let (stdout, stderr) = run(&mut bash, 0);
        let offered: Vec<&str> = stdout.split_whitespace().collect();
        assert_eq!(offered, expected, "{typed}\n{stderr}");
    }
}

#[test]
fn fish_completes_names() {
    if !tool("fish") {
        return;
    }
    let home = home();
    for (typed, expected) in TYPED {
        let script = "banger completion fish | source; complete -C $TYPED";
        let mut fish = shell("fish", home.path());
        fish.args(["--no-config", "-c", script]).env("TYPED", typed);
        let (stdout, stderr) = run(&mut fish, 0);
        // Behind a tab there may be what a word means.
        let offered: Vec<&str> = stdout
            .lines()
            .map(|line| line.split('\t').next().unwrap())
            .collect();
        assert_eq!(offered, expected, "{typed}\n{stderr}");
    }
}

/// zsh completes in a terminal only, so one types into another.
#[test]
fn zsh_completes_names() {
    if !tool("zsh") {
        return;
    }
    let home = home();
    for (typed, expected) in TYPED {
        let script = r#"
            zmodload zsh/zpty
            zpty shell "TERM=dumb zsh -f -i"
            zpty -w shell 'PS1=; PS2=; unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u -D'
            zpty -w shell 'source <(banger completion zsh); compdef _clap_dynamic_completer_banger banger'
            zpty -w shell 'bindkey "^X" list-choices; zstyle ":completion:*" list-prompt ""; LISTMAX=0'
            # Shows what is offered, and in the place of the cursor what is inserted. The terminal's echo of this line has no ">>".
            zpty -w shell 'show() { zle complete-word; print -r -- "<<$BUFFER>"">" }; zle -N show; bindkey "^I" show'
            zpty -w shell 'print -r -- READY''MARK'
            text=
            while zpty -r shell chunk && [[ $text != *READYMARK* ]]; do text+=$chunk; done
            zpty -w -n shell "$TYPED"$'\t'
            text=
            while zpty -r shell chunk '*>>*'; do text+=$chunk; [[ $text == *'>>'* ]] && break; done
            print -r -- "$text"
        "#;
        let mut zsh = shell("timeout", home.path());
        zsh.args(["20", "zsh", "-f", "-c", script])
            .env("TYPED", typed);
        let (stdout, stderr) = run(&mut zsh, 0);
        let whole = match expected {
            [only] => format!("{} {only}", typed.rsplit_once(' ').unwrap().0),
            // What they begin with alike.
            _ => typed.to_owned(),
        };
        assert!(stdout.contains(&whole), "{typed}\n{stdout}{stderr}");
    }
}

#[test]
fn every_command_has_a_page_with_all_its_sections() {
    if !tool("man") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run(banger().arg("man").arg(folder.path()), 0);
    let pages = names(folder.path());
    for page in [
        "banger.1",
        "banger-image-pull.1",
        "banger-config.1",
        "banger-config.5",
    ] {
        assert!(pages.iter().any(|name| name == page), "{pages:?}");
    }
    for page in &pages {
        let mut man = Command::new("man");
        // Whatever the formatter complains of is a fault of the page.
        man.args(["--local-file", "--warnings=all", "-Tutf8", "--nh", "--nj"])
            .arg(folder.path().join(page))
            .env("MANWIDTH", "120")
            .env("MAN_KEEP_FORMATTING", "0")
            .env("GROFF_NO_SGR", "1")
            .env("LC_ALL", "C.UTF-8");
        let (text, stderr) = run(&mut man, 0);
        assert_eq!(stderr, "", "{page}");
        let text = without_overstrikes(&text);
        let sections: &[&str] = match page.ends_with(".5") {
            true => &[
                "NAME",
                "DESCRIPTION",
                "KEYS OF CONFIG.TOML",
                "ENVIRONMENT",
                "PLACES",
                "SEE ALSO",
            ],
            false => &[
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "EXIT STATUS",
                "ENVIRONMENT",
                "FILES",
                "SEE ALSO",
            ],
        };
        for section in sections {
            assert!(
                text.lines().any(|line| line == *section),
                "{page}: {section}\n{text}"
            );
        }
        let title = page.rsplit_once('.').unwrap();
        let title = format!("{}({})", title.0.to_uppercase(), title.1);
        assert!(text.starts_with(&title), "{page}\n{text}");
        // Every page that another names is there. The first and the last line are the page's own title, run together
        // where it is long.
        let text = text.trim().split_once('\n').unwrap().1;
        let text = text.rsplit_once('\n').unwrap().0;
        for (at, _) in text.match_indices("(1)") {
            let name: String = text[..at]
                .chars()
                .rev()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect();
            let name: String = name.chars().rev().collect::<String>().to_lowercase();
            assert!(
                pages.contains(&format!("{name}.1")),
                "{page} names {name}(1)"
            );
        }
    }
    let page = fs::read_to_string(folder.path().join("banger-image-rename.1")).unwrap();
    assert!(page.contains("banger image rename"), "{page}");
    let page = fs::read_to_string(folder.path().join("banger-flatten.1")).unwrap();
    let synopsis = page.split(".SH").nth(2).unwrap();
    for part in [
        "\\-o|\\-\\-output\\fR \\fIFILE",
        "[\\fB\\-\\-size\\fR \\fISIZE\\fR]",
        "\\fISOURCE",
    ] {
        assert!(synopsis.contains(part), "{part}\n{synopsis}");
    }
}

/// Bold and underlined characters are typed over one another.
fn without_overstrikes(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        match character {
            '\u{8}' => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}
