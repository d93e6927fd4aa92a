//! Programs that fuzzing starts from: one of each operation, many names, removal and reuse, every option.

/// Seeds of a target by name.
pub(crate) fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    match target {
        "tree_to_image" => tree_to_image(),
        _ => Vec::new(),
    }
}

fn tree_to_image() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for options in (0..=255).step_by(17) {
        let mut many = start(options);
        for n in 0..60_u8 {
            many.extend(operation(n % 6, 0, &[8, b'a' + n % 26, b'A' + n / 26], n));
        }
        seeds.push((format!("many-{options}"), many));
        let mut reuse = start(options);
        for n in 0..40_u8 {
            let code = [3, 8][usize::from(n % 2)];
            reuse.extend(operation(code, 0, &[2, b'a', b'a' + n % 8], n));
            reuse.extend([7, 0, 2, b'a', b'a' + (n / 2) % 8]);
            reuse.extend(operation(9, n, &[], n));
        }
        seeds.push((format!("reuse-{options}"), reuse));
    }
    let mut deep = start(0x40);
    for n in 0..60_u8 {
        deep.extend(operation(0, n, &[1, b'd', b'd'], n));
        deep.extend(operation(6, n, &[3, b'l', b'k'], n));
    }
    seeds.push(("deep".to_owned(), deep));
    seeds
}

/// The bytes of the options, and the root's metadata. Every other seed has features that ext4-view can read.
fn start(options: u8) -> Vec<u8> {
    let more = options.wrapping_mul(29);
    let rare = if options.is_multiple_of(2) {
        0
    } else {
        options.wrapping_mul(71)
    };
    let mut program = vec![options, more, rare, 20];
    program.extend(metadata(0));
    program
}

fn operation(code: u8, parent: u8, name: &[u8], variety: u8) -> Vec<u8> {
    let mut bytes = vec![code, parent];
    bytes.extend(if name.is_empty() {
        &[1, b'x', b'x']
    } else {
        name
    });
    if matches!(code, 6 | 9) {
        bytes.push(variety);
    }
    if code == 6 {
        return bytes;
    }
    bytes.extend(metadata(variety));
    // Pieces of a content, or the length of a target: the other kinds take them for the next operation.
    if matches!(code, 2 | 3 | 8) {
        bytes.extend([2, variety | 1, variety, 3, 0, 0, 0, 0, 0x40, 0, 0]);
    } else if code == 4 {
        bytes.push(variety.wrapping_mul(5));
    }
    bytes
}

fn metadata(variety: u8) -> Vec<u8> {
    let mut bytes = vec![variety, 1, 2, variety, 9, 9, 9, 9];
    bytes.push(variety % 2);
    if variety % 2 == 1 {
        bytes.extend([b'n', variety]);
    }
    bytes.extend([variety, 0, 1, 0, 7, 0, 0, variety, 0xed, 1, 0, 0]);
    bytes
}
