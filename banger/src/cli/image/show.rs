//! `banger image show`.

use banger::Error;
use banger::image::{PackagesCheck, Report};
use banger::initrd::InitrdContents;
use banger::operation::ImageShow;
use banger::size::{format_count, format_size};
use banger::store::ImageRecord;
use banger::text::{shell_word, shell_words};

use super::report_image;
use crate::cli::Global;
use crate::cli::backend::Backend;
use crate::cli::completion;
use crate::cli::kernel::facts_rows;
use crate::cli::table::fields;

/// Show what is known of an image
///
/// Looks at its files too: what is missing, how much of the disk they take, and whether the root
/// filesystem still holds the packages that it was made with.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Image: its name, or the beginning of its id
    #[arg(add = completion::images())]
    image: String,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let found = Backend::of(global)?.call(ImageShow { image: self.image }, global)?;
        report_image(&found, &warnings(&found), global)
    }
}

/// What is no longer as it was.
fn warnings(found: &Report) -> Vec<String> {
    let missing = found.missing.iter().map(|missing| {
        format!(
            "{} is missing: {}",
            missing.artifact,
            missing.path.display()
        )
    });
    let mut warnings: Vec<String> = missing.collect();
    if let PackagesCheck::Differs { .. } = found.packages_check {
        warnings.push("the packages are no longer those on record".into());
    }
    warnings
}

/// The report for people.
pub(super) fn text(found: &Report) -> String {
    let record = &found.record;
    let mut rows = vec![
        ("name", record.name.to_string()),
        ("id", record.id.to_string()),
    ];
    let mut optional = |name, value: &Option<String>| {
        rows.extend(value.iter().map(|value| (name, value.clone())));
    };
    optional("reference", &record.reference);
    optional("digest", &record.digest);
    optional("platform", &record.platform);
    optional("filesystem", &record.filesystem_uuid);
    if record.read_only {
        rows.push(("profile", "read-only".into()));
    }
    if let Some(verity) = &record.verity {
        rows.push(("root hash", verity.root_hash.clone()));
        rows.push(("hash offset", format!("{} bytes", verity.hash_offset)));
    }
    rows.push(("size", sizes(found)));
    rows.push(("created", record.created.clone()));
    rows.push(("managed", if record.managed { "yes" } else { "no" }.into()));
    rows.push(("rootfs", found.paths.rootfs.display().to_string()));
    for (name, path) in [
        ("kernel", &found.paths.kernel),
        ("initrd", &found.paths.initrd),
        ("modules", &found.paths.modules),
        ("work-seed", &found.paths.work_seed),
    ] {
        rows.extend(path.iter().map(|path| (name, path.display().to_string())));
    }
    rows.extend(record.initrd.iter().flat_map(initrd_rows));
    rows.extend(record.kernel.iter().flat_map(facts_rows));
    rows.extend(boot_rows(record));
    rows.extend(packages_row(found));
    fields(&rows)
}

/// What lies in the initrd.
fn initrd_rows(contents: &InitrdContents) -> Vec<(&'static str, String)> {
    let mut holds = format_size(contents.bytes);
    if let Some(own) = contents.own_bytes {
        holds.push_str(&format!(", {} of it your own", format_size(own)));
    }
    holds.push_str("; /init, /spec.json");
    let mut rows = vec![("initrd holds", holds)];
    if !contents.modules.is_empty() {
        rows.push(("modules", contents.modules.join(" ")));
    }
    rows
}

fn sizes(found: &Report) -> String {
    let mut text = format_size(found.record.sizes.rootfs_bytes);
    if let Some(content) = found.record.sizes.content_bytes {
        text.push_str(&format!(", {} of it content", format_size(content)));
    }
    if let Some(disk) = found.rootfs_disk_bytes {
        text.push_str(&format!(", {} on disk", format_size(disk)));
    }
    text
}

fn boot_rows(record: &ImageRecord) -> Vec<(&'static str, String)> {
    let Some(boot) = &record.boot else {
        return vec![("boots", "unknown: the filesystem could not be read".into())];
    };
    let verdict = match (boot.bootable, &record.artifacts.kernel) {
        (true, Some(_)) => "yes",
        (true, None) => "needs a kernel (--kernel-ref or --kernel)",
        (false, _) => "no",
    };
    let mut rows = vec![("boots", format!("{verdict}: {}", boot.reason))];
    if let Some(init) = &boot.init {
        let systemd = if boot.systemd { ", systemd" } else { "" };
        let target = boot.init_target.as_ref().filter(|target| *target != init);
        let target = target.map_or(String::new(), |target| format!(" -> {target}"));
        rows.push(("init", format!("{init}{target}{systemd}")));
    }
    if let Some(start) = &boot.start {
        rows.push(("pid 1", start.first_process.to_string()));
        rows.push(("program", shell_words(&start.argv)));
    }
    rows.extend(boot.missing.iter().map(|what| ("missing", what.clone())));
    rows.extend(boot.shell.iter().map(|shell| ("shell", shell.clone())));
    let runtime = &boot.runtime;
    for (name, words) in [("entrypoint", &runtime.entrypoint), ("cmd", &runtime.cmd)] {
        if !words.is_empty() {
            rows.push((name, shell_words(words)));
        }
    }
    rows.extend(
        runtime
            .env
            .iter()
            .map(|variable| ("env", shell_word(variable))),
    );
    rows.extend(runtime.user.iter().map(|user| ("user", user.clone())));
    rows.extend(
        runtime
            .working_dir
            .iter()
            .map(|path| ("workdir", path.clone())),
    );
    rows.push(("cmdline", boot.command_line.clone()));
    rows
}

fn packages_row(found: &Report) -> Option<(&'static str, String)> {
    let packages = found.record.packages.as_ref()?;
    let count = packages
        .count
        .map_or(String::new(), |count| format!("{} ", format_count(count)));
    let features = match packages.features.is_empty() {
        true => String::new(),
        false => format!(" (features: {})", packages.features.join(", ")),
    };
    let state = match &found.packages_check {
        PackagesCheck::None => String::new(),
        PackagesCheck::Matches => ", unchanged".into(),
        PackagesCheck::Differs { .. } => ", no longer those on record".into(),
        PackagesCheck::Unknown { reason } => format!(", whether unchanged is unknown: {reason}"),
    };
    Some((
        "packages",
        format!("{count}{}{features}{state}", packages.source),
    ))
}
