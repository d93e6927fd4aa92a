//! The operations on images, with a flattener that the tests replace.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod storekit;

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use banger::boot::FirstProcess;
use banger::image::{
    BootConfig, BootRequest, FlattenRequest, Flattened, Flattener, Machine, Made, PackagesCheck,
    PackagesRequest, PullRequest, RegisterRequest, Vmm, boot_config, promote, pull, register,
    remove, show,
};
use banger::initrd::InitMode;
use banger::kernel::KernelRequest;
use banger::store::{Name, RECORD_FILE};
use banger::watch::{Observer, Step};
use banger::{Error, ErrorKind};
use oci_flatten::source::SourceName;
use storekit::*;

/// Gives a file that was made before, and counts how often it was asked.
#[derive(Default)]
struct Prepared {
    rootfs: Option<PathBuf>,
    calls: Cell<u32>,
    platform: Option<String>,
    fail: bool,
}

const CONFIG: &[u8] = br#"{"config":{"Entrypoint":["/bin/app"],"Env":["A=b"],"User":"7"}}"#;

impl Flattener for Prepared {
    fn flatten(
        &self,
        request: &FlattenRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<Flattened, Error> {
        self.calls.set(self.calls.get() + 1);
        match &self.rootfs {
            Some(path) => {
                let mut output = request.output;
                std::io::copy(&mut fs::File::open(path).unwrap(), &mut output).unwrap();
            }
            None => std::io::Write::write_all(&mut &*request.output, b"no filesystem").unwrap(),
        }
        observer.step(Step::Size);
        if self.fail {
            return Err(Error::new(
                ErrorKind::Integrity,
                "layer 2 has another digest",
            ));
        }
        observer.step(Step::Finish);
        Ok(Flattened {
            reference: Some(request.source.to_string()),
            digest: Some("sha256:00".into()),
            platform: Some(
                self.platform
                    .clone()
                    .unwrap_or_else(|| "linux/amd64".into()),
            ),
            manifest: Some(b"{\"the\": \"manifest\"}".to_vec()),
            config: Some(CONFIG.to_vec()),
            content_bytes: 4096,
            verity: None,
            warnings: vec!["a warning of the flattener".into()],
        })
    }
}

/// Notes the steps, and cancels at one of them.
#[derive(Default)]
struct Steps {
    seen: RefCell<Vec<Step>>,
    cancel_at: Option<Step>,
}

impl Observer for Steps {
    fn step(&self, step: Step) {
        self.seen.borrow_mut().push(step);
    }

    fn is_cancelled(&self) -> bool {
        self.cancel_at.is_some() && self.seen.borrow().last().copied() == self.cancel_at
    }
}

fn pull_request(name: &str) -> PullRequest {
    PullRequest {
        name: Some(Name::parse(name).unwrap()),
        platform: "linux/amd64".parse().unwrap(),
        ..PullRequest::new(SourceName::parse("debian:bookworm").unwrap())
    }
}

fn pull_quietly(home: &Home, request: &PullRequest, flattener: &Prepared) -> Result<Made, Error> {
    pull(&home.store, &home.catalog, request, flattener, &())
}

fn kernel_paths(home: &Home) -> KernelRequest {
    KernelRequest {
        reference: None,
        kernel: Some(home.file("vmlinux", &good_kernel())),
        initrd: Some(home.file("initrd", &initrd(&[]))),
        modules: Some(module_directory(
            home.folder.path(),
            RELEASE,
            &["ext4"],
            &["fuse"],
        )),
    }
}

fn names(home: &Home) -> Vec<String> {
    let listing = home.store.list().unwrap();
    listing
        .images
        .iter()
        .map(|image| image.record().name.to_string())
        .collect()
}

#[test]
fn a_pull_goes_through_its_steps_and_publishes_everything() {
    let home = Home::new();
    let steps = Steps::default();
    let request = PullRequest {
        name: None,
        kernel: kernel_paths(&home),
        ..pull_request("x")
    };
    let made = pull(
        &home.store,
        &home.catalog,
        &request,
        &Prepared::default(),
        &steps,
    )
    .unwrap();
    use Step::*;
    assert_eq!(
        *steps.seen.borrow(),
        [
            Parse, Name, NameCheck, Kernel, Reserve, Fetch, Size, Finish, Stage, Inspect, Publish,
            Done
        ]
    );
    let record = made.image.record();
    assert_eq!(record.name.as_str(), "debian-bookworm");
    assert!(record.managed);
    assert_eq!(record.sizes.content_bytes, Some(4096));
    assert_eq!(
        record.kernel.as_ref().unwrap().release.as_deref(),
        Some(RELEASE)
    );
    assert_eq!(made.warnings[0], "a warning of the flattener");
    assert!(
        made.warnings[1].starts_with("boot facts are unknown: "),
        "{:?}",
        made.warnings
    );
    assert_eq!(
        tree(made.image.directory()),
        [
            "config.json",
            "image.json",
            "initrd.img",
            "kernel",
            "manifest.json",
            "rootfs.ext4",
        ]
    );
    assert_eq!(
        fs::read(made.image.directory().join("config.json")).unwrap(),
        CONFIG
    );
    assert_eq!(
        home.store.list().unwrap().images,
        std::slice::from_ref(&made.image)
    );
    assert_eq!(home.store.find("debian-bookworm").unwrap(), made.image);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&home.places.images), 0o700);
    assert_eq!(mode(made.image.directory()), 0o700);
    assert_eq!(mode(&made.image.directory().join(RECORD_FILE)), 0o600);
}

