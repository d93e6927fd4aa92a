//! Credential files and helpers: which are read, in what order, and what is made of them.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_flatten::credentials::{Credential, CredentialPlaces, Lookup, find};
use oci_flatten::error::{ErrorKind, Result};
use tempfile::TempDir;

struct Home {
    folder: TempDir,
    places: CredentialPlaces,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(folder.path().join(name));
        let places = CredentialPlaces {
            runtime_dir: path("run"),
            config_home: path("config"),
            docker_config: path("docker"),
            home: path("home"),
            search_path: Some(folder.path().join("bin").into()),
            helper_timeout: Duration::from_secs(10),
            ..CredentialPlaces::none()
        };
        Self { folder, places }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn helper(&self, name: &str, script: &str) {
        let path = self.write(
            &format!("bin/docker-credential-{name}"),
            &format!("#!/bin/sh\n{script}\n"),
        );
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    async fn find(&self, domain: &str, path: &str) -> Result<Lookup> {
        find(&self.places, domain, path).await
    }

    async fn user(&self, domain: &str, path: &str) -> String {
        match self.find(domain, path).await.unwrap().credential {
            Some(Credential::Basic { username, password }) => format!("{username}:{password}"),
            Some(Credential::IdentityToken(token)) => format!("identity {token}"),
            Some(Credential::RegistryToken(token)) => format!("token {token}"),
            Some(_) | None => "anonymous".to_owned(),
        }
    }
}

/// The base64 of `USER:PASSWORD`.
fn auths(entries: &[(&str, &str)]) -> String {
    let fields: Vec<String> = entries
        .iter()
        .map(|(key, auth)| format!("{key:?}: {{\"auth\": {auth:?}}}"))
        .collect();
    format!("{{\"auths\": {{{}}}}}", fields.join(","))
}

const A: &str = "YTpwdw=="; // a:pw
const B: &str = "Yjpwdw=="; // b:pw
const C: &str = "Yzpwdw=="; // c:pw
const D: &str = "ZDpwdw=="; // d:pw

#[tokio::test]
async fn files_are_read_in_order() {
    let home = Home::new();
    let legacy = auths(&[("r.io", D)]);
    let legacy = legacy
        .strip_prefix("{\"auths\": ")
        .unwrap()
        .strip_suffix('}')
        .unwrap();
    let files = [
        ("run/containers/auth.json", auths(&[("r.io", A)]), "a:pw"),
        ("config/containers/auth.json", auths(&[("r.io", B)]), "b:pw"),
        ("docker/config.json", auths(&[("r.io", C)]), "c:pw"),
        ("home/.dockercfg", legacy.to_owned(), "d:pw"),
    ];
    for (name, text, _) in &files {
        home.write(name, text);
    }
    for (index, (name, _, user)) in files.iter().enumerate() {
        let lookup = home.find("r.io", "x").await.unwrap();
        assert_eq!(home.user("r.io", "x").await, *user);
        assert_eq!(lookup.tried.len(), index + 1);
        assert_eq!(lookup.tried[index].path, home.folder.path().join(name));
        assert_eq!(lookup.tried[index].outcome, "entry for r.io");
        fs::remove_file(home.folder.path().join(name)).unwrap();
    }
    let lookup = home.find("r.io", "x").await.unwrap();
    assert!(lookup.credential.is_none());
    assert_eq!(lookup.tried.len(), 4);
    assert!(
        lookup
            .tried
            .iter()
            .all(|tried| tried.outcome == "not there")
    );
}

#[tokio::test]
async fn an_explicit_file_is_the_only_one() {
    let mut home = Home::new();
    home.write("run/containers/auth.json", &auths(&[("r.io", A)]));
    home.places.auth_file = Some(home.write("mine.json", &auths(&[("other.io", B)])));
    assert_eq!(home.user("r.io", "x").await, "anonymous");
    assert_eq!(home.user("other.io", "x").await, "b:pw");
    home.places.auth_file = Some(home.folder.path().join("absent.json"));
    let error = home.find("r.io", "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("absent.json"));
}

#[tokio::test]
async fn without_a_runtime_folder_the_user_id_names_the_file() {
    let mut home = Home::new();
    home.places.runtime_dir = None;
    home.places.user_id = 4_000_000_001;
    let lookup = home.find("r.io", "x").await.unwrap();
    assert_eq!(
        lookup.tried[0].path,
        Path::new("/run/containers/4000000001/auth.json")
    );
}

#[tokio::test]
async fn the_most_specific_key_wins() {
    let home = Home::new();
    home.write(
        "docker/config.json",
        &auths(&[
            ("r.io", A),
            ("r.io/org", B),
            ("r.io/org/app", C),
            ("https://old.io/v1/", D),
            ("r.io/empty", ""),
        ]),
    );
    for (domain, path, user) in [
        ("r.io", "org/app", "c:pw"),
        ("r.io", "org/app/sub", "c:pw"),
        ("r.io", "org/apple", "b:pw"),
        ("r.io", "org", "b:pw"),
        ("r.io", "organ", "a:pw"),
        ("r.io", "empty/x", "a:pw"),
        ("old.io", "x", "d:pw"),
        ("old.io:443", "x", "anonymous"),
        ("r.io:5000", "org/app", "anonymous"),
        ("sub.r.io", "org/app", "anonymous"),
        ("org", "app", "anonymous"),
    ] {
        assert_eq!(home.user(domain, path).await, user, "{domain}/{path}");
    }
}

#[tokio::test]
async fn docker_hub_is_known_by_its_old_names() {
    for key in [
        "docker.io",
        "https://index.docker.io/v1/",
        "index.docker.io",
        "registry-1.docker.io",
    ] {
        let home = Home::new();
        home.write("docker/config.json", &auths(&[(key, A)]));
        assert_eq!(
            home.user("docker.io", "library/debian").await,
            "a:pw",
            "{key}"
        );
    }
}

#[tokio::test]
async fn every_form_of_entry_is_read() {
    for (entry, user) in [
        (r#"{"auth": "YTpwdw=="}"#, "a:pw"),
        (r#"{"auth": "YTpwdw"}"#, "a:pw"),
        (r#"{"auth": "YTpwOnc="}"#, "a:p:w"),
        (r#"{"auth": "YTpwdwAA"}"#, "a:pw"),
        (r#"{"username": "a", "password": "pw"}"#, "a:pw"),
        (
            r#"{"auth": "YTpwdw==", "identitytoken": "t"}"#,
            "identity t",
        ),
        (r#"{"registrytoken": "t"}"#, "token t"),
        (r#"{"email": "x@y"}"#, "anonymous"),
        ("{}", "anonymous"),
    ] {
        let home = Home::new();
        home.write(
            "docker/config.json",
            &format!("{{\"auths\": {{\"r.io\": {entry}}}}}"),
        );
        assert_eq!(home.user("r.io", "x").await, user, "{entry}");
    }
}

#[tokio::test]
async fn malformed_files_are_errors_that_keep_secrets() {
    for text in [
        "[",
        "[]",
        r#"{"auths": []}"#,
        r#"{"auths": {"r.io": "c2VjcmV0OnNlY3JldA=="}}"#,
        r#"{"auths": {"r.io": {"auth": 5}}}"#,
        r#"{"auths": {"r.io": {"auth": "c2VjcmV0"}}}"#,
        r#"{"auths": {"r.io": {"auth": "!secret!"}}}"#,
    ] {
        let home = Home::new();
        home.write("docker/config.json", text);
        let error = home.find("r.io", "x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        let message = error.to_string();
        assert!(message.contains("docker/config.json"), "{message}");
        assert!(
            !message.contains("c2Vj") && !message.contains("secret"),
            "{message}"
        );
    }
    let home = Home::new();
    home.write("docker/config.json", "\n");
    assert_eq!(home.user("r.io", "x").await, "anonymous");
}

#[tokio::test]
async fn only_small_regular_files_are_read() {
    let home = Home::new();
    home.write("docker/config.json", &" ".repeat((1 << 20) + 1));
    let error = home.find("r.io", "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let message = error.to_string();
    assert!(message.contains("docker/config.json"), "{message}");
    assert!(
        message.contains("1048577 bytes (limit 1048576)"),
        "{message}"
    );
    let home = Home::new();
    let path = home.write("docker/config.json", "");
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let error = home.find("r.io", "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[tokio::test]
async fn helpers_are_asked_for_their_registries() {
    let home = Home::new();
    home.helper(
        "ours",
        r#"read -r s; [ "$1" = get ] && echo "{\"Username\":\"h\",\"Secret\":\"$s\"}""#,
    );
    home.write(
        "docker/config.json",
        r#"{"auths": {"r.io": {"auth": "YTpwdw=="}, "plain.io": {"auth": "YTpwdw=="}},
            "credHelpers": {"r.io": "ours", "docker.io": "ours"}}"#,
    );
    assert_eq!(home.user("r.io", "x").await, "h:r.io");
    assert_eq!(
        home.user("docker.io", "library/x").await,
        "h:https://index.docker.io/v1/"
    );
    assert_eq!(home.user("plain.io", "x").await, "a:pw");
}

#[tokio::test]
async fn the_general_helper_comes_last() {
    let home = Home::new();
    home.helper(
        "all",
        r#"cat >/dev/null; echo '{"Username":"<token>","Secret":"t"}'"#,
    );
    home.write(
        "docker/config.json",
        r#"{"auths": {"r.io": {"auth": "YTpwdw=="}, "e.io": {}}, "credsStore": "all"}"#,
    );
    assert_eq!(home.user("r.io", "x").await, "a:pw");
    assert_eq!(home.user("e.io", "x").await, "identity t");
    assert_eq!(home.user("unknown.io", "x").await, "identity t");
}

#[tokio::test]
async fn a_helper_that_knows_nothing_means_anonymous() {
    let home = Home::new();
    home.helper(
        "none",
        "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1",
    );
    home.write(
        "docker/config.json",
        r#"{"credHelpers": {"r.io": "none"}, "credsStore": "none"}"#,
    );
    assert_eq!(home.user("r.io", "x").await, "anonymous");
    assert_eq!(home.user("s.io", "x").await, "anonymous");
}

#[tokio::test]
async fn a_helper_that_fails_is_an_error_for_its_registry_only() {
    let mut home = Home::new();
    home.helper("broken", "echo 'locked \u{1b}[31m' >&2; exit 3");
    home.helper("silent", "exec sleep 60");
    home.helper("odd", "echo 'not json'");
    for (name, why) in [
        ("broken", "locked \\u{1b}[31m"),
        ("silent", "no answer within"),
        ("odd", "not a JSON object"),
        (
            "absent",
            "docker-credential-absent is not in the search path",
        ),
        ("../evil", "name is not valid"),
        ("a b", "name is not valid"),
    ] {
        let patience = if name == "silent" { 300 } else { 10_000 };
        home.places.helper_timeout = Duration::from_millis(patience);
        home.write(
            "docker/config.json",
            &format!("{{\"credHelpers\": {{\"r.io\": {name:?}}}}}"),
        );
        let error = home.find("r.io", "x").await.unwrap_err().to_string();
        assert!(
            error.contains(why) && error.contains("config.json"),
            "{name}: {error}"
        );
        home.write(
            "docker/config.json",
            &format!("{{\"credsStore\": {name:?}}}"),
        );
        let lookup = home.find("r.io", "x").await.unwrap();
        assert!(lookup.credential.is_none());
        let outcome = &lookup
            .tried
            .iter()
            .find(|tried| tried.path.ends_with("config.json"))
            .unwrap()
            .outcome;
        assert!(outcome.contains(why), "{name}: {outcome}");
    }
}

/// Whatever a helper does, nothing that it says on standard output is seen.
#[tokio::test]
async fn what_a_helper_answers_is_never_shown() {
    let mut home = Home::new();
    home.places.helper_timeout = Duration::from_millis(500);
    let answer = r#"printf '{"Username":"me","Secret":"hunter2"}'"#;
    for script in [
        format!("{answer}; exit 1"),
        format!("{answer}; kill -TERM $$"),
        format!("{answer}; exec sleep 60"),
        format!("{answer}; echo; echo more"),
        format!("{answer} | tee /dev/stderr; exit 1"),
        format!("echo locked >&2; {answer}; exit 1"),
        "printf hunter2; exit 1".into(),
        "printf hunter2".into(),
        r#"printf '{"Secret": hunter2}'"#.into(),
        r#"printf '{"Username": 7, "Secret": "hunter2"}'"#.into(),
        "head -c 2000000 /dev/zero | tr '\\0' x; printf hunter2; exit 1".into(),
        "printf 'hunter2 \\377'; echo wrong: hunter2 >&2; exit 1".into(),
    ] {
        home.helper("odd", &script);
        for config in [
            r#"{"credHelpers": {"r.io": "odd"}}"#,
            r#"{"credsStore": "odd"}"#,
        ] {
            home.write("docker/config.json", config);
            let seen = match home.find("r.io", "x").await {
                Ok(lookup) => {
                    assert!(lookup.credential.is_none(), "{script}");
                    format!("{:?}", lookup.tried)
                }
                Err(error) => format!("{error:?}"),
            };
            assert!(seen.contains("docker-credential-odd"), "{script}: {seen}");
            assert!(!seen.contains("hunter2"), "{script}: {seen}");
        }
    }
    home.helper("odd", &format!("echo locked >&2; {answer}; exit 1"));
    home.write("docker/config.json", r#"{"credHelpers": {"r.io": "odd"}}"#);
    let error = home.find("r.io", "x").await.unwrap_err().to_string();
    assert!(error.ends_with("exit status: 1: locked"), "{error}");
}

#[test]
fn secrets_are_not_printed() {
    let credential = Credential::Basic {
        username: "user".into(),
        password: "hunter2".into(),
    };
    assert!(!format!("{credential:?}").contains("hunter2"));
}
