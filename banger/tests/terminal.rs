//! The program on a terminal of 24 rows, which tmux emulates: what is on the screen when it has ended.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may")]

#[allow(dead_code, reason = "each test binary uses its own part")]
mod support;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::{Layout, digest, run, server, tar_of, tool};

/// More than the rows of the terminal, and one.
const LAYERS: [usize; 2] = [40, 1];

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of 24 rows of 100 columns.
struct Terminal {
    folder: tempfile::TempDir,
    /// One server for each command: one that is told to end is still there for a moment.
    servers: Cell<u32>,
}

impl Terminal {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            servers: Cell::new(0),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        run(self.server().args(arguments), 0).0
    }

    fn server(&self) -> Command {
        let mut command = Command::new("tmux");
        let socket = format!("tmux-{}", self.servers.get());
        command.arg("-S").arg(self.path(&socket));
        command
    }

    /// Types a command of the program, and keys once `waits_for` is on the screen. Returns all lines that
    /// were ever on the screen and were not overwritten, to the exit code.
    fn banger(&self, arguments: &str, interrupt_at: Option<&str>) -> Vec<String> {
        let (script, done) = (self.path("script"), self.path("done"));
        let program = env!("CARGO_BIN_EXE_banger");
        let home = self.path("home");
        let text = format!(
            "trap : INT\nexport BANGER_HOME={home}\n{program} {arguments}\necho \"exit $?\"\n\
             touch {done}\nsleep 600\n",
            home = home.display(),
            done = done.display()
        );
        fs::write(&script, text).unwrap();
        let _ = fs::remove_file(&done);
        self.servers.set(self.servers.get() + 1);
        let shell = format!("sh {}", script.display());
        let session = ["new-session", "-d", "-x", "100", "-y", "24", &shell];
        self.tmux(&[&["-f", "/dev/null"], &session[..]].concat());
        let begun = Instant::now();
        if let Some(text) = interrupt_at {
            while !self.screen().contains(text) {
                assert!(begun.elapsed() < PATIENCE, "{}", self.screen());
                sleep(Duration::from_millis(20));
            }
            self.tmux(&["send-keys", "C-c"]);
        }
        while !done.exists() {
            assert!(begun.elapsed() < PATIENCE, "{}", self.screen());
            sleep(Duration::from_millis(20));
        }
        let screen = self.screen();
        self.tmux(&["kill-server"]);
        let lines = screen.lines().map(|line| line.trim_end().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// What is on the screen and what has scrolled off it; wrapped lines are one.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-S", "-"])
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It is mostly gone by now.
        let _ = self.server().arg("kill-server").output();
    }
}

/// A layout of so many layers, in `folder`. Each of its layers has something to warn of.
fn layout(folder: &Path, layers: usize) -> Layout {
    let mut layout = Layout::new(folder);
    for layer in 0..layers {
        let name = format!("file-{layer}");
        let content = vec![b'x'; 100_000];
        layout.gzip_layer(&tar_of(&[(&name, &content), (&format!(".wh.{name}"), b"")]));
    }
    layout
}

/// The rows of a report are those, each once, and nothing else is on the screen.
#[track_caller]
fn assert_rows(lines: &[String], warnings: usize, rows: &[&str]) {
    let (warned, rest) = lines.split_at(warnings.min(lines.len()));
    let all_warn = warned
        .iter()
        .all(|line| line.starts_with("warning: layer "));
    assert!(all_warn, "{lines:#?}");
    let expected: Vec<&str> = rows.iter().copied().chain(["exit 0"]).collect();
    let same = rest.len() == expected.len()
        && rest
            .iter()
            .zip(&expected)
            .all(|(line, row)| line.starts_with(row));
    assert!(same, "{lines:#?}\n{expected:?}");
}

const FLATTENED: [&str; 11] = [
    "reference ",
    "digest ",
    "platform ",
    "layers ",
    "entries ",
    "content ",
    "filesystem ",
    "free ",
    "on disk ",
    "uuid ",
    "time ",
];

#[test]
fn the_result_is_all_that_is_left_on_the_screen() {
    if !tool("tmux") {
        return;
    }
    for layers in LAYERS {
        let terminal = Terminal::new();
        let folder = terminal.path("layout");
        let local = layout(&folder, layers).finish();
        let image = server::serve(&folder, None);
        for (number, source) in [&image, &local].into_iter().enumerate() {
            let output = terminal.path(&format!("out-{number}"));
            let output = output.display();
            let flatten = format!("flatten --no-fsync --plain-http {source} -o {output}");
            let lines = terminal.banger(&flatten, None);
            let rows = [&FLATTENED[..], &["output "]].concat();
            assert_rows(&lines, layers, &rows);

            let verity = format!("{flatten}.verity --profile read-only --verity");
            let lines = terminal.banger(&verity, None);
            let rows = [
                &FLATTENED[..10],
                &["root hash ", "hash offset ", "time ", "output "],
            ];
            assert_rows(&lines, layers, &rows.concat());

            let lines = terminal.banger(&format!("{flatten}.json --format json"), None);
            let document = lines[..lines.len() - 1].join("\n");
            let document: serde_json::Value = serde_json::from_str(&document).unwrap();
            assert!(document["uuid"].is_string());
            assert_eq!(document["warnings"].as_array().unwrap().len(), layers);

            let lines = terminal.banger(&format!("-v {flatten}.log"), None);
            let rows = [&FLATTENED[..], &["output "]].concat();
            let report = lines.len() - rows.len() - 1 - layers;
            assert_rows(&lines[report..], layers, &rows);
            let logged = lines[..report].iter();
            let mut other = logged.filter(|line| !line.contains("DEBUG"));
            assert_eq!(other.next(), None, "{lines:#?}");
        }
    }
}

