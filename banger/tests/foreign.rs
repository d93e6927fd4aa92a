//! Things that do not belong there, at every place of the store, the catalog and the cache: whatever they are, nothing
//! waits for them, reads them without end, or touches what is behind them.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod storekit;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use banger::image::{
    BootRequest, FlattenRequest, Flattened, Flattener, Machine, PullRequest, RegisterRequest, Vmm,
    boot_config, promote, pull, register, remove, show,
};
use banger::kernel::{Catalog, KernelRequest};
use banger::places::Places;
use banger::store::{Name, Store};
use oci_flatten::cache::{Cache, Claim, PrunePolicy};
use oci_flatten::digest::Digest;
use oci_flatten::image::{Descriptor, Document};
use oci_flatten::media_type::{OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use oci_flatten::reference::Reference;
use oci_flatten::source::SourceName;
use storekit::*;

/// What is put in the place of what belongs there.
const OBJECTS: [&str; 10] = [
    "link to a file",
    "link to a directory",
    "link to nothing",
    "link to /dev/zero",
    "hard link",
    "fifo",
    "socket",
    "directory",
    "endless file",
    "device",
];

/// Longer than any operation takes on a busy machine, and far shorter than waiting for a FIFO.
const PATIENCE: Duration = Duration::from_secs(20);

/// Puts an object at `path`; false for a device where the user may make none.
fn plant(object: &str, path: &Path, precious: &Path) -> bool {
    let _ = fs::remove_dir_all(path);
    let _ = fs::remove_file(path);
    match object {
        "link to a file" => symlink(precious.join("file"), path).unwrap(),
        "link to a directory" => symlink(precious, path).unwrap(),
        "link to nothing" => symlink(precious.join("nothing"), path).unwrap(),
        "link to /dev/zero" => symlink("/dev/zero", path).unwrap(),
        "hard link" => fs::hard_link(precious.join("file"), path).unwrap(),
        "fifo" => make_fifo(path),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "directory" => {
            fs::create_dir(path).unwrap();
            fs::write(path.join("inner"), b"x").unwrap();
        }
        "endless file" => fs::File::create(path).unwrap().set_len(1 << 40).unwrap(),
        "device" => {
            use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
            let zero = makedev(1, 5);
            return mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, zero).is_ok();
        }
        other => panic!("unknown object {other}"),
    }
    true
}

/// A folder to work in, where syncing takes no time.
fn scratch() -> tempfile::TempDir {
    match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm").unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// A folder that is none of banger's business, and must stay as it is.
fn precious(folder: &Path) -> PathBuf {
    let precious = folder.join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), b"gold").unwrap();
    fs::set_permissions(precious.join("file"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o755)).unwrap();
    precious
}

fn assert_untouched(precious: &Path, case: &str) {
    assert_eq!(tree(precious), ["file"], "{case}");
    assert_eq!(fs::read(precious.join("file")).unwrap(), b"gold", "{case}");
    for (path, mode) in [
        (precious.to_path_buf(), 0o755),
        (precious.join("file"), 0o644),
    ] {
        let found = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{case}");
    }
}

/// Runs `work` in a thread of its own and sees it end.
#[track_caller]
fn ends(case: &str, work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    match wait.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{case}: it does not end"),
        _ => worker.join().unwrap(),
    }
}

struct Small;

impl Flattener for Small {
    fn flatten(
        &self,
        request: &FlattenRequest<'_>,
        _: &dyn banger::watch::Observer,
    ) -> Result<Flattened, banger::Error> {
        std::io::Write::write_all(&mut &*request.output, b"no filesystem").unwrap();
        Ok(Flattened::default())
    }
}

fn pull_with_catalog(store: &Store, catalog: &Catalog, name: &str) -> Result<(), banger::Error> {
    let request = PullRequest {
        name: Some(Name::parse(name).unwrap()),
        platform: "linux/amd64".parse().unwrap(),
        kernel: KernelRequest {
            reference: Some("k".into()),
            ..KernelRequest::default()
        },
        ..PullRequest::new(SourceName::parse("debian:bookworm").unwrap())
    };
    pull(store, catalog, &request, &Small, &()).map(drop)
}

