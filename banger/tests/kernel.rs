//! Kernels: what files are taken for, what is refused and why, and the catalog.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod storekit;

use std::fs;
use std::path::{Path, PathBuf};

use banger::ErrorKind;
use banger::kernel::{
    Architecture, Compression, DriverState, KernelFormat, KernelRequest, Problems, ResolvedKernel,
    inspect, resolve,
};
use banger::store::Name;
use proptest::prelude::*;
use storekit::*;

fn inspected(bytes: &[u8]) -> Result<banger::kernel::KernelFacts, banger::Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernel");
    fs::write(&path, bytes).unwrap();
    inspect(&path, &|| false)
}

#[test]
fn an_elf_vmlinux_tells_everything_plain_or_compressed() {
    let plain = good_kernel();
    for (bytes, compression) in [
        (plain.clone(), Compression::None),
        (gzip(&plain), Compression::Gzip),
        (zstd(&plain), Compression::Zstd),
    ] {
        let facts = inspected(&bytes).unwrap();
        assert_eq!(facts.format, KernelFormat::Elf);
        assert_eq!(facts.compression, compression);
        assert_eq!(facts.architecture, Architecture::Amd64);
        assert_eq!(facts.release.as_deref(), Some(RELEASE));
        assert!(facts.pvh);
        assert_eq!(facts.drivers.virtio_blk, DriverState::BuiltIn);
    }
}

#[test]
fn a_bzimage_tells_its_release_whatever_its_payload() {
    let code = good_kernel();
    let mut lzo = b"\x89LZO\0".to_vec();
    lzo.resize(100, 1);
    for (payload, compression, known) in [
        (gzip(&code), Compression::Gzip, true),
        (zstd(&code), Compression::Zstd, true),
        (lzo, Compression::Lzo, false),
        (vec![9; 100], Compression::Unknown, false),
    ] {
        let facts = inspected(&bzimage(&payload, "6.9.1-test")).unwrap();
        assert_eq!(facts.format, KernelFormat::BzImage);
        assert_eq!(facts.architecture, Architecture::Amd64);
        assert_eq!(facts.compression, compression);
        assert_eq!(facts.release.as_deref(), Some("6.9.1-test"));
        assert_eq!(facts.pvh, known);
        assert_eq!(facts.drivers.ext4 == DriverState::BuiltIn, known);
    }
}

#[test]
fn arm64_images_and_zboot_are_recognised() {
    let image = arm64_image("6.6.0");
    for (bytes, compression) in [
        (image.clone(), Compression::None),
        (gzip(&image), Compression::Gzip),
    ] {
        let facts = inspected(&bytes).unwrap();
        assert_eq!(
            (facts.format, facts.compression),
            (KernelFormat::Arm64Image, compression)
        );
        assert_eq!(facts.architecture, Architecture::Arm64);
        assert_eq!(facts.release.as_deref(), Some("6.6.0"));
    }
    let payload = gzip(&image);
    let mut zboot = vec![0; 512];
    zboot[..2].copy_from_slice(b"MZ");
    zboot[4..8].copy_from_slice(b"zimg");
    zboot[8..12].copy_from_slice(&512_u32.to_le_bytes());
    zboot[12..16].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    zboot[0x3c..0x40].copy_from_slice(&64_u32.to_le_bytes());
    zboot[68..70].copy_from_slice(&0xaa64_u16.to_le_bytes());
    zboot.extend_from_slice(&payload);
    let facts = inspected(&zboot).unwrap();
    assert_eq!(
        (facts.format, facts.architecture),
        (KernelFormat::EfiZboot, Architecture::Arm64)
    );
    assert_eq!(facts.release.as_deref(), Some("6.6.0"));
}

