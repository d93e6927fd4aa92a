//! The modules of a crate, read from its source: what each defines, imports and names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// The path of a module within its crate; empty for the root.
pub type ModulePath = Vec<String>;

/// One module: a file, or a block in one.
pub struct Module {
    /// The file that it is in.
    pub file: PathBuf,
    /// Its items, without those for tests.
    pub items: Vec<Item>,
    defined: BTreeSet<String>,
    imports: Vec<Import>,
}

/// One name that a `use` brings in.
#[derive(Clone, Debug)]
pub struct Import {
    /// The path as written.
    pub path: Vec<String>,
    /// The name here; none for a glob.
    pub name: Option<String>,
    /// Whether it is `pub`, to everyone.
    pub is_public: bool,
}

/// Where a path leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// A module of the crate.
    Module(ModulePath),
    /// An item, and the module that defines it.
    Item(ModulePath, String),
}

/// A crate's modules by their paths.
#[derive(Default)]
pub struct Modules {
    modules: BTreeMap<ModulePath, Module>,
}

impl Modules {
    /// Reads a crate from its root file, such as `src/lib.rs`, without what is for tests only.
    ///
    /// # Panics
    ///
    /// When a file is missing or is not Rust.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let mut found = Self::default();
        let folder = root.parent().expect("a file lies in a folder");
        let mut waiting = vec![(ModulePath::new(), root.to_path_buf(), folder.to_path_buf())];
        while let Some((path, file, folder)) = waiting.pop() {
            let text = fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let parsed = syn::parse_file(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            found.add(path, &file, &folder, parsed.items, &mut waiting);
        }
        found
    }

    fn add(
        &mut self,
        path: ModulePath,
        file: &Path,
        folder: &Path,
        items: Vec<Item>,
        waiting: &mut Vec<(ModulePath, PathBuf, PathBuf)>,
    ) {
        let mut module = Module {
            file: file.to_path_buf(),
            items: Vec::new(),
            defined: BTreeSet::new(),
            imports: Vec::new(),
        };
        for item in items {
            if is_for_tests(attributes(&item)) {
                continue;
            }
            if let Some(name) = name_of(&item) {
                module.defined.insert(name);
            }
            match &item {
                Item::Use(import) => {
                    let is_public = matches!(import.vis, syn::Visibility::Public(_));
                    collect(
                        &import.tree,
                        &mut Vec::new(),
                        is_public,
                        &mut module.imports,
                    );
                }
                Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let inner = [&path[..], std::slice::from_ref(&name)].concat();
                    match &child.content {
                        Some((_, items)) => {
                            let folder = folder.join(&name);
                            self.add(inner, file, &folder, items.clone(), waiting);
                        }
                        None => {
                            let flat = folder.join(format!("{name}.rs"));
                            let deep = folder.join(&name).join("mod.rs");
                            let file = if flat.exists() { flat } else { deep };
                            waiting.push((inner, file, folder.join(&name)));
                        }
                    }
                }
                _ => {}
            }
            module.items.push(item);
        }
        self.modules.insert(path, module);
    }

    /// All modules, parents first.
    pub fn iter(&self) -> impl Iterator<Item = (&ModulePath, &Module)> {
        self.modules.iter()
    }

    /// The module of a path.
    #[must_use]
    pub fn get(&self, path: &[String]) -> Option<&Module> {
        self.modules.get(path)
    }

    /// What a module imports.
    #[must_use]
    pub fn imports(&self, path: &[String]) -> &[Import] {
        self.modules.get(path).map_or(&[], |module| &module.imports)
    }

    /// Where a path leads that is written in the module `from`, through all re-exports; nothing where it leaves the crate.
    #[must_use]
    pub fn resolve(&self, from: &[String], path: &[String]) -> Option<Target> {
        self.follow(from, path, 0)
    }

    fn follow(&self, from: &[String], path: &[String], depth: usize) -> Option<Target> {
        // Modules that import all of each other would go round for ever.
        const MAX_DEPTH: usize = 16;
        if depth > MAX_DEPTH {
            return None;
        }
        let mut at = from.to_vec();
        let mut is_first = true;
        for part in path {
            match part.as_str() {
                "crate" if is_first => at.clear(),
                "self" if is_first => {}
                "super" => drop(at.pop()?),
                name => {
                    let child = [&at[..], &[name.to_owned()]].concat();
                    if self.modules.contains_key(&child) {
                        at = child;
                    } else {
                        match self.named(&at, name, depth)? {
                            Target::Module(found) => at = found,
                            item @ Target::Item(..) => return Some(item),
                        }
                    }
                }
            }
            is_first = false;
        }
        Some(Target::Module(at))
    }

    /// What a name stands for in a module that has no child of that name.
    fn named(&self, at: &[String], name: &str, depth: usize) -> Option<Target> {
        let module = self.modules.get(at)?;
        if module.defined.contains(name) {
            return Some(Target::Item(at.to_vec(), name.to_owned()));
        }
        let import = module
            .imports
            .iter()
            .find(|import| import.name.as_deref() == Some(name));
        if let Some(import) = import {
            // A name of another crate resolves to itself.
            return match import.path.as_slice() {
                [only] if only == name => None,
                path => self.follow(at, path, depth + 1),
            };
        }
        let globs = module.imports.iter().filter(|import| import.name.is_none());
        globs
            .filter_map(|glob| self.follow(at, &glob.path, depth + 1))
            .find_map(|target| match target {
                Target::Module(found) if found != at => {
                    self.follow(&found, &[name.to_owned()], depth + 1)
                }
                _ => None,
            })
    }

    /// The modules whose items the module at `path` names, itself and those that hold it or that it holds left out.
    #[must_use]
    pub fn uses(&self, path: &[String]) -> BTreeSet<ModulePath> {
        let Some(module) = self.modules.get(path) else {
            return BTreeSet::new();
        };
        let mut named = Named::default();
        for item in &module.items {
            // Modules within have their own turn, and a re-export is the use of those who name it.
            match item {
                Item::Mod(_) => {}
                Item::Use(import) if !matches!(import.vis, syn::Visibility::Inherited) => {}
                item => named.visit_item(item),
            }
        }
        let private = module.imports.iter().filter(|import| !import.is_public);
        let imported = private.map(|import| import.path.clone());
        let written = named.paths.into_iter();
        written
            .chain(imported)
            .filter_map(|written| self.resolve(path, &written))
            .filter_map(|target| match target {
                Target::Item(module, _) => Some(module),
                Target::Module(_) => None,
            })
            .filter(|other| !other.starts_with(path) && !path.starts_with(other))
            .collect()
    }
}

