//! Hashes of directory entry names, always over unsigned characters.
//!
//! <https://docs.kernel.org/filesystems/ext4/directory.html#hash-tree-directories>

/// Which hash orders the names of an indexed directory (`s_def_hash_version`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// The hash of the first htree directories; weak, for old readers.
    Legacy,
    /// Half of MD4, what mke2fs chooses.
    #[default]
    HalfMd4,
    /// The tiny encryption algorithm.
    Tea,
}

impl HashAlgorithm {
    /// Value of `s_def_hash_version` and of the htree root.
    pub(crate) fn version(self) -> u8 {
        match self {
            Self::Legacy => 0,
            Self::HalfMd4 => 1,
            Self::Tea => 2,
        }
    }
}

/// Hash of a name; `major` orders the index, `minor` breaks ties when the kernel lists a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NameHash {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// Hashes names for one filesystem.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameHasher {
    algorithm: HashAlgorithm,
    seed: [u32; 4],
}

impl NameHasher {
    pub(crate) fn new(algorithm: HashAlgorithm, seed: &[u8; 16]) -> Self {
        let word = |i: usize| u32::from_le_bytes([seed[i], seed[i + 1], seed[i + 2], seed[i + 3]]);
        let given = [word(0), word(4), word(8), word(12)];
        let seed = if given == [0; 4] { DEFAULT_SEED } else { given };
        Self { algorithm, seed }
    }

    pub(crate) fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    pub(crate) fn hash(&self, name: &[u8]) -> NameHash {
        let (major, minor) = match self.algorithm {
            HashAlgorithm::Legacy => (legacy(name), 0),
            HashAlgorithm::HalfMd4 => {
                let mut state = self.seed;
                for rest in Chunks::new(name, 32) {
                    half_md4(&mut state, &words::<8>(rest));
                }
                (state[1], state[2])
            }
            HashAlgorithm::Tea => {
                let mut state = self.seed;
                for rest in Chunks::new(name, 16) {
                    tea(&mut state, &words::<4>(rest));
                }
                (state[0], state[1])
            }
        };
        let major = major & !1;
        // The last value is the kernel's end-of-directory mark.
        NameHash {
            major: if major == 0xffff_fffe {
                0xffff_fffc
            } else {
                major
            },
            minor,
        }
    }
}

/// MD4's initial state, used when the filesystem has no seed.
const DEFAULT_SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// Yields what is left of a name at every step, as the padding depends on the remaining length.
struct Chunks<'a> {
    rest: &'a [u8],
    step: usize,
}

impl<'a> Chunks<'a> {
    fn new(name: &'a [u8], step: usize) -> Self {
        Self { rest: name, step }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let now = self.rest;
        self.rest = now.get(self.step..).unwrap_or(&[]);
        Some(now)
    }
}

/// Packs the first `4 * N` bytes of `rest` big-endian, padded with the remaining length.
fn words<const N: usize>(rest: &[u8]) -> [u32; N] {
    let length = rest.len() as u32;
    let byte = length | (length << 8);
    let pad = byte | (byte << 16);
    let mut out = [pad; N];
    for (word, piece) in out.iter_mut().zip(rest.chunks(4)) {
        for &byte in piece {
            *word = (*word << 8).wrapping_add(u32::from(byte));
        }
    }
    out
}

fn half_md4(state: &mut [u32; 4], input: &[u32; 8]) {
    type Mix = fn(u32, u32, u32) -> u32;
    const ROUNDS: [(Mix, u32, [usize; 8], [u32; 4]); 3] = [
        (
            |x, y, z| z ^ (x & (y ^ z)),
            0,
            [0, 1, 2, 3, 4, 5, 6, 7],
            [3, 7, 11, 19],
        ),
        (
            |x, y, z| (x & y).wrapping_add((x ^ y) & z),
            0x5a82_7999,
            [1, 3, 5, 7, 0, 2, 4, 6],
            [3, 5, 9, 13],
        ),
        (
            |x, y, z| x ^ y ^ z,
            0x6ed9_eba1,
            [3, 7, 2, 6, 1, 5, 0, 4],
            [3, 9, 11, 15],
        ),
    ];
    let [mut a, mut b, mut c, mut d] = *state;
    for (mix, constant, order, shifts) in ROUNDS {
        for (step, &index) in order.iter().enumerate() {
            let sum = a
                .wrapping_add(mix(b, c, d))
                .wrapping_add(input[index])
                .wrapping_add(constant)
                .rotate_left(shifts[step % 4]);
            (a, b, c, d) = (d, sum, b, c);
        }
    }
    for (word, mixed) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(mixed);
    }
}