#[test]
fn what_is_no_kernel_is_refused_with_a_reason() {
    let mut not_linux = good_kernel();
    not_linux.truncate(4096);
    let damaged = gzip(&good_kernel())[..2000].to_vec();
    for (bytes, part) in [
        (b"hello".to_vec(), "is not a kernel"),
        (Vec::new(), "is not a kernel"),
        (not_linux, "no Linux kernel"),
        (damaged, "is damaged"),
        (b"\x89LZO\0 and so on".to_vec(), "compressed with lzo"),
        (b"\xfd7zXZ\0 and so on".to_vec(), "malformed xz data"),
        (b"BZh91AY&SY".to_vec(), "truncated bzip2 data"),
    ] {
        let error = inspected(&bytes).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = inspect(Path::new("/nonexistent/vmlinuz"), &|| false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = inspect(Path::new("/dev/null"), &|| false).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

fn resolved(
    home: &Home,
    request: &KernelRequest,
    image: Option<Architecture>,
) -> Result<Option<ResolvedKernel>, banger::Error> {
    let mut problems = Problems::default();
    let found = resolve(&home.catalog, request, image, &mut problems, &|| false);
    problems.into_result().map(|()| found)
}

fn request(kernel: &Path, initrd: Option<&Path>, modules: Option<&Path>) -> KernelRequest {
    KernelRequest {
        reference: None,
        kernel: Some(kernel.to_path_buf()),
        initrd: initrd.map(Path::to_path_buf),
        modules: modules.map(Path::to_path_buf),
    }
}

/// A kernel without embedded configuration, as distributions ship them.
fn distribution_kernel(home: &Home) -> PathBuf {
    home.file("vmlinuz", &bzimage(b"\x89LZO\0....", RELEASE))
}

#[test]
fn asking_for_no_kernel_is_no_problem_and_both_ways_are_refused() {
    let home = Home::new();
    assert_eq!(
        resolved(&home, &KernelRequest::default(), None).unwrap(),
        None
    );
    let both = KernelRequest {
        reference: Some("k".into()),
        ..request(Path::new("/k"), None, None)
    };
    let error = resolved(&home, &both, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().starts_with("--kernel-ref: "), "{error}");
}

#[test]
fn everything_wrong_is_told_at_once_with_its_flag() {
    let home = Home::new();
    let missing = home.folder.path().join("missing");
    let request = request(&missing, Some(&missing), Some(&missing));
    let error = resolved(&home, &request, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = all_of(&error);
    for flag in ["--kernel: ", "--initrd: ", "--modules: "] {
        assert!(text.contains(flag), "{text}");
    }
    let orphan = KernelRequest {
        initrd: Some(missing),
        ..KernelRequest::default()
    };
    let text = all_of(&resolved(&home, &orphan, None).unwrap_err());
    assert!(
        text.contains("--kernel: ") && text.contains("--initrd: "),
        "{text}"
    );
}

#[test]
fn the_architecture_must_be_the_image_s() {
    let home = Home::new();
    let kernel = home.file("Image", &arm64_image("6.6.0"));
    let request = request(&kernel, None, None);
    assert!(resolved(&home, &request, Some(Architecture::Arm64)).is_ok());
    let error = resolved(&home, &request, Some(Architecture::Amd64)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("for arm64, the image is for amd64"),
        "{error}"
    );
}

#[test]
fn modules_tell_the_drivers_and_must_be_of_the_release() {
    let home = Home::new();
    let kernel = distribution_kernel(&home);
    let folder = home.folder.path();
    let built_in = module_directory(
        folder,
        RELEASE,
        &["ext4", "virtio_blk", "virtio_pci"],
        &["nvme"],
    );
    let found = resolved(&home, &request(&kernel, None, Some(&built_in)), None)
        .unwrap()
        .unwrap();
    assert_eq!(found.facts.drivers.ext4, DriverState::BuiltIn);
    assert_eq!(found.facts.drivers.nvme, DriverState::Module);
    assert_eq!(found.facts.drivers.virtio_mmio, DriverState::Absent);
    assert_eq!(found.warnings, Vec::<String>::new());

    // The folder above it will do, and so will any name, for the modules say what they are for.
    let found = resolved(&home, &request(&kernel, None, Some(folder)), None)
        .unwrap()
        .unwrap();
    assert_eq!(found.modules.as_deref(), Some(built_in.as_path()));
    let renamed = module_directory(folder, "modules", &["ext4", "nvme"], &["virtio-blk"]);
    let found = resolved(&home, &request(&kernel, None, Some(&renamed)), None)
        .unwrap()
        .unwrap();
    assert_eq!(found.facts.drivers.virtio_blk, DriverState::Module);
    assert!(
        found.warnings[0].contains("NVMe disks only"),
        "{:?}",
        found.warnings
    );

    let other = module_directory(folder, "5.10.0-1", &["ext4"], &[]);
    let error = resolved(&home, &request(&kernel, None, Some(&other)), None).unwrap_err();
    assert!(
        error.to_string().contains("modules of kernel 5.10.0-1"),
        "{error}"
    );
    let empty = folder.join("empty");
    fs::create_dir(&empty).unwrap();
    let error = resolved(&home, &request(&kernel, None, Some(&empty)), None).unwrap_err();
    assert!(
        error.to_string().contains("is not a module directory"),
        "{error}"
    );
}

#[test]
fn a_fifo_among_the_files_is_refused_and_not_waited_for() {
    let home = Home::new();
    let kernel = distribution_kernel(&home);
    let fifo = home.fifo("fifo");
    let error = resolved(&home, &request(&fifo, None, None), None).unwrap_err();
    assert!(all_of(&error).contains("is not a regular file"), "{error}");
    let error = resolved(&home, &request(&kernel, Some(&fifo), None), None).unwrap_err();
    assert!(all_of(&error).contains("is not a regular file"), "{error}");
    for index in ["modules.builtin", "modules.dep"] {
        let directory = home.folder.path().join(format!("with-{index}"));
        fs::create_dir(&directory).unwrap();
        make_fifo(&directory.join(index));
        let error = resolved(&home, &request(&kernel, None, Some(&directory)), None).unwrap_err();
        let told = all_of(&error);
        assert!(
            told.contains(&format!("{index} is not a regular file")),
            "{told}"
        );
    }
}

#[test]
fn modular_drivers_need_an_initrd_and_absent_ones_cannot_be_helped() {
    let home = Home::new();
    let kernel = distribution_kernel(&home);
    let folder = home.folder.path();
    let modules = ["virtio_blk", "virtio_pci", "virtio_mmio"];
    let initrd = home.file("initrd", &initrd(&modules));
    let modular = module_directory(
        folder,
        RELEASE,
        &["ext4"],
        &["virtio_blk", "virtio_pci", "virtio_mmio"],
    );
    // The modules that are given go into the initrd that banger makes.
    assert!(resolved(&home, &request(&kernel, None, Some(&modular)), None).is_ok());
    let options = "CONFIG_EXT4_FS=y\nCONFIG_VIRTIO_BLK=m\nCONFIG_VIRTIO_PCI=m\n";
    let configured = home.file("configured", &vmlinux(62, RELEASE, true, Some(options)));
    let error = resolved(&home, &request(&configured, None, None), None).unwrap_err();
    assert!(error.to_string().starts_with("--initrd: "), "{error}");
    assert!(
        error.to_string().contains("virtio_blk is a module"),
        "{error}"
    );
    let with = request(&kernel, Some(&initrd), Some(&modular));
    assert_eq!(
        resolved(&home, &with, None).unwrap().unwrap().warnings,
        Vec::<String>::new()
    );

    let other = home.folder.path().join("other");
    let hopeless = module_directory(&other, RELEASE, &["virtio_blk", "virtio_pci"], &[]);
    let error = resolved(
        &home,
        &request(&kernel, Some(&initrd), Some(&hopeless)),
        None,
    )
    .unwrap_err();
    assert!(error.to_string().contains("ext4 is absent"), "{error}");

    // Nothing known: a warning that says what would help.
    let found = resolved(&home, &request(&kernel, None, None), None)
        .unwrap()
        .unwrap();
    assert!(
        found.warnings[0].contains("--modules"),
        "{:?}",
        found.warnings
    );
}

#[test]
fn an_initrd_is_looked_into() {
    let home = Home::new();
    let kernel = home.file("vmlinux", &good_kernel());
    let whole = initrd(&[]);
    for (bytes, part, kind) in [
        (&b"text"[..], "is not an initrd", ErrorKind::Failure),
        (b"", "is not an initrd", ErrorKind::Failure),
        (&gzip(b"text"), "is not an initrd", ErrorKind::Failure),
        (&whole[..100], "is truncated", ErrorKind::Integrity),
        (
            &gzip(&whole)[..60],
            "truncated gzip data",
            ErrorKind::Integrity,
        ),
    ] {
        let initrd = home.file("initrd", bytes);
        let error = resolved(&home, &request(&kernel, Some(&initrd), None), None).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(all_of(&error).contains(part), "{error}");
    }
    let options = "CONFIG_EXT4_FS=y\nCONFIG_VIRTIO_BLK=m\nCONFIG_VIRTIO_PCI=m\n";
    let configured = home.file("configured", &vmlinux(62, RELEASE, true, Some(options)));
    let wanted = ["virtio_blk", "virtio_pci", "virtio_mmio"];
    let lacking = "lacks modules that the kernel needs: virtio_blk is absent";
    for (bytes, warning) in [
        (initrd(&wanted), None),
        (gzip(&initrd(&wanted)), None),
        (zstd(&initrd(&wanted)), None),
        (initrd(&["ext4"]), Some(lacking)),
    ] {
        let initrd = home.file("initrd", &bytes);
        let request = request(&configured, Some(&initrd), None);
        let warnings = resolved(&home, &request, None).unwrap().unwrap().warnings;
        assert_eq!(
            warnings.len(),
            usize::from(warning.is_some()),
            "{warnings:?}"
        );
        assert!(
            warnings
                .iter()
                .all(|said| said.contains(warning.unwrap_or("none"))),
            "{warnings:?}"
        );
    }
    // What an initrd lacks is in the one that banger makes of a module directory.
    let modules = module_directory(home.folder.path(), RELEASE, &["ext4"], &wanted);
    let lacking = home.file("initrd", &initrd(&["ext4"]));
    let request = request(&distribution_kernel(&home), Some(&lacking), Some(&modules));
    let warnings = resolved(&home, &request, None).unwrap().unwrap().warnings;
    assert_eq!(warnings, Vec::<String>::new());
}

/// The tools that a kernel's build compresses with, and what they make of a file.
fn compressed(tool: &str, arguments: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    if !has_tool(tool) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, bytes).unwrap();
    let output = std::process::Command::new(tool)
        .args(arguments)
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{tool}");
    Some(output.stdout)
}

#[test]
fn every_compression_of_a_kernel_s_build_is_read_whole_and_noticed_when_cut() {
    let code = good_kernel();
    let length = u32::try_from(code.len()).unwrap().to_le_bytes();
    for (tool, arguments, compression) in [
        ("gzip", &["-n", "-f", "-9", "-c"][..], Compression::Gzip),
        ("bzip2", &["-9", "-c"], Compression::Bzip2),
        ("lzma", &["-9", "-c"], Compression::Lzma),
        (
            "xz",
            &["--check=crc32", "--x86", "--lzma2=dict=32MiB", "-c"],
            Compression::Xz,
        ),
        ("lz4", &["-l", "-9", "-c"], Compression::Lz4),
        ("zstd", &["-22", "--ultra", "-q", "-c"], Compression::Zstd),
    ] {
        let Some(mut payload) = compressed(tool, arguments, &code) else {
            continue;
        };
        let facts = inspected(&payload).unwrap();
        assert_eq!(
            (facts.format, facts.compression),
            (KernelFormat::Elf, compression)
        );
        if compression != Compression::Gzip {
            payload.extend_from_slice(&length);
        }
        let facts = inspected(&bzimage(&payload, "6.9.1-test")).unwrap();
        assert_eq!(
            (facts.format, facts.compression),
            (KernelFormat::BzImage, compression)
        );
        assert_eq!(facts.drivers.virtio_blk, DriverState::BuiltIn, "{tool}");
        let cut = &payload[..payload.len() - payload.len() / 3];
        let error = inspected(&bzimage(cut, "6.9.1-test")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{tool}: {error}");
        assert!(error.to_string().contains("is damaged"), "{tool}: {error}");
    }
}

#[test]
fn truncated_kernels_are_refused_by_name() {
    let mut elf = good_kernel();
    let end = elf.len() as u64;
    // One program header behind the ELF header, whose segment ends with the file.
    elf[32..40].copy_from_slice(&64_u64.to_le_bytes());
    elf[54..58].copy_from_slice(&[56, 0, 1, 0]);
    elf[64] = 1;
    elf[72..80].copy_from_slice(&4096_u64.to_le_bytes());
    elf[96..104].copy_from_slice(&(end - 4096).to_le_bytes());
    let mut bzimage = bzimage(&gzip(&elf), RELEASE);
    let paragraphs = u32::try_from((bzimage.len() - 1024).div_ceil(16)).unwrap();
    bzimage[0x1f4..0x1f8].copy_from_slice(&paragraphs.to_le_bytes());
    // One section of an EFI program, which ends with the file.
    let mut arm64 = arm64_image("6.6.0");
    arm64[..2].copy_from_slice(b"MZ");
    arm64[0x3c..0x40].copy_from_slice(&64_u32.to_le_bytes());
    arm64[64..68].copy_from_slice(b"PE\0\0");
    arm64[70] = 1;
    arm64[84..86].fill(0);
    let section = u32::try_from(arm64.len() - 512).unwrap().to_le_bytes();
    arm64[88 + 16..88 + 20].copy_from_slice(&section);
    arm64[88 + 20..88 + 24].copy_from_slice(&512_u32.to_le_bytes());
    for whole in [elf.clone(), bzimage, arm64] {
        inspected(&whole).unwrap();
        let error = inspected(&whole[..whole.len() - 100]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
        assert!(error.to_string().contains("is truncated"), "{error}");
    }
    let error = inspected(&gzip(&elf[..elf.len() - 1])).unwrap_err();
    assert!(error.to_string().contains("is truncated"), "{error}");
}

#[test]
fn reading_a_kernel_can_be_cancelled() {
    let home = Home::new();
    let kernel = home.file("vmlinux", &good_kernel());
    let error = inspect(&kernel, &|| true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}

#[test]
fn a_kernel_is_imported_listed_used_and_removed() {
    let home = Home::new();
    let kernel = home.file("vmlinux", &good_kernel());
    let initrd = home.file("initrd", &initrd(&[]));
    let modules = module_directory(home.folder.path(), RELEASE, &["ext4"], &["fuse"]);
    let name = Name::parse("cloud").unwrap();
    let whole = request(&kernel, Some(&initrd), Some(&modules));
    let entry = home.catalog.import(&name, &whole, &()).unwrap();
    assert_eq!(home.catalog.find("cloud").unwrap(), entry);
    let error = home.catalog.import(&name, &whole, &()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(
        tree(&home.places.kernels),
        [
            ".lock",
            "cloud",
            "cloud/initrd.img",
            "cloud/kernel",
            "cloud/kernel.json",
            "cloud/modules",
            "cloud/modules/kernel",
            "cloud/modules/kernel/drivers",
            "cloud/modules/kernel/drivers/fuse.ko",
            "cloud/modules/modules.builtin",
        ]
    );
    let by_reference = KernelRequest {
        reference: Some("cloud".into()),
        ..Default::default()
    };
    let found = resolved(&home, &by_reference, Some(Architecture::Amd64))
        .unwrap()
        .unwrap();
    assert_eq!(found.facts.release.as_deref(), Some(RELEASE));
    assert_eq!(fs::read(&found.kernel).unwrap(), good_kernel());
    let error = resolved(&home, &by_reference, Some(Architecture::Arm64)).unwrap_err();
    assert!(error.to_string().starts_with("--kernel-ref: "), "{error}");

    home.catalog.remove(&home.store, "cloud").unwrap();
    assert_eq!(tree(&home.places.kernels), [".lock"]);
    let error = resolved(&home, &by_reference, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_refused_import_leaves_nothing() {
    let home = Home::new();
    let name = Name::parse("bad").unwrap();
    let text = home.file("text", b"no kernel");
    assert!(
        home.catalog
            .import(&name, &request(&text, None, None), &())
            .is_err()
    );
    let none = home
        .catalog
        .import(&name, &KernelRequest::default(), &())
        .unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Usage);
    assert!(!home.places.kernels.exists());
    assert!(home.catalog.list().unwrap().kernels.is_empty());
}

#[test]
fn records_of_newer_versions_and_damaged_ones_are_told_apart() {
    let home = Home::new();
    for (name, record) in [("new", "{\"schema\":2}"), ("torn", "{\"schema\":1")] {
        fs::create_dir_all(home.places.kernels.join(name)).unwrap();
        fs::write(home.places.kernels.join(name).join("kernel.json"), record).unwrap();
    }
    let listing = home.catalog.list().unwrap();
    assert!(listing.kernels.is_empty());
    let texts: Vec<String> = listing
        .unreadable
        .iter()
        .map(|(_, error)| error.to_string())
        .collect();
    assert!(
        texts[0].contains("newer banger (schema 2, known up to 1)"),
        "{texts:?}"
    );
    assert!(texts[1].contains("not a record"), "{texts:?}");
    let kind = home.catalog.remove(&home.store, "new").unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Failure);
    assert!(home.places.kernels.join("new").exists());
}

fn sample_kernels() -> Vec<Vec<u8>> {
    let mut elf = good_kernel();
    elf.truncate(8192);
    let image = arm64_image("6.6.0");
    vec![
        gzip(&elf),
        zstd(&elf),
        bzimage(&gzip(&elf), RELEASE),
        bzimage(&zstd(&elf), RELEASE),
        gzip(&image),
        image,
        elf,
    ]
}

proptest! {
    #[test]
    fn no_damage_makes_it_panic(
        which in 0..7_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = sample_kernels().swap_remove(which);
        for (place, byte) in damage {
            // Headers are where the numbers are.
            let place = place.index(bytes.len().min(1024));
            bytes[place] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = inspected(&bytes);
    }
}
