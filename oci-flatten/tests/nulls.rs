//! `null`, wherever it stands in a document from outside, means the same as nothing; anything else of a wrong type is
//! named.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod support;

use std::fs;

use oci_flatten::credentials::{Credential, CredentialPlaces, find};
use oci_flatten::digest::Digest;
use oci_flatten::error::{Error, ErrorKind};
use oci_flatten::image::{Image, resolve};
use oci_flatten::limits::Limits;
use oci_flatten::media_type;
use serde_json::{Value, json};
use support::{Blobs, index, layer, manifest};

/// The pointers of all values in a document, but for the document itself.
fn pointers(document: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match document {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (key, value) in children {
        found.push(format!("/{key}"));
        found.extend(
            pointers(value)
                .into_iter()
                .map(|rest| format!("/{key}{rest}")),
        );
    }
    found
}

fn replaced(document: &Value, pointer: &str, value: Value) -> Value {
    let mut document = document.clone();
    *document.pointer_mut(pointer).unwrap() = value;
    document
}

fn removed(document: &Value, pointer: &str) -> Value {
    let mut document = document.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.remove(&key.replace("~1", "/").replace("~0", "~"))),
        Value::Array(list) => drop(list.remove(key.parse().unwrap())),
        _ => unreachable!("only these have children"),
    }
    document
}

fn full_config() -> Value {
    let tar = layer("a", "b");
    json!({
        "created": "2024-05-06T07:08:09Z", "author": "me", "os": "linux", "architecture": "amd64", "variant": "v1",
        "os.version": "1", "os.features": [],
        "config": {
            "User": "me", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=b", "C=d"], "Entrypoint": ["sh"], "Cmd": ["-c"],
            "Volumes": {"/data": {}}, "WorkingDir": "/", "Labels": {"a": "b"}, "StopSignal": "TERM",
        },
        "rootfs": {"type": "layers", "diff_ids": [Digest::sha256(&tar).to_string()]},
        "history": [
            {"created": "2024-05-06T07:08:09Z", "author": "me", "created_by": "x", "comment": "y", "empty_layer": true},
        ],
    })
}

/// Finds the image of three documents, and tells what matters of it.
async fn outcome(config: &Value, change: impl Fn(&mut Value, &mut Value)) -> Result<String, Error> {
    let mut blobs = Blobs::default();
    let config = blobs.add_json(media_type::OCI_CONFIG, config);
    let stored = blobs.add(media_type::OCI_LAYER, layer("a", "b"));
    let mut image = manifest(&config, &[stored]);
    image["annotations"] = json!({"a": "b"});
    let mut list = index(&[]);
    change(&mut image, &mut list);
    let mut entry = blobs.add_json(media_type::OCI_MANIFEST, &image);
    entry["artifactType"] = json!("");
    entry["annotations"] = json!({"a": "b"});
    entry["platform"] =
        json!({"os": "linux", "architecture": "amd64", "variant": "v1", "os.features": []});
    list["manifests"] = json!([entry]);
    change(&mut image, &mut list);
    let top = blobs.add_json(media_type::OCI_INDEX, &list);
    let platform = "linux/amd64".parse().unwrap();
    let limits = Limits::default();
    let found = resolve(&blobs, "test", blobs.document(&top), &platform, &limits).await;
    found.map(|image: Image| format!("{} {:?} {:?}", image.platform, image.layers, image.created))
}

fn text(outcome: Result<String, Error>) -> String {
    outcome.unwrap_or_else(|error| format!("{:?}: {error}", error.kind()))
}