/// A store and a catalog with an image, an unmanaged image and a kernel with everything.
fn filled(folder: &Path) -> (Places, String, String) {
    let places = Places::under(&folder.join("home"));
    let store = Store::new(places.images.clone());
    let catalog = Catalog::new(places.kernels.clone());
    fs::write(folder.join("vmlinux"), good_kernel()).unwrap();
    fs::write(folder.join("initrd"), storekit::initrd(&[])).unwrap();
    let files = KernelRequest {
        reference: None,
        kernel: Some(folder.join("vmlinux")),
        initrd: Some(folder.join("initrd")),
        modules: Some(module_directory(folder, RELEASE, &["ext4"], &["fuse"])),
    };
    let name = |text: &str| Name::parse(text).unwrap();
    catalog.import(&name("k"), &files, &()).unwrap();
    pull_with_catalog(&store, &catalog, "managed").unwrap();
    fs::write(folder.join("disk"), b"no filesystem").unwrap();
    let request = RegisterRequest {
        name: name("unmanaged"),
        rootfs: folder.join("disk"),
        work_seed: None,
        kernel: KernelRequest::default(),
        init: banger::initrd::InitMode::Auto,
    };
    register(&store, &catalog, &request, &|| false).unwrap();
    let id = |name: &str| store.find(name).unwrap().record().id.to_string();
    (places.clone(), id("managed"), id("unmanaged"))
}

/// Every operation, whatever it says.
fn use_store(places: &Places, id: &str, unmanaged: &str) {
    let store = Store::new(places.images.clone());
    let catalog = Catalog::new(places.kernels.clone());
    let _ = store.list();
    let _ = catalog.list();
    let _ = show(&store, id, &|| false);
    let _ = show(&store, "unmanaged", &|| false);
    if let Ok(image) = store.find(id) {
        let _ = boot_config(&image, &BootRequest::new(Vmm::Qemu, Machine::default()));
    }
    let _ = pull_with_catalog(&store, &catalog, "again");
    let _ = store.rename("again", &Name::parse("third").unwrap());
    let _ = promote(&store, unmanaged, &());
    let _ = store.rename(id, &Name::parse("other").unwrap());
    let _ = store.sweep();
    let _ = remove(&store, &[id.to_owned()]);
    let _ = remove(&store, &[unmanaged.to_owned()]);
    let _ = catalog.remove(&store, "k");
}

#[test]
fn nothing_foreign_in_store_or_catalog_is_waited_for_or_followed() {
    let places = [
        "images/.lock",
        "images/x.staging",
        "images/x.staging/.name",
        "images/ID",
        "images/ID.staging",
        "images/ID/image.json",
        "images/ID/image.json.new",
        "images/ID/rootfs.ext4",
        "images/ID/kernel",
        "images/ID/modules",
        "images/UNMANAGED",
        "images/UNMANAGED.staging",
        "images/UNMANAGED/image.json",
        "images/UNMANAGED/manifest.json",
        "images/UNMANAGED/rootfs.ext4.packages.sha256",
        "kernels/.lock",
        "kernels/x.staging",
        "kernels/x.staging/.name",
        "kernels/k",
        "kernels/k.staging",
        "kernels/k/kernel.json",
        "kernels/k/kernel",
        "kernels/k/initrd.img",
        "kernels/k/modules",
        "kernels/k/modules/modules.builtin",
    ];
    for place in places {
        for object in OBJECTS {
            let case = format!("{object} as {place}");
            let folder = scratch();
            let precious = precious(folder.path());
            let (home, id, unmanaged) = filled(folder.path());
            let at = place.replace("ID", &id).replace("UNMANAGED", &unmanaged);
            let path = folder.path().join("home").join(at);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !plant(object, &path, &precious) {
                continue;
            }
            ends(&case, move || use_store(&home, &id, &unmanaged));
            assert_untouched(&precious, &case);
            if object.starts_with("link to") {
                let copied = tree(&folder.path().join("home"))
                    .into_iter()
                    .map(|name| folder.path().join("home").join(name))
                    .filter(|path| path.is_file() && !path.is_symlink())
                    .any(|path| fs::read(path).unwrap() == b"gold");
                assert!(!copied, "{case}: what is behind the link was copied");
            }
        }
    }
}