#[test]
fn a_failure_is_told_whole() {
    if !tool("tmux") {
        return;
    }
    for layers in LAYERS {
        let terminal = Terminal::new();
        let folder = terminal.path("layout");
        let mut broken = layout(&folder, layers - 1);
        let media_type = "application/vnd.oci.image.layer.v1.tar";
        broken.layer(media_type, &tar_of(&[("x", b"y")]), &digest(b"another"));
        let local = broken.finish();
        let image = server::serve(&folder, None);
        for (source, verbosity) in [(&image, ""), (&local, ""), (&image, "-v ")] {
            let output = terminal.path("out");
            let command = format!(
                "{verbosity}flatten --no-fsync --plain-http {source} -o {}",
                output.display()
            );
            let lines = terminal.banger(&command, None);
            let [.., error, exit] = &lines[..] else {
                panic!("{lines:#?}")
            };
            assert!(
                error.starts_with(&format!("error: layer {layers} of {layers}")),
                "{lines:#?}"
            );
            assert_eq!(exit, "exit 7");
            assert!(!verbosity.is_empty() || lines.len() == 2, "{lines:#?}");
            assert!(!output.exists());
        }
    }
}

#[test]
fn an_interrupted_command_says_so_below_its_bars() {
    if !tool("tmux") {
        return;
    }
    for layers in LAYERS {
        let terminal = Terminal::new();
        let folder = terminal.path("layout");
        let mut image = layout(&folder, layers - 1);
        let last = tar_of(&[("last", &[7; 1 << 20])]);
        image.plain_layer(&last);
        image.finish();
        let image = server::serve(&folder, Some(&digest(&last)));
        let output = terminal.path("out");
        let flatten = format!(
            "flatten --no-fsync --plain-http {image} -o {}",
            output.display()
        );
        let pull = format!("image pull --plain-http {image}");
        for command in [&flatten, &pull, &format!("-v {flatten}")] {
            // It is told with the bars, where the last layer has one, and with the total.
            let lines = terminal.banger(command, Some("flattening"));
            let [.., error, exit] = &lines[..] else {
                panic!("{lines:#?}")
            };
            assert!(
                error.starts_with("error: ") && error.contains("interrupted"),
                "{lines:#?}"
            );
            assert_eq!(exit, "exit 130", "{lines:#?}");
            assert!(!output.exists());
        }
    }
}

#[test]
fn a_pull_shows_its_image_with_and_without_the_daemon() {
    if !tool("tmux") {
        return;
    }
    for layers in LAYERS {
        let terminal = Terminal::new();
        let folder = terminal.path("layout");
        layout(&folder, layers).finish();
        let image = server::serve(&folder, None);
        let expected = |command: &mut Command| {
            command.env("BANGER_HOME", terminal.path("plain"));
            let (stdout, _) = run(command, 0);
            stdout
                .lines()
                .map(|line| line.chars().take(8).collect())
                .collect::<Vec<String>>()
        };
        let mut plain = support::banger();
        plain.args(["image", "pull", "--plain-http", &image]);
        let rows = expected(&mut plain);
        let rows: Vec<&str> = rows.iter().map(|row| row.trim_end()).collect();
        let pull = format!("image pull --plain-http {image}");
        let mut daemon = support::banger()
            .env("BANGER_HOME", terminal.path("home"))
            .args(["daemon", "-q"])
            .spawn()
            .unwrap();
        let lines = terminal.banger(&format!("{pull} --name local"), None);
        let warnings = lines.len() - rows.len() - 1;
        assert_rows_after_warnings(&lines, warnings, &rows);
        let socket = terminal.path("home/banger.sock");
        while !socket.exists() {
            sleep(Duration::from_millis(20));
        }
        let lines = terminal.banger(&format!("--daemon {pull} --name remote"), None);
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        assert_rows_after_warnings(&lines, warnings, &rows);
    }
}

/// As [`assert_rows`], after warnings of any kind.
#[track_caller]
fn assert_rows_after_warnings(lines: &[String], warnings: usize, rows: &[&str]) {
    let (warned, rest) = lines.split_at(warnings);
    let all_warn = warned.iter().all(|line| line.starts_with("warning: "));
    assert!(all_warn, "{lines:#?}");
    assert_rows(rest, 0, rows);
}