#[test]
fn nothing_is_asked_of_the_flattener_before_the_checks_pass() {
    let home = Home::new();
    let flattener = Prepared::default();
    pull_quietly(&home, &pull_request("taken"), &flattener).unwrap();
    let missing = home.folder.path().join("missing");
    let cases = [
        (pull_request("taken"), ErrorKind::Exists),
        (
            PullRequest {
                source: SourceName::parse("tar:-").unwrap(),
                name: None,
                ..pull_request("a")
            },
            ErrorKind::Usage,
        ),
        (
            PullRequest {
                kernel: KernelRequest {
                    reference: Some("none".into()),
                    ..Default::default()
                },
                ..pull_request("a")
            },
            ErrorKind::NotFound,
        ),
        (
            PullRequest {
                kernel: KernelRequest {
                    kernel: Some(missing.clone()),
                    ..Default::default()
                },
                packages: PackagesRequest {
                    list: Some(missing),
                    features: Vec::new(),
                },
                ..pull_request("a")
            },
            ErrorKind::NotFound,
        ),
    ];
    for (request, kind) in cases {
        let error = pull_quietly(&home, &request, &flattener).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(
            error.hint().is_some() || kind == ErrorKind::Usage,
            "{error}"
        );
    }
    assert_eq!(flattener.calls.get(), 1);
    assert_eq!(names(&home), ["taken"]);
}