fn tea(state: &mut [u32; 4], input: &[u32; 4]) {
    const DELTA: u32 = 0x9e37_79b9;
    let [a, b, c, d] = *input;
    let (mut left, mut right, mut sum) = (state[0], state[1], 0_u32);
    for _ in 0..16 {
        sum = sum.wrapping_add(DELTA);
        left = left.wrapping_add(
            (right << 4).wrapping_add(a) ^ right.wrapping_add(sum) ^ (right >> 5).wrapping_add(b),
        );
        right = right.wrapping_add(
            (left << 4).wrapping_add(c) ^ left.wrapping_add(sum) ^ (left >> 5).wrapping_add(d),
        );
    }
    state[0] = state[0].wrapping_add(left);
    state[1] = state[1].wrapping_add(right);
}

fn legacy(name: &[u8]) -> u32 {
    let (mut hash0, mut hash1) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
    for &byte in name {
        let mut hash = hash1.wrapping_add(hash0 ^ u32::from(byte).wrapping_mul(7_152_373));
        if hash & 0x8000_0000 != 0 {
            hash = hash.wrapping_sub(0x7fff_ffff);
        }
        (hash0, hash1) = (hash, hash0);
    }
    hash0 << 1
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "finds debugfs by the environment"
)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What debugfs computes for each name; it knows the unsigned hashes by number only.
    fn oracle(algorithm: &str, seed: &str, names: &[Vec<u8>]) -> Option<Vec<NameHash>> {
        let mut requests = tempfile::NamedTempFile::new().unwrap();
        for name in names {
            write!(requests, "dx_hash -h {algorithm} -s {seed} ").unwrap();
            requests.write_all(name).unwrap();
            requests.write_all(b"\n").unwrap();
        }
        let path = format!(
            "{}:/usr/sbin:/sbin",
            std::env::var("PATH").unwrap_or_default()
        );
        let output = std::process::Command::new("debugfs")
            .arg("-f")
            .arg(requests.path())
            .env("PATH", path)
            .output();
        let Ok(output) = output else {
            assert!(std::env::var_os("CI").is_none(), "debugfs is missing");
            println!("skipped: debugfs is missing");
            return None;
        };
        // Hash of NAME is 0x5a8e6aa2 (minor 0x6cd9d1b0)
        let said = output.stdout;
        let hex = |text: &[u8]| {
            let digits: String = text
                .iter()
                .map(|&byte| char::from(byte))
                .take_while(char::is_ascii_hexdigit)
                .collect();
            u32::from_str_radix(&digits, 16).unwrap()
        };
        let find = |text: &[u8], mark: &[u8]| {
            text.windows(mark.len())
                .position(|window| window == mark)
                .map(|at| at + mark.len())
        };
        let mut rest = said.as_slice();
        let mut hashes = Vec::new();
        while let Some(at) = find(rest, b" is 0x") {
            let major = hex(&rest[at..]);
            rest = &rest[at..];
            let minor = find(rest, b"(minor 0x").unwrap();
            hashes.push(NameHash {
                major,
                minor: hex(&rest[minor..]),
            });
            rest = &rest[minor..];
        }
        Some(hashes)
    }

    #[test]
    fn every_byte_and_many_lengths_hash_as_in_debugfs() {
        // debugfs reads lines of at most 255 bytes, the request included.
        const LONGEST: usize = 190;
        // Bytes that debugfs' command line takes literally.
        let plain = |byte: &u8| !matches!(byte, 0..=b' ' | b'"' | b'\'' | b'/' | 0x7f);
        let bytes: Vec<u8> = (0..=255).filter(plain).collect();
        let names: Vec<Vec<u8>> = (1..=LONGEST)
            .map(|length| {
                bytes
                    .iter()
                    .rev()
                    .cycle()
                    .skip(length)
                    .take(length)
                    .copied()
                    .collect()
            })
            .collect();
        for (algorithm, name) in [
            (HashAlgorithm::Legacy, "3"),
            (HashAlgorithm::HalfMd4, "4"),
            (HashAlgorithm::Tea, "5"),
        ] {
            for seed in [[0; 16], *b"0123456789abcdef"] {
                let hasher = NameHasher::new(algorithm, &seed);
                let text = uuid::Uuid::from_bytes(seed).to_string();
                let Some(theirs) = oracle(name, &text, &names) else {
                    return;
                };
                let ours: Vec<_> = names.iter().map(|name| hasher.hash(name)).collect();
                let differs = ours
                    .iter()
                    .zip(&theirs)
                    .position(|(ours, theirs)| ours != theirs);
                assert!(
                    ours.len() == theirs.len() && differs.is_none(),
                    "{name}: {differs:?}"
                );
            }
        }
    }
}
