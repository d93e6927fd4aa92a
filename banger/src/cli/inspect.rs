//! `banger inspect`.

use banger::Error;
use banger::operation::{SourceInspect, SourceInspected};
use banger::size::format_size;
use banger::text::{shell_word, shell_words};

use super::backend::Backend;
use super::source::SourceArguments;
use super::table::{fields, short_digest, table};
use super::{Global, report};

/// Show an image where it is, without pulling it
///
/// Reads the manifest, the configuration and, where there is one, the index; no layer is fetched. With
/// --format json, manifest and configuration are shown in full.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: SourceArguments,
}

impl Arguments {
    pub(super) fn run(self, global: &Global) -> Result<(), Error> {
        let inspect = SourceInspect {
            source: self.source.parameters()?.with_absolute_paths()?,
        };
        let found = Backend::of(global)?.call(inspect, global)?;
        report::reply(global, &found, &[], &found.digest, || text(&found))
    }
}

fn text(found: &SourceInspected) -> String {
    let mut rows = vec![("reference", found.reference.clone())];
    let mut optional = |name, value: Option<String>| rows.extend(value.map(|value| (name, value)));
    optional("digest", found.digest.clone());
    optional("platform", Some(found.platform.clone()));
    let platforms: Vec<String> = found
        .platforms
        .iter()
        .map(|offer| {
            offer
                .platform
                .clone()
                .unwrap_or_else(|| offer.digest.clone())
        })
        .collect();
    optional(
        "platforms",
        (!platforms.is_empty()).then(|| platforms.join(", ")),
    );
    optional("created", found.created.clone());
    let stored = found.layers_bytes.map_or(String::new(), |bytes| {
        format!(", {} stored", format_size(bytes))
    });
    optional("layers", Some(format!("{}{stored}", found.layers.len())));
    let runtime = &found.runtime;
    for (name, words) in [("entrypoint", &runtime.entrypoint), ("cmd", &runtime.cmd)] {
        optional(name, (!words.is_empty()).then(|| shell_words(words)));
    }
    for variable in &runtime.env {
        optional("env", Some(shell_word(variable)));
    }
    optional("user", runtime.user.clone());
    optional("workdir", runtime.working_dir.clone());
    let mut text = fields(&rows);
    let layers = found.layers.iter().enumerate().map(|(index, layer)| {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        [
            (index + 1).to_string(),
            or_dash(layer.digest.as_deref().map(short_digest)),
            or_dash(layer.size_bytes.map(format_size)),
            or_dash(layer.media_type.clone()),
        ]
    });
    let layers: Vec<[String; 4]> = layers.collect();
    if !layers.is_empty() {
        text.push('\n');
        text += &table(["LAYER", "DIGEST", "SIZE", "MEDIA TYPE"], &layers);
    }
    text
}
