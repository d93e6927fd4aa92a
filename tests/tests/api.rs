//! The public interface of both libraries, as recorded in their `api.txt`: what others build on changes knowingly only.
//!
//! To accept a change, run with `UPDATE_GOLDEN` set and read the difference. The record is read from the source: items that can be
//! reached from outside under the names by which they are, without bodies and documentation.

use std::fs;

use banger_tests::repository;
use banger_tests::source::{ModulePath, Modules, Target, name_of};
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, ItemMod, Type, Visibility, parse_quote};

#[test]
fn the_interface_of_ext4_writer_is_as_recorded() {
    check("ext4-writer");
}

#[test]
fn the_interface_of_oci_flatten_is_as_recorded() {
    check("oci-flatten");
}

fn check(name: &str) {
    let folder = repository().join(name);
    let modules = Modules::read(&folder.join("src/lib.rs"));
    let file = syn::File {
        shebang: None,
        attrs: Vec::new(),
        items: interface(&modules, &ModulePath::new()),
    };
    let found = prettyplease::unparse(&file);
    assert!(found.len() > 5000, "{name} was not found");
    let place = folder.join("api.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&place, &found).unwrap();
    }
    let recorded = fs::read_to_string(&place).unwrap_or_default();
    for (n, (found, recorded)) in found.lines().zip(recorded.lines()).enumerate() {
        assert_eq!(found, recorded, "{name}/api.txt, line {}", n + 1);
    }
    assert!(found == recorded, "{name}/api.txt has another length");
}

/// What of a module can be named from outside.
fn interface(modules: &Modules, path: &ModulePath) -> Vec<Item> {
    let Some(module) = modules.get(path) else {
        return Vec::new();
    };
    let mut out: Vec<(String, Vec<Item>)> = Vec::new();
    for item in &module.items {
        match item {
            Item::Mod(inner) if is_public(&inner.vis) => {
                let name = inner.ident.to_string();
                let path = [&path[..], std::slice::from_ref(&name)].concat();
                out.push((
                    name.clone(),
                    vec![module_of(&name, interface(modules, &path))],
                ));
            }
            item => {
                if let Some(name) = name_of(item).filter(|_| is_public_item(item)) {
                    out.push((name.clone(), definition(modules, path, &name)));
                }
            }
        }
    }
    for import in modules
        .imports(path)
        .iter()
        .filter(|import| import.is_public)
    {
        let name = import.name.clone().unwrap_or_else(|| "*".to_owned());
        let items = match modules.resolve(path, &import.path) {
            Some(Target::Item(at, item)) => definition(modules, &at, &item),
            Some(Target::Module(at)) => vec![module_of(&name, interface(modules, &at))],
            None => {
                let text = format!("pub use {};", import.path.join("::"));
                vec![syn::parse_str(&text).unwrap()]
            }
        };
        out.push((name, items));
    }
    out.sort_by(|(a, _), (b, _)| a.cmp(b));
    out.into_iter().flat_map(|(_, items)| items).collect()
}

fn module_of(name: &str, items: Vec<Item>) -> Item {
    let name = syn::Ident::new(name, proc_macro2::Span::call_site());
    let mut module: ItemMod = parse_quote!(pub mod #name {});
    module.content = Some((syn::token::Brace::default(), items));
    module.into()
}

/// An item, what macros give it, and what is implemented for it anywhere.
fn definition(modules: &Modules, at: &ModulePath, name: &str) -> Vec<Item> {
    let module = modules.get(at).expect("it was resolved");
    let own = module
        .items
        .iter()
        .filter(|item| name_of(item).as_deref() == Some(name) || is_made_for(item, name));
    let mut items: Vec<Item> = own.cloned().collect();
    for (path, module) in modules.iter() {
        for item in &module.items {
            let Item::Impl(found) = item else { continue };
            let Type::Path(of) = &*found.self_ty else {
                continue;
            };
            let segments = of.path.segments.iter();
            let written: Vec<String> = segments.map(|part| part.ident.to_string()).collect();
            let target = Target::Item(at.clone(), name.to_owned());
            if modules.resolve(path, &written) == Some(target) {
                items.extend(public_part(found).map(Item::Impl));
            }
        }
    }
    items.iter_mut().for_each(|item| Bare.visit_item_mut(item));
    items
}

/// Whether a macro's arguments begin with the name, as those that implement something for a type do.
fn is_made_for(item: &Item, name: &str) -> bool {
    let Item::Macro(item) = item else {
        return false;
    };
    let first = item.mac.tokens.clone().into_iter().next();
    item.ident.is_none() && first.is_some_and(|token| token.to_string() == name)
}

/// The methods that others can call; of a trait, only that it is implemented.
fn public_part(found: &ItemImpl) -> Option<ItemImpl> {
    let mut part = found.clone();
    part.items.retain(|item| match item {
        ImplItem::Fn(item) => found.trait_.is_none() && is_public(&item.vis),
        ImplItem::Const(item) => found.trait_.is_none() && is_public(&item.vis),
        ImplItem::Type(_) => true,
        _ => false,
    });
    (found.trait_.is_some() || !part.items.is_empty()).then_some(part)
}

/// Takes off what is not part of the interface.
struct Bare;

impl VisitMut for Bare {
    fn visit_attributes_mut(&mut self, attributes: &mut Vec<Attribute>) {
        attributes.retain(|attribute| {
            ["derive", "non_exhaustive", "must_use", "cfg"]
                .iter()
                .any(|kept| attribute.path().is_ident(kept))
        });
    }

    fn visit_block_mut(&mut self, block: &mut syn::Block) {
        block.stmts.clear();
    }

    fn visit_item_struct_mut(&mut self, item: &mut syn::ItemStruct) {
        match &mut item.fields {
            Fields::Named(fields) => {
                let public = fields.named.iter().filter(|field| is_public(&field.vis));
                fields.named = public.cloned().collect();
            }
            Fields::Unnamed(fields) => {
                let public = fields.unnamed.iter().filter(|field| is_public(&field.vis));
                fields.unnamed = public.cloned().collect();
            }
            Fields::Unit => {}
        }
        visit_mut::visit_item_struct_mut(self, item);
    }

    fn visit_item_macro_mut(&mut self, item: &mut syn::ItemMacro) {
        self.visit_attributes_mut(&mut item.attrs);
        item.mac.tokens = without_docs(item.mac.tokens.clone());
    }
}

fn without_docs(tokens: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    use proc_macro2::{Group, TokenTree};
    let mut out: Vec<TokenTree> = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.stream().to_string().starts_with("doc ") => {
                out.pop();
            }
            TokenTree::Group(group) => {
                let inner = without_docs(group.stream());
                out.push(Group::new(group.delimiter(), inner).into());
            }
            other => out.push(other),
        }
    }
    out.into_iter().collect()
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_public_item(item: &Item) -> bool {
    match item {
        Item::Const(item) => is_public(&item.vis),
        Item::Enum(item) => is_public(&item.vis),
        Item::Fn(item) => is_public(&item.vis),
        Item::Static(item) => is_public(&item.vis),
        Item::Struct(item) => is_public(&item.vis),
        Item::Trait(item) => is_public(&item.vis),
        Item::Type(item) => is_public(&item.vis),
        Item::Union(item) => is_public(&item.vis),
        Item::Macro(item) => item.ident.is_none(),
        _ => false,
    }
}