#[test]
fn a_failure_or_cancellation_at_any_step_leaves_nothing() {
    let home = Home::new();
    let failing = Prepared {
        fail: true,
        ..Prepared::default()
    };
    let error = pull_quietly(&home, &pull_request("a"), &failing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert_eq!(tree(&home.places.images), [".lock"]);
    use Step::*;
    for step in [
        Parse, Name, NameCheck, Kernel, Reserve, Fetch, Stage, Inspect, Publish,
    ] {
        let steps = Steps {
            cancel_at: Some(step),
            ..Steps::default()
        };
        let request = pull_request("a");
        let error = pull(
            &home.store,
            &home.catalog,
            &request,
            &Prepared::default(),
            &steps,
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{step:?}");
        assert_eq!(tree(&home.places.images), [".lock"], "{step:?}");
    }
}

#[test]
fn the_kernel_must_fit_the_image_that_came() {
    let home = Home::new();
    let request = PullRequest {
        kernel: kernel_paths(&home),
        ..pull_request("a")
    };
    let other = Prepared {
        platform: Some("linux/arm64".into()),
        ..Prepared::default()
    };
    let error = pull_quietly(&home, &request, &other).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("for amd64, the image is for arm64"),
        "{error}"
    );
    assert_eq!(tree(&home.places.images), [".lock"]);
}

#[test]
fn boot_facts_and_packages_are_read_from_the_filesystem() {
    if !has_tool("mke2fs") {
        return;
    }
    let home = Home::new();
    let rootfs = home.folder.path().join("rootfs");
    let root = debian_tree(home.folder.path());
    fs::copy(root.join("usr/bin/sh"), root.join("usr/bin/app")).unwrap();
    mke2fs(&root, &rootfs);
    let flattener = Prepared {
        rootfs: Some(rootfs),
        ..Prepared::default()
    };
    let features = vec!["docker".to_owned()];
    let packages = PackagesRequest {
        list: None,
        features,
    };
    let request = PullRequest {
        packages,
        ..pull_request("debian")
    };
    let made = pull_quietly(&home, &request, &flattener).unwrap();
    let record = made.image.record();
    let boot = record.boot.as_ref().unwrap();
    assert!(boot.bootable && boot.systemd, "{boot:?}");
    let start = boot.start.as_ref().unwrap();
    assert_eq!(start.argv, ["/bin/app"]);
    assert_eq!(start.first_process, FirstProcess::BangerInit);
    let holds = record.initrd.as_ref().unwrap();
    assert_eq!((holds.own_bytes, holds.modules.len()), (None, 0));
    assert_eq!(boot.init.as_deref(), Some("/sbin/init"));
    assert_eq!(
        boot.init_target.as_deref(),
        Some("/usr/lib/systemd/systemd")
    );
    assert_eq!(boot.shell.as_deref(), Some("/bin/sh"));
    assert_eq!(boot.runtime.entrypoint, ["/bin/app"]);
    assert_eq!(boot.runtime.user.as_deref(), Some("7"));
    assert!(record.filesystem_uuid.is_some());
    let recorded = record.packages.clone().unwrap();
    assert_eq!((recorded.count, recorded.features.len()), (Some(1), 1));
    let hash_file = made.image.directory().join("rootfs.ext4.packages.sha256");
    assert_eq!(
        fs::read_to_string(&hash_file).unwrap(),
        format!("{}\n", recorded.sha256)
    );
    let report = show(&home.store, "debian", &|| false).unwrap();
    assert_eq!(report.packages_check, PackagesCheck::Matches);
    assert!(report.missing.is_empty());

    // A VM installs a package.
    let status = root.join("var/lib/dpkg/status");
    let text = fs::read_to_string(&status).unwrap();
    let more = "\nPackage: more\nStatus: install ok installed\nVersion: 1\n";
    fs::write(&status, text + more).unwrap();
    mke2fs(&root, &made.image.artifacts().rootfs);
    let report = show(&home.store, "debian", &|| false).unwrap();
    assert!(
        matches!(
            &report.packages_check,
            PackagesCheck::Differs { found: Some(_), .. }
        ),
        "{:?}",
        report.packages_check
    );
    fs::remove_file(&made.image.artifacts().rootfs).unwrap();
    let report = show(&home.store, "debian", &|| false).unwrap();
    assert!(matches!(
        report.packages_check,
        PackagesCheck::Unknown { .. }
    ));
    assert_eq!(report.missing[0].artifact, "rootfs");
}

#[test]
fn an_explicit_list_of_packages_is_what_is_recorded() {
    let home = Home::new();
    let list = home.file("packages", b"b\na\n#feature:docker\n");
    let packages = PackagesRequest {
        list: Some(list),
        features: Vec::new(),
    };
    let request = PullRequest {
        packages,
        ..pull_request("a")
    };
    let made = pull_quietly(&home, &request, &Prepared::default()).unwrap();
    let recorded = made.image.record().packages.clone().unwrap();
    assert_eq!(recorded.count, Some(2));
    let hash_file = made.image.directory().join("rootfs.ext4.packages.sha256");
    assert_eq!(
        fs::read_to_string(&hash_file).unwrap().trim_end(),
        recorded.sha256
    );
    fs::write(&hash_file, "00\n").unwrap();
    let report = show(&home.store, "a", &|| false).unwrap();
    assert!(matches!(
        report.packages_check,
        PackagesCheck::Differs { .. }
    ));
}

#[test]
fn a_list_of_packages_is_a_file_or_a_pipe_of_the_shell() {
    let home = Home::new();
    let request = |list: &Path| PullRequest {
        packages: PackagesRequest {
            list: Some(list.to_path_buf()),
            features: Vec::new(),
        },
        ..pull_request("a")
    };
    let flattener = Prepared::default();
    let (fifo, latin) = (home.fifo("fifo"), home.file("latin", b"caf\xe9\n"));
    let long = home.folder.path().join("long");
    fs::File::create(&long).unwrap().set_len(1 << 40).unwrap();
    for (path, problem) in [
        (&fifo, "not a regular file"),
        (&PathBuf::from("/dev/zero"), "not a regular file"),
        (&latin, "is not UTF-8"),
        (&long, "file is 1099511627776 bytes (limit 16777216)"),
    ] {
        let error = pull_quietly(&home, &request(path), &flattener).unwrap_err();
        let told = all_of(&error);
        assert!(told.contains("--packages: "), "{told}");
        assert!(told.contains(problem), "{told}");
        assert!(told.contains(path.to_str().unwrap()), "{told}");
    }
    assert_eq!(flattener.calls.get(), 0);

    let (pipe, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"b\na\n").unwrap();
    drop(writer);
    let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&pipe));
    let made = pull_quietly(&home, &request(Path::new(&path)), &flattener).unwrap();
    assert_eq!(
        made.image.record().packages.as_ref().unwrap().count,
        Some(2)
    );
}