/// The paths in code, as written.
#[derive(Default)]
struct Named {
    paths: BTreeSet<Vec<String>>,
}

impl<'a> Visit<'a> for Named {
    fn visit_path(&mut self, path: &'a syn::Path) {
        let parts = path.segments.iter().map(|part| part.ident.to_string());
        self.paths.insert(parts.collect());
        visit::visit_path(self, path);
    }
}

fn collect(tree: &UseTree, prefix: &mut Vec<String>, is_public: bool, out: &mut Vec<Import>) {
    let mut add = |path: Vec<String>, name| {
        out.push(Import {
            path,
            name,
            is_public,
        });
    };
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            collect(&path.tree, prefix, is_public, out);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            add(prefix.clone(), prefix.last().cloned());
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            add(
                [&prefix[..], std::slice::from_ref(&name)].concat(),
                Some(name),
            );
        }
        UseTree::Rename(rename) => {
            let path = match rename.ident == "self" {
                true => prefix.clone(),
                false => [&prefix[..], &[rename.ident.to_string()]].concat(),
            };
            add(path, Some(rename.rename.to_string()));
        }
        UseTree::Glob(_) => add(prefix.clone(), None),
        UseTree::Group(group) => {
            for tree in &group.items {
                collect(tree, prefix, is_public, out);
            }
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Ident>()
                    .is_ok_and(|what| what == "test")
    })
}

/// The attributes of an item.
#[must_use]
pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that an item defines, that of a module and of what it imports not among them.
#[must_use]
pub fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => return defined_by_macro(item),
        _ => return None,
    };
    Some(name.to_string())
}

/// The name of a `macro_rules!`, or of the type that `bitflags!` defines.
fn defined_by_macro(item: &syn::ItemMacro) -> Option<String> {
    if let Some(name) = &item.ident {
        return Some(name.to_string());
    }
    let tokens = item.mac.tokens.clone().into_iter();
    let mut words = tokens
        .skip_while(|token| token.to_string() != "struct")
        .skip(1);
    words.next().map(|name| name.to_string())
}