fn document(media_type: &str, bytes: &[u8]) -> Document {
    let size = bytes.len() as u64;
    Document {
        descriptor: Descriptor::new(media_type.into(), Digest::sha256(bytes), size),
        bytes: bytes.to_vec(),
    }
}

const LAYER: &[u8] = b"a layer";

/// A reference and the documents of an image of one layer.
fn image() -> (Reference, Vec<Document>) {
    let config = document(OCI_CONFIG, b"{}");
    let text = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"{OCI_CONFIG}","digest":"{}","size":2}},
            "layers":[{{"mediaType":"{OCI_LAYER}","digest":"{}","size":{}}}]}}"#,
        config.descriptor.digest,
        Digest::sha256(LAYER),
        LAYER.len()
    );
    let reference = Reference::parse("r.example/app:v1").unwrap();
    (
        reference,
        vec![document(OCI_MANIFEST, text.as_bytes()), config],
    )
}

/// A pull: what is not there arrives.
async fn fill_cache(root: &Path) -> oci_flatten::error::Result<()> {
    let cache = Cache::open(root)?;
    let (reference, documents) = image();
    cache.record(&reference, &documents)?;
    if let Claim::Missing(mut ingest) = cache
        .claim(&Digest::sha256(LAYER), LAYER.len() as u64)
        .await?
    {
        ingest.restart()?;
        ingest.write(LAYER)?;
        ingest.commit()?;
    }
    Ok(())
}

async fn use_cache(root: &Path) {
    if let Ok(Some(cache)) = Cache::open_existing(root, oci_flatten::lock::Waiter::default()) {
        let _ = cache.show();
        let _ = cache.resolve(&image().0);
    }
    let _ = fill_cache(root).await;
    if let Ok(cache) = Cache::open(root) {
        let _ = cache.verify(|_, _| Ok(()));
        let policy = PrunePolicy {
            now: std::time::SystemTime::now(),
            unused_for: Some(Duration::ZERO),
            keep_bytes: None,
            dry_run: false,
        };
        let _ = cache.prune(&policy);
    }
}

#[test]
fn nothing_foreign_in_the_cache_is_waited_for_or_followed() {
    let layer = Digest::sha256(LAYER);
    let manifest = image().1[0].descriptor.digest.clone();
    let places = [
        "oci-layout".to_owned(),
        "oci-layout.new".to_owned(),
        "index.json".to_owned(),
        "index.json.new".to_owned(),
        "blobs".to_owned(),
        "blobs/sha256".to_owned(),
        "blobs/sha512".to_owned(),
        format!("blobs/sha256/{}", layer.hex()),
        format!("blobs/sha256/{}", manifest.hex()),
        "blobs/sha256/other".to_owned(),
        "ingest".to_owned(),
        format!("ingest/sha256-{}.part", layer.hex()),
        "ingest/other.part".to_owned(),
    ];
    for place in &places {
        for object in OBJECTS {
            for filled in [false, true] {
                let case = format!("{object} as {place} of a cache, filled: {filled}");
                let folder = scratch();
                let precious = precious(folder.path());
                let root = folder.path().join("oci");
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                Cache::open(&root).unwrap();
                if filled {
                    runtime.block_on(fill_cache(&root)).unwrap();
                }
                if !plant(object, &root.join(place), &precious) {
                    continue;
                }
                let is_blob = place.contains(layer.hex()) || place.contains(manifest.hex());
                let case_inside = case.clone();
                ends(&case, move || {
                    if is_blob {
                        let filled = runtime.block_on(fill_cache(&root));
                        assert!(filled.is_ok(), "{case_inside}: {filled:?}");
                    }
                    runtime.block_on(use_cache(&root));
                });
                assert_untouched(&precious, &case);
            }
        }
    }
}