#[test]
fn a_feature_without_packages_is_told_to_be_off_the_record() {
    let home = Home::new();
    let packages = PackagesRequest {
        list: None,
        features: vec!["docker".to_owned()],
    };
    let request = PullRequest {
        packages,
        ..pull_request("a")
    };
    let made = pull_quietly(&home, &request, &Prepared::default()).unwrap();
    assert_eq!(made.image.record().packages, None);
    assert!(
        made.warnings
            .iter()
            .any(|warning| warning.starts_with("docker is not on record")),
        "{:?}",
        made.warnings
    );
}

fn register_request(home: &Home, name: &str) -> RegisterRequest {
    RegisterRequest {
        name: Name::parse(name).unwrap(),
        rootfs: home.file("their-rootfs", b"no filesystem"),
        work_seed: Some(home.file("seed", b"seed")),
        kernel: kernel_paths(home),
        init: InitMode::Auto,
    }
}

#[test]
fn registering_records_paths_and_promoting_makes_them_ours() {
    let home = Home::new();
    let request = register_request(&home, "theirs");
    let made = register(&home.store, &home.catalog, &request, &|| false).unwrap();
    assert!(!made.image.record().managed);
    assert_eq!(tree(made.image.directory()), ["image.json"]);
    assert_eq!(made.image.artifacts().rootfs, request.rootfs);
    let error = register(&home.store, &home.catalog, &request, &|| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);

    let promoted = promote(&home.store, "theirs", &()).unwrap().image;
    assert!(promoted.record().managed);
    assert_eq!(promoted.record().id, made.image.record().id);
    assert_eq!(
        home.store.list().unwrap().images,
        std::slice::from_ref(&promoted)
    );
    let ours = promoted.artifacts();
    assert!(ours.rootfs.starts_with(promoted.directory()));
    assert_eq!(fs::read(ours.work_seed.unwrap()).unwrap(), b"seed");
    assert_eq!(fs::read(ours.kernel.unwrap()).unwrap(), good_kernel());
    assert_eq!(ours.modules, None);
    assert!(request.rootfs.exists());
    let entries = tree(&home.places.images);
    assert!(
        !entries.iter().any(|entry| entry.contains("staging")),
        "{entries:?}"
    );
    let error = promote(&home.store, "theirs", &()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
}

#[test]
fn a_promotion_tells_everything_that_is_gone_and_changes_nothing() {
    let home = Home::new();
    let request = register_request(&home, "theirs");
    register(&home.store, &home.catalog, &request, &|| false).unwrap();
    fs::remove_file(&request.rootfs).unwrap();
    fs::remove_file(request.kernel.kernel.as_ref().unwrap()).unwrap();
    let before = tree(&home.places.images);
    let error = promote(&home.store, "theirs", &()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = all_of(&error);
    assert!(
        text.contains("rootfs: ") && text.contains("kernel: "),
        "{text}"
    );
    assert_eq!(tree(&home.places.images), before);
}

#[test]
fn an_unmanaged_image_without_options_has_none_of_them_on_record() {
    let home = Home::new();
    let request = RegisterRequest {
        work_seed: None,
        kernel: KernelRequest::default(),
        ..register_request(&home, "bare")
    };
    let image = register(&home.store, &home.catalog, &request, &|| false)
        .unwrap()
        .image;
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(image.directory().join(RECORD_FILE)).unwrap()).unwrap();
    let artifacts = record["artifacts"].as_object().unwrap();
    assert_eq!(artifacts.keys().collect::<Vec<_>>(), ["rootfs"]);
    assert_eq!(record["schema"], 2);
    let promoted = promote(&home.store, "bare", &()).unwrap().image;
    assert_eq!(tree(promoted.directory()), ["image.json", "rootfs.ext4"]);
}

#[test]
fn registering_tells_everything_that_is_wrong() {
    let home = Home::new();
    let missing = home.folder.path().join("missing");
    let request = RegisterRequest {
        name: Name::parse("a").unwrap(),
        rootfs: missing.clone(),
        work_seed: Some(missing.clone()),
        kernel: KernelRequest {
            reference: Some("k".into()),
            kernel: Some(missing),
            ..KernelRequest::default()
        },
        init: InitMode::Auto,
    };
    let error = register(&home.store, &home.catalog, &request, &|| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    for flag in ["--rootfs: ", "--work-seed: ", "--kernel-ref: "] {
        assert!(all_of(&error).contains(flag), "{}", all_of(&error));
    }
    assert!(!home.places.images.exists());
}

#[test]
fn removing_takes_what_is_ours_and_leaves_what_is_theirs() {
    let home = Home::new();
    let request = register_request(&home, "theirs");
    register(&home.store, &home.catalog, &request, &|| false).unwrap();
    pull_quietly(&home, &pull_request("ours"), &Prepared::default()).unwrap();
    let error = remove(&home.store, &["ours".into(), "nobody".into()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(names(&home).len(), 2);
    let ids = remove(
        &home.store,
        &["ours".into(), "theirs".into(), "ours".into()],
    )
    .unwrap();
    assert_eq!(ids.len(), 2);
    assert_eq!(tree(&home.places.images), [".lock"]);
    assert!(request.rootfs.exists());
}

#[test]
fn images_are_found_by_name_id_and_unique_prefix() {
    let home = Home::new();
    for name in ["one", "two"] {
        pull_quietly(&home, &pull_request(name), &Prepared::default()).unwrap();
    }
    let one = home.store.find("one").unwrap();
    let id = one.record().id.to_string();
    assert_eq!(home.store.find(&id).unwrap(), one);
    assert_eq!(home.store.find(&id.to_uppercase()[..35]).unwrap(), one);
    let error = home.store.find(&id[..4]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains(&id), "{error}");
    for missing in ["", "zzz", "thre"] {
        let error = home.store.find(missing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{missing}");
    }
}

#[test]
fn a_name_changes_in_one_step_and_stays_unique() {
    let home = Home::new();
    for name in ["one", "two"] {
        pull_quietly(&home, &pull_request(name), &Prepared::default()).unwrap();
    }
    let three = Name::parse("three").unwrap();
    let renamed = home.store.rename("one", &three).unwrap();
    assert_eq!(home.store.find("three").unwrap(), renamed);
    assert_eq!(
        home.store.find("one").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let error = home.store.rename("two", &three).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    home.store.rename("three", &three).unwrap();
    let entries = tree(renamed.directory());
    assert!(
        !entries.iter().any(|entry| entry.ends_with(".new")),
        "{entries:?}"
    );
}

/// Rewrites the record of an image.
fn edit(home: &Home, name: &str, change: impl FnOnce(String) -> String) -> PathBuf {
    let path = home.store.find(name).unwrap().directory().join(RECORD_FILE);
    let text = change(fs::read_to_string(&path).unwrap());
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_record_of_a_newer_version_keeps_its_image_and_its_name() {
    let home = Home::new();
    for name in ["old", "new"] {
        pull_quietly(&home, &pull_request(name), &Prepared::default()).unwrap();
    }
    let path = edit(&home, "new", |text| {
        text.replace("\"schema\": 2", "\"schema\": 9")
    });
    // A record of the version before has nothing that this one lacks.
    edit(&home, "old", |text| {
        text.replace("\"schema\": 2", "\"schema\": 1")
    });
    let before = tree(&home.places.images);
    assert_eq!(names(&home), ["old"]);
    let listing = home.store.list().unwrap();
    assert!(listing.unreadable[0].newer);
    for error in [
        home.store.find("new").unwrap_err(),
        home.store.remove("new").unwrap_err(),
        home.store
            .rename("new", &Name::parse("x").unwrap())
            .unwrap_err(),
        promote(&home.store, "new", &()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Failure);
        let text = error.to_string();
        assert!(
            text.contains("newer banger (schema 9, known up to 2)"),
            "{text}"
        );
        assert!(error.hint().is_some());
    }
    let error = pull_quietly(&home, &pull_request("new"), &Prepared::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(tree(&home.places.images), before);
    assert!(path.exists());
}

#[test]
fn a_damaged_record_is_told_and_can_be_removed() {
    let home = Home::new();
    for name in ["whole", "torn"] {
        pull_quietly(&home, &pull_request(name), &Prepared::default()).unwrap();
    }
    let path = edit(&home, "torn", |text| text[..text.len() / 2].to_owned());
    let id = path
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(names(&home), ["whole"]);
    let error = home.store.find(&id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    pull_quietly(&home, &pull_request("next"), &Prepared::default()).unwrap();
    assert!(path.exists());
    home.store.remove(&id).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_kernel_that_an_unmanaged_image_uses_stays() {
    let home = Home::new();
    let kernel = Name::parse("cloud").unwrap();
    home.catalog
        .import(&kernel, &kernel_paths(&home), &())
        .unwrap();
    let by_reference = KernelRequest {
        reference: Some("cloud".into()),
        ..Default::default()
    };
    let request = RegisterRequest {
        kernel: by_reference,
        ..register_request(&home, "user")
    };
    register(&home.store, &home.catalog, &request, &|| false).unwrap();
    let error = home.catalog.remove(&home.store, "cloud").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(error.to_string().ends_with("in use by user"), "{error}");
    promote(&home.store, "user", &()).unwrap();
    home.catalog.remove(&home.store, "cloud").unwrap();
}

fn plain(vmm: Vmm) -> BootRequest {
    BootRequest::new(vmm, Machine::default())
}

/// An image that boots, with the kernel given.
fn bootable(home: &Home, kernel: &[u8], initrd: bool) -> Option<banger::store::Image> {
    if !has_tool("mke2fs") {
        return None;
    }
    let rootfs = home.folder.path().join("rootfs,1");
    mke2fs(&debian_tree(home.folder.path()), &rootfs);
    let request = RegisterRequest {
        rootfs,
        kernel: KernelRequest {
            reference: None,
            kernel: Some(home.file("k", kernel)),
            initrd: initrd.then(|| home.file("i", &storekit::initrd(&["virtio_blk", "ext4"]))),
            modules: None,
        },
        ..register_request(home, "vm")
    };
    Some(
        register(&home.store, &home.catalog, &request, &|| false)
            .unwrap()
            .image,
    )
}

#[test]
fn each_vmm_gets_what_boots_the_image() {
    let home = Home::new();
    let Some(image) = bootable(&home, &good_kernel(), true) else {
        return;
    };
    let machine = Machine {
        memory_mib: 1024,
        cpus: 3,
    };
    let folder = home.folder.path().display().to_string();
    let (config, warnings) =
        boot_config(&image, &BootRequest::new(Vmm::Firecracker, machine)).unwrap();
    assert!(warnings.is_empty());
    let BootConfig::File(document) = config else {
        panic!("a file")
    };
    assert_eq!(
        document["boot-source"]["kernel_image_path"],
        format!("{folder}/k")
    );
    let initrd = image.directory().join("initrd.img");
    assert_eq!(
        document["boot-source"]["initrd_path"],
        initrd.display().to_string()
    );
    let (initrd, given) = (
        fs::read(initrd).unwrap(),
        fs::read(home.folder.path().join("i")).unwrap(),
    );
    assert!(initrd.starts_with(&given));
    assert!(initrd[given.len().next_multiple_of(4)..].starts_with(b"\x1f\x8b"));
    assert_eq!(
        document["boot-source"]["boot_args"],
        "console=ttyS0 panic=1 banger.exit=reboot reboot=k"
    );
    assert_eq!(document["machine-config"]["mem_size_mib"], 1024);
    assert_eq!(document["machine-config"]["vcpu_count"], 3);
    assert_eq!(document["drives"][0]["is_root_device"], false);

    let (config, _) = boot_config(&image, &BootRequest::new(Vmm::Qemu, machine)).unwrap();
    let text = config.to_string();
    assert!(text.starts_with("qemu-system-x86_64 "), "{text}");
    assert!(
        text.contains(&format!("file={folder}/rootfs,,1,format=raw")),
        "{text}"
    );
    assert!(text.contains("virtio-blk-pci,drive=rootfs"), "{text}");
    assert!(text.ends_with("-append 'console=ttyS0 panic=1'"), "{text}");
    let error = boot_config(&image, &BootRequest::new(Vmm::CloudHypervisor, machine)).unwrap_err();
    assert!(error.to_string().contains("comma"), "{error}");
    fs::remove_file(format!("{folder}/k")).unwrap();
    let error = boot_config(&image, &BootRequest::new(Vmm::Qemu, machine)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn an_image_that_is_made_to_be_read_is_not_written_to() {
    let home = Home::new();
    let Some(image) = bootable(&home, &good_kernel(), true) else {
        return;
    };
    let name = image.record().name.to_string();
    edit(&home, &name, |text| {
        text.replacen("\"managed\"", "\"read_only\": true,\n  \"managed\"", 1)
    });
    let image = home.store.find(&name).unwrap();
    assert!(image.record().read_only);
    let config = |vmm| {
        let (config, _) = boot_config(&image, &plain(vmm)).unwrap();
        config.to_string()
    };
    let (firecracker, qemu) = (config(Vmm::Firecracker), config(Vmm::Qemu));
    assert!(
        firecracker.contains("\"is_read_only\": true"),
        "{firecracker}"
    );
    assert!(qemu.contains("id=rootfs,readonly=on"), "{qemu}");
    for text in [firecracker, qemu] {
        assert!(text.contains(" ro ") && !text.contains(" rw "), "{text}");
    }
}

#[test]
fn qemu_boots_from_nvme_where_virtio_is_a_module() {
    let home = Home::new();
    let options =
        "CONFIG_EXT4_FS=y\nCONFIG_VIRTIO_BLK=m\nCONFIG_VIRTIO_PCI=m\nCONFIG_BLK_DEV_NVME=y\n";
    let kernel = vmlinux(62, RELEASE, true, Some(options));
    let Some(image) = bootable(&home, &kernel, false) else {
        return;
    };
    let (config, _) = boot_config(&image, &plain(Vmm::Qemu)).unwrap();
    assert!(config.to_string().contains("nvme,drive=rootfs"), "{config}");
    let error = boot_config(&image, &plain(Vmm::Firecracker)).unwrap_err();
    assert!(error.to_string().contains("virtio_blk: module"), "{error}");
    assert!(error.hint().unwrap().contains("--initrd"));
}

#[test]
fn a_vmm_is_not_given_a_kernel_it_cannot_start() {
    let home = Home::new();
    let Some(image) = bootable(&home, &bzimage(&gzip(&good_kernel()), RELEASE), false) else {
        return;
    };
    let error = boot_config(&image, &plain(Vmm::Firecracker)).unwrap_err();
    assert!(error.to_string().contains("bzImage"), "{error}");
    assert!(error.hint().unwrap().contains("extract-vmlinux"));
    assert!(boot_config(&image, &plain(Vmm::Qemu)).is_ok());
    let home = Home::new();
    let Some(image) = bootable(&home, &vmlinux(62, RELEASE, false, Some(VIRTIO)), false) else {
        return;
    };
    let error = boot_config(&image, &plain(Vmm::Qemu)).unwrap_err();
    assert!(error.to_string().contains("without a PVH entry"), "{error}");
    assert!(boot_config(&image, &plain(Vmm::Firecracker)).is_ok());
}

#[test]
fn an_image_without_kernel_has_no_boot_configuration() {
    let home = Home::new();
    let image = pull_quietly(&home, &pull_request("a"), &Prepared::default())
        .unwrap()
        .image;
    let error = boot_config(&image, &plain(Vmm::Qemu)).unwrap_err();
    assert!(error.to_string().contains("has no kernel"), "{error}");
}

#[test]
fn modes_of_a_read_only_source_do_not_keep_an_image_from_being_removed() {
    let home = Home::new();
    let request = register_request(&home, "theirs");
    let modules = request.kernel.modules.clone().unwrap();
    fs::set_permissions(modules.join("kernel"), fs::Permissions::from_mode(0o555)).unwrap();
    register(&home.store, &home.catalog, &request, &|| false).unwrap();
    promote(&home.store, "theirs", &()).unwrap();
    home.store.remove("theirs").unwrap();
    assert_eq!(tree(&home.places.images), [".lock"]);
    fs::set_permissions(modules.join("kernel"), fs::Permissions::from_mode(0o755)).unwrap();
}
