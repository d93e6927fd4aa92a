//! Modules import one another in one direction: no circles, but for those between a module and what it is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Circles that are known, each named by its first module, until they are gone.
const KNOWN: &[&str] = &[
    "banger: daemon::connection",
    "banger: image::describe",
    "banger: kernel::catalog",
];

/// A module by the names that lead to it from the crate's root.
type Module = Vec<String>;

#[test]
fn modules_import_one_another_in_one_direction() {
    let mut found = Vec::new();
    for member in ["ext4-writer", "oci-flatten", "oci-flatten/tar", "banger"] {
        let sources = Sources::read(&banger_tests::repository().join(member).join("src"));
        assert!(sources.text.len() > 10, "{member}: no sources");
        for circle in sources.circles() {
            let name = format!("{member}: {}", circle[0]);
            if !KNOWN.contains(&name.as_str()) {
                found.push(format!("{member}: {}", circle.join(" ↔ ")));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_circle_is_found_through_a_re_export() {
    let text = [
        ("", "mod a;\nmod b;\npub use self::b::Thing;\n"),
        ("a", "use crate::Thing;\npub struct Other;\n"),
        ("b", "use super::a::Other;\npub struct Thing;\n"),
        ("b::c", "use super::Thing;\n"),
    ];
    let module = |name: &str| -> Module {
        let parts = name.split("::").filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    let text = text.map(|(name, text)| (module(name), text.to_owned()));
    let sources = Sources {
        text: BTreeMap::from(text),
    };
    assert_eq!(sources.circles(), [["a", "b"]]);
}

struct Sources {
    text: BTreeMap<Module, String>,
}

impl Sources {
    fn read(root: &Path) -> Self {
        let mut text = BTreeMap::new();
        let mut folders = vec![(root.to_owned(), Module::new())];
        while let Some((folder, above)) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                let mut module = above.clone();
                if path.is_dir() {
                    module.push(name);
                    folders.push((path, module));
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    if !matches!(name.as_str(), "mod" | "lib" | "main") {
                        module.push(name);
                    }
                    let source = fs::read_to_string(&path).unwrap();
                    let source = source.split("\n#[cfg(test)]").next().unwrap();
                    *text.entry(module).or_default() += source;
                }
            }
        }
        Self { text }
    }

    /// Each circle's modules in order.
    fn circles(&self) -> Vec<Vec<String>> {
        let edges = self.edges();
        let reached: BTreeMap<&Module, BTreeSet<&Module>> = self
            .text
            .keys()
            .map(|module| (module, reachable(&edges, module)))
            .collect();
        let mut circles = BTreeSet::new();
        for (module, there) in &reached {
            let back = there
                .iter()
                .filter(|other| reached[**other].contains(module));
            let circle: BTreeSet<_> = back.map(|module| module.join("::")).collect();
            if circle.len() > 1 {
                circles.insert(circle.into_iter().collect());
            }
        }
        circles.into_iter().collect()
    }

    /// What each module imports of others that are neither above nor below it.
    fn edges(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let mut exported = BTreeMap::new();
        let mut imported = Vec::new();
        for (module, text) in &self.text {
            for (is_public, path) in imports(text) {
                let Some(path) = self.absolute(module, path) else {
                    continue;
                };
                if is_public && let Some(name) = path.last() {
                    let here = [module.as_slice(), std::slice::from_ref(name)].concat();
                    exported.insert(here, path);
                } else {
                    imported.push((module, path));
                }
            }
        }
        let mut edges: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, path) in imported {
            let defined = self.defining(path, &exported);
            if !defined.starts_with(module) && !module.starts_with(&defined) {
                edges.entry(module.clone()).or_default().insert(defined);
            }
        }
        edges
    }

    /// A path from the crate's root; `None` where it leads to another crate.
    fn absolute(&self, module: &Module, path: Vec<String>) -> Option<Module> {
        let mut base = module.clone();
        match path[0].as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => drop(base.pop()),
            first => {
                base.push(first.to_owned());
                self.text.get(&base)?;
                base.pop();
                return Some([base, path].concat());
            }
        }
        for part in path.into_iter().skip(1) {
            match part.as_str() {
                "super" => drop(base.pop()),
                _ => base.push(part),
            }
        }
        Some(base)
    }

    /// The module that defines what a path names, through any number of re-exports.
    fn defining(&self, mut path: Module, exported: &BTreeMap<Module, Module>) -> Module {
        for _ in 0..8 {
            match exported.get(&path) {
                Some(origin) if *origin != path => path.clone_from(origin),
                _ => break,
            }
        }
        while !self.text.contains_key(&path) {
            path.pop();
        }
        path
    }
}

fn reachable<'a>(
    edges: &'a BTreeMap<Module, BTreeSet<Module>>,
    from: &Module,
) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut pending: Vec<_> = edges.get(from).into_iter().flatten().collect();
    while let Some(module) = pending.pop() {
        if reached.insert(module) {
            pending.extend(edges.get(module).into_iter().flatten());
        }
    }
    reached
}

/// The paths that a source imports, and whether it exports them.
fn imports(text: &str) -> Vec<(bool, Vec<String>)> {
    let mut paths = Vec::new();
    for statement in text.split(';') {
        let Some(line) = statement
            .lines()
            .position(|line| is_import(line.trim_start()))
        else {
            continue;
        };
        let statement: String = statement.lines().skip(line).collect();
        let Some((visibility, tree)) = statement.trim_start().split_once("use ") else {
            continue;
        };
        let mut expanded = Vec::new();
        expand(&[], tree, &mut expanded);
        paths.extend(
            expanded
                .into_iter()
                .map(|path| (!visibility.is_empty(), path)),
        );
    }
    paths
}

fn is_import(line: &str) -> bool {
    let rest = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or("", |(_, rest)| rest),
        Some(rest) => rest,
        None => line,
    };
    rest.trim_start().starts_with("use ")
}

/// `a::{b, c::{d, e}}` as its paths.
fn expand(prefix: &[String], tree: &str, out: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        if !path.is_empty() {
            let parts = path.split("::").map(str::to_owned);
            out.push(prefix.iter().cloned().chain(parts).collect());
        }
        return;
    };
    let parts = head.split("::").filter(|part| !part.trim().is_empty());
    let prefix: Vec<_> = prefix
        .iter()
        .cloned()
        .chain(parts.map(|part| part.trim().to_owned()))
        .collect();
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0_i32, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &group[start..at], out);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&prefix, &group[start..], out);
}