#[tokio::test]
async fn null_is_nothing_in_the_documents_of_an_image() {
    let config = full_config();
    for pointer in pointers(&config) {
        let null = outcome(&replaced(&config, &pointer, Value::Null), |_, _| ()).await;
        let nothing = outcome(&removed(&config, &pointer), |_, _| ()).await;
        assert_eq!(text(null), text(nothing), "{pointer}");
    }
    for pointer in [
        "/mediaType",
        "/annotations",
        "/annotations/a",
        "/schemaVersion",
    ] {
        let at = |document: &mut Value, value: Option<Value>| {
            if document.pointer(pointer).is_some() {
                *document = match value {
                    Some(value) => replaced(document, pointer, value),
                    None => removed(document, pointer),
                };
            }
        };
        let null = outcome(&config, |image, _| at(image, Some(Value::Null))).await;
        let nothing = outcome(&config, |image, _| at(image, None)).await;
        assert!(null.is_ok(), "{pointer}");
        assert_eq!(text(null), text(nothing), "{pointer}");
    }
    for pointer in [
        "/mediaType",
        "/manifests/0/artifactType",
        "/manifests/0/annotations",
        "/manifests/0/annotations/a",
        "/manifests/0/platform",
        "/manifests/0/platform/os",
        "/manifests/0/platform/architecture",
        "/manifests/0/platform/variant",
        "/manifests/0/platform/os.features",
    ] {
        let at = |list: &mut Value, null: bool| {
            if list.pointer(pointer).is_some() {
                *list = match null {
                    true => replaced(list, pointer, Value::Null),
                    false => removed(list, pointer),
                };
            }
        };
        let null = outcome(&config, |_, list| at(list, true)).await;
        let nothing = outcome(&config, |_, list| at(list, false)).await;
        assert_eq!(text(null), text(nothing), "{pointer}");
    }
}

#[tokio::test]
async fn a_field_of_a_wrong_type_is_named() {
    let config = full_config();
    let free = ["/config/ExposedPorts/80~1tcp", "/config/Volumes/~1data"];
    for pointer in pointers(&config) {
        if free.contains(&&*pointer) {
            continue;
        }
        let wrong = match config.pointer(&pointer).unwrap() {
            Value::Array(_) => json!("text"),
            _ => json!([1]),
        };
        let error = outcome(&replaced(&config, &pointer, wrong), |_, _| ()).await;
        let error = error.expect_err(&pointer);
        assert_eq!(error.kind(), ErrorKind::Malformed, "{pointer}: {error}");
        // os.features[0] has no element to break, and a key may hold a dot.
        let keys = pointer.trim_start_matches('/').split('/');
        let mut path = String::new();
        for key in keys {
            match key.parse::<usize>() {
                Ok(index) => path += &format!("[{index}]"),
                Err(_) if path.is_empty() => path += key,
                Err(_) => path += &format!(".{}", key.replace("~1", "/")),
            }
        }
        let expected = format!("image configuration does not parse at {path}");
        assert!(error.message().contains(&expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn null_is_nothing_in_credential_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.json");
    let places = CredentialPlaces {
        auth_file: Some(path.clone()),
        ..CredentialPlaces::none()
    };
    let user = async |document: &Value| {
        fs::write(&path, document.to_string()).unwrap();
        match find(&places, "r.io", "org/app")
            .await
            .map(|found| found.credential)
        {
            Ok(Some(Credential::Basic { username, password })) => format!("{username}:{password}"),
            Ok(Some(Credential::IdentityToken(token) | Credential::RegistryToken(token))) => token,
            Ok(_) => "anonymous".to_owned(),
            Err(error) => panic!("{document}: {error}"),
        }
    };
    let entry = json!({"auth": "YTpwdw==", "username": "b", "password": "x", "identitytoken": "", "registrytoken": ""});
    let document = json!({
        "auths": {"r.io/org": entry, "r.io": {"identitytoken": "t"}, "https://r.io/v1/": {"registrytoken": "u"}},
        "credHelpers": {"other.io": "x"}, "credsStore": "",
    });
    for pointer in pointers(&document) {
        let null = user(&replaced(&document, &pointer, Value::Null)).await;
        let nothing = user(&removed(&document, &pointer)).await;
        assert_eq!(null, nothing, "{pointer}");
    }

    // Whatever stands in an entry of another registry stops nobody.
    for wrong in [
        json!("text"),
        json!(5),
        json!([]),
        json!({"auth": 5}),
        json!({"auth": "!"}),
    ] {
        let other = json!({"auths": {"r.io": {"auth": "YTpwdw=="}, "other.io": wrong, "r.io.evil": wrong, "r.io/other": wrong},
            "credHelpers": {"other.io": wrong}});
        assert_eq!(user(&other).await, "a:pw", "{wrong}");
    }
    let broken = json!({"auths": {"r.io": {"auth": "YTpw\r\ndw=\n=\n"}}});
    assert_eq!(user(&broken).await, "a:pw");
}
